"""A real `mlflow server` as a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import IO

import psutil

from sweep import guarded
from sweep.direct import open_directly
from sweep.errors import SweepError
from sweep.mirror.tracking import QUIET
from sweep.serving.access import Access
from sweep.serving.backend import Backend
from sweep.settings import process_environment, value_of
from sweep.store.files import make_folder

__all__ = ["MlflowServer"]

_START_SECONDS = 120.0

_POOL = {
    # SQLAlchemy's own 5 + 10 for each of a worker's engines (runs, models, accounts) would be 180 connections
    # with four workers; PostgreSQL takes 100 unless told otherwise.
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "3",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "4",
}

_AUTH_CONFIG = "MLFLOW_AUTH_CONFIG_PATH"
_AUTH = """\
[mlflow]
# Whoever has an account may read everything, and change what is their own or was granted to them.
default_permission = READ
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Checking a password is slow on purpose, and the mirror sends several requests a second: a worker believes it for a
# minute, which is also how long an account that was removed may still be let in.
auth_cache_ttl_seconds = 60
"""


class MlflowServer:
    """An `mlflow server`, started on entering the block and ended with it.

    It ends with this process too, however that ended.

    `backend` is its database, `artifacts` the folder or bucket it keeps artifacts in, `log` the file its output goes
    to; `access` says who may come in, by default those on this machine, without an account. Accounts are kept in
    the same PostgreSQL as the runs, or in an SQLite file beside the log.
    """

    def __init__(
        self,
        backend: str | Backend,
        *,
        artifacts: str | Path,
        log: Path,
        host: str = "127.0.0.1",
        port: int,
        workers: int = 1,
        access: Access | None = None,
    ) -> None:
        self.port = port
        self.host = host
        self.access = access or Access.of(host)
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._backend = Backend.of_url(backend) if isinstance(backend, str) else backend
        self._artifacts, self._log = str(artifacts), log
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--artifacts-destination", self._artifacts),
            *("--host", host, "--port", str(port), "--workers", str(workers)),
            # Giving the list replaces MLflow's own.
            *("--allowed-hosts", ",".join(self.access.hosts())),
        ]
        if self.access.origins():
            self._command += ["--cors-allowed-origins", ",".join(self.access.origins())]
        if self.access.auth:
            self._command += ["--app-name", "basic-auth"]

    def __enter__(self) -> MlflowServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers. Raises SweepError with the end of its log where it does not."""
        self._backend.check()
        if "://" not in self._artifacts:
            make_folder(Path(self._artifacts))
        with _private(self._log) as log:
            self._process = subprocess.Popen(
                [sys.executable, guarded.__file__, *self._command],
                env=self._environment(),
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

    def _listens(self) -> bool:
        """Whether it is this server, or a child of it, that listens on the port."""
        if self._process is None:
            return False
        try:
            parent = psutil.Process(self._process.pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return False
        for process in family:
            try:
                for one in process.net_connections("inet"):
                    if one.status == psutil.CONN_LISTEN and one.laddr.port == self.port:
                        return True
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                # A system that does not say: the answer has to do.
                return True
        return False

    def _environment(self) -> dict[str, str]:
        environment = {
            **process_environment(),
            **QUIET,
            # Its job queue is for evaluating language models: seven more processes for nothing here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **self._backend.environment,
        }
        if self._backend.is_postgresql:
            environment = {**_POOL, **environment}
        if self.access.auth and not value_of(_AUTH_CONFIG):
            environment[_AUTH_CONFIG] = str(self._auth_config())
        return environment

    def _auth_config(self) -> Path:
        """Written anew at every start; it holds no password."""
        database = self._backend.url
        if not self._backend.is_postgresql:
            database = f"sqlite:///{self._log.absolute().with_name('mlflow-auth.db')}"
        config = self._log.absolute().with_name("mlflow-auth.ini")
        with _private(config) as file:
            file.write(_AUTH.format(database=database.replace("%", "%%")).encode())
        return config

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            try:
                with open_directly(f"{self.url}/health", 2.0) as answer:
                    healthy = answer.status == 200
            except (urllib.error.URLError, OSError):
                healthy = False
            # Another server may have taken the port a moment before ours: runs would go to a stranger's database.
            if healthy and self._listens():
                return
            time.sleep(0.1)
        raise SweepError(
            f"mlflow server did not answer on {self.url} within {_START_SECONDS:.0f} s. "
            f"The end of its log {self._log}:\n{_tail(self._log)}"
        )


def _private(path: Path) -> IO[bytes]:
    """A new file that nobody else on this machine may read."""
    path.unlink(missing_ok=True)
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
