"""RL Unplugged's DeepMind Lab data (Gulcehre et al. 2021): a record is an episode of the level's fixed length.

Keys: ``observations_pixels`` (PNG images), ``observations_action`` (the previous action, one-hot),
``observations_reward`` (the previous reward), ``actions``, ``rewards``, ``discounts``, ``episode_id``, ``start_idx``,
``episode_return``: google-deepmind/deepmind-research, rl_unplugged/dmlab_r2d2.ipynb.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.example import BadValue, Example
from agents.data.importers.images import decode_png
from agents.data.importers.options import check_options, positive
from agents.data.importers.rlu_files import examples, files_of_run, folder_names
from agents.data.importers.source import Shard, Source
from agents.environments import describe
from agents.environments.dmlab_family import ACTIONS, EPISODE_STEPS
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError

__all__ = ["READER", "RluDmlabReader"]

_OPTIONS = {
    "env": "the environment's id, such as dmlab/seekavoid_arena_01, where the folders have other names",
    "episode_length": "steps of a record, where they are not the level's own",
    "run": "the files to take where the folder holds several kinds, such as tfrecord",
}


class RluDmlabReader:
    """Reads ``gs://rl_unplugged/dmlab/<level>/<training_0 …>/tfrecord-<shard>-of-00500``."""

    format = "rlu-dmlab"
    title = "RL Unplugged, DeepMind Lab: TFRecord of whole episodes"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``."""
        check_options(self.format, options, _OPTIONS)
        shards, found = files_of_run(source, options.get("run"))
        level = _level(source, shards, options)
        length = positive(options, "episode_length") or EPISODE_STEPS.get(level)
        if length is None or length < 2:
            raise DatasetError(
                f"{source.url}: {level!r} is no level of RL Unplugged ({', '.join(EPISODE_STEPS)}). Name it "
                "with --env dmlab/LEVEL, or give --option episode_length=N, at least 2."
            )
        return ImportPlan(
            environment=_environment(level),
            shards=shards,
            columns={
                "episode_id": ArrayFormat(dtype="uint64"),
                "episode_return": ArrayFormat(dtype="float32"),
            },
            keys={
                "action": "actions",
                "reward": "rewards",
                "discount": "discounts",
                "previous_reward": "observations_reward",
            },
            provenance={
                **found,
                "steps_of_a_record": length,
                "mean_return": "of the source's episode_return",
                "colours": "red and blue, exchanged in the files, are put back",
                "deviations": [
                    "the action, reward and discount of a record's last step are left out: nothing was seen after it",
                    "discounted_rewards are left out: they follow from the rewards",
                ],
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: one episode in memory."""
        length: int = plan.provenance["steps_of_a_record"]
        for item in examples(source, shard):
            if isinstance(item, BadRecord):
                yield item
                continue
            try:
                yield _episode(*item, length, plan.environment.frame_shape)
            except BadValue as error:
                yield BadRecord(shard.name, item[0], error.key, error.why)


READER = RluDmlabReader()


def _episode(number: int, example: Example, length: int, frame_shape: tuple[int, ...]) -> EpisodeBlock:
    # After the last step nothing was seen: its action, reward and discount have no transition.
    kept = length - 1
    pixels = example.strings("observations_pixels", length)
    frames = np.empty((length, *frame_shape), np.uint8)
    for step, data in enumerate(pixels):
        try:
            # Packed by OpenCV, which takes the first channel of what it is given for blue: red and blue are
            # exchanged in the files (tensorflow/datasets rl_unplugged/dmlab_dataset.py, since version 1.2).
            frames[step] = decode_png(data, frame_shape)[::-1]
        except ValueError as error:
            raise BadValue(f"observations_pixels[{step}]", str(error)) from error
    episode_id = np.array([example.integer("episode_id")], np.int64).view(np.uint64)
    episode_return = example.number("episode_return")
    return EpisodeBlock(
        record=number,
        frames=frames,
        action=example.ints("actions", length)[:kept],
        reward=example.floats("rewards", length)[:kept],
        discount=example.floats("discounts", length)[:kept],
        columns={
            "episode_id": np.repeat(episode_id, kept),
            "episode_return": np.full(kept, episode_return, np.float32),
        },
        extras={
            "previous_action": _previous_actions(example, length),
            "previous_reward": example.floats("observations_reward", length),
        },
        complete=example.integer("start_idx") == 0,
        episode_return=episode_return,
    )


def _previous_actions(example: Example, length: int) -> npt.NDArray[np.int64]:
    """Index of the one in each row; 0 where there is none, as before an episode's first action."""
    one_hot = example.floats("observations_action", length * len(ACTIONS)).reshape(length, len(ACTIONS))
    fits = np.isin(one_hot, (0, 1)).all(axis=1) & (one_hot.sum(axis=1) <= 1)
    if not fits.all():
        step = int(np.argmin(fits))
        raise BadValue(
            "observations_action", f"is {one_hot[step].tolist()} at step {step}; one-hot is needed"
        )
    previous: npt.NDArray[np.int64] = one_hot.argmax(axis=1)
    return previous


def _level(source: Source, shards: tuple[Shard, ...], options: Mapping[str, str]) -> str:
    if "env" in options:
        family, _, level = options["env"].partition("/")
        if family != "dmlab" or not level:
            raise DatasetError(
                f"--env {options['env']} is no level of DeepMind Lab: give dmlab/LEVEL, LEVEL one of "
                f"{', '.join(EPISODE_STEPS)}."
            )
        return level
    levels = {(folder_names(source, shard)[1:2] or [""])[0] for shard in shards} or {""}
    return " and ".join(sorted(levels))


def _environment(level: str) -> EnvironmentSpec:
    """The level's description; levels that cannot be made here are described by their like."""
    if level in EPISODE_STEPS:
        return describe(f"dmlab/{level}")
    like = describe(f"dmlab/{next(iter(EPISODE_STEPS))}")
    return like.model_copy(update={"env_id": f"dmlab/{level}"})
