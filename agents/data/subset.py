"""Datasets that are a part of another: by fraction, by prefix, by training checkpoint, by return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.dataset import Dataset
from agents.data.episode_returns import EpisodeReturns, episode_returns
from agents.data.provenance import provenance
from agents.data.writer import DatasetWriter
from agents.environments.protocol import ArrayFormat
from agents.errors import DatasetError
from agents.randomness import generator

__all__ = [
    "Checkpoints",
    "Fraction",
    "Prefix",
    "Returns",
    "Selection",
    "describe",
    "make_subset",
    "selection",
]

_ROWS = 2**20
_STANDARD = ("frames", "frame_index", "action", "reward", "discount", "episode", "subset_order")
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fraction:
    """ceil(fraction T) transitions drawn uniformly without replacement, kept in their order."""

    fraction: float
    seed: int = 0

    def apply(self, dataset: Dataset, rows: Rows) -> Rows:
        """The rows of ``rows`` that stay; all ascending."""
        _check_share("fraction", self.fraction)
        draws = generator(self.seed, "subset fraction").random(len(rows))
        # Ranks of uniform draws, whose stream numpy keeps across versions.
        kept = np.argsort(draws, kind="stable")[: math.ceil(self.fraction * len(rows))]
        return rows[np.sort(kept)]


@dataclass(frozen=True)
class Prefix:
    """The first ceil(prefix T) transitions: of collected data, those that were collected first."""

    prefix: float

    def apply(self, dataset: Dataset, rows: Rows) -> Rows:
        """The rows of ``rows`` that stay."""
        _check_share("prefix", self.prefix)
        return rows[: math.ceil(self.prefix * len(rows))]


@dataclass(frozen=True)
class Checkpoints:
    """Transitions of the behaviour policy's training checkpoints ``first`` to ``last``, both included."""

    first: int
    last: int

    def apply(self, dataset: Dataset, rows: Rows) -> Rows:
        """The rows of ``rows`` that stay."""
        if self.first > self.last:
            raise DatasetError(
                f"checkpoints {self.first}:{self.last}: the first must not lie behind the last."
            )
        if "checkpoint" not in dataset.arrays:
            raise DatasetError(
                f"dataset {dataset.name!r} has no column `checkpoint`, so its transitions cannot be told apart by "
                "it. Ordered imports and `sweep data collect` with checkpoints have one; `--prefix` goes by time."
            )
        checkpoint = dataset.arrays["checkpoint"][rows]
        kept = rows[(checkpoint >= self.first) & (checkpoint <= self.last)]
        if not len(kept):
            there = f"{checkpoint.min()} to {checkpoint.max()}" if len(checkpoint) else "none"
            raise DatasetError(
                f"checkpoints {self.first}:{self.last} of {dataset.name!r} hold no transition; there are {there}."
            )
        return kept


@dataclass(frozen=True)
class Returns:
    """Completed episodes, whole, whose return lies between two quantiles of all episodes' returns.

    Quantiles are numpy's, linear; both bounds are included. Each episode counts once, however long it is.
    """

    low: float
    high: float

    def apply(self, dataset: Dataset, rows: Rows) -> Rows:
        """The rows of ``rows`` that stay."""
        if not 0 <= self.low < self.high <= 1:
            raise DatasetError(
                f"returns {self.low}:{self.high}: both must lie in [0, 1], the lower first, such as 0.9:1."
            )
        returns = episode_returns(dataset)
        own = np.unique(returns.place[rows])
        candidates = own[returns.complete[own]]
        if not len(candidates):
            raise DatasetError(
                f"no episode of {dataset.name!r} that is left was completed: none has a return."
            )
        values = returns.value[candidates]
        low, high = np.quantile(values, [self.low, self.high])
        kept = np.zeros(len(returns.value), np.bool_)
        kept[candidates[(values >= low) & (values <= high)]] = True
        return rows[kept[returns.place[rows]]]


Selection = Fraction | Prefix | Checkpoints | Returns


