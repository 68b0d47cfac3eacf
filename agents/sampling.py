"""Which transitions each member sees at each step."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agents.randomness import minibatch_positions
from agents.spec import MemberHypers


class MinibatchSampler:
    """Uniform sampling with replacement from each member's share of a dataset.

    A member with ``data_prefix`` p and ``data_fraction`` f samples from the first P = ⌈p T⌉ transitions, in the
    order in which they were collected; of these it has the first ⌈f P⌉ in the dataset's fixed random order
    ``subset_order`` (int ``[T]``). So smaller fractions of one prefix are subsets of larger ones, and nothing is
    copied. What a member sees depends on its seed, its share and the step, and on nothing else in the pack.
    """

    def __init__(self, members: Sequence[MemberHypers], subset_order: np.ndarray, batch_size: int) -> None:
        self.seeds = [member.seed for member in members]
        self.subset_order = subset_order
        self.batch_size = batch_size
        # Members with one prefix share one list of it; without a prefix that is the dataset's own.
        orders = {p: prefix_order(subset_order, p) for p in {member.data_prefix for member in members}}
        self.orders = [orders[member.data_prefix] for member in members]
        self.sizes = [
            ceil_share(member.data_fraction, len(order))
            for member, order in zip(members, self.orders, strict=True)
        ]

    def indices(self, first_step: int, steps: int) -> np.ndarray:
        """Transition numbers of steps ``first_step`` … ``first_step + steps - 1``: int64 ``[steps, members, B]``."""
        chosen = np.empty((steps, len(self.seeds), self.batch_size), dtype=np.int64)
        for place, (seed, order, size) in enumerate(zip(self.seeds, self.orders, self.sizes, strict=True)):
            positions = minibatch_positions(seed, first_step, steps, self.batch_size)
            chosen[:, place] = order[(positions * size).astype(np.int64)]
        return chosen


def prefix_order(subset_order: npt.NDArray[np.int32], prefix: float) -> npt.NDArray[np.int32]:
    """``subset_order`` ``[T]`` without all but the first ⌈prefix T⌉ transitions; itself where ``prefix`` is 1."""
    limit = ceil_share(prefix, len(subset_order))
    return subset_order if limit == len(subset_order) else subset_order[subset_order < limit]


def ceil_share(share: float, total: int) -> int:
    """⌈share · total⌉, at least 1, of the number that ``share`` was written as.

    0.07 × 100 is 7.000000000000001 in floating point, whose ceiling is 8.
    """
    return max(1, int(np.ceil(share * total * (1 - 1e-12))))
