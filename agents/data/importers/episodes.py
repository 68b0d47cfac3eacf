"""A dataset from episodes that a Python program holds or makes, as Gymnasium's interface gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.data.dataset import Dataset
from agents.data.importers.blocks import EpisodeBlock, ImportPlan
from agents.data.importers.checks import fit_episode
from agents.data.importers.storing import BlockStore
from agents.data.provenance import provenance
from agents.data.writer import DatasetWriter
from agents.environments.protocol import EnvironmentSpec
from agents.environments.registry import describe
from agents.errors import DatasetError

__all__ = ["from_episodes"]

_KEYS = {"frames": "observations", "action": "actions", "reward": "rewards", "discount": "terminations"}


def from_episodes(
    episodes: Iterable[Any],
    path: Path | str,
    *,
    env: str | None = None,
    spec: EnvironmentSpec | None = None,
    note: str | None = None,
) -> Dataset:
    """Make the dataset ``path`` (``ROOT/datasets/<name>``) of ``episodes``, one after the other.

    An episode is a mapping or an object with ``observations`` ``[T + 1, *frame_shape]`` (the last one what was
    seen after the last step; single images where the environment stacks them), ``actions`` ``[T]`` integers or
    ``[T, *action_shape]`` numbers, ``rewards`` ``[T]``, ``terminations`` ``[T]`` (true: what follows is worth
    0) and, if any, ``truncations`` ``[T]`` (cut by a time limit) and ``extras``, arrays ``[T + 1, …]`` by name.
    ``env`` is the id of an environment that is known here, ``spec`` the description of any other; ``note``
    goes into the provenance. An iterator is read one episode at a time.

    Raises DatasetError naming episode, step and key for what does not fit; nothing is kept then.
    """
    if (env is None) == (spec is None):
        raise DatasetError(
            "give either env, the id of an environment (such as 'mujoco/Hopper'), or spec, an EnvironmentSpec"
        )
    environment = describe(env) if env is not None else spec
    assert environment is not None
    plan = ImportPlan(environment=environment, shards=(), keys=_KEYS)
    with DatasetWriter(Path(path), environment, None) as writer:
        store = BlockStore(writer, plan, None)
        number = -1
        for number, episode in enumerate(episodes):
            block = _block(episode, number, environment)
            block, problems = fit_episode(block, plan)
            if problems:
                first = problems[0]
                step = "" if first.row is None else f", step {first.row:,}"
                key = _KEYS.get(first.key, first.key)
                raise DatasetError(f"episode {number}{step}, key {key!r}: {first.why}. Nothing was kept.")
            store.add(block, None, _refuse)
        if number < 0:
            raise DatasetError("there are no episodes: give at least one of at least one step")
        record = {
            **provenance(),
            "import": {"format": "from_episodes", "episodes_given": number + 1, "note": note},
        }
        return writer.finish(store.episodes, store.mean_return, record)


def _block(episode: Any, number: int, spec: EnvironmentSpec) -> EpisodeBlock:
    rewards = _array(episode, "rewards", number)
    steps = len(rewards)
    found = {
        "observations": _array(episode, "observations", number),
        "actions": _array(episode, "actions", number),
        "terminations": _array(episode, "terminations", number),
        "truncations": _array(episode, "truncations", number, np.zeros(steps, np.bool_)),
    }
    if steps == 0:
        raise DatasetError(f"episode {number}, key 'rewards': is empty; an episode has at least one step")
    for key, values in found.items():
        wanted = steps + 1 if key == "observations" else steps
        if len(values) != wanted:
            also = " (the last one is what was seen after the last step)" if key == "observations" else ""
            raise DatasetError(
                f"episode {number}, key {key!r}: {len(values)} entries beside {steps} rewards; {wanted} are "
                f"needed{also}"
            )
    observations = found["observations"]
    if spec.frame_stack > 1 and observations.shape[1:] == spec.observation_shape:
        raise DatasetError(
            f"episode {number}, key 'observations': stacks of {spec.frame_stack} images, shape "
            f"{observations.shape[1:]}; single images of shape {spec.frame_shape} are needed, which are stacked "
            "when they are sampled"
        )
    for key in ("terminations", "truncations"):
        if found[key].dtype.kind not in "biuf" or not np.isin(found[key], (0, 1)).all():
            raise DatasetError(
                f"episode {number}, key {key!r}: must be true or false, or 0 and 1, at each step"
            )
    ended = bool(found["terminations"][-1] or found["truncations"][-1])
    extras = _get(episode, "extras") or {}
    return EpisodeBlock(
        record=0,
        frames=observations,
        action=found["actions"],
        reward=rewards,
        discount=1 - found["terminations"].astype(np.float32),
        extras={name: np.asarray(values) for name, values in extras.items()},
        complete=ended,
    )


def _array(
    episode: Any, key: str, number: int, otherwise: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    values = _get(episode, key)
    if values is None:
        if otherwise is not None:
            return otherwise
        raise DatasetError(
            f"episode {number} has no key {key!r}. It needs observations, actions, rewards and terminations, as "
            "entries of a mapping or attributes."
        )
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise DatasetError(f"episode {number}, key {key!r}: rows of different shapes ({error})") from error
    if found.ndim == 0:
        raise DatasetError(f"episode {number}, key {key!r}: a single value; one a step is needed")
    return found


def _get(episode: Any, key: str) -> Any:
    return episode.get(key) if isinstance(episode, Mapping) else getattr(episode, key, None)


def _refuse(record: int, key: str, why: str) -> None:
    raise AssertionError(f"step {record}, key {key!r} was checked before: {why}")