def make_subset(parent: Dataset, path: Path, selections: Sequence[Selection]) -> Dataset:
    """Make the dataset ``path`` of the transitions of ``parent`` that ``selections`` leave, one after the other.

    Frames, and what was shown beside them, are hard links to the parent's (copies on another file system), so a
    subset costs the room of its rows; the parent may be deleted afterwards. Equal selections of equal data give
    equal fingerprints. ``episodes`` and ``mean_return`` of the subset are those of the parent's completed
    episodes that it has transitions of. Where it has parts of episodes only, a column ``episode_return`` keeps the
    return of the whole episode, NaN for one that was not completed. Raises DatasetError for a selection that
    cannot be made or leaves nothing.
    """
    if not selections:
        raise DatasetError("a subset needs at least one of fraction, prefix, checkpoints and returns.")
    rows: Rows = np.arange(len(parent), dtype=np.int64)
    for one in selections:
        rows = one.apply(parent, rows)
    manifest = parent.manifest
    columns = {
        name: _format(name, info.dtype, info.shape)
        for name, info in manifest.arrays.items()
        if name not in _STANDARD and not name.startswith("extra_")
    }
    returns = _returns(parent)
    extra: dict[str, npt.NDArray[Any]] = {}
    if returns is not None and "episode_return" not in columns and _cuts(returns, rows):
        columns["episode_return"] = ArrayFormat(dtype="float32")
        values = np.where(returns.complete, returns.value, np.nan).astype(np.float32)
        extra["episode_return"] = values[returns.place]
    with DatasetWriter(path, parent.spec, len(rows), columns=columns, frames_of=parent) as writer:
        for first in range(0, len(rows), _ROWS):
            some = rows[first : first + _ROWS]
            arrays = {**parent.arrays, **extra}
            writer.add_transitions(
                arrays["frame_index"][some],
                arrays["action"][some],
                arrays["reward"][some],
                arrays["discount"][some],
                arrays["episode"][some],
                {name: arrays[name][some] for name in columns},
            )
        episodes, mean = _quality(parent, returns, rows)
        record = {
            **provenance(),
            "subset": {
                "of": parent.manifest.name,
                "fingerprint": parent.fingerprint,
                "selections": [describe(one) for one in selections],
                "transitions_of_parent": len(parent),
            },
            "parent": manifest.provenance,
        }
        return writer.finish(episodes, mean, record, consecutive=_consecutive(parent, rows))


def describe(selection: Selection) -> dict[str, Any]:
    """A selection as JSON types, for provenance."""
    return {"kind": type(selection).__name__.lower(), **asdict(selection)}


def selection(content: Mapping[str, Any]) -> Selection:
    """The selection that ``describe`` gave ``content`` for."""
    kinds = {one.__name__.lower(): one for one in (Fraction, Prefix, Checkpoints, Returns)}
    chosen: Selection = kinds[content["kind"]](**{key: one for key, one in content.items() if key != "kind"})
    return chosen


def _returns(parent: Dataset) -> EpisodeReturns | None:
    try:
        return episode_returns(parent)
    except DatasetError:
        return None  # its episodes are not whole, and nobody noted their returns


def _cuts(returns: EpisodeReturns, rows: Rows) -> bool:
    """Whether some episode has transitions both in ``rows`` and outside."""
    whole = np.bincount(returns.place)
    kept = np.bincount(returns.place[rows], minlength=len(whole))
    return bool(((kept > 0) & (kept < whole)).any())


def _quality(parent: Dataset, returns: EpisodeReturns | None, rows: Rows) -> tuple[int, float | None]:
    if len(rows) == len(parent):
        return parent.manifest.episodes, parent.manifest.mean_return
    if returns is None:
        return 0, None
    own = np.unique(returns.place[rows])
    own = own[returns.complete[own]]
    return len(own), float(returns.value[own].mean()) if len(own) else None


def _consecutive(parent: Dataset, rows: Rows) -> bool:
    """Whether no transition is left out between two of one episode."""
    if not parent.manifest.consecutive:
        return False
    episode = parent.arrays["episode"]
    order = np.argsort(episode, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    # Ranks of one episode follow one another; so must those that are kept.
    kept = np.sort(rank[rows])
    same = episode[order[kept[1:]]] == episode[order[kept[:-1]]]
    return bool((np.diff(kept)[same] == 1).all())


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise DatasetError(f"{name} is {value}; it must be above 0 and at most 1.")


def _format(name: str, dtype: str, shape: tuple[int, ...]) -> ArrayFormat:
    return ArrayFormat(dtype=np.dtype(dtype).name, shape=shape[1:])  # type: ignore[arg-type]
