"""Which transitions each member sees at each step."""

from collections.abc import Sequence

import numpy as np

from agents.randomness import minibatch_positions
from agents.spec import MemberHypers


class MinibatchSampler:
    """Uniform sampling with replacement from each member's share of a dataset.

    A member with ``data_fraction`` f samples the first ⌈f T⌉ transitions of the dataset's fixed random order
    ``subset_order`` (int ``[T]``), so that smaller fractions are subsets of larger ones. What a member sees
    depends on its seed, its fraction and the step, and on nothing else in the pack.
    """

    def __init__(self, members: Sequence[MemberHypers], subset_order: np.ndarray, batch_size: int) -> None:
        self.seeds = [member.seed for member in members]
        self.sizes = [_share(member.data_fraction, len(subset_order)) for member in members]
        self.subset_order = subset_order
        self.batch_size = batch_size

    def indices(self, first_step: int, steps: int) -> np.ndarray:
        """Transition numbers of steps ``first_step`` … ``first_step + steps - 1``: int64 ``[steps, members, B]``."""
        chosen = np.empty((steps, len(self.seeds), self.batch_size), dtype=np.int64)
        for place, (seed, size) in enumerate(zip(self.seeds, self.sizes, strict=True)):
            positions = minibatch_positions(seed, first_step, steps, self.batch_size)
            chosen[:, place] = self.subset_order[(positions * size).astype(np.int64)]
        return chosen


def _share(fraction: float, total: int) -> int:
    # 0.07 × 100 is 7.000000000000001 in floating point, whose ceiling is 8.
    return max(1, int(np.ceil(fraction * total * (1 - 1e-12))))
