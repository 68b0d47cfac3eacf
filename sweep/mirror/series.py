"""The series of one trial on their way to MLflow: what was queued, what is still to be sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from sweep.mirror.thinning import interval_width, keep_first_of_each_interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Point(NamedTuple):
    """One value of one measure; the fields sort by step, which is the order MLflow gets them in."""

    step: int
    key: str
    timestamp: int
    """Milliseconds since the epoch, when the value was measured."""
    value: float


class Column(NamedTuple):
    """A measure over the rows of a trial: values `[R]` float64 and where they were measured `[R]` bool."""

    values: npt.NDArray[np.float64]
    measured: npt.NDArray[np.bool_]


@dataclass
class TrialSeries:
    """Thins the rows of a trial and queues what MLflow lacks.

    `newest` holds, for each measure, the step of the newest point that MLflow has or that is queued:
    rows up to it are never queued again, whichever attempt wrote them.
    """

    train_steps: int
    newest: dict[str, int] = field(default_factory=dict)
    queue: deque[Point] = field(default_factory=deque)
    first_timestamp: int | None = None
    last_timestamp: int | None = None
    _dropped: dict[str, Point] = field(default_factory=dict)

    def add(
        self,
        steps: npt.NDArray[np.int64],
        timestamps: npt.NDArray[np.int64],
        measures: Mapping[str, Column],
    ) -> None:
        """Queue the points to keep among rows with ascending `steps` `[R]` at `timestamps` `[R]` (ms)."""
        if not len(steps):
            return
        first, last = int(timestamps.min()), int(timestamps.max())
        self.first_timestamp = first if self.first_timestamp is None else min(first, self.first_timestamp)
        self.last_timestamp = last if self.last_timestamp is None else max(last, self.last_timestamp)
        width = interval_width(self.train_steps)
        points: list[Point] = []
        for key, (values, measured) in measures.items():
            newest = self.newest.get(key)
            fresh = measured if newest is None else measured & (steps > newest)
            if not fresh.any():
                continue
            fresh_steps, fresh_times, fresh_values = steps[fresh], timestamps[fresh], values[fresh]
            kept = keep_first_of_each_interval(fresh_steps, width, newest)
            if kept.any():
                points.extend(
                    map(
                        Point,
                        fresh_steps[kept].tolist(),
                        repeat(key),
                        fresh_times[kept].tolist(),
                        fresh_values[kept].tolist(),
                    )
                )
                self.newest[key] = int(fresh_steps[kept][-1])
            self._dropped[key] = Point(
                int(fresh_steps[-1]), key, int(fresh_times[-1]), float(fresh_values[-1])
            )
        # All measures advance together, so that whoever watches sees one moment of the trial.
        points.sort(key=_by_step)
        self.queue.extend(points)

    def close(self) -> None:
        """Queue the last point of every series, for a trial that will get no more rows."""
        for key, point in sorted(self._dropped.items()):
            if point.step > self.newest.get(key, -1):
                self.queue.append(point)
                self.newest[key] = point.step
        self._dropped.clear()


def milliseconds(wall_time: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Unix seconds `[R]` as MLflow's whole milliseconds, rounded to nearest."""
    import numpy as np

    return np.rint(wall_time * 1000.0).astype(np.int64)


def _by_step(point: Point) -> int:
    return point.step
