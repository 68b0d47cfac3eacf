"""`sync` against a real MLflow database: everything once, equal to the store, whatever happened before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mirror_studies import START, Mlflow, Study, truth

from sweep.errors import CorruptSegmentError, LockedError, UsageError
from sweep.mirror import MirrorError, TrackingUnavailable, mirror_status, sync
from sweep.mirror.registry import REPLACED
from sweep.mirror.tracking import client_settings, connect
from sweep.mirror.watermark import MirrorPaths
from sweep.store.lock import locked


def test_every_trial_has_one_run_with_the_points_of_the_store(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root).run_all()
    seen = []
    summary = sync(root, "demo", progress=lambda now: seen.append(now.metrics_sent))
    mlflow_db.assert_complete(study)
    points = sum(len(of) for of in truth(study).values())
    assert points > 150
    assert (summary.trials, summary.ended, summary.runs_created) == (6, 6, 6)
    assert summary.metrics_sent == points == seen[-1]
    assert mirror_status(root, "demo").state == "complete"
    assert mirror_status(root, "demo").experiment_id == summary.experiment_id != ""


def test_a_second_sync_sends_nothing(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root).run_all()
    sync(root, "demo")
    again = sync(root, "demo")
    assert (again.runs_created, again.metrics_sent) == (0, 0)
    mlflow_db.assert_complete(study)


def test_runs_have_readable_names_params_tags_times_and_one_parent(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root).run_all()
    sync(root, "demo")
    trial = study.trials.iloc[4]
    [run] = mlflow_db.trial_runs()[trial.trial_id]
    [(name, status, start, end)] = mlflow_db.query(
        "select name, status, start_time, end_time from runs where run_uuid = ?", run
    )
    assert (name, status) == ("tanh lr=0.0002 seed=1", "FINISHED")
    assert start == round(START * 1000)
    assert end == round((START + 1000 * 0.0131) * 1000)
    params = mlflow_db.params(run)
    assert params["learning_rate"] == "0.0002"
    assert params["hidden_sizes"] == "[64, 64]"
    assert params["reward_clip"] == "None"
    assert (params["seed"], params["train_steps"], params["activation"]) == ("1", "1000", "tanh")
    tags = mlflow_db.tags(run)
    assert tags["rankscope.trial_id"] == trial.trial_id
    assert tags["rankscope.spaces"] == "broad"
    assert tags["rankscope.pack_id"] == "pack-1"
    assert tags["rankscope.status"] == "finished"
    assert tags["rankscope.configuration"] == "tanh lr=0.0002"
    [(parent, parent_name, parent_status)] = mlflow_db.query(
        "select r.run_uuid, r.name, r.status from runs r join tags t on t.run_uuid = r.run_uuid"
        " where t.key = 'rankscope.kind' and t.value = 'sweep'"
    )
    assert (parent_name, parent_status) == ("demo", "FINISHED")
    for runs in mlflow_db.trial_runs().values():
        assert mlflow_db.tags(runs[0])["mlflow.parentRunId"] == parent
    tags = mlflow_db.tags(parent)
    assert tags["mlflow.source.git.commit"] == "0123456789abcdef"
    assert tags["rankscope.trials.finished"] == "6"
    [(location,)] = mlflow_db.query("select artifact_uri from runs where run_uuid = ?", parent)
    assert (root / "mlartifacts").as_uri() in location
    folder = Path(location.removeprefix("file://"))
    assert (folder / "study.yaml").read_text() == study.store.sweep_record()["study_text"]
    assert json.loads((folder / "sweep.json").read_text())["versions"] == {"torch": "2.13.0"}


def test_nan_is_kept_apart_from_not_measured_and_infinity_is_the_largest_number(
    root: Path, mlflow_db: Mlflow
) -> None:
    study = Study(root, packs=1)
    study.commit(
        "pack-0", 1000, td_error=lambda rows: np.where(rows.step >= 500, np.nan, 1e300),
        q_mean=lambda rows: [{300: np.inf, 400: -np.inf, 700: float("nan")}.get(step) for step in rows.step],
    )  # fmt: skip
    study.finish("pack-0")
    sync(root, "demo")
    trial = study.trials.trial_id[0]
    points = mlflow_db.points()
    biggest = np.finfo(float).max
    assert [(step, value) for step, _, value in points[trial, "q_mean"]] == [
        (300, biggest), (400, -biggest), (700, None),
    ]  # fmt: skip
    assert [step for step, _, value in points[trial, "td_error"] if value is None] == [
        500,
        600,
        700,
        800,
        900,
        1000,
    ]
    mlflow_db.assert_complete(study)
    assert sync(root, "demo").metrics_sent == 0


def test_a_long_series_is_thinned_to_the_first_of_each_interval_and_the_last(
    root: Path, mlflow_db: Mlflow
) -> None:
    study = Study(root, packs=1, members=1, train_steps=26_090, log_every=10)
    # Live, in several sittings, so that the thinning has to go on where it stopped.
    for last in (7_770, 7_780, 20_000, 26_090):
        study.commit("pack-0", last)
        if last < 20_000:
            sync(root, "demo")
    study.finish("pack-0")
    sync(root, "demo")
    trial = study.trials.trial_id[0]
    every, some = truth(study)[trial, "loss"], mlflow_db.points()[trial, "loss"]
    width = 50  # the least of 1, 2, 5, 10, ... with 26,090 / width <= 1000
    expected, intervals = [], set()
    for point in every:
        if point[0] // width not in intervals:
            expected.append(point)
            intervals.add(point[0] // width)
    assert every[-1] not in expected
    expected.append(every[-1])
    assert some == expected
    assert 500 <= len(some) <= 1002
    assert some[0] == every[0]


def test_statuses_follow_the_trials_through_failure_and_divergence(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 500)
    study.commit("pack-1", 300)
    study.store.fail_pack("pack-1", 0, {"reason": "out of memory"})

    def statuses() -> list[str]:
        found = dict(mlflow_db.query("select run_uuid, status from runs"))
        return [found[mlflow_db.trial_runs()[trial][0]] for trial in study.trials.trial_id]

    with study.store.lock():
        sync(root, "demo")
        assert statuses() == ["RUNNING"] * 3 + ["FAILED"] * 3
    [run] = mlflow_db.trial_runs()[study.trials.trial_id[3]]
    assert mlflow_db.tags(run)["rankscope.error"] == "out of memory"
    sync(root, "demo")
    assert statuses() == ["SCHEDULED"] * 3 + ["FAILED"] * 3
    study.commit("pack-1", 600, attempt=True)
    with study.store.lock():
        sync(root, "demo")
        assert statuses() == ["RUNNING"] * 6
    study.commit("pack-0", 1000)
    study.finish("pack-0", **{study.trials.trial_id[1]: {"status": "diverged", "diverged_step": 512}})
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    sync(root, "demo")
    assert statuses() == ["FINISHED", "KILLED", "FINISHED", "FINISHED", "FINISHED", "FINISHED"]
    [run] = mlflow_db.trial_runs()[study.trials.trial_id[1]]
    assert mlflow_db.tags(run)["rankscope.diverged_step"] == "512"


def test_rows_that_a_later_attempt_repeats_are_in_mlflow_once(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root, packs=1)
    study.commit("pack-0", 700)
    sync(root, "demo")
    study.commit("pack-0", 1000, attempt=True, resume=400)
    study.finish("pack-0")
    sync(root, "demo")
    without_times = [
        {series: [(step, value) for step, _, value in points] for series, points in found.items()}
        for found in (mlflow_db.points(), truth(study))
    ]
    assert without_times[0] == without_times[1]


def test_a_database_that_was_lost_is_filled_again_from_the_store(
    root: Path, mlflow_db: Mlflow, empty_database: Path
) -> None:
    study = Study(root)
    study.commit("pack-0", 1000)
    sync(root, "demo")
    (root / "mlflow.db").write_bytes(empty_database.read_bytes())
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    sync(root, "demo")
    mlflow_db.assert_complete(study)


def test_a_database_put_back_from_an_older_copy_is_completed(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 300)
    sync(root, "demo")
    old = (root / "mlflow.db").read_bytes()
    study.commit("pack-0", 700)
    sync(root, "demo")
    (root / "mlflow.db").write_bytes(old)
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    sync(root, "demo")
    mlflow_db.assert_complete(study)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 1, "cursors": {}, "novel": 1}', b"[]"])
def test_a_lost_or_damaged_watermark_does_no_harm(root: Path, mlflow_db: Mlflow, damage: bytes) -> None:
    study = Study(root, packs=1)
    study.commit("pack-0", 500)
    sync(root, "demo")
    watermark = MirrorPaths.of(root / "store" / "demo", study.root_uri).watermark
    assert json.loads(watermark.read_text())["cursors"] == {"pack-0": [0, 0]}
    watermark.write_bytes(damage)
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    sync(root, "demo")
    mlflow_db.assert_complete(study)


def test_compaction_between_two_syncs_loses_and_repeats_nothing(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 400)
    sync(root, "demo")
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    study.store.compact(grace_seconds=0)
    study.store.compact(grace_seconds=0)
    sync(root, "demo")
    mlflow_db.assert_complete(study)


def test_a_study_that_grew_gets_its_new_trials(root: Path, mlflow_db: Mlflow) -> None:
    sync_after_growth(root)
    larger = Study(root, packs=3)
    for pack in larger.names[2:]:
        larger.commit(pack, 1000)
        larger.finish(pack)
    summary = sync(root, "demo")
    assert summary.runs_created == 3
    mlflow_db.assert_complete(larger)


def sync_after_growth(root: Path) -> None:
    smaller = Study(root, packs=2).run_all()
    sync(root, "demo")
    # The plan of the larger study replaces the smaller one's here: Study writes it whole.
    for plan in (smaller.store.layout.plans).iterdir():
        plan.unlink()


def test_a_run_deleted_in_mlflow_is_left_alone_until_a_rebuild(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 500)
    sync(root, "demo")
    victim = study.trials.trial_id[1]
    with client_settings():
        connect(study.root_uri).delete_run(mlflow_db.trial_runs()[victim][0])
    study.commit("pack-0", 1000)
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    summary = sync(root, "demo")
    assert (summary.deleted, summary.runs_created) == (1, 3)
    assert victim not in mlflow_db.trial_runs()
    assert mirror_status(root, "demo").state == "complete"
    again = sync(root, "demo", rebuild=True)
    assert (again.deleted, again.runs_created) == (0, 6)
    mlflow_db.assert_complete(study)


def test_two_runs_of_one_trial_become_one(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 1000)
    sync(root, "demo")
    trial = study.trials.trial_id[0]
    [run] = mlflow_db.trial_runs()[trial]
    [(experiment,)] = mlflow_db.query("select experiment_id from runs where run_uuid = ?", run)
    with client_settings():
        # A request to create that was answered after the mirror had given it up.
        stray = connect(study.root_uri).create_run(str(experiment), tags=mlflow_db.tags(run)).info.run_id
    assert sorted(mlflow_db.trial_runs()[trial]) == sorted([run, stray])
    study.finish("pack-0")
    study.commit("pack-1", 1000)
    study.finish("pack-1")
    sync(root, "demo")
    assert mlflow_db.trial_runs()[trial] == [run]
    assert mlflow_db.tags(stray)[REPLACED] == "true"
    mlflow_db.assert_complete(study)


def test_sweeps_of_one_name_in_two_roots_do_not_mix(tmp_path: Path, root: Path, mlflow_db: Mlflow) -> None:
    ours, theirs = Study(root, packs=1).run_all(), Study(tmp_path / "other", packs=1).run_all()
    first = sync(root, "demo", ours.root_uri)
    second = sync(theirs.root, "demo", ours.root_uri)
    assert first.experiment_id != second.experiment_id
    names = mlflow_db.query("select name from experiments where name like 'demo%' order by name")
    assert names == [("demo",), ("demo (2)",)]
    counts = mlflow_db.query("select experiment_id, count(*) from runs group by experiment_id")
    assert counts == [(int(first.experiment_id), 4), (int(second.experiment_id), 4)]
    assert sync(theirs.root, "demo", ours.root_uri).metrics_sent == 0


def test_a_deleted_experiment_is_named_with_the_way_to_bring_it_back(root: Path) -> None:
    study = Study(root, packs=1).run_all()
    experiment = sync(root, "demo").experiment_id
    with client_settings():
        connect(study.root_uri).delete_experiment(experiment)
    with pytest.raises(MirrorError, match=rf"mlflow experiments restore -x {experiment}") as caught:
        sync(root, "demo", patience=0)
    assert not isinstance(caught.value, TrackingUnavailable)
    assert mirror_status(root, "demo").state == "failed"


def test_a_second_mirror_is_refused_with_the_first_ones_process(root: Path) -> None:
    study = Study(root, packs=1)
    paths = MirrorPaths.of(root / "store" / "demo", study.root_uri)
    with (
        locked(paths.lock, "the mirror"),
        pytest.raises(LockedError, match=r"mirror of sweep 'demo'.*process \d+"),
    ):
        sync(root, "demo")


def test_errors_name_the_sweep_the_server_or_the_file(root: Path) -> None:
    with pytest.raises(UsageError, match="no sweep 'nope'"):
        sync(root, "nope")
    study = Study(root, packs=1)
    study.commit("pack-0", 1000)
    with pytest.raises(
        TrackingUnavailable, match=r"http://\*\*\*@127\.0\.0\.1:9 does not answer.*sweep sync"
    ) as error:
        sync(root, "demo", "http://user:secret@127.0.0.1:9", patience=0)
    assert "secret" not in str(error.value)
    assert mirror_status(root, "demo", "http://user:secret@127.0.0.1:9").state == "waiting"
    with pytest.raises(MirrorError, match="floppy"):
        sync(root, "demo", "floppy://disk", patience=0)
    (root / "broken.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(MirrorError, match="not a database"):
        sync(root, "demo", f"sqlite:///{root}/broken.db", patience=0)


def test_a_damaged_segment_is_named_and_can_be_skipped(root: Path, mlflow_db: Mlflow) -> None:
    study = Study(root)
    study.commit("pack-0", 500)
    study.commit("pack-0", 1000)
    study.commit("pack-1", 1000)
    hurt = sorted((root / "store" / "demo" / "hot" / "pack-0").iterdir())[1]
    whole = hurt.read_bytes()
    hurt.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptSegmentError, match=hurt.name):
        sync(root, "demo")
    sync(root, "demo", skip_corrupt=True)
    trial = study.trials.trial_id[0]
    assert max(step for step, *_ in mlflow_db.points()[trial, "loss"]) == 500
    hurt.write_bytes(whole)
    sync(root, "demo")
    mlflow_db.assert_complete(study)
