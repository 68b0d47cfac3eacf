"""A family of environments: one library, one file here, many ids."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from agents.environments.protocol import EnvironmentSpec, VectorEnvironment
from agents.environments.tabular import TabularModel
from agents.errors import EnvironmentUnavailable


@dataclass(frozen=True)
class Family:
    """What the registry knows of the environments whose ids begin with ``name/``; nothing is imported for it.

    ``requires`` are pip's requirements, in the versions that are proven to work together; ``extra`` is their
    name as an extra of this distribution (None: they come with it); ``modules`` are what they let you
    import. ``system`` is what pip cannot install. ``make(env_id, num_envs, num_threads)`` may raise
    ImportError, which the registry turns into EnvironmentUnavailable. ``tabular(env_id)``, where there is one,
    gives the transition table, from which true values follow.
    """

    name: str
    title: str
    example: str
    extra: str | None
    requires: tuple[str, ...]
    modules: tuple[str, ...]
    env_ids: Callable[[], list[str]]
    describe: Callable[[str], EnvironmentSpec]
    make: Callable[[str, int, int], VectorEnvironment]
    system: str = ""
    tabular: Callable[[str], TabularModel] | None = None

    @property
    def install_command(self) -> str:
        """What installs it, exactly; empty where nothing has to be."""
        if not self.requires:
            return ""
        return "pip install " + " ".join(f"'{requirement}'" for requirement in self.requires)

    def installed(self) -> bool:
        """Whether everything it imports can be found; nothing is imported."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)

    def other_versions(self) -> list[str]:
        """What is installed in a version that is not proven to work, such as ``mujoco 4.0.0 (==3.10.0)``."""
        found = []
        for requirement in map(Requirement, self.requires):
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                found.append(f"{requirement.name} {version} ({requirement.specifier})")
        return found

    def unavailable(self, env_id: str, error: ImportError) -> EnvironmentUnavailable:
        """The error to raise where ``error`` kept ``env_id`` from being made."""
        system = f" It also needs {self.system}." if self.system else ""
        return EnvironmentUnavailable(
            f"environment {env_id!r} needs packages that cannot be imported ({error}). Install them with: "
            f"{self.install_command}{system}"
        )
