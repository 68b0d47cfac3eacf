"""`kill -9` of the command at any moment: the same command again ends in the same store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from drills import STUDY, Drill, assert_mlflow_complete, assert_same_store, contiguous, gone, metrics

MakeDrill = Callable[..., Drill]


def test_an_undisturbed_run_has_every_row_once_and_all_of_it_in_mlflow(undisturbed: Drill) -> None:
    rows = metrics(undisturbed.root)
    assert len(undisturbed.packs()) == 2
    assert rows.groupby("trial_id").size().tolist() == [33] * 6
    assert contiguous(rows, 50)
    assert set(undisturbed.attempts().values()) == {1}
    assert_mlflow_complete(undisturbed.root / "mlflow.db", undisturbed.root / "mlflow.db")


@pytest.mark.slow
def test_driver_killed_while_collecting_training_and_finishing(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str, environment: dict[str, str]
) -> None:
    drill = new_drill(folder="killed")
    drill_datasets = drill.root / "datasets"
    for path in sorted(drill_datasets.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    # While the dataset is collected.
    command = drill.start_run(mlflow=True)
    command.until((drill_datasets / ".making-catch-tiny").exists, "collecting began")
    command.kill()
    assert not (drill_datasets / "catch-tiny").exists()
    assert drill.packs() == []

    # While packs train: at once, with what the killed one left behind still dying.
    command = drill.start_run(mlflow=True)
    command.until(lambda: drill.checkpointed(200), "a checkpoint was written")
    time.sleep(random.uniform(0, 0.3))
    command.kill()
    assert drill.store.packs_done() == set(), "the study is too short to be killed in the middle"
    killed_at = len(metrics(drill.root))
    assert not gone(environment), "processes of the killed command are still there"

    # When all packs are done, while tables are compacted and MLflow is finished.
    drill.address = cluster
    command = drill.start_run(mlflow=True)
    command.until(lambda: len(drill.store.packs_done()) == 2, "both packs were done")
    time.sleep(random.uniform(0, 0.5))
    command.kill()
    attempts = drill.attempts()
    assert max(attempts.values()) == 2
    assert 0 < killed_at < len(metrics(drill.root))

    drill.start_run(mlflow=True).wait().ok()
    assert drill.attempts() == attempts, "finished packs were trained again"
    assert_same_store(drill.root, undisturbed.root)
    assert_mlflow_complete(drill.root / "mlflow.db", undisturbed.root / "mlflow.db")


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(3))
def test_driver_killed_again_and_again_at_random_moments(
    new_drill: MakeDrill, undisturbed: Drill, round_: int
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    moments = random.Random(seed)
    drill = new_drill(STUDY, folder=f"random-{round_}")
    for _ in range(6):
        command = drill.start_run(mlflow=True)
        patience = moments.uniform(1.0, 14.0)
        while command.running and time.monotonic() - command.began < patience:
            time.sleep(0.02)
        if not command.running:
            break
        command.kill()
    drill.start_run(mlflow=True).wait().ok()
    assert_same_store(drill.root, undisturbed.root)
    assert_mlflow_complete(drill.root / "mlflow.db", undisturbed.root / "mlflow.db")
