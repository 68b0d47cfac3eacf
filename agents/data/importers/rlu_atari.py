"""RL Unplugged's Atari transitions (Gulcehre et al. 2020): a record is one transition, shuffled in time.

Keys: ``o_t`` and ``o_tp1`` (four PNG images each, oldest first), ``a_t``, ``a_tp1``, ``r_t``, ``d_t``,
``episode_id`` (the bits of a uint64) and ``episode_return`` (of rewards clipped to ±1):
google-deepmind/deepmind-research, rl_unplugged/atari.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from agents.data.importers.blocks import BadRecord, ImportPlan, TransitionBlock
from agents.data.importers.example import BadValue, Example
from agents.data.importers.images import decode_png
from agents.data.importers.options import check_options
from agents.data.importers.rlu_files import described, examples, files_of_run, folder_names
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import ArrayFormat

__all__ = ["READER", "RluAtariReader"]

OPTIONS = {
    "env": "the environment's id, such as atari/Pong, where the folder is not named for the game",
    "run": "the run to take where the folder holds several, such as run_1",
}
_BLOCK_RECORDS = 512
_STACK = 4
_FRAME_KEYS = (*(f"o_t[{place}]" for place in range(_STACK)), f"o_tp1[{_STACK - 1}]")


class RluAtariReader:
    """Reads ``gs://rl_unplugged/atari/<Game>/run_<R>-<shard>-of-00100``."""

    format = "rlu-atari"
    title = "RL Unplugged, Atari transitions: TFRecord, shuffled"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``."""
        check_options(self.format, options, OPTIONS)
        shards, found = files_of_run(source, options.get("run"))
        return ImportPlan(
            environment=atari_environment(source, shards, options),
            shards=shards,
            columns={
                "next_action": ArrayFormat(dtype="int32"),
                "episode_id": ArrayFormat(dtype="uint64"),
                "episode_return": ArrayFormat(dtype="float32"),
            },
            consecutive=False,
            keys={"action": "a_t", "next_action": "a_tp1", "reward": "r_t", "discount": "d_t"},
            provenance={
                **found,
                "mean_return": "of the source's episode_return, which sums rewards clipped to [-1, 1]",
                "deviations": [
                    "where d_t is 0 only the newest frame of o_tp1 is kept, behind three of o_t: nothing is "
                    "learned from what follows a terminal state",
                    "an a_tp1 outside the action space is stored as 0 where d_t is 0",
                ],
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[TransitionBlock | BadRecord]:
        """See ``Reader.read``."""
        block = _Block(plan)
        for item in examples(source, shard):
            bad = item if isinstance(item, BadRecord) else None
            if not isinstance(item, BadRecord):
                number, example = item
                try:
                    block.add(number, example)
                except BadValue as error:
                    bad = BadRecord(shard.name, number, error.key, error.why)
            if bad or len(block) == _BLOCK_RECORDS:
                yield from block.finished()
                block = _Block(plan)
            if bad:
                yield bad
        yield from block.finished()


READER = RluAtariReader()


def atari_environment(source: Source, shards: tuple[Shard, ...], options: Mapping[str, str]) -> Any:
    """The game's description, from the option ``env`` or from the folder that holds the files."""
    if "env" in options:
        return described(options["env"], "--env", source)
    games = {folder_names(source, shard)[0] for shard in shards} or {""}
    return described(f"atari/{' and '.join(sorted(games))}", "the folder's name", source)


class _Block:
    """Records that follow one another in the file."""

    def __init__(self, plan: ImportPlan) -> None:
        self._num_actions = plan.environment.num_actions
        self._decode = partial(decode_png, shape=plan.environment.frame_shape)
        self._first = 0
        self._frames: list[list[bytes]] = []
        self._rows: list[tuple[int, int, float, float, int, float]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, number: int, example: Example) -> None:
        """Take in record ``number``. Raises BadValue."""
        # Of o_tp1 the newest image is kept: the others are those of o_t, or follow a terminal state.
        before, after = example.strings("o_t", _STACK), example.strings("o_tp1", _STACK)
        discount = example.number("d_t")
        if discount != 0 and before[1:] != after[:-1]:
            self._compare_pixels(before, after)
        next_action = example.integer("a_tp1")
        if discount == 0 and not 0 <= next_action < self._num_actions:
            next_action = 0
        row = (
            example.integer("a_t"), next_action, example.number("r_t"), discount,
            example.integer("episode_id"), example.number("episode_return"),
        )  # fmt: skip
        if not self._rows:
            self._first = number
        self._rows.append(row)
        self._frames.append([*before, after[-1]])

    def finished(self) -> Iterator[TransitionBlock]:
        """The block, if anything is in it."""
        if not self._rows:
            return
        action, next_action, reward, discount, episode, episode_return = zip(*self._rows, strict=True)
        ids = np.array(episode, np.int64).view(np.uint64)
        yield TransitionBlock(
            record=self._first,
            frames=self._frames,
            decode=self._decode,
            action=np.array(action, np.int64),
            reward=np.array(reward, np.float32),
            discount=np.array(discount, np.float32),
            episode=ids,
            columns={
                "next_action": np.array(next_action, np.int64),
                "episode_id": ids,
                "episode_return": np.array(episode_return, np.float32),
            },
            frame_keys=_FRAME_KEYS,
        )

    def _compare_pixels(self, before: list[bytes], after: list[bytes]) -> None:
        """Equal images may be packed differently."""
        for place, (one, other) in enumerate(zip(before[1:], after[:-1], strict=True)):
            if one != other and not np.array_equal(
                self._image(f"o_t[{place + 1}]", one), self._image(f"o_tp1[{place}]", other)
            ):
                raise BadValue(f"o_tp1[{place}]", f"is another image than o_t[{place + 1}], and d_t is not 0")

    def _image(self, key: str, data: bytes) -> Any:
        try:
            return self._decode(data)
        except ValueError as error:
            raise BadValue(key, str(error)) from error
