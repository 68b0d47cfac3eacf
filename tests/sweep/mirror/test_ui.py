"""`sweep ui`: a real MLflow server and the reports, up and down again."""

from __future__ import annotations

import base64
import html
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import psutil
import pytest
from mirror_studies import Study

from sweep.errors import SweepError, UsageError
from sweep.mirror import embedded_tracking_uri, sync
from sweep.reports_page import ReportsServer
from sweep.ui import MlflowServer, choose_port, running


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


SERVE = (
    "import sys; from sweep.ui import serve\n"
    "serve(sys.argv[1], port=0, reports_port=0,"
    " on_ready=lambda ui: print(ui.mlflow_url, ui.reports_url, flush=True))"
)


def test_serves_the_roots_runs_and_reports_until_told_to_end(root: Path) -> None:
    study = Study(root, packs=1).run_all()
    summary = sync(root, "demo")
    (root / "reports").mkdir()
    (root / "reports" / "demo.html").write_text("<h1>the report</h1>")
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(root)], stdout=subprocess.PIPE, text=True)
    mlflow_url, reports_url = process.stdout.readline().split()
    family = psutil.Process(process.pid).children(recursive=True)
    try:
        from mlflow import MlflowClient

        client = MlflowClient(mlflow_url)
        runs = client.search_runs([summary.experiment_id])
        assert len(runs) == len(study.trials) + 1
        [parent] = [run for run in runs if run.data.tags["rankscope.kind"] == "sweep"]
        # The artifacts that were written without a server are served by it.
        files = [file.path for file in client.list_artifacts(parent.info.run_id)]
        assert sorted(files) == ["study.yaml", "sweep.json"]
        assert "<html" in get(mlflow_url)
        page = get(reports_url)
        assert "demo.html" in page
        link = f"{mlflow_url}/#/experiments/{summary.experiment_id}/runs?viewStateShareKey=rankscope"
        assert link in html.unescape(page)
        # The view that the link names is there, and groups by a tag that the trials have.
        packed = client.get_experiment(summary.experiment_id).tags["mlflow.sharedViewState.rankscope"]
        view = json.loads(zlib.decompress(base64.b64decode(packed.removeprefix("deflate;"))))
        [key] = view["groupBy"]["groupByKeys"]
        assert key["mode"] == "tag"
        of = {run.data.tags.get(key["groupByData"]) for run in runs if run is not parent}
        assert None not in of
        assert len(client.search_runs([summary.experiment_id], view["searchFilter"])) == len(study.trials)
        assert get(f"{reports_url}/demo.html") == "<h1>the report</h1>"
        # MLflow's command, its web server and who watches them, and none of its seven job processes.
        assert 1 <= len(family) <= 4
        for child in family:
            assert child.environ()["MLFLOW_DISABLE_TELEMETRY"] == "true"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not [child for child in family if child.is_running() and child.status() != "zombie"]
    with pytest.raises(urllib.error.URLError):
        get(mlflow_url)


def test_a_server_ends_with_a_command_that_was_killed(root: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(root)], stdout=subprocess.PIPE, text=True)
    mlflow_url = process.stdout.readline().split()[0]
    family = psutil.Process(process.pid).children(recursive=True)
    assert "<html" in get(mlflow_url)
    assert family
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    with pytest.raises(urllib.error.URLError):
        get(mlflow_url)


def test_a_taken_port_is_refused_or_stepped_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"--port {port}: not free on 127\.0\.0\.1.*another port"):
            choose_port("127.0.0.1", port, 5000, "--port")
        assert choose_port("127.0.0.1", None, port, "--port") > port
    with pytest.raises(UsageError, match="--port 70000: a port is 1 to 65535"):
        choose_port("127.0.0.1", 70000, 5000, "--port")


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere' does not exist.*--root"), running(tmp_path / "nowhere"):
        pass


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    server = MlflowServer(
        f"sqlite:///{tmp_path}/mlflow.db", artifacts=tmp_path / "artifacts", log=tmp_path / "log", port=9
    )
    with pytest.raises(SweepError, match=r"ended with exit status(.|\n)*not a database"):
        server.start()


def test_a_port_that_another_server_took_first_is_no_start(
    server: MlflowServer, tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    second = MlflowServer(
        embedded_tracking_uri(tmp_path), artifacts=tmp_path / "a", log=tmp_path / "log", port=server.port
    )
    with pytest.raises(SweepError, match=r"(?s)ended with exit status.*address already in use"):
        second.start()


def test_only_reports_are_served(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "<b>.html").write_text("x")
    (tmp_path / "store" / "quiet").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", tmp_path / "reports" / "link.txt")
    with ReportsServer(tmp_path, "127.0.0.1", 0, "http://mlflow") as reports:
        page = get(reports.url)
        assert "&lt;b&gt;.html" in page
        assert "sweep sync quiet" in page
        assert get(f"{reports.url}/%3Cb%3E.html") == "x"
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/link.txt", "/../store/"):
            with pytest.raises(urllib.error.HTTPError):
                get(reports.url + path)
