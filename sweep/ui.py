"""`sweep ui`: MLflow on a root's database, and a page with the root's reports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep import guarded
from sweep.errors import SweepError, UsageError
from sweep.mirror import embedded_tracking_uri
from sweep.mirror.tracking import QUIET
from sweep.reports_page import ReportsServer
from sweep.store.files import local_root, make_folder

__all__ = ["MlflowServer", "Ui", "running", "serve"]

MLFLOW_PORT = 5000
_PORTS_TRIED = 20
_START_SECONDS = 120.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Ui:
    """Where the pages are."""

    mlflow_url: str
    reports_url: str


def serve(
    root: str | os.PathLike[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    reports_port: int | None = None,
    *,
    allowed_hosts: Sequence[str] = (),
    on_ready: Callable[[Ui], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until `stop` is set, Ctrl-C or SIGTERM; see `running` for the arguments and errors.

    Signals are caught only in the main thread. Returns when both servers have ended.
    """
    stop = stop or threading.Event()
    with (
        _stopping_on_signals(stop),
        running(root, host, port, reports_port, allowed_hosts=allowed_hosts) as (ui, server),
    ):
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
    allowed_hosts: Sequence[str] = (),
) -> Iterator[tuple[Ui, MlflowServer]]:
    """MLflow and the reports of a root, up for the time of the block.

    A port of None takes the first free one from 5000 on; 0 takes any. `allowed_hosts` are the host
    names under which browsers reach a server that listens on more than this machine.

    Raises:
        UsageError: the root does not exist, or a port that was asked for is taken.
        SweepError: MLflow did not start; the message has the end of its log.
    """
    folder = local_root(root)
    if not folder.is_dir():
        raise UsageError(
            f"root {str(folder)!r} does not exist. Give --root the folder of your sweeps "
            "(`sweep run STUDY --root DIR` makes one)."
        )
    folder = folder.resolve()
    with MlflowServer(
        embedded_tracking_uri(folder),
        artifacts=folder / "mlartifacts",
        log=folder / "mlflow-server.log",
        host=host,
        port=choose_port(host, port, MLFLOW_PORT, "--port"),
        allowed_hosts=allowed_hosts,
    ) as server:
        reports_at = choose_port(host, reports_port, server.port + 1, "--reports-port")
        with ReportsServer(folder, host, reports_at, server.url) as reports:
            yield Ui(server.url, reports.url), server


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


class MlflowServer:
    """A real `mlflow server` as a child process, started on entering the block and ended with it.

    It ends with this process too, however that ended.

    `tracking_uri` is its database (`sqlite:///...`, `postgresql://...`), `artifacts` the folder it keeps
    artifacts in, `log` the file its output goes to.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        artifacts: Path,
        log: Path,
        host: str = "127.0.0.1",
        port: int,
        workers: int = 1,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self.port = port
        self.host = host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._artifacts, self._log = artifacts, log
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", tracking_uri),
            *("--artifacts-destination", str(artifacts)),
            *("--host", host, "--port", str(port), "--workers", str(workers)),
        ]
        if allowed_hosts:
            names = [*allowed_hosts, *(f"{name}:{port}" for name in allowed_hosts if ":" not in name)]
            # Giving the list replaces MLflow's own, which has this machine.
            here = [name for local in _LOOPBACK for name in (local, f"{local}:{port}")]
            self._command += ["--allowed-hosts", ",".join(dict.fromkeys([*names, *here]))]

    def __enter__(self) -> MlflowServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers. Raises SweepError with the end of its log where it does not."""
        make_folder(self._artifacts)
        environment = {
            **os.environ,
            **QUIET,
            # Its job queue is for evaluating language models: seven more processes for nothing here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, guarded.__file__, *self._command],
                env=environment,
                # Never written to: its end is how the server learns of ours.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: the server has children, which end with it.
                start_new_session=True,
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        """End the server and its children; returns when they are gone."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
                break
        # Children that outlived their parent's polite end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()

    def check(self) -> None:
        """Raise SweepError if the server has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise SweepError(
                f"mlflow server on {self.url} ended with exit status {self._process.returncode}. "
                f"The end of its log {self._log}:\n{_tail(self._log)}"
            )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise SweepError(
            f"mlflow server did not answer on {self.url} within {_START_SECONDS:.0f} s. "
            f"The end of its log {self._log}:\n{_tail(self._log)}"
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


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
