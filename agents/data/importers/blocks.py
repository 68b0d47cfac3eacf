"""What a reader hands to the engine: episodes or transitions as they were logged, and what it could not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from agents.data.importers.source import Shard, Source
from agents.environments.protocol import ArrayFormat, EnvironmentSpec

if TYPE_CHECKING:
    from agents.data.dataset import Dataset


@dataclass(frozen=True)
class EpisodeBlock:
    """Steps that follow one another in time within one episode, whole or a piece; L steps.

    ``frames`` ``[L + 1, *frame_shape]``, the last one being what was seen after the last step; the engine
    stores each once and builds the stacks, which begin black. ``action`` int ``[L]`` or float32
    ``[L, *action_shape]``; ``reward`` float32 ``[L]`` as logged; ``discount`` float32 ``[L]``, 0 where s' is
    terminal. ``columns`` ``[L, …]`` by name, ``extras`` ``[L + 1, …]`` by name. ``record`` is the number of
    the (first) record in its shard; ``rows`` says that each step was a record of its own, so that a single
    one can be dropped. ``complete``: the episode began in this block and ended in it, so that its return
    counts; its rewards' sum is the return unless ``episode_return`` gives another. ``lead``: so many frames
    come before the first step's own, as history for its stack (a piece whose episode began before it), and
    ``frames`` and ``extras`` are longer by them.
    """

    record: int
    frames: npt.NDArray[Any]
    action: npt.NDArray[Any]
    reward: npt.NDArray[Any]
    discount: npt.NDArray[Any]
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    extras: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    rows: bool = False
    complete: bool = True
    episode_return: float | None = None
    lead: int = 0


@dataclass(frozen=True)
class TransitionBlock:
    """B transitions that need not follow one another in time; each is a record, from ``record`` on.

    ``frames``: for each transition its K + 1 frames, s oldest first and then the newest of s', as the bytes
    that the source holds them in; equal bytes are decoded and stored once. ``decode`` turns them into
    ``frame_shape``, and raises ValueError for bytes it cannot. ``episode`` is the source's own number of the
    transition's episode; where there is a column ``episode_return``, it is the episode's return.
    ``frame_keys`` name the K + 1 frames in messages.
    """

    record: int
    frames: Sequence[Sequence[bytes]]
    decode: Callable[[bytes], npt.NDArray[Any]]
    action: npt.NDArray[Any]
    reward: npt.NDArray[Any]
    discount: npt.NDArray[Any]
    episode: npt.NDArray[np.uint64]
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    frame_keys: Sequence[str] = ()


@dataclass(frozen=True)
class BadRecord:
    """A record that cannot be used: where it is, which key is wrong, and why, with the value."""

    shard: str
    record: int
    key: str
    why: str


@dataclass(frozen=True)
class ImportPlan:
    """What an import will read: the shards in the order in which they are stored, and what they hold.

    ``provenance`` says what the source is and which deviations the reader makes, as JSON types. ``keys`` are the
    source's own names, for messages, of ``frames``, ``action``, ``reward``, ``discount`` and columns and extras.
    """

    environment: EnvironmentSpec
    shards: tuple[Shard, ...]
    columns: Mapping[str, ArrayFormat] = field(default_factory=dict)
    consecutive: bool = True
    provenance: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """Reads one format. Raises DatasetError for what no skipping of records can mend, naming shard and key."""

    @property
    def format(self) -> str:
        """Its name on the command line, such as ``rlu-atari``."""
        ...

    @property
    def title(self) -> str:
        """One line for listings."""
        ...

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """What there is to read. ``options`` are the format's own, such as ``env``; unknown ones are refused."""
        ...

    def read(
        self, source: Source, shard: Shard, plan: ImportPlan
    ) -> Iterator[EpisodeBlock | TransitionBlock | BadRecord]:
        """The content of one shard, in order, a bounded number of records at a time."""
        ...


@runtime_checkable
class KnowsNames(Protocol):
    """A reader whose sources have names of their own, such as D4RL's ``halfcheetah-medium-v2``."""

    def locate(self, source: str, options: Mapping[str, str]) -> str:
        """The address of what the user called ``source``; ``source`` itself where that is an address."""
        ...


@runtime_checkable
class CopiesWhole(Protocol):
    """A reader of datasets that are taken over as they are, array by array, and not block by block."""

    def copy(self, source: Source, path: Path, options: Mapping[str, str]) -> Dataset:
        """The dataset at ``source``, checked and made visible as ``path``."""
        ...
