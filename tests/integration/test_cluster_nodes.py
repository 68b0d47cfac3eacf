"""Nodes of a cluster that die while packs train on them: three nodes of real processes each, joined by others."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_drills import CHECKPOINT_EVERY, LONGER_STUDY, preempt
from drills import Drill, assert_mlflow_complete, assert_same_store, copy_datasets, mlflow_runs
from nodes import Nodes, several_nodes
from object_store import ObjectStore

from sweep.store import Store
from sweep.store.places import root_place

MakeDrill = Callable[..., Drill]
pytestmark = pytest.mark.slow

SKEW = """\
import os, time
_skew, _time, _time_ns = float(os.environ["DRILL_CLOCK_SKEW"]), time.time, time.time_ns
time.time = lambda: _time() + _skew
time.time_ns = lambda: _time_ns() + int(_skew * 1e9)
"""
"""A `sitecustomize` that gives every Python process of a node a wrong wall clock."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[ObjectStore]:
    with ObjectStore() as store:
        before = dict(os.environ)
        os.environ.update(store.env)
        yield store
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def longer(
    session_environment: dict[str, str],
    undisturbed: Drill,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: str,
) -> Drill:
    """The longer study, run once without any disturbance, with MLflow. Not to be changed."""
    root = tmp_path_factory.mktemp("longer") / "root"
    copy_datasets(undisturbed.root, root)
    drill = Drill(root, session_environment, LONGER_STUDY, address=cluster)
    drill.start_run(mlflow=True).wait().ok()
    return drill


@pytest.fixture
def nodes(environment: dict[str, str]) -> Iterator[Nodes]:
    with several_nodes(environment, 3) as cluster:
        yield cluster


@pytest.fixture
def in_bucket(
    bucket: ObjectStore, environment: dict[str, str], undisturbed: Drill, tmp_path: Path
) -> Callable[[], Drill]:
    """Makes a drill whose root is in a bucket, with the dataset in it; its nodes know the bucket's credentials."""
    environment.update(bucket.env)
    environment["XDG_CACHE_HOME"] = str(tmp_path / "node-cache")

    def make() -> Drill:
        root = root_place(bucket.fresh_root())
        copy_datasets(undisturbed.root, root)
        return Drill(root, environment, LONGER_STUDY, study_file=tmp_path / "longer.yaml")

    return make


def test_ten_nodes_are_killed_one_after_another_and_the_store_is_the_same(
    new_drill: MakeDrill, longer: Drill, nodes: Nodes
) -> None:
    drill = new_drill(LONGER_STUDY, address=nodes.address)
    record = preempt(drill, drill.start_run(), nodes, 10, random.Random(2), print)
    assert len(record.deaths) == nodes.kills == 10
    assert record.resumed_packs > 0
    assert record.most_wasted <= CHECKPOINT_EVERY, "more than one checkpoint's interval was lost by a kill"
    assert drill.store.failures() == {}
    assert_same_store(drill.root, longer.root)


def test_packs_of_a_killed_node_go_on_elsewhere_with_the_store_in_a_bucket(
    in_bucket: Callable[[], Drill], longer: Drill, environment: dict[str, str]
) -> None:
    drill = in_bucket()
    with several_nodes(environment, 3) as nodes:
        drill.address = nodes.address
        record = preempt(drill, drill.start_run(), nodes, 2, random.Random(1), print)
    assert record.resumed_packs > 0
    assert record.most_wasted <= CHECKPOINT_EVERY
    assert_same_store(drill.root, longer.root)


def test_the_bucket_fails_throttles_and_goes_away_for_a_minute_while_three_nodes_train(
    in_bucket: Callable[[], Drill], longer: Drill, environment: dict[str, str], bucket: ObjectStore
) -> None:
    drill = in_bucket()
    with several_nodes(environment, 3) as nodes:
        drill.address = nodes.address
        command = drill.start_run()
        command.until(lambda: drill.checkpointed(CHECKPOINT_EVERY), "a checkpoint was written")
        bucket.fail_share(0.3, 10)
        command.until(lambda: drill.checkpointed(2 * CHECKPOINT_EVERY), "it went on while being throttled")
        bucket.away(60)
        ended = command.wait().ok()
    assert drill.store.failures() == {}
    assert set(drill.attempts().values()) == {1}, f"nothing had to be started again:\n{ended.output}"
    assert_same_store(drill.root, longer.root)


