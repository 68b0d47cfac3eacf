"""Returns of the episodes of a dataset, and by the checkpoint that played them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.dataset import Dataset
from agents.errors import DatasetError

__all__ = ["EpisodeReturns", "episode_returns", "returns_by_checkpoint"]


@dataclass(frozen=True)
class EpisodeReturns:
    """E episodes of T transitions: ``value`` float64 ``[E]`` and ``complete`` bool ``[E]``, by episode number.

    ``place`` int64 ``[T]`` is the place of each transition's episode among them; ``last`` int64 ``[E]`` the
    last transition of each.
    """

    place: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    complete: npt.NDArray[np.bool_]
    last: npt.NDArray[np.int64]


def episode_returns(dataset: Dataset) -> EpisodeReturns:
    """Undiscounted returns: the source's own where there is a column ``episode_return``, else sums of rewards.

    Which episodes were completed follows from their number in the manifest: one whose last s' is terminal
    was; of the others, which were cut by a time limit or by the end of the data, those that end last in the
    dataset are the ones that the data's end cut. Raises DatasetError where episodes are not whole and the
    source's returns are not known.
    """
    episode = dataset.arrays["episode"]
    numbers, place = np.unique(episode, return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    last = np.zeros(len(numbers), np.int64)
    np.maximum.at(last, place, np.arange(len(place), dtype=np.int64))
    if "episode_return" in dataset.arrays:
        value = dataset.arrays["episode_return"][last].astype(np.float64)
        return EpisodeReturns(place, value, np.isfinite(value), last)
    if not dataset.manifest.consecutive:
        raise DatasetError(
            f"the episodes of {dataset.name!r} are not whole and it has no column `episode_return`, so returns "
            "are not known. Select by returns first, from the whole dataset."
        )
    value = np.bincount(place, weights=dataset.arrays["reward"], minlength=len(numbers)).astype(np.float64)
    complete = dataset.arrays["discount"][last] == 0
    open_ended = np.flatnonzero(~complete)
    cut_by_limit = max(0, dataset.manifest.episodes - int(complete.sum()))
    first_to_end = open_ended[np.argsort(last[open_ended], kind="stable")][:cut_by_limit]
    complete[first_to_end] = True
    return EpisodeReturns(place, value, complete, last)


def returns_by_checkpoint(dataset: Dataset) -> list[dict[str, Any]]:
    """For each training checkpoint of the behaviour policy: transitions, completed episodes, their mean return.

    An episode belongs to the checkpoint of its last transition. Empty for a dataset without such a column;
    ``mean_return`` is None where returns are not known.
    """
    if "checkpoint" not in dataset.arrays:
        return []
    checkpoint = dataset.arrays["checkpoint"]
    numbers, counts = np.unique(checkpoint, return_counts=True)
    try:
        returns = episode_returns(dataset)
    except DatasetError:
        found = [(0, None)] * len(numbers)
    else:
        ended = checkpoint[returns.last]
        chosen = [returns.value[(ended == number) & returns.complete] for number in numbers]
        found = [(len(one), float(one.mean()) if len(one) else None) for one in chosen]  # type: ignore[misc]
    return [
        {"checkpoint": int(number), "transitions": int(count), "episodes": episodes, "mean_return": mean}
        for number, count, (episodes, mean) in zip(numbers, counts, found, strict=True)
    ]
