"""Which points of a series MLflow gets: the first of every interval, and the last of all.

MLflow's interface freezes on long series and its table of metrics grows by about 110 bytes of
key a point, so a series there has about `INTERVALS` points however long the trial. The rule needs
only the trial's length, never the rows still to come, so that a mirror which follows a sweep live
and one which reads it whole afterwards keep the same points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

INTERVALS = 1000
"""Intervals a trial is cut into; a series has at most two points more (step 0 and the last)."""


def interval_width(train_steps: int, intervals: int = INTERVALS) -> int:
    """Gradient steps of one interval: the least of 1, 2, 5, 10, 20, 50, ... that gives at most `intervals`.

    Round widths keep the points of a thinned series at round steps: with a measure every 100 steps
    every kept step is a multiple of the width, not an irregular pick.
    """
    decade = 1
    while True:
        for digit in (1, 2, 5):
            if digit * decade * intervals >= train_steps:
                return digit * decade
        decade *= 10


def keep_first_of_each_interval(
    steps: npt.NDArray[np.int64], width: int, last_kept: int | None
) -> npt.NDArray[np.bool_]:
    """Mask `[R]` over ascending `steps` `[R]`: True where a step opens an interval not yet represented.

    `last_kept` is the step of the newest point already kept of this series, or None.
    """
    import numpy as np

    interval = steps // width
    before = np.empty_like(interval)
    before[1:] = interval[:-1]
    if len(before):
        before[0] = -1 if last_kept is None else last_kept // width
    kept: npt.NDArray[np.bool_] = interval != before
    return kept
