"""How far a member's values are from the true ones, where an environment's table is known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agents.environments import tabular_model
from agents.evaluation import QFunction


class TrueValues:
    """What the values of N members should be, where the environment's table is known.

    ``observations`` ``[S, *observation_shape]`` are the states that can be reached, walls left out;
    ``q`` float64 ``[N, S, A]`` their Q* at each member's own discount, NaN for a discount of 1.
    """

    def __init__(self, env_id: str, discounts: Sequence[float], reward_clip: float | None = None) -> None:
        """Raises EnvironmentUnavailable for an unknown id, ValueError for one without a table."""
        table = tabular_model(env_id)
        if table is None:
            raise ValueError(
                f"true values need a transition table, which {env_id} has not: see `tabular_model`"
            )
        reachable = table.reachable
        self.observations = np.asarray(table.observations)[reachable]
        undefined = np.full(table.rewards.shape, np.nan)
        known = {
            discount: table.q_optimal(discount, reward_clip=reward_clip) if discount < 1 else undefined
            for discount in set(discounts)
        }
        self.q = np.stack([known[discount][reachable] for discount in discounts])

    @classmethod
    def where_known(
        cls, env_id: str, discounts: Sequence[float], reward_clip: float | None = None
    ) -> "TrueValues | None":
        """As the constructor; None where there is no table."""
        return None if tabular_model(env_id) is None else cls(env_id, discounts, reward_clip)

    def errors(self, q_values: QFunction) -> npt.NDArray[np.float64]:
        """Root of the mean squared error of Q against Q* over states and actions, float64 ``[N]``."""
        seen = np.repeat(self.observations[None], len(self.q), axis=0)
        estimated = np.asarray(q_values(seen), np.float64)
        errors: npt.NDArray[np.float64] = np.sqrt(((estimated - self.q) ** 2).mean((1, 2)))
        return errors
