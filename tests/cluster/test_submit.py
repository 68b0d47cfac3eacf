"""`sweep submit` on a real Ray cluster of two nodes: to a folder, to a bucket, and to roots that nodes do not share."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray_dashboard import STUDY, Dashboard
from typer.testing import CliRunner

from cluster import package_study
from cluster.local import MARK
from cluster.ray_jobs import submission_id
from search_spaces import load_study
from sweep.cli.app import build_app
from sweep.errors import SweepError, UsageError
from sweep.ports import free_ports
from sweep.store import Store

APART = ["unshare", "--map-root-user", "--mount"]
"""Runs a command that sees mounts of its own, as another machine does."""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path


def failure(*arguments: object) -> SweepError:
    error = CliRunner().invoke(build_app(), ["submit", *map(str, arguments)]).exception
    assert isinstance(error, SweepError), error
    return error


def test_a_submitted_study_is_followed_to_a_finished_store(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    root, url = tmp_path / "root", dashboard.url
    root.mkdir()
    arguments = ("submit", study, "--root", root, "--address", url, "--eager", "--no-mlflow")

    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True)
    first = dashboard.sweep(*arguments, "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    job_id = submission_id(load_study(study), "tiny", str(root))
    assert (said["job_id"], said["started"], said["root"]) == (job_id, True, str(root))
    assert said["seen_here"] is True
    assert said["fit"].startswith("2 packs × 1 CPU; the cluster has 2 CPUs: 1 wave")

    # While it runs: the same request is the same job.
    second = dashboard.sweep(*arguments, "--follow")
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"{job_id} runs already on {url}" in second.stdout
    assert "nothing was submitted" in second.stdout
    assert f"sweep logs tiny --root {root}" in second.stdout
    assert "2 finished" in second.stdout, "the job's own output is streamed"
    assert second.stdout.rstrip().endswith("SUCCEEDED")

    store = Store(root)
    assert store.trials("tiny")["status"].tolist() == ["finished", "finished"]
    assert sorted(store.metrics("tiny")["step"]) == sorted([0, 10, 20, 30, 40] * 2)
    record = store.sweep("tiny").sweep_record() or {}
    assert record["study_text"] == STUDY
    if commit.returncode == 0:
        # The code that was sent has no .git folder, and knows its commit all the same.
        assert record["git"]["commit"] == commit.stdout.strip()
    details = dashboard.asked(f"/api/jobs/{job_id}")
    assert details["status"] == "SUCCEEDED"
    assert details["metadata"].get("git_commit") == (record["git"] or {}).get("commit")
    assert details["metadata"]["root"] == str(root)
    assert not [name for name in os.listdir(root) if name.startswith(".")], "no token of a node is left"

    # After it has ended: a job of its own, which finds nothing left to train.
    again = dashboard.sweep(*arguments, "--follow")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{job_id}-2 submitted to {url}" in again.stdout
    assert "every planned pack is done" in again.stdout
    assert "0 packs trained" in again.stdout


def test_a_job_that_fails_is_an_exit_status(dashboard: Dashboard, study: Path, tmp_path: Path) -> None:
    arguments = ("submit", study, "--root", tmp_path, "--address", dashboard.url, "--no-mlflow", "--follow")
    # The study is refused by the driver: another one has its name already.
    Store(tmp_path).create("tiny").write_sweep_record({"study": "another", "scheduler": "fifo"})
    result = dashboard.sweep(*arguments)
    assert result.returncode == 1
    assert "runs the study 'another'" in result.stdout
    assert result.stdout.rstrip().endswith("FAILED")


def test_what_the_cluster_could_never_run_is_refused_before_it_is_submitted(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    result = dashboard.sweep(
        "submit", study, "--root", tmp_path, "--address", dashboard.url, "--device", "cuda"
    )
    assert result.returncode == 2
    assert "'cuda': the cluster has no GPU on any of its 2 nodes" in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_folder_of_this_machine_that_the_cluster_does_not_see_is_refused(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    needs_namespaces()
    place = tmp_path / "laptop"
    place.mkdir()
    inner = shlex.join(
        [
            *(sys.executable, "-c", "from sweep.cli import main; main()"),
            *("submit", str(study), "--address", dashboard.url),
        ]
    )
    result = subprocess.run(
        # Its own file system in place of that folder: as on a laptop, whose folders the cluster does not have.
        [
            *APART,
            "sh",
            "-c",
            f"mount -t tmpfs none {place} && cd {place} && {inner}; s=$?; ls -A {place}; exit $s",
        ],
        env={**dashboard.env, "SWEEP_ROOT": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 2, result.stdout + result.stderr
    assert f"'sweeps': it is the folder {place}/sweeps of this machine" in result.stderr
    assert "s3://bucket/folder" in result.stderr
    assert "sweeps" not in result.stdout.splitlines(), "nothing is left behind"


def test_a_root_that_one_node_does_not_share_is_refused_naming_the_node(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    needs_namespaces()
    root = tmp_path / "mount"
    root.mkdir()
    with node_apart(dashboard, root):
        result = dashboard.sweep("submit", study, "--root", root, "--address", dashboard.url)
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("  node")]
    assert line.startswith("  node node-apart on ")
    assert f"the root {root} is not shared: what others write there is not seen" in line
    assert not list(root.iterdir())


def test_a_bucket_that_the_cluster_cannot_reach_is_refused(dashboard: Dashboard, study: Path) -> None:
    missing = "s3://there-is-no-such-bucket/sweeps"
    result = dashboard.sweep("submit", study, "--root", missing, "--address", dashboard.url)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "the driver: the root cannot be written there" in result.stderr
    assert "Nothing was started" in result.stderr


def test_nodes_that_cannot_be_asked_end_the_submission_with_what_they_said(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    broken = tmp_path / "sent" / "sweep"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit('no such library here')")
    code = f"""
