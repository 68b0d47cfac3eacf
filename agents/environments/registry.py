"""From an environment's id to its description and to the environment itself."""

import difflib

from agents.environments import (
    atari,
    bsuite_family,
    dmc_family,
    dmlab_family,
    gridworld,
    minatar_family,
    minigrid_family,
    mujoco_family,
    robotics_family,
    vizdoom_family,
)
from agents.environments.family import Family
from agents.environments.protocol import EnvironmentSpec, VectorEnvironment
from agents.environments.tabular import TabularModel
from agents.errors import EnvironmentUnavailable

FAMILIES: tuple[Family, ...] = (
    bsuite_family.FAMILY,
    gridworld.FAMILY,
    minatar_family.FAMILY,
    atari.FAMILY,
    mujoco_family.FAMILY,
    robotics_family.FAMILY,
    minigrid_family.FAMILY,
    dmc_family.FAMILY,
    vizdoom_family.FAMILY,
    dmlab_family.FAMILY,
)
"""Every family, in the order that listings show them."""


def env_ids() -> list[str]:
    """Every environment id that ``make`` takes; nothing is imported or started."""
    return [env_id for family in FAMILIES for env_id in family.env_ids()]


def family_of(env_id: str) -> Family:
    """The family of ``env_id``. Raises EnvironmentUnavailable for an unknown id, with the nearest known ones."""
    for family in FAMILIES:
        if env_id.startswith(f"{family.name}/") and env_id in family.env_ids():
            return family
    raise EnvironmentUnavailable(_unknown(env_id))


def describe(env_id: str) -> EnvironmentSpec:
    """What is known of ``env_id`` without starting it or importing its package.

    Raises EnvironmentUnavailable for an unknown id, with the nearest known ones.
    """
    return family_of(env_id).describe(env_id)


def make(env_id: str, num_envs: int, *, num_threads: int = 1) -> VectorEnvironment:
    """Start ``num_envs`` slots of an environment; call ``reset`` before ``step``.

    ``num_threads`` is how many threads an emulator with threads of its own may use; results do not depend
    on it. Raises EnvironmentUnavailable for an unknown id or a package that is not installed, with the
    remedy.
    """
    family = family_of(env_id)
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    try:
        return family.make(env_id, num_envs, num_threads)
    except ImportError as error:
        raise family.unavailable(env_id, error) from error


def tabular_model(env_id: str) -> TabularModel | None:
    """The transition table of ``env_id``, for its true values; None where no table is known.

    Raises EnvironmentUnavailable for an unknown id.
    """
    family = family_of(env_id)
    return None if family.tabular is None else family.tabular(env_id)


def _unknown(env_id: str) -> str:
    by_lower_case = {known.lower(): known for known in env_ids()}
    near = difflib.get_close_matches(env_id.lower(), by_lower_case, n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(repr(by_lower_case[name]) for name in near)}? " if near else ""
    families = ", ".join(f"{family.name}/… (such as {family.example})" for family in FAMILIES)
    return (
        f"unknown environment {env_id!r}. {hint}Families: {families}. `sweep data envs` lists every id and what "
        "it needs."
    )
