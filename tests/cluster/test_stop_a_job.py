"""`sweep stop`, of sweeps that run here and of jobs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_dashboard import STUDY, Dashboard
from test_follow_a_job import start

from cluster.job_record import read_job, write_job
from cluster.stopping import ask_to_stop, end_now
from sweep.errors import UsageError
from sweep.store import Store

LONG = STUDY.replace("train_steps: 40", "train_steps: 2000000").replace("study: tiny", "study: long")


def running_here(dashboard: Dashboard, root: Path, study: Path) -> subprocess.Popen[str]:
    """`sweep run` in a Ray of its own, once every pack has got on in it."""
    command = [
        sys.executable,
        "-c",
        "from sweep.cli import main; main()",
        "run",
        str(study),
        "--root",
        str(root),
    ]
    process = subprocess.Popen(
        [*command, "--workers", "2", "--eager", "--no-mlflow"],
        env=dashboard.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        status = dashboard.sweep("status", "long", "--root", root, "--json")
        packs = json.loads(status.stdout)["packs"] if status.returncode == 0 else []
        if packs and all(pack["state"] == "running" and pack["step"] > 0 for pack in packs):
            return process
        time.sleep(0.5)
    process.kill()
    raise AssertionError("no pack gets on")


@pytest.mark.slow
def test_a_sweep_that_runs_here_is_stopped_with_its_steps_kept(dashboard: Dashboard, tmp_path: Path) -> None:
    study, root = tmp_path / "long.yaml", tmp_path / "root"
    study.write_text(LONG)
    with running_here(dashboard, root, study) as process:
        impatient = dashboard.sweep("stop", "long", "--root", root, "--wait", "0")
        stopped = dashboard.sweep("stop", "long", "--root", root)
        assert process.wait(120) == 1
    assert impatient.returncode == 1
    assert "still runs after 0 s. It has been asked" in impatient.stderr
    assert stopped.returncode == 0, stopped.stderr
    assert "sweep long has stopped" in stopped.stdout
    for pack in json.loads(dashboard.sweep("status", "long", "--root", root, "--json").stdout)["packs"]:
        assert pack["state"] == "planned"
        assert 0 < pack["step"] < pack["train_steps"]


@pytest.mark.slow
def test_a_sweep_that_runs_here_is_ended_at_once(dashboard: Dashboard, tmp_path: Path) -> None:
    study, root = tmp_path / "long.yaml", tmp_path / "root"
    study.write_text(LONG)
    with running_here(dashboard, root, study) as process:
        now = dashboard.sweep("stop", "long", "--root", root, "--now")
        assert now.returncode == 0, now.stderr
        assert f"ended process {process.pid} of this machine" in now.stdout
        assert process.wait(120) == 1
    assert Store(root).sweep("long").owner() is None


def test_what_does_not_run_cannot_be_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path).create("demo")
    for stop in (lambda: ask_to_stop(store), lambda: end_now(tmp_path, "demo", None)):
        with pytest.raises(UsageError, match="'demo' is not running: there is nothing to stop"):
            stop()
    assert store.stop_request() is None


def test_a_process_of_another_machine_is_not_ended_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path).create("demo")
    with store.lock():
        monkeypatch.setattr("cluster.stopping.socket.gethostname", lambda: "another-machine")
        with pytest.raises(UsageError, match="and by no job of a cluster: give `sweep stop --now` there"):
            end_now(tmp_path, "demo", None)


def test_a_job_that_just_starts_is_not_asked_in_vain(dashboard: Dashboard, tmp_path: Path) -> None:
    job_id = start(dashboard, "early", "import time; time.sleep(60)")
    write_job(tmp_path, "early", dashboard.url, job_id, None)
    found = read_job(tmp_path, "early")
    assert found is not None
    assert (found.address, found.job_id) == (dashboard.url, job_id)
    early = dashboard.sweep("stop", "early", "--root", tmp_path)
    assert early.returncode == 1
    assert f"its job {job_id} is starting" in early.stderr
    assert Store(tmp_path).sweep("early").stop_request() is None
    # Without waiting for anything, by what the store says.
    now = dashboard.sweep("stop", "early", "--root", tmp_path, "--now")
    assert f"ended job {job_id} at {dashboard.url}" in now.stdout, now.stderr
    assert dashboard.asked(f"/api/jobs/{job_id}")["status"] == "STOPPED"


def test_a_job_is_ended_at_once_from_where_its_root_is_not_seen(dashboard: Dashboard, tmp_path: Path) -> None:
    job_id = start(dashboard, "unseen", "import time; time.sleep(60)")
    now = dashboard.sweep("stop", "unseen", "--root", tmp_path, "--now", "--address", dashboard.url)
    assert f"ended job {job_id} at {dashboard.url}" in now.stdout, now.stderr
    assert dashboard.asked(f"/api/jobs/{job_id}")["status"] == "STOPPED"


def test_a_root_that_is_not_seen_from_here_says_what_works_all_the_same(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from sweep.cli.app import build_app

    arguments = ["stop", "demo", "--root", str(tmp_path), "--address", "http://127.0.0.1:9"]
    error = CliRunner().invoke(build_app(), arguments).exception
    assert isinstance(error, UsageError)
    assert "a sweep is asked to stop through its root" in str(error)
    assert "--now --address URL" in str(error)
