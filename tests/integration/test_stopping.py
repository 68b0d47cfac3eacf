"""A sweep that is asked to stop, by the system, by a person or by its budget, ends gently and goes on later."""

from __future__ import annotations

import copy
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from drills import STUDY, Drill, contiguous, gone, metrics

MakeDrill = Callable[..., Drill]


def long_study(packs: int, steps: int) -> dict[str, Any]:
    """One trial a pack, long enough to be stopped in the middle."""
    study = copy.deepcopy(STUDY)
    study["base"]["train_steps"] = steps
    study["protocol"]["checkpoint_every_steps"] = steps
    study["spaces"] = [{"name": "sizes", "axes": {"batch_size": [16 * (1 + i) for i in range(packs)]}}]
    return study


def statuses(drill: Drill) -> dict[str, int]:
    counts = drill.store.trials()["status"].value_counts()
    return {str(status): int(count) for status, count in counts.items()}


def last_checkpoint(drill: Drill, pack: str) -> int:
    folder = drill.root / "checkpoints" / drill.name / pack
    return max(int(path.stem.split("-")[1]) for path in folder.glob("a*.pt"))


def assert_stopped_gently(drill: Drill, packs: int) -> None:
    """What trained has a checkpoint at its last row, what had not begun has none, and nothing has failed."""
    assert statuses(drill) == {"planned": packs}
    assert drill.store.failures() == {}
    begun = [pack for pack, attempts in drill.attempts().items() if attempts]
    assert 1 <= len(begun) <= 2, "no further pack began"
    for pack in begun:
        step = drill.store.last_step(pack)
        assert step is not None
        assert 0 < step < drill.study["base"]["train_steps"]
        assert last_checkpoint(drill, pack) == step


@pytest.mark.slow
def test_sigterm_to_the_driver_stops_the_sweep_gently_and_the_same_command_goes_on(
    new_drill: MakeDrill, environment: dict[str, str]
) -> None:
    drill = new_drill(long_study(packs=4, steps=60_000))
    command = drill.start_run()
    command.until(lambda: drill.checkpointed(0), "a pack trains")
    os.kill(command.pid, signal.SIGTERM)
    ended = command.wait()
    assert ended.code == 1
    assert "stopped: SIGTERM: the system asked the driver to end" in ended.output
    assert "the same command goes on" in ended.output
    assert "tiny: 4 planned; 0 packs trained in" in ended.output
    assert set(pd.read_parquet(drill.store.layout.trials)["status"]) == {"planned"}
    assert not gone(environment)
    assert_stopped_gently(drill, packs=4)

    status = drill.sweep("status", drill.name).ok().output
    assert "stopped: SIGTERM" in status
    assert "goes on with the same command" in status

    before = {pack: drill.store.last_step(pack) for pack in drill.packs()}
    command = drill.start_run()
    command.until(lambda: 2 in drill.attempts().values(), "a stopped pack goes on")
    assert drill.store.stop_request() is None, "the new command cleared the request"
    (again,) = [pack for pack, attempts in drill.attempts().items() if attempts == 2][:1]
    assert drill.store.attempts(again)[1]["resume_step"] == before[again]
    # A second signal does not wait.
    os.kill(command.pid, signal.SIGTERM)
    time.sleep(0.5)
    os.kill(command.pid, signal.SIGTERM)
    ended = command.wait()
    assert (ended.code, "interrupted" in ended.output) == (1, True)
    assert contiguous(metrics(drill.root), 50)


@pytest.mark.slow
def test_a_request_in_the_store_and_a_budget_stop_a_sweep_on_a_cluster_that_others_use(
    new_drill: MakeDrill, cluster: str
) -> None:
    drill = new_drill(long_study(packs=4, steps=60_000), address=cluster)
    command = drill.start_run("--json")
    command.until(lambda: drill.checkpointed(0), "a pack trains")
    drill.store.request_stop("sweep stop, by a person")
    ended = command.wait()
    assert ended.code == 1
    said = json.loads(ended.output[ended.output.index("{\n") :])
    assert said["stopped"] == "sweep stop, by a person"
    assert said["failures"] == {}
    assert_stopped_gently(drill, packs=4)

    ended = drill.run("--max-hours", "0.0002")
    assert ended.code == 1
    assert "stops after 0.0002 h" in ended.output
    assert "stopped: --max-hours 0.0002 is used up" in ended.output
    assert statuses(drill) == {"planned": 4}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-hours", "0"), "--max-hours 0.0: it must be more than 0 hours"),
        (("--max-gpu-hours", "-1"), "--max-gpu-hours -1.0: it must be more than 0 hours"),
        (("--max-gpu-hours", "1"), "this sweep trains on processors and uses no card"),
    ],
)
def test_budgets_that_cannot_be_are_refused(
    new_drill: MakeDrill, cluster: str, options: tuple[str, ...], said: str
) -> None:
    drill = new_drill(address=cluster)
    ended = drill.run(*options)
    assert ended.code == 2
    assert said in ended.output


def test_a_sweep_can_be_stopped_while_its_data_are_made(new_drill: MakeDrill, cluster: str) -> None:
    study = copy.deepcopy(STUDY)
    (recipe,) = study["datasets"].values()
    recipe["collect"]["steps"] = 2_000_000
    study["datasets"] = {"catch-long": recipe}
    study["base"]["dataset"] = "catch-long"
    drill = new_drill(study, address=cluster)
    command = drill.start_run()
    command.until((drill.root / "datasets" / ".making-catch-long").exists, "collecting began")
    drill.store.request_stop("enough")
    ended = command.wait()
    assert ended.code == 1
    assert "tiny: no trials yet; 0 packs trained in" in ended.output
    assert "stopped: enough" in ended.output
    assert drill.packs() == []
    assert "stopped: enough; goes on with the same command" in drill.sweep("status", drill.name).ok().output