from cluster.asking import Here, ask_cluster
from cluster.jobs_api import connected
from pathlib import Path
with connected({dashboard.url!r}) as client, Here(Path({str(tmp_path)!r})) as here:
    ask_cluster(client, {str(broken.parent)!r}, "job", {str(tmp_path)!r}, here)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], env=dashboard.env, capture_output=True, text=True, timeout=120
    )
    assert "SweepError: the cluster's nodes could not be asked" in result.stderr
    assert "no such library here" in result.stderr


@pytest.mark.slow
def test_a_sweep_in_a_bucket_is_submitted_looked_at_and_stopped_from_here(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    study = tmp_path / "long.yaml"
    study.write_text(
        STUDY.replace("train_steps: 40", "train_steps: 2000000").replace("study: tiny", "study: long")
    )
    at = ("--root", dashboard.bucket)
    result = dashboard.sweep(
        "submit", study, *at, "--address", dashboard.url, "--eager", "--no-mlflow", "--max-hours", "1"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"sweep status long --root {dashboard.bucket}" in result.stdout

    status = wait_for_steps(dashboard, "long")
    assert {pack["state"] for pack in status["packs"]} == {"running"}
    pack = status["packs"][0]["pack_id"]
    log = dashboard.sweep("logs", "long", *at, "--tail", "3")
    assert log.returncode == 0, log.stderr
    assert 1 <= len(log.stdout.splitlines()) <= 3
    of_pack = dashboard.sweep("logs", "long", *at, "--pack", pack)
    assert f"host {socket.gethostname()}" in of_pack.stdout, of_pack.stderr
    unknown = dashboard.sweep("logs", "long", *at, "--pack", "nothing")
    assert unknown.returncode == 2
    assert "has no such pack" in unknown.stderr

    stopped = dashboard.sweep("stop", "long", *at)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert "2 packs that train will write a checkpoint and end" in stopped.stdout
    assert stopped.stdout.count("of 2,000,000 steps") == 2
    after = json.loads(dashboard.sweep("status", "long", *at, "--json").stdout)
    assert {one["state"] for one in after["packs"]} == {"planned"}
    assert all(one["step"] > 0 and one["error"] is None for one in after["packs"])
    again = dashboard.sweep("stop", "long", *at)
    assert again.returncode == 2
    assert "is not running" in again.stderr

    # What the cluster shows to all who see it, and what `ps` shows, has no key of the bucket.
    shown = json.dumps(dashboard.asked("/api/jobs/"))
    assert dashboard.env["AWS_SECRET_ACCESS_KEY"] not in shown


def test_a_cluster_that_wants_a_token_says_how_to_give_it(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    result = dashboard.sweep("submit", study, "--address", dashboard.url, env={"HOME": str(tmp_path)})
    assert result.returncode == 1
    assert "wants its token" in result.stderr
    assert "RAY_AUTH_MODE=token" in result.stderr


def wait_for_steps(dashboard: Dashboard, name: str) -> dict[str, object]:
    """The status once every pack has got on in this run."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        result = dashboard.sweep("status", name, "--root", dashboard.bucket, "--json")
        status = json.loads(result.stdout) if result.returncode == 0 else {"packs": []}
        packs = status["packs"]
        if packs and all(pack["state"] == "running" and pack["step"] > 0 for pack in packs):
            return dict(status)
        time.sleep(1)
    raise AssertionError(f"no pack gets on: {result.stdout}{result.stderr}")


def needs_namespaces() -> None:
    if subprocess.run([*APART, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let a process have mounts of its own")


@contextlib.contextmanager
def node_apart(dashboard: Dashboard, root: Path) -> Iterator[None]:
    """A node that has a file system of its own at `root`, as a machine that has not mounted it."""
    mark = next(
        process.environ()[MARK]
        for process in psutil.process_iter()
        if "node-1" in argument_of(process, dashboard)
    )
    old = next(process for process in psutil.process_iter() if "node-1" in argument_of(process, dashboard))
    ports = iter(free_ports(4))
    command, previous = list[str](), ""
    for one in old.cmdline():
        fresh = previous.startswith("--") and previous.endswith("-port") and one != "0"
        command.append("node-apart" if one == "node-1" else str(next(ports)) if fresh else one)
        previous = one
    script = f"mount -t tmpfs none {root} && exec {shlex.join(command)}"
    process = subprocess.Popen(
        [*APART, "sh", "-c", script],
        env={**old.environ(), MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_nodes(dashboard, 3)
        yield
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)
        wait_for_nodes(dashboard, 2)


def argument_of(process: psutil.Process, dashboard: Dashboard) -> list[str]:
    """The command of a node of this very cluster, else nothing."""
    with contextlib.suppress(psutil.Error):
        line = process.cmdline()
        if "--node-name" in line and dashboard.address in line:
            return line
    return []


def wait_for_nodes(dashboard: Dashboard, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        nodes = dashboard.asked("/nodes?view=summary")["data"]["summary"]
        if sum(node.get("raylet", {}).get("state") == "ALIVE" for node in nodes) == count:
            return
        time.sleep(0.5)
    raise AssertionError(f"the cluster does not come to {count} nodes")


def test_the_id_is_of_study_name_and_root_alone(study: Path, tmp_path: Path) -> None:
    loaded = load_study(study)
    one = submission_id(loaded, "my.sweep", "/mnt/a")
    assert one == submission_id(load_study(study), "my.sweep", "/mnt/a")
    assert one.startswith("rankscope-my-sweep-")
    study.write_text(STUDY.replace("1.0e-3", "2.0e-3"))
    others = {
        submission_id(loaded, "other", "/mnt/a"),
        submission_id(loaded, "my.sweep", "/mnt/b"),
        submission_id(load_study(study), "my.sweep", "/mnt/a"),
    }
    assert len(others | {one}) == 4


def test_what_is_sent_is_the_study_and_code_that_runs_by_itself(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    package_study(load_study(study), folder)
    assert (folder / "study.yaml").read_text() == STUDY
    assert {path.name for path in folder.iterdir()} == {
        *("agents", "cluster", "search_spaces", "sweep"),
        *("study.yaml", "rankscope-commit.json", "rankscope-requirements.txt"),
    }
    assert not [path for path in folder.rglob("*") if path.name == "__pycache__" or path.suffix == ".pyc"]
    asked = "import sweep, search_spaces; print(sweep.__file__); print(len(search_spaces.named_studies()))"
    said = subprocess.run(
        [sys.executable, "-c", asked], cwd=folder, capture_output=True, text=True, check=True
    )
    where, studies = said.stdout.splitlines()
    assert Path(where).is_relative_to(folder)
    assert int(studies) >= 1


def test_an_address_that_is_no_url_is_refused(study: Path) -> None:
    error = failure(study, "--address", "127.0.0.1:8265")
    assert isinstance(error, UsageError)
    assert "127.0.0.1:8265" in str(error)
    assert "http://127.0.0.1:8265" in str(error)


def test_an_address_where_nothing_answers_says_so(study: Path) -> None:
    error = failure(study, "--address", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in str(error)
    assert "nothing answers" in str(error)
    assert error.exit_code == 1


def test_a_name_that_could_leave_the_root_is_refused(study: Path) -> None:
    assert "../x" in str(failure(study, "--address", "http://127.0.0.1:9", "--name", "../x"))


def test_a_password_does_not_get_into_a_job(study: Path) -> None:
    error = failure(
        study, "--address", "http://127.0.0.1:9", "--mlflow-uri", "http://me:secret@mlflow.example.org"
    )
    assert isinstance(error, UsageError)
    assert "secret" not in str(error)
    assert "MLFLOW_TRACKING_PASSWORD" in str(error)


def test_the_address_of_a_message_does_not_get_into_a_job(study: Path) -> None:
    error = failure(study, "--address", "http://127.0.0.1:9", "--notify", "slack://token-a/token-b")
    assert isinstance(error, UsageError)
    assert "token-a" not in str(error)
    assert "env:NAME" in str(error)


def test_a_password_in_the_address_is_refused(study: Path) -> None:
    error = failure(study, "--address", "http://me:secret@127.0.0.1:9")
    assert isinstance(error, UsageError)
    assert "secret" not in str(error)