def test_after_the_driver_and_then_the_head_have_died_the_same_command_finishes_what_is_left(
    new_drill: MakeDrill, longer: Drill, environment: dict[str, str]
) -> None:
    drill = new_drill(LONGER_STUDY)
    with several_nodes(environment, 3) as nodes:
        drill.address = nodes.address
        command = drill.start_run(mlflow=True)
        command.until(lambda: len(drill.checkpointed(CHECKPOINT_EVERY)) == 3, "all have a checkpoint")
        command.kill()

        before = drill.attempts()
        command = drill.start_run(mlflow=True)
        command.until(
            lambda: sum(drill.attempts().values()) > sum(before.values()), "packs were gone on with"
        )
        command.until(lambda: drill.checkpointed(2 * CHECKPOINT_EVERY), "a further checkpoint was written")
        nodes.kill_head()
        lost = command.wait()
        assert lost.code != 0

    done = drill.store.packs_done()
    with several_nodes(environment, 2) as others:
        drill.address = others.address
        attempts = drill.attempts()
        drill.start_run(mlflow=True).wait().ok()
    assert {pack: drill.attempts()[pack] for pack in done} == {pack: attempts[pack] for pack in done}
    assert all(two["resume_step"] >= 0 for pack in drill.packs() for two in drill.store.attempts(pack)[1:])
    assert_same_store(drill.root, longer.root)
    drill.sweep("sync", "tiny").ok()
    assert not mlflow_runs(drill.root / "mlflow.db")["trial_id"].duplicated().any()
    assert_mlflow_complete(drill.root / "mlflow.db", longer.root / "mlflow.db")


def test_two_clusters_that_run_one_sweep_by_mistake(
    in_bucket: Callable[[], Drill], longer: Drill, environment: dict[str, str]
) -> None:
    drill = in_bucket()
    with several_nodes(environment, 2) as nodes, several_nodes(environment, 1) as others:
        drill.address = nodes.address
        first = drill.start_run()
        first.until(lambda: drill.checkpointed(CHECKPOINT_EVERY), "a checkpoint was written")
        drill.address = others.address
        second = drill.start_run().wait()
        assert second.code == 1
        assert f"owned by process {first.pid}" in second.output
        assert first.running

        first.kill()
        drill.start_run().wait().ok()
    assert_same_store(drill.root, longer.root)


def test_nodes_whose_clocks_are_days_apart(
    new_drill: MakeDrill, longer: Drill, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "skew").mkdir()
    (tmp_path / "skew" / "sitecustomize.py").write_text(SKEW)
    drill = new_drill(LONGER_STUDY)

    def wrong_by(days: float) -> dict[str, str]:
        path = os.pathsep.join([str(tmp_path / "skew"), *filter(None, [environment.get("PYTHONPATH")])])
        return {**environment, "PYTHONPATH": path, "DRILL_CLOCK_SKEW": str(days * 86400)}

    with several_nodes(environment, 0) as nodes:
        for days in (2.0, -2.0, 1.0):
            nodes.add(wrong_by(days))
        drill.address = nodes.address
        command = drill.start_run()
        command.until(lambda: drill.checkpointed(CHECKPOINT_EVERY), "a checkpoint was written")
        # The pack on the node that is most ahead goes on where the clock is far behind, or right.
        ahead = nodes.ids()[0]
        command.until(lambda: _node_trains(drill, ahead), "the node that is ahead trains")
        nodes.kill(ahead)
        nodes.add()
        command.wait().ok()
    assert_same_store(drill.root, longer.root)
    times = Store(drill.root).metrics("tiny")["wall_time"]
    assert times.max() - times.min() > 86400, "the clocks were not wrong, so nothing was shown"


def _node_trains(drill: Drill, node: str) -> bool:
    running = set(drill.packs()) - drill.store.packs_done()
    newest = [drill.store.attempts(pack)[-1:] for pack in running]
    return any(one["node"] == node for attempts in newest for one in attempts)
