"""RL Unplugged's Atari episodes in the order of training: a record is an episode, a file a checkpoint.

Conventions of tensorflow/datasets, rl_unplugged/atari_utils.py: an observation (one PNG image) a step; the last step
carries its observation only; a discount stands beside the observation that it arrived with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.example import BadValue, Example
from agents.data.importers.images import decode_png
from agents.data.importers.options import check_options
from agents.data.importers.rlu_atari import OPTIONS, atari_environment
from agents.data.importers.rlu_files import examples, files_of_run
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import ArrayFormat

__all__ = ["READER", "RluAtariOrderedReader"]


class RluAtariOrderedReader:
    """Reads ``gs://rl_unplugged/atari_episodes_ordered/<Game>/run_<R>-<shard>-of-00050``."""

    format = "rlu-atari-ordered"
    title = "RL Unplugged, Atari episodes ordered by training checkpoint: TFRecord"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``."""
        check_options(self.format, options, OPTIONS)
        shards, found = files_of_run(source, options.get("run"))
        return ImportPlan(
            environment=atari_environment(source, shards, options),
            shards=shards,
            columns={
                "checkpoint": ArrayFormat(dtype="int32"),
                "episode_id": ArrayFormat(dtype="uint64"),
                "episode_return": ArrayFormat(dtype="float32"),
            },
            keys={"action": "actions", "reward": "unclipped_rewards", "discount": "discounts"},
            provenance={
                **found,
                "mean_return": "of the source's episode_return, which sums rewards that are not clipped",
                "deviations": [
                    "the action and reward of an episode's last step are left out: nothing was seen after it"
                ],
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: one episode in memory, at most 27,000 frames."""
        for item in examples(source, shard):
            if isinstance(item, BadRecord):
                yield item
                continue
            try:
                yield _episode(*item, plan.environment.frame_shape)
            except BadValue as error:
                yield BadRecord(shard.name, item[0], error.key, error.why)


READER = RluAtariOrderedReader()


def _episode(number: int, example: Example, frame_shape: tuple[int, ...]) -> EpisodeBlock:
    actions = example.ints("actions")
    steps = len(actions)
    if steps < 2:
        raise BadValue("actions", f"has {steps} values; an episode has at least 2 steps")
    observations = example.strings("observations", steps)
    rewards = example.floats("unclipped_rewards", steps)[:-1]
    clipped = example.floats("clipped_rewards", steps)[:-1]
    discounts = example.floats("discounts", steps)
    # The first one stands beside an observation that nothing led to.
    if inside := np.flatnonzero(discounts[1:-1] != 1).tolist():
        step = inside[0] + 1
        raise BadValue(
            "discounts", f"is {discounts[step]} at step {step} of {steps}; only the last may differ from 1"
        )
    differ = np.flatnonzero(np.clip(rewards, -1, 1) != clipped)
    # Not a number differs from itself; the engine names it under its own key.
    if others := [step for step in differ.tolist() if np.isfinite(rewards[step])]:
        step = others[0]
        raise BadValue(
            "clipped_rewards",
            f"is {clipped[step]} at step {step}, where unclipped_rewards is {rewards[step]}",
        )
    # After the last step nothing was seen: its action and reward have no transition.
    kept = steps - 1
    return EpisodeBlock(
        record=number,
        frames=_decoded(observations, frame_shape),
        action=actions[:kept],
        reward=rewards,
        discount=discounts[1:],
        columns={
            "checkpoint": np.full(kept, example.integer("checkpoint_idx")),
            "episode_id": np.full(kept, example.integer("episode_idx"), np.int64).view(np.uint64),
            "episode_return": np.full(kept, example.number("episode_return"), np.float32),
        },
        episode_return=example.number("episode_return"),
    )


def _decoded(observations: list[bytes], frame_shape: tuple[int, ...]) -> np.ndarray:
    frames = np.empty((len(observations), *frame_shape), np.uint8)
    for step, data in enumerate(observations):
        try:
            frames[step] = decode_png(data, frame_shape)
        except ValueError as error:
            raise BadValue(f"observations[{step}]", str(error)) from error
    return frames
