"""Following a job over a connection that drops."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ray_dashboard import Dashboard

from cluster.following import follow
from cluster.jobs_api import Unreachable
from cluster.ray_jobs import Job

NUMBERS = 12
PRINTS = f"import time\nfor n in range({NUMBERS}):\n    print('number', n, flush=True)\n    time.sleep(1)"


class Proxy:
    """Passes connections on, and closes all that are open when told to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (str(parts.hostname), int(parts.port or 80))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(self._there)
                self._open += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_of(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


def test_after_a_dropped_connection_every_line_is_there_once(dashboard: Dashboard) -> None:
    start(dashboard, "numbers", PRINTS)
    command = [sys.executable, "-c", "from sweep.cli import main; main()", "logs", "numbers", "--follow"]
    with (
        proxy_of(dashboard.url) as proxy,
        subprocess.Popen(
            [*command, "--address", proxy.url],
            env=dashboard.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == "number 4":
                proxy.cut()
        assert process.stderr
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert [line for line in lines if line.startswith("number")] == [f"number {n}" for n in range(NUMBERS)]
    assert said.count("connection lost; the job goes on, trying again") == 1


def test_a_sweep_that_no_job_is_noted_for_says_how_to_name_one(dashboard: Dashboard, tmp_path: Path) -> None:
    result = dashboard.sweep("logs", "demo", "--root", tmp_path)
    assert result.returncode == 2
    assert "no job of a cluster is noted for it" in result.stderr
    assert "--address URL" in result.stderr


def test_a_cluster_without_a_job_for_the_sweep_says_so(dashboard: Dashboard) -> None:
    result = dashboard.sweep("logs", "never-submitted", "--address", dashboard.url)
    assert result.returncode == 2
    assert f"the cluster at {dashboard.url} has no job for it" in result.stderr


def test_a_cluster_that_stays_away_ends_the_following(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr("cluster.following._POLL_SECONDS", 0.01)
    job = Job("none", "http://127.0.0.1:9", started=True)
    with pytest.raises(Unreachable, match="nothing answers there"):
        follow(job, print, notes.append, patience=0.05)
    assert notes == ["connection lost; the job goes on, trying again"]


def start(dashboard: Dashboard, name: str, code: str) -> str:
    """A job of another kind than ours, by plain HTTP; returns its id."""
    token = Path(dashboard.env["HOME"], ".ray", "auth_token").read_text()
    job = {"entrypoint": f'python -c "{code}"', "metadata": {"sweep": name}}
    request = urllib.request.Request(
        f"{dashboard.url}/api/jobs/",
        data=json.dumps(job).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.loads(answer.read())["submission_id"])
