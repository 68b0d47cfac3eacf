"""D4RL's datasets by name: where each lies, its reference scores, its time limit, our environment of it.

The names whose environments run here are in this file, so that they need no package; the others are looked up in
``d4rl.infos`` where the d4rl package is installed.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import warnings
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from agents.environments.protocol import ScoreReference
from agents.errors import DatasetError

__all__ = ["HOST", "Entry", "by_file", "by_name", "names"]

HOST = "http://rail.eecs.berkeley.edu/datasets/offline_rl/"
INSTALL = "pip install --no-deps d4rl==1.1 gym==0.23.1 gym-notices termcolor tqdm"

_MUJOCO = {
    "halfcheetah": ("mujoco/HalfCheetah", -280.178953, 12135.0),
    "hopper": ("mujoco/Hopper", -20.272305, 3234.3),
    "walker2d": ("mujoco/Walker2d", 1.629008, 4592.3),
    "ant": ("mujoco/AntD4RL", -325.6, 3879.7),
}
_POLICIES = ("random", "medium", "expert", "medium-replay", "full-replay", "medium-expert")
_MAZES = {
    "umaze": ("u-maze", False, False),
    "umaze-diverse": ("u-maze", True, True),
    "medium-play": ("big-maze", True, False),
    "medium-diverse": ("big-maze", True, True),
    "large-play": ("hardest-maze", True, False),
    "large-diverse": ("hardest-maze", True, True),
}
_KITCHENS = {
    "complete": "mini_kitchen_microwave_kettle_light_slider",
    "partial": "kitchen_microwave_kettle_light_slider",
    "mixed": "kitchen_microwave_kettle_bottomburner_light",
}
# Time limits of what only d4rl's own tables name, by the beginning of the name.
_OTHER_LIMITS = {
    "pen-": 100, "hammer-": 200, "relocate-": 200, "door-": 200, "maze2d-open": 150, "maze2d-umaze": 300,
    "maze2d-eval-umaze": 300, "maze2d-medium": 600, "maze2d-eval-medium": 600, "maze2d-large": 800,
    "maze2d-eval-large": 800,
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One dataset. ``env_ids`` are ours that its observations may fit; ``max_episode_steps`` None: unknown."""

    name: str
    url: str
    score: ScoreReference | None
    max_episode_steps: int | None
    env_ids: tuple[str, ...] = ()


@cache
def _table() -> dict[str, Entry]:
    entries = {}
    for robot, (env_id, low, high) in _MUJOCO.items():
        for version in (0, 1, 2):
            folder = "gym_mujoco" if version == 0 else f"gym_mujoco_v{version}"
            for policy in _POLICIES:
                if version == 0 and policy == "full-replay":
                    continue
                file = f"{robot}_{policy.replace('-', '_')}"
                if version:
                    file += f"-v{version}"
                elif policy == "medium-replay":
                    # Version 0 called these buffers mixed, and Walker2d's file has lost the 2d.
                    file = f"{robot.removesuffix('2d')}_mixed"
                name = f"{robot}-{policy}-v{version}"
                entries[name] = Entry(name, f"{HOST}{folder}/{file}.hdf5", _score(low, high), 1000, (env_id,))
    for maze, (size, starts, goals) in _MAZES.items():
        for version, folder, ending in ((0, "ant_maze_new", ""), (2, "ant_maze_v2", "_fixed")):
            file = f"Ant_maze_{size}_noisy_multistart_{starts}_multigoal_{goals}_sparse{ending}"
            name = f"antmaze-{maze}-v{version}"
            limit = 700 if size == "u-maze" else 1000
            entries[name] = Entry(
                name, f"{HOST}{folder}/{file}.hdf5", _score(0, 1), limit, (f"robotics/antmaze-{maze}",)
            )
    for task, file in _KITCHENS.items():
        name = f"kitchen-{task}-v0"
        entries[name] = Entry(
            name,
            f"{HOST}kitchen/{file}-v0.hdf5",
            _score(0, 4),
            280,
            (f"robotics/kitchen-{task}",),
        )
    return entries


def names() -> list[str]:
    """Every name that is known without the d4rl package."""
    return sorted(_table())


def by_name(name: str) -> Entry:
    """The dataset ``name``. Raises DatasetError with the nearest names where neither table has it."""
    entry = _table().get(name) or _from_package(name)
    if entry is not None:
        return entry
    known = sorted({*names(), *(_package_urls() or {})})
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(near)}? " if near else ""
    more = "" if _package_urls() is not None else f" More names are known once d4rl is installed: {INSTALL}."
    raise DatasetError(
        f"{name!r} is neither a file, nor an address, nor a D4RL dataset that is known here. {hint}Names look "
        f"like halfcheetah-medium-v2, antmaze-umaze-v2 or kitchen-mixed-v0.{more}"
    )


def by_file(file: str) -> Entry | None:
    """The dataset that D4RL keeps under the file name ``file``; None where it has none of that name."""
    for entry in _table().values():
        if entry.url.rsplit("/", 1)[-1] == file:
            return entry
    for name, url in (_package_urls() or {}).items():
        if url.rsplit("/", 1)[-1] == file:
            return _from_package(name)
    return None


def _score(low: float, high: float) -> ScoreReference:
    return ScoreReference(low=low, low_name="random", high=high, high_name="D4RL", source="d4rl.infos")


def _from_package(name: str) -> Entry | None:
    infos = _package()
    if infos is None or name not in infos.DATASET_URLS:
        return None
    low, high = infos.REF_MIN_SCORE.get(name), infos.REF_MAX_SCORE.get(name)
    limit = next((steps for start, steps in _OTHER_LIMITS.items() if name.startswith(start)), None)
    score = None if low is None or high is None else _score(low, high)
    return Entry(name, infos.DATASET_URLS[name], score, limit)


def _package_urls() -> dict[str, str] | None:
    infos = _package()
    return None if infos is None else infos.DATASET_URLS


@cache
def _package() -> ModuleType | None:
    """``d4rl.infos`` where it can be imported; what its imports print is not shown."""
    # Read at d4rl's import: its environments need mujoco-py, and each that cannot be imported prints.
    os.environ.setdefault("D4RL_SUPPRESS_IMPORT_ERROR", "1")
    silence = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("d4rl.infos")
        except Exception:  # old packages on new Pythons fail in many ways; without it fewer names are known
            return None
