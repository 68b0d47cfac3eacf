"""RL Unplugged's bsuite data (Gulcehre et al. 2021): a record is two steps that follow one another.

Keys, two values each: ``observation`` (flat, one behind the other), ``action``, ``reward``, ``discount``,
``step_type`` (0 first, 1 mid, 2 last) and ``episodic_reward``: google-deepmind/deepmind-research,
rl_unplugged/bsuite.ipynb.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.example import BadValue, Example
from agents.data.importers.options import check_options
from agents.data.importers.rlu_files import described, examples, files_of_run, folder_names
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError

__all__ = ["READER", "RluBsuiteReader"]

_OPTIONS = {
    "env": "the environment's id, such as bsuite/catch/0, where the folders have other names",
    "run": "the files to take where the folder holds several kinds, such as 0_full",
}
_SETTING = re.compile(r"(?P<number>[0-9]+)_(?P<noise>[0-9.]+)")
_FIRST, _LAST = 0, 2
_BLOCK_STEPS = 4096


class RluBsuiteReader:
    """Reads ``gs://rl_unplugged/bsuite/<experiment>/<number>_<noise>/<run>_full-<shard>-of-<shards>``."""

    format = "rlu-bsuite"
    title = "RL Unplugged, bsuite: TFRecord of two-step sequences"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``."""
        check_options(self.format, options, _OPTIONS)
        shards, found = files_of_run(source, options.get("run"))
        spec, noise = _environment(source, shards, options)
        return ImportPlan(
            environment=spec,
            shards=shards,
            columns={
                "next_action": ArrayFormat(dtype="int32"),
                "episode_return": ArrayFormat(dtype="float32"),
            },
            keys={
                "frames": "observation",
                "next_action": "action",
                "episode_return": "episodic_reward",
            },
            provenance={
                **found,
                "random_action_noise": noise,
                "mean_return": "of the episodes whose steps stand together in a file, from first to last",
                "deviations": [
                    "the data have no episode numbers: a record goes on the episode of the one before it where "
                    "their observations, step types and actions join",
                    "an action after the last step, which nothing follows, is stored as next_action 0",
                ],
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``."""
        chain: list[_Pair] = []
        size = math.prod(plan.environment.observation_shape)
        for item in examples(source, shard):
            if isinstance(item, BadRecord):
                yield from _block(chain)
                chain = []
                yield item
                continue
            number, example = item
            try:
                pair = _pair(number, example, size)
            except BadValue as error:
                yield from _block(chain)
                chain = []
                yield BadRecord(shard.name, number, error.key, error.why)
                continue
            if chain and (len(chain) == _BLOCK_STEPS or not chain[-1].joins(pair)):
                yield from _block(chain)
                chain = []
            chain.append(pair)
        yield from _block(chain)


READER = RluBsuiteReader()


@dataclass(frozen=True)
class _Pair:
    """A record: s, a, r, discount, s' and what stands beside them."""

    record: int
    observation: npt.NDArray[np.float32]  # [2, size]
    action: npt.NDArray[np.int64]
    step_type: tuple[int, int]
    reward: float
    discount: float
    episode_return: float

    def joins(self, other: _Pair) -> bool:
        """Whether ``other`` is what came next in the same episode, as far as the data can tell."""
        return (
            self.step_type[1] != _LAST
            and other.step_type[0] == self.step_type[1]
            and other.action[0] == self.action[1]
            and self.observation[1].tobytes() == other.observation[0].tobytes()
        )


def _pair(number: int, example: Example, size: int) -> _Pair:
    first, second = example.ints("step_type", 2).tolist()
    if first not in (_FIRST, 1) or second not in (1, _LAST):
        raise BadValue("step_type", f"is {[first, second]}; two steps of one episode are 0 or 1, then 1 or 2")
    discount = example.floats("discount", 2)[0]
    observation = example.floats("observation", 2 * size)
    if not np.isfinite(observation).all():
        # Here and not in the engine, which takes the second observation for the next record's.
        value = observation[~np.isfinite(observation)][0]
        raise BadValue("observation", f"{value} is not a finite number")
    return _Pair(
        record=number,
        observation=observation.reshape(2, size),
        action=example.ints("action", 2),
        step_type=(first, second),
        reward=float(example.floats("reward", 2)[0]),
        discount=0.0 if second == _LAST else float(discount),
        episode_return=float(example.floats("episodic_reward", 2)[0]),
    )


def _block(chain: list[_Pair]) -> Iterator[EpisodeBlock]:
    if not chain:
        return
    action = np.stack([pair.action for pair in chain])
    last = np.array([pair.step_type[1] == _LAST for pair in chain])
    yield EpisodeBlock(
        record=chain[0].record,
        frames=np.stack([*(pair.observation[0] for pair in chain), chain[-1].observation[1]]),
        action=action[:, 0],
        reward=np.array([pair.reward for pair in chain], np.float32),
        discount=np.array([pair.discount for pair in chain], np.float32),
        columns={
            "next_action": np.where(last, 0, action[:, 1]),
            "episode_return": np.array([pair.episode_return for pair in chain], np.float32),
        },
        rows=True,
        complete=chain[0].step_type[0] == _FIRST and chain[-1].step_type[1] == _LAST,
    )


def _environment(
    source: Source, shards: tuple[Shard, ...], options: Mapping[str, str]
) -> tuple[EnvironmentSpec, float | None]:
    """The description, and the share of random actions that the folder's name tells."""
    folders = {tuple(folder_names(source, shard)[:2]) for shard in shards}
    setting = _SETTING.fullmatch(next(iter(folders))[0]) if len(folders) == 1 else None
    noise = float(setting["noise"]) if setting else None
    if "env" in options:
        return described(options["env"], "--env", source), noise
    if setting is None:
        raise DatasetError(
            f"{source.url}: the environment cannot be told from the folders "
            f"{', '.join(sorted('/'.join(reversed(names)) for names in folders)) or 'there'}. Give one folder, "
            "such as …/bsuite/catch/0_0.0, or name the environment with --env."
        )
    experiment = next(iter(folders))[1]
    env_id = f"bsuite/{experiment}/{setting['number']}"
    return described(env_id, "the folders' names", source), noise
