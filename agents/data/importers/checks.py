"""What every block has to satisfy, whatever its format: shapes, dtypes, finite numbers, actions of the space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import EpisodeBlock, ImportPlan, TransitionBlock
from agents.environments.protocol import ArrayFormat, EnvironmentSpec

__all__ = ["Problem", "fit_episode", "fit_frame", "fit_transitions"]

_ACTION_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Problem:
    """What is wrong with row ``row`` of a block (None: with all of it), under which key.

    ``in_frame``: with what was seen before the step, and so with the step before it too.
    """

    row: int | None
    key: str
    why: str
    in_frame: bool = False


def fit_episode(block: EpisodeBlock, plan: ImportPlan) -> tuple[EpisodeBlock, list[Problem]]:
    """The block with every array in the dtype that is stored, and what is wrong with it.

    A problem's row counts from the first step; that of a frame is the row of the step that saw it. With a
    problem of all rows the block is the one given.
    """
    spec, steps = plan.environment, len(block.reward)
    seen = block.lead + steps + 1
    frames = _Fitted(plan.keys)
    frames.take("frames", block.frames, _frame_format(spec), seen)
    for name, one in spec.extras.items():
        frames.take(name, block.extras.get(name), one, seen)
    rows = _rows(block, plan, steps)
    problems = [
        *(
            replace(one, row=None if one.row is None else max(one.row - block.lead, 0), in_frame=True)
            for one in frames.problems
        ),
        *rows.problems,
    ]
    if any(problem.row is None for problem in problems):
        return block, problems
    fitted = replace(
        block,
        frames=frames.arrays["frames"],
        extras={name: frames.arrays[name] for name in spec.extras},
        **_row_fields(rows, plan),
    )
    return fitted, problems


def fit_transitions(block: TransitionBlock, plan: ImportPlan) -> tuple[TransitionBlock, list[Problem]]:
    """The same for transitions, their frames aside."""
    rows = _rows(block, plan, len(block.reward))
    wanted = plan.environment.frame_stack + 1
    for row, frames in enumerate(block.frames):
        if len(frames) != wanted:
            rows.problems.append(Problem(row, "frames", f"{len(frames)} frames; {wanted} are needed"))
    if any(problem.row is None for problem in rows.problems):
        return block, rows.problems
    return replace(block, **_row_fields(rows, plan)), rows.problems


def fit_frame(frame: npt.NDArray[Any], spec: EnvironmentSpec) -> npt.NDArray[Any]:
    """One decoded frame in the dtype that is stored. Raises ValueError saying what does not fit."""
    fitted = _Fitted({})
    fitted.take("frame", np.asarray(frame)[None], _frame_format(spec), 1)
    if fitted.problems:
        raise ValueError(fitted.problems[0].why)
    return fitted.arrays["frame"][0]  # type: ignore[no-any-return]


def _rows(block: EpisodeBlock | TransitionBlock, plan: ImportPlan, count: int) -> _Fitted:
    spec, rows = plan.environment, _Fitted(plan.keys)
    rows.take("action", block.action, spec.action_format, count)
    rows.take("reward", block.reward, _SCALAR, count)
    rows.take("discount", block.discount, _SCALAR, count)
    for name, one in plan.columns.items():
        rows.take(name, block.columns.get(name), one, count)
    for name in ("action", "next_action"):
        if name in rows.arrays:
            rows.problems += _outside_space(plan.keys.get(name, name), rows.arrays[name], spec)
    if "discount" in rows.arrays:
        discount = rows.arrays["discount"]
        rows.problems += [
            Problem(
                int(row), plan.keys.get("discount", "discount"), f"{discount[row]} is not between 0 and 1"
            )
            for row in np.flatnonzero((discount < 0) | (discount > 1))
        ]
    return rows


def _row_fields(rows: _Fitted, plan: ImportPlan) -> dict[str, Any]:
    own = ("action", "reward", "discount")
    return {
        **{name: rows.arrays[name] for name in own},
        "columns": {name: rows.arrays[name] for name in plan.columns},
    }


def _outside_space(key: str, action: npt.NDArray[Any], spec: EnvironmentSpec) -> Iterable[Problem]:
    if not spec.continuous:
        last = spec.num_actions - 1
        for row in np.flatnonzero((action < 0) | (action > last)):
            yield Problem(int(row), key, f"action {action[row]} is outside 0 to {last} of {spec.env_id}")
        return
    slack = _ACTION_TOLERANCE * (spec.action_high - spec.action_low)
    outside = (action < spec.action_low - slack) | (action > spec.action_high + slack)
    for row in np.flatnonzero(outside.reshape(len(action), -1).any(axis=1)):
        value = action[row][outside[row]][0]
        yield Problem(
            int(row), key,
            f"component {value} is outside [{spec.action_low}, {spec.action_high}] of {spec.env_id}",
        )  # fmt: skip


_SCALAR = ArrayFormat(dtype="float32")


def _frame_format(spec: EnvironmentSpec) -> ArrayFormat:
    return ArrayFormat(dtype=spec.observation_dtype, shape=spec.frame_shape)


class _Fitted:
    """Arrays in the dtype that is stored, and what kept others from it."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.problems: list[Problem] = []

    def take(self, name: str, values: npt.NDArray[Any] | None, wanted: ArrayFormat, count: int) -> None:
        """Fit ``values`` to ``count`` rows of ``wanted``."""
        key = self._keys.get(name, name)
        if values is None:
            self.problems.append(Problem(None, key, "is missing"))
            return
        values = np.asarray(values)
        shape = (count, *wanted.shape)
        if values.shape != shape:
            self.problems.append(Problem(None, key, f"has shape {values.shape}; {shape} is needed"))
            return
        if values.dtype.kind not in _KINDS[wanted.dtype]:
            self.problems.append(
                Problem(
                    None, key, f"has dtype {values.dtype}; what can be stored as {wanted.dtype} is needed"
                )
            )
            return
        if values.dtype == wanted.dtype and wanted.dtype != "float32":
            self.arrays[name] = values
            return
        with np.errstate(over="ignore", invalid="ignore"):
            fitted = values.astype(wanted.dtype, copy=False)
        bad = ~np.isfinite(fitted) if wanted.dtype == "float32" else fitted != values
        for row in np.flatnonzero(bad.reshape(count, -1).any(axis=1)) if bad.any() else ():
            value = values[row][bad[row]][0] if wanted.shape else values[row]
            self.problems.append(Problem(int(row), key, _unfit(value, wanted.dtype)))
        self.arrays[name] = fitted


_KINDS: Mapping[str, str] = {"float32": "fiub", "uint8": "iu", "int32": "iub", "uint64": "iu"}


def _unfit(value: Any, dtype: str) -> str:
    if dtype == "float32" and not np.isfinite(value):
        return f"{value} is not a finite number"
    return f"{value} does not fit {dtype}"
