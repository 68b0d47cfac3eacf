"""From an environment's id to its description and to the environment itself."""

import difflib

from agents.environments import atari, bsuite_family
from agents.environments.protocol import EnvironmentSpec, VectorEnvironment
from agents.errors import EnvironmentUnavailable


def env_ids() -> list[str]:
    """Every environment id that ``make`` takes; nothing is imported or started."""
    return bsuite_family.env_ids() + atari.env_ids()


def describe(env_id: str) -> EnvironmentSpec:
    """What is known of ``env_id`` without starting it or importing its package.

    Raises EnvironmentUnavailable for an unknown id, with the nearest known ones.
    """
    if env_id not in _known():
        raise EnvironmentUnavailable(_unknown(env_id))
    return atari.describe(env_id) if env_id.startswith("atari/") else bsuite_family.describe(env_id)


def make(env_id: str, num_envs: int, *, num_threads: int = 1) -> VectorEnvironment:
    """Start ``num_envs`` slots of an environment; call ``reset`` before ``step``.

    ``num_threads`` is how many threads an emulator with threads of its own may use; results do not depend
    on it. Raises EnvironmentUnavailable for an unknown id or a package that is not installed, with the
    remedy.
    """
    describe(env_id)
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    if env_id.startswith("atari/"):
        return atari.AtariVector(env_id, num_envs, num_threads)
    return bsuite_family.BsuiteVector(env_id, num_envs)


def _known() -> dict[str, str]:
    return {env_id: env_id.lower() for env_id in env_ids()}


def _unknown(env_id: str) -> str:
    by_lower_case = {lower: known for known, lower in _known().items()}
    near = difflib.get_close_matches(env_id.lower(), by_lower_case, n=3, cutoff=0.6)
    hint = f"Did you mean {', '.join(repr(by_lower_case[name]) for name in near)}? " if near else ""
    last = bsuite_family.SETTINGS_PER_EXPERIMENT - 1
    return (
        f"unknown environment {env_id!r}. {hint}Allowed: bsuite/catch/0 to bsuite/catch/{last}, the same for "
        f"bsuite/cartpole and bsuite/mountain_car, and atari/<Game> for {len(atari.env_ids())} games in "
        "CamelCase, such as atari/Asterix."
    )
