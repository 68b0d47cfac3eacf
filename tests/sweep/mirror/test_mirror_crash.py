"""A mirror that dies at any moment, and the next one: no point lost, none twice, one run each."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mirror_studies import Mlflow, Study, truth

from sweep.mirror import MirrorProcess, mirror_status, start_mirror_process, sync
from sweep.mirror import follow as follow_module
from sweep.mirror.tracking import connect
from sweep.ui import MlflowServer

WRITES = frozenset(
    {"create_experiment", "create_run", "log_batch", "set_terminated", "update_run", "log_text", "set_tag"}
)


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches a SIGKILL."""


class MortalClient:
    """A real client of a process that dies after its n-th write, before it hears that it was done."""

    def __init__(self, client: Any, dies_at: int, writes: frozenset[str] = WRITES) -> None:
        self._client, self._dies_at, self._writes = client, dies_at, writes
        self._numbers = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in self._writes:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            number = next(self._numbers)
            answer = method(*arguments, **options)
            if number == self._dies_at:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("halfway", [False, True], ids=["fresh", "halfway"])
def test_death_at_any_write_is_made_good(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, halfway: bool
) -> None:
    template = tmp_path / "template"
    study = Study(template, members=2)
    shutil.copy(empty_database, template / "mlflow.db")
    study.commit("pack-0", 500)
    if halfway:
        sync(template, "demo")
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    writes, dead = 0, True
    while dead:
        writes += 1
        root = tmp_path / f"dies-at-{writes}"
        shutil.copytree(template, root)
        with monkeypatch.context() as patch:
            patch.setattr(follow_module, "connect", lambda uri, n=writes: MortalClient(connect(uri), n))
            try:
                sync(root, "demo")
                dead = False
            except Killed:
                dead = True
        sync(root, "demo")
        Mlflow(root / "mlflow.db").assert_complete(study)
    assert writes > (12 if halfway else 16)


class LateClient:
    """A real client whose first request for a trial's run is answered by nobody, and done a moment too late."""

    late: list[dict[str, Any]] | None = None

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_run(self, experiment_id: str, **options: Any) -> Any:
        if "rankscope.trial_id" not in options["tags"] or LateClient.late is None:
            return self._client.create_run(experiment_id, **options)
        if not LateClient.late:
            LateClient.late.append(options)
            raise ConnectionResetError("nobody answered")
        self._client.create_run(experiment_id, **LateClient.late.pop())
        LateClient.late = None
        return self._client.create_run(experiment_id, **options)


