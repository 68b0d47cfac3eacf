"""The DQN Replay dataset: Dopamine's replay buffers as gzip'd npy files (Agarwal et al. 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.npy_stream import NpyStream, gzip_named
from agents.data.importers.options import check_options
from agents.data.importers.source import Shard, Source
from agents.environments.atari_games import GAMES
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.environments.registry import describe
from agents.errors import DatasetError, EnvironmentUnavailable

__all__ = ["READER", "DQNReplayReader"]

_OBSERVATIONS = re.compile(r"(?P<folder>(?:.*/)?)\$store\$_observation_ckpt\.(?P<number>[0-9]+)\.gz")
_SMALL = ("$store$_action", "$store$_reward", "$store$_terminal", "add_count", "invalid_range")
_NAMES = {
    "frames": "$store$_observation",
    "action": "$store$_action",
    "reward": "$store$_reward",
    "discount": "$store$_terminal",
}
_MOST_STEPS = 32_768  # 230 MB; an Atari episode has at most 27,000
_CHUNK_ROWS = 2048  # 14 MB of 84 × 84 frames
_OPTIONS = {
    "env": "the game, such as atari/Pong or Pong, where no folder of the source is named for it",
    "checkpoints": "which buffers, such as 0-9 or 0,10,49 (all)",
}


class DQNReplayReader:
    """Reads the checkpoints of one run; each row of a buffer is a record."""

    format = "dqn-replay"
    title = "DQN Replay: Dopamine's replay buffers, $store$_*_ckpt.N.gz"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``."""
        check_options(self.format, options, _OPTIONS)
        found = {shard.name: _OBSERVATIONS.fullmatch(shard.name) for shard in source.list("*.gz")}
        numbers = {name: int(match["number"]) for name, match in found.items() if match}
        folders = sorted({match["folder"] for match in found.values() if match})
        if not numbers:
            raise DatasetError(
                f"{source.url} holds no $store$_observation_ckpt.N.gz. Give the folder of one run, such as "
                "Pong/1/replay_logs."
            )
        if len(folders) > 1:
            raise DatasetError(
                f"{source.url} holds {len(folders)} runs ({', '.join(folders[:5])}). Give the folder of one."
            )
        chosen = _chosen(options.get("checkpoints"), sorted(numbers.values()))
        spec = _game(options.get("env"), source.url, folders[0])
        names = {shard.name for shard in source.list("*.gz")}
        shards = [shard for shard in source.list("*.gz") if numbers.get(shard.name) in chosen]
        for shard in shards:
            for key in _SMALL:
                if _sibling(shard.name, key) not in names:
                    raise DatasetError(
                        f"{shard.name} has no {_sibling(shard.name, key)} beside it: the key {key!r} is missing. "
                        "Fetch it, or leave the checkpoint out by the option checkpoints."
                    )
        return ImportPlan(
            environment=spec,
            shards=tuple(shards),
            keys=_NAMES,
            columns={"checkpoint": ArrayFormat(dtype="int32")},
            provenance={
                "deviations": [
                    "s' at a terminal is not stored by the source: its own last frame stands there, and the "
                    "discount is 0",
                    "a time limit counts as terminal, as it did when the data were logged",
                ]
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: an episode at a time, or a part of one that is very long."""
        match = _OBSERVATIONS.fullmatch(shard.name)
        assert match is not None
        number, spec = int(match["number"]), plan.environment
        there = {other.name: other for other in source.list("*.gz")}
        small = {key: _small(source, there[_sibling(shard.name, key)]) for key in _SMALL}
        with gzip_named(source.open(shard), shard.name) as unpacked:
            stream = NpyStream(unpacked, shard.name)
            shape, dtype = stream.shape, stream.dtype
        buffer = _Buffer.of(shard.name, shape, dtype, small, spec)
        if not buffer.valid.any():
            return
        at, spans = buffer.spans()
        chunks = _in_order(source, shard, spans, spec.frame_shape)
        for block in buffer.blocks(_Frames(at, chunks, 2 * spec.frame_stack)):
            yield replace(block, columns={"checkpoint": np.full(len(block.reward), number, np.int32)})
        for _ in chunks:
            pass  # to the end of the file, where its checksums are


@dataclass(frozen=True)
class _Buffer:
    """One circular buffer. Times count from its oldest row on; the row of time t is ``(oldest + t) % rows``.

    ``valid`` bool ``[times]``: Dopamine would sample that row, as far as its cursor decides. Arrays are in the
    order of time.
    """

    rows: int
    oldest: int
    stack: int
    full: bool
    valid: npt.NDArray[np.bool_]
    action: npt.NDArray[Any]
    reward: npt.NDArray[Any]
    terminal: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        small: Mapping[str, npt.NDArray[Any]],
        spec: EnvironmentSpec,
    ) -> _Buffer:
        rows = shape[0] if shape else 0
        if dtype != np.uint8 or shape[1:] not in (spec.frame_shape, (*spec.frame_shape, 1)):
            raise DatasetError(
                f"{name} holds {dtype} of shape {shape}; uint8 of shape (N, "
                f"{', '.join(map(str, spec.frame_shape))}) is needed: single frames, not stacks"
            )
        for key in _SMALL[:3]:
            if small[key].shape != (rows,):
                raise DatasetError(
                    f"{_sibling(name, key)} has shape {small[key].shape}, the frames beside it {shape}: "
                    f"{key!r} must hold one number a frame"
                )
        added, invalid = small["add_count"], small["invalid_range"]
        if added.size != 1 or added.dtype.kind not in "iu" or int(added.reshape(-1)[0]) < 0:
            raise DatasetError(f"{_sibling(name, 'add_count')} holds {added!r}; a count of rows is needed")
        if invalid.ndim != 1 or ((invalid < 0) | (invalid >= max(rows, 1))).any():
            raise DatasetError(
                f"{_sibling(name, 'invalid_range')} holds {invalid!r}; numbers of the {rows:,} rows are needed"
            )
        count = int(added.reshape(-1)[0])
        cursor = count % rows if rows else 0
        # A buffer that is logged at the end of training counts from 0 again: what lies behind its cursor is a
        # repetition of the checkpoint before.
        full = count >= rows
        order = (np.arange(rows) + cursor) % rows if full and rows else np.arange(cursor)
        valid = ~np.isin(order, invalid.astype(np.int64))
        valid[-1:] = False  # the newest row: what followed it is not in this buffer
        return cls(
            rows=rows,
            oldest=cursor if full else 0,
            stack=spec.frame_stack,
            full=full,
            valid=valid,
            action=small["$store$_action"][order],
            reward=small["$store$_reward"][order],
            terminal=small["$store$_terminal"][order] != 0,
        )

    def spans(self) -> tuple[int, list[tuple[int, int]]]:
        """The first time that frames are needed of, and the rows to read for it and all that follow, in order."""
        newer = (0, self.oldest if self.full else len(self.valid))
        older = (self.oldest, self.rows) if self.full else (0, 0)
        behind = older[1] - older[0]
        if not self.valid[:behind].any():
            # The usual case: the one row at the end that is oldest is not worth a pass through the file.
            return behind, [newer]
        return 0, [span for span in (older, newer) if span[0] < span[1]]

    def blocks(self, frames: _Frames) -> Iterator[EpisodeBlock]:
        """The steps that Dopamine samples from, by episodes."""
        for begin, end, begun in self._episodes(frames.at):
            # Dopamine puts rows of zeros before an episode; what writes the format without them loses nothing.
            head = frames.take(begin, min(begin + self.stack - 1, end)) if begun else None
            shown_from = begin + (_black(head) if head is not None else 0)
            steps = np.flatnonzero(self.valid[shown_from:end])
            if len(steps) == 0:
                continue
            first = shown_from + int(steps[0])
            gaps = np.flatnonzero(~self.valid[first:end])
            stop = first + int(gaps[0]) if len(gaps) else end
            ends = bool(self.terminal[stop - 1])
            for at in range(first, stop, _MOST_STEPS):
                after = min(at + _MOST_STEPS, stop)
                lead = min(self.stack - 1, at - shown_from)
                whole = begun and ends and (at, after) == (shown_from, stop)
                last = ends and after == stop
                shown = frames.take(at - lead, after if last else after + 1)
                if last:
                    shown = np.concatenate([shown, shown[-1:]])
                yield EpisodeBlock(
                    record=(self.oldest + at) % self.rows,
                    frames=shown,
                    action=self.action[at:after],
                    reward=self.reward[at:after],
                    discount=1 - self.terminal[at:after].astype(np.float32),
                    rows=True,
                    complete=whole,
                    lead=lead,
                )

    def _episodes(self, earliest: int) -> Iterator[tuple[int, int, bool]]:
        """First time, time after the last, and whether the episode began there."""
        begin, begun = 0, not self.full
        for last in [*np.flatnonzero(self.terminal).tolist(), len(self.valid) - 1]:
            if last >= max(begin, earliest):
                yield max(begin, earliest), last + 1, begun and begin >= earliest
            begin, begun = max(begin, last + 1), True


class _Frames:
    """Frames in the order of time, from time ``at`` on; the last ``kept`` ones can be taken again."""

    def __init__(self, at: int, chunks: Iterator[npt.NDArray[np.uint8]], kept: int) -> None:
        self.at = at
        self._chunks, self._kept = chunks, kept
        self._begin, self._held = at, next(chunks)

    def take(self, first: int, stop: int) -> npt.NDArray[np.uint8]:
        """Frames of the times from ``first`` to before ``stop``."""
        while self._begin + len(self._held) <= first - self._kept:
            self._begin, self._held = self._begin + len(self._held), next(self._chunks)
        pieces, end = [self._held[max(first - self._kept - self._begin, 0) :]], self._begin + len(self._held)
        self._begin = end - len(pieces[0])
        while end < stop:
            pieces.append(next(self._chunks))
            end += len(pieces[-1])
        self._held = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        return self._held[first - self._begin : stop - self._begin]


def _black(head: npt.NDArray[np.uint8]) -> int:
    """How many frames at the beginning are black."""
    lit = np.flatnonzero(head.reshape(len(head), -1).any(axis=1))
    return int(lit[0]) if len(lit) else len(head)


def _in_order(
    source: Source, shard: Shard, spans: list[tuple[int, int]], frame_shape: tuple[int, ...]
) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of rows ``spans``, one span behind the other; the file is read through once a span."""
    for first, stop in spans:
        with gzip_named(source.open(shard), shard.name) as unpacked:
            stream = NpyStream(unpacked, shard.name)
            stream.skip(first)
            for row in range(first, stop, _CHUNK_ROWS):
                count = min(_CHUNK_ROWS, stop - row)
                yield stream.rows(count).reshape(count, *frame_shape)
            stream.skip(stream.shape[0] - stop)
            stream.finish()


def _small(source: Source, shard: Shard) -> npt.NDArray[Any]:
    with gzip_named(source.open(shard), shard.name) as unpacked:
        stream = NpyStream(unpacked, shard.name)
        values = stream.whole()
        stream.finish()
    return values


def _sibling(name: str, key: str) -> str:
    """The file of another array of the same buffer."""
    folder, _, file = name.rpartition("/")
    return f"{folder}{'/' if folder else ''}{file.replace('$store$_observation', key, 1)}"


def _chosen(wanted: str | None, numbers: list[int]) -> set[int]:
    if wanted is None:
        return set(numbers)
    chosen: set[int] = set()
    for part in wanted.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if match is None:
            raise DatasetError(f"option checkpoints is {wanted!r}; it must be numbers such as 0-9 or 0,10,49")
        chosen.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if missing := sorted(chosen - set(numbers)):
        raise DatasetError(
            f"option checkpoints asks for {missing[0]}, which is not there. There are "
            f"{numbers[0]} to {numbers[-1]} ({len(numbers)} of them)."
        )
    return chosen


def _game(wanted: str | None, url: str, folder: str) -> EnvironmentSpec:
    if wanted is not None:
        try:
            return describe(wanted if "/" in wanted else f"atari/{wanted}")
        except EnvironmentUnavailable as error:
            raise DatasetError(f"option env: {error}") from error
    by_lower_case = {name.lower(): name for name in GAMES}
    for part in reversed(PurePosixPath(url, folder).parts):
        if name := by_lower_case.get(part.lower().replace("_", "")):
            return describe(f"atari/{name}")
    raise DatasetError(
        f"no folder of {url} is named for a game. Say which one it is by the option env, such as env=atari/Pong."
    )


READER = DQNReplayReader()
