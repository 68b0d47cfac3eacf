"""`sweep ui`: MLflow for a root or a team, and a page with the root's reports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sweep.errors import UsageError
from sweep.mirror import embedded_tracking_uri
from sweep.node_folder import node_folder
from sweep.reports_page import ReportsServer
from sweep.serving import Access, Backend, MlflowServer, artifact_place
from sweep.serving.access import beyond_this_machine
from sweep.store.files import is_folder, make_folder
from sweep.store.places import is_local, root_place

__all__ = ["MlflowServer", "Ui", "running", "serve"]

MLFLOW_PORT = 5000
_PORTS_TRIED = 20
_MOST_WORKERS = 4


@dataclass(frozen=True)
class Ui:
    """Where the pages are, and for whom."""

    mlflow_url: str
    reports_url: str
    beyond: bool
    """Whether they can be reached from other machines."""
    auth: bool
    """Whether both ask for an account of MLflow's."""
    names: tuple[str, ...]
    """The host names under which MLflow may be asked."""
    embedded: bool
    """Whether it is the root's own MLflow, into which sweeps are mirrored unless told otherwise."""


def serve(
    root: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    reports_port: int | None = None,
    *,
    backend: str | None = None,
    artifacts: str | None = None,
    auth: bool | None = None,
    allowed_hosts: Sequence[str] = (),
    workers: int | None = None,
    on_ready: Callable[[Ui], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until `stop` is set, Ctrl-C or SIGTERM; see `running` for the arguments and errors.

    Signals are caught only in the main thread. Returns when both servers have ended.
    """
    stop = stop or threading.Event()
    pages = running(
        root,
        host,
        port,
        reports_port,
        backend=backend,
        artifacts=artifacts,
        auth=auth,
        allowed_hosts=allowed_hosts,
        workers=workers,
    )
    with _stopping_on_signals(stop), pages as (ui, server):
        if on_ready is not None:
            on_ready(ui)
        while not stop.wait(0.5):
            server.check()


@contextlib.contextmanager
def running(
    root: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    reports_port: int | None = None,
    *,
    backend: str | None = None,
    artifacts: str | None = None,
    auth: bool | None = None,
    allowed_hosts: Sequence[str] = (),
    workers: int | None = None,
) -> Iterator[tuple[Ui, MlflowServer]]:
    """MLflow and the reports of a root, up for the time of the block.

    A port of None takes the first free one from 5000 on; 0 takes any. `backend` is a PostgreSQL for a team
    (`Backend.of`), by default the root's own SQLite; `artifacts` a folder or bucket, by default in the root. `auth`
    asks everybody for an account, by default where `host` can be reached from other machines. `allowed_hosts` are
    the names under which browsers reach it, beside this machine's own. `workers` are MLflow's processes.

    Raises:
        UsageError: the root does not exist, a port that was asked for is taken, or what an option needs is missing.
        SweepError: MLflow did not start; the message has the end of its log.
    """
    with contextlib.ExitStack() as stack:
        folder = root_place(root)
        if is_local(folder):
            folder = folder.resolve()
        if not is_folder(folder):
            raise UsageError(
                f"root {str(folder)!r} does not exist. Give --root the folder of your sweeps "
                "(`sweep run STUDY --root DIR` makes one)."
            )
        # Of a bucket the MLflow of this machine is shown, where `sweep sync` copies to.
        here = node_folder(folder)
        make_folder(here)
        database = Backend.of(backend if backend is not None else embedded_tracking_uri(folder))
        place = artifact_place(artifacts) if artifacts is not None else str(here / "mlartifacts")
        access = Access.of(host, allowed_hosts, auth)
        if workers is None:
            workers = min(_MOST_WORKERS, os.cpu_count() or 1) if database.is_postgresql else 1
        server = stack.enter_context(
            MlflowServer(
                database,
                artifacts=place,
                log=here / "mlflow-server.log",
                host=host,
                port=choose_port(host, port, MLFLOW_PORT, "--port"),
                workers=workers,
                access=access,
            )
        )
        reports_at = choose_port(host, reports_port, server.port + 1, "--reports-port")
        reports = stack.enter_context(
            ReportsServer(folder, host, reports_at, server.url, access, mirrored=backend is not None)
        )
        yield (
            Ui(
                server.url,
                reports.url,
                beyond_this_machine(host),
                access.auth,
                access.names,
                embedded=backend is None,
            ),
            server,
        )


def choose_port(host: str, wanted: int | None, first: int, option: str) -> int:
    """A port that can be listened on: `wanted` or, where that is None, the first free one from `first` on.

    Raises:
        UsageError: `wanted` is taken or not a port, or none is free.
    """
    if wanted == 0:
        return _try_port(host, 0) or 0
    candidates = range(first, first + _PORTS_TRIED) if wanted is None else [wanted]
    for port in candidates:
        if 0 < port < 65536 and _try_port(host, port) is not None:
            return port
    if wanted is not None and not 0 < wanted < 65536:
        raise UsageError(f"{option} {wanted}: a port is 1 to 65535, or 0 for any free one.")
    if wanted is not None:
        raise UsageError(
            f"{option} {wanted}: not free on {host}. Stop what listens there, or give another port; "
            f"without {option} a free one is chosen."
        )
    raise UsageError(
        f"no free port from {first} to {first + _PORTS_TRIED - 1} on {host}; choose one with {option}."
    )


@contextlib.contextmanager
def _stopping_on_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _try_port(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