def test_a_run_that_was_made_after_all_is_not_left_beside_its_second(
    root: Path, mlflow_db: Mlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(root, packs=1).run_all()
    monkeypatch.setattr(LateClient, "late", [])
    monkeypatch.setattr(follow_module, "connect", lambda uri: LateClient(connect(uri)))
    sync(root, "demo")
    assert LateClient.late is None
    (created,) = mlflow_db.query("select count(*) from tags where key = 'rankscope.trial_id'")[0]
    assert created == len(study.trials) + 1
    mlflow_db.assert_complete(study)


@pytest.mark.parametrize("into", ["database", pytest.param("server", marks=pytest.mark.slow)])
def test_kill_9_at_random_moments(
    request: pytest.FixtureRequest, root: Path, mlflow_db: Mlflow, into: str
) -> None:
    """Into a server it writes several runs at a time."""
    uri = None
    if into == "server":
        uri, mlflow_db = request.getfixturevalue("server").url, request.getfixturevalue("server_db")
    name = f"killed-{into}"
    study = Study(
        root, name=name, members=8, train_steps=8_000, dense=("loss", "td_error", "q_mean", "grad_norm")
    )
    expected = sum(len(points) for points in truth(study.run_all()).values())
    seed = random.randrange(2**32)
    moments, counts = random.Random(seed), [0]
    for _ in range(3):
        mirror = start_mirror_process(root, name, uri, poll_seconds=0.1)
        more = counts[-1] + moments.uniform(0, 0.4) * (expected - counts[-1])
        wait_until_more(mlflow_db, name, more, mirror)
        os.kill(mirror.pid, signal.SIGKILL)
        assert mirror.stop(finish=True) == -signal.SIGKILL, f"seed {seed}: {mirror.log.read_text()}"
        counts.append(count(mlflow_db, name))
    assert 0 < counts[1] < expected, f"seed {seed}: killed at {counts} of {expected}"
    mirror = start_mirror_process(root, name, uri)
    assert mirror.stop(finish=True) == 0, mirror.log.read_text()
    mlflow_db.assert_complete(study)


def test_it_follows_a_sweep_live_and_finishes_when_told(
    server: MlflowServer, server_db: Mlflow, tmp_path: Path
) -> None:
    study = Study(tmp_path, name="live", packs=2)
    study.commit("pack-0", 300)
    with study.store.lock():
        mirror = start_mirror_process(tmp_path, "live", server.url, poll_seconds=0.1)
        # One full pass every 10 s sends what does not fill a request; the first comes at once.
        wait_for(lambda: sum(map(len, server_db.points("live").values())) > 0, mirror)
        study.commit("pack-0", 1000)
        study.finish("pack-0")
        # A trial that has ended does not wait.
        wait_for(lambda: finished(server_db, "live") == 3, mirror)
        assert mirror_status(tmp_path, "live", server.url).pid == mirror.pid
        study.commit("pack-1", 1000)
        study.finish("pack-1")
        assert mirror.stop(finish=True) == 0, mirror.log.read_text()
    server_db.assert_complete(study)
    assert mirror_status(tmp_path, "live", server.url).state == "complete"
    assert mirror_status(tmp_path, "live", server.url).pid is None
    [(location,)] = server_db.query(
        "select artifact_uri from runs r join tags t on t.run_uuid = r.run_uuid and t.key = 'rankscope.kind'"
        " join tags s on s.run_uuid = r.run_uuid and s.key = 'rankscope.sweep'"
        " where t.value = 'sweep' and s.value = 'live'"
    )
    assert location.startswith("mlflow-artifacts:/")


def test_a_server_that_was_away_gets_everything_later(
    server: MlflowServer, server_db: Mlflow, tmp_path: Path
) -> None:
    study = Study(tmp_path, name="outage", packs=2)
    study.commit("pack-0", 400)
    mirror = start_mirror_process(tmp_path, "outage", server.url, poll_seconds=0.1)
    wait_for(lambda: sum(map(len, server_db.points("outage").values())) > 0, mirror)
    server.stop()
    try:
        study.commit("pack-0", 1000)
        study.finish("pack-0")
        study.commit("pack-1", 600)
        wait_for(lambda: mirror_status(tmp_path, "outage", server.url).state == "waiting", mirror)
        assert "does not answer" in mirror_status(tmp_path, "outage", server.url).message
        study.commit("pack-1", 1000)
        study.finish("pack-1")
    finally:
        server.start()
    assert mirror.stop(finish=True) == 0, mirror.log.read_text()
    server_db.assert_complete(study)


def test_a_server_that_stays_away_is_for_sync(
    server: MlflowServer, server_db: Mlflow, tmp_path: Path
) -> None:
    study = Study(tmp_path, name="later", packs=1)
    nowhere = "http://127.0.0.1:9"
    once = subprocess.run(
        [sys.executable, "-c", "import sys; from sweep.mirror import process, follow\n"
         "process.Pace = lambda poll: follow.Pace(poll=poll, patience=0.0)\n"
         "sys.exit(process.main(sys.argv[1:]))",
         "--root", str(tmp_path), "--name", "later", "--tracking-uri", nowhere, "--once"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert once.returncode == 3
    assert "sweep sync" in once.stderr
    study.run_all()
    sync(tmp_path, "later", server.url)
    server_db.assert_complete(study)


def test_a_mirror_ends_with_the_process_that_started_it(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root, packs=1)
    study.commit("pack-0", 500)
    driver = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from sweep.mirror import start_mirror_process\n"
         "print(start_mirror_process(sys.argv[1], 'demo', poll_seconds=0.1).pid, flush=True)\n"
         "time.sleep(600)",
         str(root)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(driver.stdout.readline())
    wait_for(lambda: mirror_status(root, "demo").state == "following")
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    driver.kill()
    driver.wait()
    # The next driver's mirror waits for the orphan to end, and then goes on.
    mirror = start_mirror_process(root, "demo", poll_seconds=0.1)
    wait_for(lambda: not alive(pid))
    wait_for(lambda: mirror_status(root, "demo").pid == mirror.pid, mirror)
    assert mirror.stop(finish=True) == 0, mirror.log.read_text()
    mlflow_db.assert_complete(study)


def test_a_mirror_told_to_quit_ends_at_once(root: Path) -> None:
    Study(root, packs=1).commit("pack-0", 500)
    mirror = start_mirror_process(root, "demo", "http://127.0.0.1:9")
    wait_for(lambda: mirror_status(root, "demo", "http://127.0.0.1:9").state == "waiting", mirror)
    began = time.monotonic()
    assert mirror.stop(finish=False) == 0
    assert time.monotonic() - began < 5
    assert mirror_status(root, "demo", "http://127.0.0.1:9").state == "stopped"


def test_the_password_of_a_uri_is_in_no_file_and_no_argument(root: Path) -> None:
    Study(root, packs=1)
    uri = "http://user:secret@127.0.0.1:9"
    mirror = start_mirror_process(root, "demo", uri)
    wait_for(lambda: mirror_status(root, "demo", uri).state == "waiting", mirror)
    assert b"secret" not in Path(f"/proc/{mirror.pid}/cmdline").read_bytes()
    mirror.stop(finish=False)
    for path in (root / "store" / "demo" / "mirror").iterdir():
        assert b"secret" not in path.read_bytes(), path


def wait_until_more(database: Mlflow, name: str, points: float, mirror: MirrorProcess) -> None:
    """Or until the mirror has ended."""
    wait_for(lambda: count(database, name) > points or mirror.poll() is not None)


def count(database: Mlflow, name: str) -> int:
    """Points of a sweep."""
    [(points,)] = database.query(
        "select count(*) from metrics m join tags t on t.run_uuid = m.run_uuid and t.key = 'rankscope.sweep'"
        " where t.value = ?",
        name,
    )
    return int(points)


def finished(database: Mlflow, name: str) -> int:
    # In this order: a run that is made between the two readings has a status then.
    made = database.trial_runs(name)
    status = dict(database.query("select run_uuid, status from runs"))
    return sum(status[runs[0]] == "FINISHED" for runs in made.values())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Any, mirror: MirrorProcess | None = None, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert mirror is None or mirror.poll() is None, mirror.log.read_text()
        assert time.monotonic() < deadline, "it did not come to pass" + (
            mirror.log.read_text() if mirror else ""
        )
        time.sleep(0.02)
