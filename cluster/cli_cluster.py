"""`sweep cluster`: a cluster to try things on, and files for real ones."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.common import AROUND, Json, console, print_json

if TYPE_CHECKING:
    from cluster.local import LocalCluster

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    group = typer.Typer(
        no_args_is_help=True, help="Ray clusters: several nodes on this machine, and files for real ones."
    )
    group.command("local")(local)
    group.command("list")(list_clusters)
    group.command("down")(down)
    if importlib.util.find_spec("cluster.render.command") is not None:
        importlib.import_module("cluster.render.command").register(group)
    app.add_typer(group, name="cluster", rich_help_panel=AROUND)


def local(
    nodes: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Nodes, the head included.")] = 3,
    cpus_per_node: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="[default: this machine's cores, shared out]")
    ] = None,
    gpus_per_node: Annotated[
        int, typer.Option(min=0, metavar="N", help="Tokens that packs ask for; no card needs to be there.")
    ] = 0,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Of the dashboard. [default: any that is free]"),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running; `sweep cluster down` ends it.")
    ] = False,
) -> None:
    """Bring up several Ray nodes on this machine, to try things on; Ctrl-C takes them down.

    They are real processes, as on many machines, so one can be killed to see what happens. They listen on this
    machine alone, and only for this user: Ray's token is asked for, and sent by `sweep submit` by itself.

    Examples:

    - `sweep cluster local --nodes 3 --gpus-per-node 0`

    - `sweep cluster local --nodes 2 --port 8265 --detach`, then `sweep cluster down`
    """
    from cluster.local import LOOPBACK_ENVIRONMENT, ended_nodes, start, stop

    cores = len(os.sched_getaffinity(0))
    with console.status(f"starting {nodes} nodes"), _termination_is_an_interrupt():
        cluster = start(
            nodes, max(cores // nodes, 1) if cpus_per_node is None else cpus_per_node, gpus_per_node, port
        )
    _say(f"{cluster.nodes} nodes of {cluster.cpus_per_node} CPU and {cluster.gpus_per_node} GPU each")
    _say(f"dashboard  {cluster.dashboard}")
    _say(f"logs       {cluster.folder}/n*/session_latest/logs")
    _say(f"submit     sweep submit demo --address {cluster.dashboard} --follow")
    settings = " ".join(f"{name}={value}" for name, value in LOOPBACK_ENVIRONMENT.items())
    _say(f"run        {settings} sweep run demo --address {cluster.address}")
    if detach:
        _say(f"down       sweep cluster down {cluster.cluster_id}")
        return
    _say("Ctrl-C     takes it down")
    said: set[str] = set()
    try:
        with _termination_is_an_interrupt():
            while len(ended := ended_nodes(cluster)) < cluster.nodes and "node-0" not in ended:
                for node in sorted(set(ended) - said):
                    _say(f"{node} has ended")
                said |= set(ended)
                time.sleep(1.0)
        _say("its head has ended")
    except KeyboardInterrupt:
        _say("")
    finally:
        # A second Ctrl-C must not leave half of it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        count = stop(cluster)
        signal.signal(signal.SIGINT, before)
    _say(f"taken down, {count} processes")


def list_clusters(as_json: Json = False) -> None:
    """The clusters that `sweep cluster local` started and that still run.

    Example: `sweep cluster list`
    """
    from cluster.local import clusters, ended_nodes

    found = clusters()
    if as_json:
        print_json([_about(one) for one in found])
        return
    for one in found:
        ended = ended_nodes(one)
        lost = f", of which {', '.join(ended)} ended" if ended else ""
        _say(f"{one.cluster_id}  {one.dashboard}  {one.nodes} nodes{lost}")
    if not found:
        _say("none; `sweep cluster local` starts one")


def down(
    cluster_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of `sweep cluster list`.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that this user started here.")] = False,
) -> None:
    """Take down a cluster that `sweep cluster local` started: its processes and their jobs, and no others.

    Example: `sweep cluster down`
    """
    from cluster.local import clusters, stop
    from sweep.errors import UsageError

    found = clusters()
    chosen = [one for one in found if cluster_id in (None, one.cluster_id)]
    if not chosen and cluster_id is None:
        _say("none runs")
        return
    if not chosen or (len(chosen) > 1 and not every):
        known = ", ".join(one.cluster_id for one in found) or "none"
        raise UsageError(
            f"ID {cluster_id!r}: there are {known}. Give one of them, or --all."
            if cluster_id
            else f"{len(chosen)} clusters run: {known}. Give one of them, or --all."
        )
    for one in chosen:
        _say(f"{one.cluster_id} taken down, {stop(one)} processes")


def _about(cluster: LocalCluster) -> dict[str, object]:
    return {**cluster.__dict__, "folder": str(cluster.folder)}


@contextlib.contextmanager
def _termination_is_an_interrupt() -> Iterator[None]:
    def interrupted(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
