"""How a sweep and Ray are started, said once for every kind of cluster."""

from __future__ import annotations

from cluster.description import Cluster

__all__ = ["GCS_PORT", "DASHBOARD_PORT", "OPEN_FILES", "made_from", "sweep_arguments"]

GCS_PORT, DASHBOARD_PORT, CLIENT_PORT = 6379, 8265, 10001
OPEN_FILES = 65536
"""Ray keeps a connection to every process; the usual 1024 files run out."""


def sweep_arguments(cluster: Cluster, address: str) -> list[str]:
    """`sweep run` of the description's job. Given again, it goes on from what the store has."""
    return [
        *("sweep", "run", cluster.job.study, "--name", cluster.job.sweep_name),
        *("--root", cluster.root, "--address", address),
        *(() if cluster.job.device == "auto" else ("--device", cluster.job.device)),
        *(("--mlflow-uri", cluster.mlflow.uri) if cluster.mlflow else ("--no-mlflow",)),
    ]


def made_from(cluster: Cluster, target: str) -> str:
    """The first line of every file: what made it."""
    return (
        f"Rankscope's cluster {cluster.name!r}, made by `sweep cluster render {target}`. Change the description "
        "and render it again rather than this file."
    )
