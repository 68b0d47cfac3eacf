"""Which files there are for which kind of cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.description import Cluster
from cluster.render import compose, docker, kuberay, launcher, slurm
from search_spaces.errors import unknown
from sweep.errors import SweepError, UsageError

__all__ = ["TARGETS", "render", "write_files"]

TARGETS: Mapping[str, Callable[[Cluster], dict[str, str]]] = {
    "kuberay": kuberay.render,
    "aws": launcher.render_aws,
    "gcp": launcher.render_gcp,
    "onprem": launcher.render_onprem,
    "slurm": slurm.render,
    "docker": docker.render,
    "compose": compose.render,
}
"""What makes the files of each kind: from a description to texts by file name."""


def render(cluster: Cluster, target: str) -> dict[str, str]:
    """The files of one kind, by name.

    Raises UsageError for an unknown kind, SpecificationError where the description lacks what this kind needs.
    """
    if target not in TARGETS:
        raise UsageError(unknown(f"kind of cluster {target!r}", target, TARGETS))
    return TARGETS[target](cluster)


def write_files(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write them into a folder, scripts executable; returns their paths. Raises SweepError where it cannot be."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if text.startswith("#!") else 0o644)
            written.append(path)
    except OSError as error:
        raise SweepError(
            f"--out {str(folder)!r}: cannot be written: {error.strerror}. Give another folder."
        ) from error
    return written
