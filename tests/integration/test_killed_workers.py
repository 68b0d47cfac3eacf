"""`kill -9` of training workers and of the mirror, processes that come back from the dead, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from drills import Command, Drill, assert_mlflow_complete, assert_same_store, gone, marked, mlflow_runs

MakeDrill = Callable[..., Drill]


def test_a_killed_worker_is_replaced_and_the_store_is_the_same(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str
) -> None:
    drill, command, victim = _training(new_drill, cluster, 200)
    time.sleep(random.uniform(0, 0.2))
    assert victim not in drill.store.packs_done(), "the study is too short to be killed in the middle"
    pid = drill.store.attempts(victim)[-1]["pid"]
    assert "ray::" in psutil.Process(pid).cmdline()[0]
    os.kill(pid, signal.SIGKILL)
    command.wait().ok()
    assert drill.attempts() == {pack: 2 if pack == victim else 1 for pack in drill.packs()}
    assert drill.store.attempts(victim)[1]["resume_step"] >= 200
    assert_same_store(drill.root, undisturbed.root)


@pytest.mark.slow
def test_a_worker_that_is_killed_each_time_fails_with_its_reason_and_is_gone_on_with_later(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str
) -> None:
    drill, command, victim = _training(new_drill, cluster, 0)
    # Four deaths at one place; one that had got on before it was killed does not count.
    for attempt in range(20):
        command.until(
            lambda number=attempt: not command.running or _started(drill, victim, number),
            f"attempt {attempt}",
        )
        if not command.running:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(drill.store.attempts(victim)[attempt]["pid"], signal.SIGKILL)
    ended = command.wait()
    assert ended.code == 1
    assert f"failed {victim}: its process died" in ended.output
    assert "its process died" in drill.sweep("status", "tiny").ok().output
    drill.run().ok()
    assert_same_store(drill.root, undisturbed.root)


@pytest.mark.slow
def test_a_killed_mirror_is_made_up_for_by_sync(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, environment: dict[str, str]
) -> None:
    drill = new_drill(address=cluster)
    database = drill.root / "mlflow.db"
    command = drill.start_run(mlflow=True)
    command.until(lambda: database.exists() and _has_runs(database), "runs were made")
    (mirror,) = [p for p in marked(environment) if "sweep.mirror" in p.cmdline()]
    mirror.kill()
    ended = command.wait().ok()
    assert "sweep sync tiny" in ended.output
    assert_same_store(drill.root, undisturbed.root)
    drill.sweep("sync", "tiny").ok()
    assert_mlflow_complete(database, undisturbed.root / "mlflow.db")


@pytest.mark.slow
def test_a_second_command_is_refused_and_ctrl_c_is_gone_on_from(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, environment: dict[str, str]
) -> None:
    drill = new_drill()
    command = drill.start_run()
    command.until(drill.packs, "packs were planned")
    second = drill.start_run().wait()
    assert command.running, "the study is too short for a second command beside the first"
    assert second.code == 1
    assert f"owned by process {command.pid} on host {os.uname().nodename}" in second.output

    command.until(lambda: drill.checkpointed(200), "a checkpoint was written")
    command.interrupt()
    ended = command.wait()
    assert ended.code == 1
    assert "interrupted" in ended.output
    assert "the same command goes on from there" in ended.output
    assert "Tuner.restore" not in ended.output
    assert not gone(environment)
    statuses = set(drill.store.trials()["status"])
    assert "running" not in statuses

    drill.address = cluster
    drill.run().ok()
    assert_same_store(drill.root, undisturbed.root)


def _training(new_drill: MakeDrill, cluster: str, step: int) -> tuple[Drill, Command, str]:
    """A drill, its `sweep run` under way, and a pack of it that has a checkpoint at `step` or later."""
    drill = new_drill(address=cluster)
    command = drill.start_run()
    command.until(lambda: drill.checkpointed(step), f"a checkpoint at step {step} was written")
    return drill, command, drill.checkpointed(step)[0]


def _started(drill: Drill, pack: str, attempt: int) -> bool:
    return len(drill.store.attempts(pack)) > attempt


def _has_runs(database: object) -> bool:
    try:
        return len(mlflow_runs(database)) > 0  # type: ignore[arg-type]
    except Exception:  # the tables are being made
        return False
