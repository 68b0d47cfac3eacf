"""COG's npy buffers: trajectories of roboverse's Widow250 tasks (Singh et al. 2020, avisingh599/cog)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.options import check_options, one_of
from agents.data.importers.plain_pickle import PlainPickleError, dictionaries
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import ArrayFormat, EnvironmentSpec
from agents.errors import DatasetError

__all__ = ["READER", "CogReader"]

_KEYS = ("observations", "actions", "rewards", "next_observations", "terminals")
_NAMES = {"frames": "observations", "action": "actions", "reward": "rewards", "discount": "terminals"}
_OPTIONS = {
    "prior": "the file of prior data (the one whose name contains prior)",
    "task": "the file of the task's data (the other one)",
    "prior_rewards": "zero, as COG trains on them, or logged",
    "observation": "the key of the observation that the agent sees (image); others of one dimension become extras",
    "env": "the task's name, such as Widow250PickTray-v0",
}


class CogReader:
    """Reads a prior and a task buffer into one dataset, prior first; each trajectory is a record."""

    format = "cog"
    title = "COG: npy files of trajectories, prior and task data together"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``; reads the first trajectory of each file."""
        check_options(self.format, options, _OPTIONS)
        zero = one_of(options, "prior_rewards", ("zero", "logged")) == "zero"
        prior, task = _files(source, options)
        shards = tuple(shard for shard in (prior, task) if shard is not None)
        key = options.get("observation", "image")
        described = [_described(source, shard, key, options.get("env")) for shard in shards]
        spec = described[-1]
        for shard, other in zip(shards, described, strict=True):
            if other.model_copy(update={"env_id": spec.env_id}) != spec:
                raise DatasetError(
                    f"{shard.name} holds observations of shape {other.observation_shape} and actions of shape "
                    f"{other.action_shape} beside {sorted(other.extras)}; {shards[-1].name} holds "
                    f"{spec.observation_shape}, {spec.action_shape} and {sorted(spec.extras)}. Import them apart."
                )
        return ImportPlan(
            environment=spec,
            shards=shards,
            keys=_NAMES,
            columns={"prior": ArrayFormat(dtype="uint8")},
            provenance={
                "prior": None if prior is None else prior.name,
                "task": None if task is None else task.name,
                "prior_rewards": "zero" if zero else "logged",
                "observation": key,
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: a trajectory at a time."""
        is_prior = shard.name == plan.provenance["prior"]
        zero = is_prior and plan.provenance["prior_rewards"] == "zero"
        for record, trajectory in enumerate(_trajectories(source, shard)):
            try:
                blocks = list(_blocks(trajectory, record, plan, zero))
            except _Unfit as unfit:
                yield BadRecord(shard.name, record, *unfit.args)
                continue
            for block in blocks:
                part = np.full(len(block.reward), is_prior, np.uint8)
                yield replace(block, columns={"prior": part})


class _Unfit(Exception):
    """Key and reason of a trajectory that cannot be used."""


def _blocks(
    trajectory: Mapping[str, Any], record: int, plan: ImportPlan, zero: bool
) -> Iterator[EpisodeBlock]:
    """A trajectory, cut where what follows a step is not what the next one begins from."""
    spec, key = plan.environment, plan.provenance["observation"]
    columns = {name: _listed(trajectory, name) for name in _KEYS}
    steps = len(columns["actions"])
    for name, values in columns.items():
        if len(values) != steps or not steps:
            raise _Unfit(
                name, f"has {len(values)} entries beside {steps} actions; at least one each is needed"
            )
    before, after = (
        _frames(columns[name], key, name, spec.observation_dtype)
        for name in ("observations", "next_observations")
    )
    extras = {
        name: np.concatenate(
            [
                _stacked(columns["observations"], name, "observations"),
                _stacked(columns["next_observations"][-1:], name, "next_observations"),
            ]
        )
        for name in spec.extras
    }
    reward = _numbers(columns["rewards"], "rewards", steps)
    action = _numbers(columns["actions"], "actions")
    discount = 1 - (_numbers(columns["terminals"], "terminals", steps) != 0).astype(np.float32)
    if before.shape != after.shape:
        raise _Unfit("next_observations", f"has shape {after.shape} beside observations of {before.shape}")
    same = (before[1:] == after[:-1]).all(axis=tuple(range(1, before.ndim)))
    cuts = [0, *(np.flatnonzero(~same) + 1).tolist(), steps]
    for first, stop in pairwise(cuts):
        yield EpisodeBlock(
            record=record,
            frames=np.concatenate([before[first:stop], after[stop - 1 : stop]]),
            action=action[first:stop],
            # COG's own loader sets the rewards of the prior data to 0.
            reward=np.zeros(stop - first, np.float32) if zero else reward[first:stop],
            discount=discount[first:stop],
            extras={name: values[first : stop + 1] for name, values in extras.items()},
            complete=len(cuts) == 2,
        )


def _frames(observations: list[Any], key: str, name: str, dtype: str) -> npt.NDArray[Any]:
    values = _stacked(observations, key, name)
    if values.ndim == 4:
        values = values.transpose(0, 3, 1, 2)
    if (values.dtype == np.uint8) != (dtype == "uint8"):
        raise _Unfit(name, f"{key!r} is {values.dtype}; the first trajectory's is {dtype}")
    return values


def _stacked(observations: list[Any], key: str, name: str) -> npt.NDArray[Any]:
    found = []
    for place, one in enumerate(observations):
        value = one.get(key) if isinstance(one, dict) else None
        if value is None:
            there = sorted(map(str, one)) if isinstance(one, dict) else [type(one).__name__]
            raise _Unfit(
                name, f"entry {place} has no key {key!r}, only {', '.join(there)}; see the option observation"
            )
        found.append(value)
    return _numbers(found, name)


def _numbers(values: list[Any], name: str, count: int | None = None) -> npt.NDArray[Any]:
    try:
        found = np.stack([np.asarray(value) for value in values])
    except (ValueError, TypeError) as error:
        raise _Unfit(name, f"holds no numbers of one shape ({error})") from error
    if found.dtype.kind not in "biuf":
        raise _Unfit(name, f"holds {found.dtype}, not numbers")
    if count is not None and found.size != count:
        raise _Unfit(name, f"has shape {found.shape}; one number a step is needed")
    return found if count is None else found.reshape(count)


def _listed(trajectory: Mapping[str, Any], name: str) -> list[Any]:
    if name not in trajectory:
        raise _Unfit(name, f"is missing; there are {', '.join(sorted(map(str, trajectory)))}")
    values = trajectory[name]
    if isinstance(values, list):
        return values
    try:
        return list(np.asarray(values))
    except (ValueError, TypeError) as error:
        raise _Unfit(name, f"is a {type(values).__name__}, not a list") from error


def _described(source: Source, shard: Shard, key: str, env: str | None) -> EnvironmentSpec:
    """What the first trajectory says of the task."""
    first = next(_trajectories(source, shard), None)
    where = f"{shard.name}, record 0"
    if first is None:
        raise DatasetError(f"{shard.name} holds no trajectory: no dictionary with observations and actions.")
    try:
        shown = _listed(first, "observations")[0]
        frame = _stacked([shown], key, "observations")
        action = _numbers(_listed(first, "actions")[:1], "actions")
    except IndexError as error:
        raise DatasetError(f"{where}, key 'observations': is empty") from error
    except _Unfit as unfit:
        raise DatasetError(f"{where}, key {unfit.args[0]!r}: {unfit.args[1]}") from unfit
    if frame.ndim == 4 and frame.dtype != np.uint8:
        raise DatasetError(f"{where}, key 'observations': images are {frame.dtype}; uint8 is needed")
    shape = frame.shape[1:]
    extras = {}
    for name, value in shown.items():
        values = np.asarray(value)
        if name != key and values.ndim == 1 and values.dtype.kind in "iuf":
            extras[name] = ArrayFormat(dtype="float32", shape=values.shape)
    task = env or PurePosixPath(shard.name).stem
    return EnvironmentSpec(
        env_id=task if "/" in task else f"cog/{task}",
        observation_shape=(shape[2], shape[0], shape[1]) if len(shape) == 3 else shape,
        observation_dtype="uint8" if frame.dtype == np.uint8 else "float32",
        num_actions=0,
        action_shape=action.shape[1:],
        extras=extras,
        requires="",
    )


def _trajectories(source: Source, shard: Shard) -> Iterator[dict[Any, Any]]:
    """The trajectories of an npy file of objects, one after the other, without unpickling it."""
    with source.open(shard) as file:
        promised = _header(file, shard.name)
        count = 0
        try:
            for trajectory in dictionaries(file, frozenset(("observations", "actions"))):
                count += 1
                yield trajectory
        except PlainPickleError as error:
            raise DatasetError(
                f"{shard.name}, record {count:,}: the pickle holds {error}. Only lists, dictionaries, numbers and "
                "plain numpy arrays are read; if the file is cut short, fetch it again."
            ) from error
        if count != promised:
            raise DatasetError(
                f"{shard.name} holds {count:,} trajectories with observations and actions; {promised:,} are "
                "promised by its header. Fetch it again."
            )
        while file.read(2**20):
            pass  # to the end, where its checksum is compared


def _header(file: BinaryIO, name: str) -> int:
    try:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise DatasetError(f"{name} is no npy file ({error}). Fetch it again.") from error
    if dtype != np.dtype(object) or len(shape) != 1:
        raise DatasetError(
            f"{name} holds {dtype} of shape {shape}; a list of trajectories (objects) is needed, as roboverse's "
            "scripts save it"
        )
    return int(shape[0])


def _files(source: Source, options: Mapping[str, str]) -> tuple[Shard | None, Shard | None]:
    """The prior and the task buffer."""
    shards = {shard.name: shard for shard in source.list("*.npy")}
    for role in ("prior", "task"):
        if role in options and options[role] not in shards:
            there = ", ".join(shards) or "none"
            raise DatasetError(
                f"option {role}: {source.url} holds no {options[role]}. Its npy files are {there}."
            )
    if "prior" in options or "task" in options:
        return shards.get(options.get("prior", "")), shards.get(options.get("task", ""))
    prior = [shard for name, shard in shards.items() if "prior" in PurePosixPath(name).name]
    task = [shard for name, shard in shards.items() if "prior" not in PurePosixPath(name).name]
    if len(prior) > 1 or len(task) > 1 or not shards:
        raise DatasetError(
            f"{source.url} must hold one npy file of prior data and one of the task's, or one of them; found "
            f"{', '.join(shards) or 'none'}. Choose by the options prior=FILE and task=FILE."
        )
    return (prior or [None])[0], (task or [None])[0]  # type: ignore[list-item]


READER = CogReader()
