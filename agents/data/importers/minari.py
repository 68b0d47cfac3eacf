"""Minari datasets (Younis et al. 2024): whole episodes in HDF5, Arrow or Parquet, and a metadata.json."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from agents.data.importers.blocks import BadRecord, EpisodeBlock, ImportPlan
from agents.data.importers.hdf5 import open_hdf5
from agents.data.importers.known_environments import runs_here
from agents.data.importers.minari_arrow import ArrowEpisode
from agents.data.importers.minari_spaces import Leaf, Observation, action_bounds, is_jpeg, parse_space
from agents.data.importers.options import check_options
from agents.data.importers.source import Shard, Source
from agents.environments.protocol import EnvironmentSpec, ScoreReference
from agents.errors import DatasetError

if TYPE_CHECKING:
    import h5py
    from gymnasium.spaces import Space

__all__ = ["READER", "MinariReader"]

_FORMATS = {"hdf5": ".hdf5", "arrow": ".arrow", "parquet": ".parquet"}
_NAMES = {"frames": "observations", "action": "actions", "reward": "rewards", "discount": "terminations"}
_PART_EPISODES = 256
_ACTION_SLACK = 1e-5
_OURS = {"Hopper": "Hopper", "HalfCheetah": "HalfCheetah", "Walker2d": "Walker2d", "Ant": "Ant"}
_OPTIONS = {
    "observation": "which array of a Dict or Tuple observation, or flatten for all of them in one vector",
    "env": "the environment's id, such as mujoco/Hopper",
}


@dataclass(frozen=True)
class _Part(Shard):
    """Some episodes of the dataset, the unit that an import goes on from: ``first`` to before ``stop``."""

    first: int = 0
    stop: int = 0


@dataclass(frozen=True)
class _Described:
    """metadata.json, read; ``folder`` is where it lies within the source."""

    folder: str
    data_format: str
    episodes: int
    jpeg: bool
    observation: Observation
    action: Space[Any]
    spec: EnvironmentSpec
    why_not: str | None


class _Episode(Protocol):
    def array(self, path: Sequence[str | int], shape: tuple[int, ...]) -> npt.NDArray[Any]: ...

    def pictures(self, path: Sequence[str | int]) -> list[io.BytesIO]: ...


class MinariReader:
    """Reads a dataset's folder; each episode is a record."""

    format = "minari"
    title = "Minari: episodes in HDF5, Arrow or Parquet with their metadata.json"

    def plan(self, source: Source, options: Mapping[str, str]) -> ImportPlan:
        """See ``Reader.plan``; reads metadata.json."""
        described = _describe(source, options)
        if described.data_format == "hdf5":
            (file,) = _hdf5_file(source, described)
            sizes = [(file.size or 0) // max(described.episodes, 1)] * described.episodes
        else:
            files = _episode_files(source, described)
            sizes = [sum(file.size or 0 for file in files.get(n, ())) for n in range(described.episodes)]
        parts = []
        for first in range(0, described.episodes, _PART_EPISODES):
            stop = min(first + _PART_EPISODES, described.episodes)
            name = f"episodes {first} to {stop - 1}"
            # A web server may not have said how large its files are.
            parts.append(_Part(name, sum(sizes[first:stop]) or None, None, first, stop))
        return ImportPlan(
            environment=described.spec,
            shards=tuple(parts),
            keys=_NAMES,
            provenance={
                "data_format": described.data_format,
                "jpeg": [
                    leaf.name for leaf in described.observation.leaves if is_jpeg(leaf.space, described.jpeg)
                ],
                "no_evaluation_because": described.why_not,
                "options": dict(options),
            },
        )

    def read(self, source: Source, shard: Shard, plan: ImportPlan) -> Iterator[EpisodeBlock | BadRecord]:
        """See ``Reader.read``: an episode at a time."""
        assert isinstance(shard, _Part)
        described = _describe(source, plan.provenance["options"])
        if described.data_format == "hdf5":
            (file,) = _hdf5_file(source, described)
            with open_hdf5(source.localise(file), file.name) as opened:
                for number in range(shard.first, shard.stop):
                    yield _read_episode(_Hdf5Episode(opened, number), file.name, number, described)
            return
        files = _episode_files(source, described)
        for number in range(shard.first, shard.stop):
            there = files.get(number, [])
            name = there[0].name if there else f"{described.folder}{number}/"
            try:
                if not there:
                    raise ValueError(f"holds no *{_FORMATS[described.data_format]} file")
                episode = ArrowEpisode([source.localise(one) for one in there])
            except ValueError as error:
                yield BadRecord(name, number, "file", str(error))
                continue
            yield _read_episode(episode, name, number, described)


class _Hdf5Episode:
    """An episode of main_data.hdf5. Raises KeyError for what is missing, ValueError for what is damaged."""

    def __init__(self, file: h5py.File, number: int) -> None:
        self._file, self._group = file, f"episode_{number}"

    def array(self, path: Sequence[str | int], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        import h5py

        at = "/".join([f"_index_{key}" if isinstance(key, int) else key for key in path])
        try:
            found = self._file.get(f"{self._group}/{at}")
            if not isinstance(found, h5py.Dataset):
                raise KeyError(at if self._group in self._file else self._group)
            return np.asarray(found[()])
        except (OSError, RuntimeError) as error:
            raise ValueError(f"is damaged ({error})") from error

    def pictures(self, path: Sequence[str | int]) -> list[io.BytesIO]:
        return [io.BytesIO(np.asarray(one, np.uint8).tobytes()) for one in self.array(path, ())]


def _read_episode(
    episode: _Episode, shard: str, number: int, described: _Described
) -> EpisodeBlock | BadRecord:
    key = "observations"

    def leaf_array(leaf: Leaf) -> npt.NDArray[Any]:
        path = ("observations", *leaf.path)
        if is_jpeg(leaf.space, described.jpeg):
            return _decoded(episode.pictures(path))
        return episode.array(path, tuple(leaf.space.shape or ()))

    try:
        frames = described.observation.frames(leaf_array)
        steps = len(frames) - 1
        rows: dict[str, npt.NDArray[Any]] = {}
        for key, shape in (
            ("rewards", ()), ("terminations", ()), ("truncations", ()), ("actions", tuple(described.action.shape or ()))
        ):  # fmt: skip
            rows[key] = episode.array((key,), shape)
            if described.data_format != "hdf5":
                rows[key] = rows[key][:-1]
            if len(rows[key]) != steps:
                return BadRecord(
                    shard, number, key, f"has {len(rows[key])} rows beside {steps + 1} observations"
                )
        action = _action(described.action, rows["actions"])
    except KeyError as error:
        return BadRecord(shard, number, str(error.args[0]), "is missing")
    except ValueError as error:
        return BadRecord(shard, number, key, str(error))
    ended = bool(steps) and bool(rows["terminations"][-1] or rows["truncations"][-1])
    return EpisodeBlock(
        record=number,
        frames=frames,
        action=action,
        reward=rows["rewards"],
        discount=1 - rows["terminations"].astype(np.float32),
        complete=ended,
    )


def _action(space: Space[Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Actions as they are stored. Raises ValueError for one outside the space, component by component."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        shifted: npt.NDArray[Any] = values - space.start
        if ((shifted < 0) | (shifted >= space.n)).any():
            raise ValueError(f"an action lies outside {space}")
        return shifted
    assert isinstance(space, spaces.Box)
    slack = _ACTION_SLACK * np.maximum(np.abs(space.low), np.abs(space.high)).clip(1, 1e6)
    outside = (values < space.low - slack) | (values > space.high + slack)
    if outside.any():
        row = int(np.argwhere(outside)[0][0])
        raise ValueError(f"action {values[row].tolist()} of step {row} lies outside {space}")
    return values.reshape(len(values), *(space.shape or (1,)))


def _decoded(pictures: list[io.BytesIO]) -> npt.NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        return np.stack([np.asarray(Image.open(picture), np.uint8) for picture in pictures])
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ValueError(f"holds a picture that cannot be decoded ({error})") from error


def _describe(source: Source, options: Mapping[str, str]) -> _Described:
    from gymnasium import spaces

    check_options(MinariReader.format, options, _OPTIONS)
    metadata, folder = _metadata(source)
    name = f"{folder}metadata.json"
    for key in ("observation_space", "action_space", "total_episodes", "data_format"):
        if key not in metadata:
            raise DatasetError(
                f"{name} has no key {key!r}. Write the dataset with Minari 0.5 or later, or fetch it again."
            )
    data_format = metadata["data_format"]
    if data_format not in _FORMATS:
        raise DatasetError(f"{name}: data_format {data_format!r} is not one of {', '.join(_FORMATS)}")
    observation = Observation.of(
        parse_space(metadata["observation_space"], name), options.get("observation"), name
    )
    action = parse_space(metadata["action_space"], name)
    if not isinstance(action, spaces.Box | spaces.Discrete) or (
        isinstance(action, spaces.Box) and action.dtype.kind not in "f"
    ):
        raise DatasetError(
            f"{name}: actions are {action}; only Discrete and floating Box actions can be stored"
        )
    dataset_id = str(metadata.get("dataset_id", Path(source.url).name))
    low, high = (-1.0, 1.0) if isinstance(action, spaces.Discrete) else action_bounds(action)
    data = EnvironmentSpec(
        env_id=f"minari/{dataset_id}",
        observation_shape=observation.shape,
        observation_dtype="uint8" if observation.dtype == "uint8" else "float32",
        num_actions=int(action.n) if isinstance(action, spaces.Discrete) else 0,
        action_shape=() if isinstance(action, spaces.Discrete) else tuple(action.shape) or (1,),
        action_low=low,
        action_high=high,
        score_reference=_score(metadata, dataset_id),
        requires="",
    )
    spec, why_not = runs_here(_ours(metadata), data, wanted=options.get("env"))
    return _Described(
        folder=folder,
        data_format=data_format,
        episodes=int(metadata["total_episodes"]),
        jpeg=bool(metadata.get("jpeg_encoding", True)),
        observation=observation,
        action=action,
        spec=spec,
        why_not=why_not,
    )


def _metadata(source: Source) -> tuple[Mapping[str, Any], str]:
    """The dataset's metadata.json and its folder within the source. Raises DatasetError unless there is one."""
    # Episodes in Arrow have a metadata.json each, in folders named by their numbers.
    found = [
        shard for shard in source.list("metadata.json") if not _episode_number(shard.name.rpartition("/")[0])
    ]
    if len(found) != 1:
        there = ", ".join(shard.name for shard in found[:5]) or "none"
        raise DatasetError(
            f"{source.url} must hold one dataset's metadata.json; found {there}. Give the folder of one "
            "dataset, such as ~/.minari/datasets/D4RL/door/human-v2."
        )
    try:
        with source.open(found[0]) as file:
            content = json.load(file)
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise DatasetError(f"{found[0].name} is damaged: {error}. Fetch it again.") from error
    return content, found[0].name.removesuffix("metadata.json")


def _episode_number(folder: str) -> str | None:
    last = folder.rpartition("/")[2]
    return last if last.isdigit() else None


def _hdf5_file(source: Source, described: _Described) -> list[Shard]:
    name = f"{described.folder}main_data.hdf5"
    found = [shard for shard in source.list("main_data.hdf5") if shard.name == name]
    if not found:
        raise DatasetError(f"{source.url} holds no {name}, which its metadata.json speaks of. Fetch it.")
    return found


def _episode_files(source: Source, described: _Described) -> dict[int, list[Shard]]:
    files: dict[int, list[Shard]] = {}
    for shard in source.list(f"*{_FORMATS[described.data_format]}"):
        folder = shard.name.removeprefix(described.folder).rpartition("/")[0]
        if folder.isdigit():
            files.setdefault(int(folder), []).append(shard)
    return files


def _ours(metadata: Mapping[str, Any]) -> list[str]:
    """Ids of ours for the environment that metadata.json names."""
    try:
        made = str(json.loads(metadata["env_spec"])["id"])
    except (KeyError, TypeError, ValueError):
        return []
    name = made.rpartition("/")[2].partition("-v")[0]
    return [f"mujoco/{_OURS[name]}"] if name in _OURS else []


def _score(metadata: Mapping[str, Any], dataset_id: str) -> ScoreReference | None:
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is None or high is None or low == high:
        return None
    return ScoreReference(low=low, low_name="minimum", high=high, high_name="Minari", source=dataset_id)


READER = MinariReader()
