"""A Slurm batch job that is a whole cluster: its first part the head, one more for each group of workers."""

from __future__ import annotations

import shlex

from cluster.description import Cluster, WorkerGroup
from cluster.render.starting import OPEN_FILES, made_from, sweep_arguments
from cluster.render.templates import fill
from cluster.render.yaml_text import commented
from search_spaces.errors import Problem, SpecificationError

__all__ = ["render"]


def render(cluster: Cluster) -> dict[str, str]:
    """`sweep.sbatch`. Raises SpecificationError for a path that the script's comments cannot hold."""
    settings = cluster.slurm
    for name in ("environment", "container"):
        value = getattr(settings, name)
        # Stands in double quotes, so that $HOME is filled in on the cluster.
        if value is not None and set(value) & set('"`\\\n'):
            raise SpecificationError(
                [Problem(("slurm", name), 'must be a path without ", `, \\ or a new line', value)]
            )
    groups = [group for group in cluster.workers if group.max_workers]
    return {
        "sweep.sbatch": fill(
            "sweep.sbatch.j2",
            comment=commented(made_from(cluster, "slurm")),
            cluster=cluster,
            settings=settings,
            parts=[_head(cluster), *(_workers(cluster, group) for group in groups)],
            groups=groups,
            open_files=OPEN_FILES,
            sweep=shlex.quote(cluster.job.sweep_name),
            root=shlex.quote(cluster.root),
            # The address is the one word that the script itself puts in.
            arguments=_wrapped(sweep_arguments(cluster, "ADDRESS")).replace(" ADDRESS", ' "$address"'),
        )
    }


def _wrapped(arguments: list[str]) -> str:
    """The command, an option a line."""
    return shlex.join(arguments).replace(" --", " \\\n  --")


def _head(cluster: Cluster) -> list[str]:
    return [
        *_partition(cluster.slurm.partition),
        *("--nodes=1", "--ntasks-per-node=1", f"--cpus-per-task={cluster.head.cpus}"),
        f"--mem={cluster.head.memory_gib}G",
    ]


def _workers(cluster: Cluster, group: WorkerGroup) -> list[str]:
    gres = cluster.slurm.gres.get(group.name)
    gpus = [f"--gpus-per-node={f'{gres}:' if gres else ''}{group.gpus}"] if group.gpus else []
    return [
        *_partition(cluster.slurm.partitions.get(group.name, cluster.slurm.partition)),
        *(f"--nodes={group.max_workers}", "--ntasks-per-node=1", f"--cpus-per-task={group.cpus}"),
        f"--mem={group.memory_gib}G",
        *gpus,
    ]


def _partition(name: str | None) -> list[str]:
    return [f"--partition={name}"] if name else []
