"""Whether data of others fit an environment that runs here."""

from __future__ import annotations

from collections.abc import Sequence

from agents.environments.protocol import EnvironmentSpec
from agents.environments.registry import describe
from agents.errors import DatasetError, EnvironmentUnavailable

__all__ = ["misfit", "runs_here"]


def misfit(spec: EnvironmentSpec, data: EnvironmentSpec) -> str | None:
    """What differs between an environment and the data's own description, in words; None where nothing does."""
    for what, ours, theirs in (
        ("observations of shape", spec.observation_shape, data.observation_shape),
        ("observations of dtype", spec.observation_dtype, data.observation_dtype),
        ("a number of discrete actions", spec.num_actions, data.num_actions),
        ("actions of shape", spec.action_shape, data.action_shape),
    ):
        if ours != theirs:
            return f"{spec.env_id} has {what} {ours}, the data {theirs}"
    if spec.frame_stack != 1:
        return f"{spec.env_id} stacks {spec.frame_stack} frames, the data do not"
    return None


def runs_here(
    candidates: Sequence[str], data: EnvironmentSpec, *, wanted: str | None = None
) -> tuple[EnvironmentSpec, str | None]:
    """The description to store: of the first of ``candidates`` that the data fit, else the data's own.

    The second value says why no candidate fits; evaluation is then impossible. ``wanted`` is the id that the
    user gave: DatasetError where it is unknown or does not fit.
    """
    if wanted is not None:
        try:
            spec = describe(wanted)
        except EnvironmentUnavailable as error:
            raise DatasetError(f"option env: {error}") from error
        why = misfit(spec, data)
        if why is not None:
            raise DatasetError(
                f"option env: {why}. Leave the option out: the data are then stored as they are."
            )
        return _described(spec, data), None
    why = None
    for env_id in candidates:
        try:
            spec = describe(env_id)
        except EnvironmentUnavailable:
            continue
        problem = misfit(spec, data)
        if problem is None:
            return _described(spec, data), None
        why = why or problem
    return data, why


def _described(spec: EnvironmentSpec, data: EnvironmentSpec) -> EnvironmentSpec:
    """The environment's description with what the data say beside it."""
    changes: dict[str, object] = {"extras": data.extras}
    if data.score_reference is not None and spec.score_reference is None:
        changes["score_reference"] = data.score_reference
    return spec.model_copy(update=changes)
