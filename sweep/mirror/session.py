"""One unbroken conversation with MLflow: what a mirror does between connecting and losing the connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.mirror.describe import (
    ENDED,
    RUN_STATUS,
    digest,
    run_name,
    sweep_tags,
    trial_params,
    trial_tags,
    varied_fields,
)
from sweep.mirror.registry import MirroredRun, RunRegistry, find_or_create_experiment
from sweep.mirror.sending import BATCH, send, side_by_side
from sweep.mirror.series import TrialSeries
from sweep.mirror.servers import is_server
from sweep.mirror.source import Source, TrialRows, by_trial
from sweep.mirror.tracking import artifact_location
from sweep.mirror.watermark import MirrorPaths, Watermark, store_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

_INHERITED_AT_ONCE = 64
REQUESTS_AT_ONCE = 4
"""To a server. Each waits for an answer, which with accounts takes 50 ms before anything is written."""
_RECORD_DIGEST = "rankscope.record"


@dataclass
class Progress:
    """How far the mirror is."""

    trials: int = 0
    """Planned trials of the sweep."""
    ended: int = 0
    """Of those, finished, diverged or failed."""
    mirrored: int = 0
    """Of those that ended, complete in MLflow."""
    runs_created: int = 0
    metrics_sent: int = 0
    deleted: int = 0
    """Trials whose run somebody deleted in MLflow: left alone."""

    @property
    def complete(self) -> bool:
        """Every planned trial has ended and MLflow has all of it."""
        return self.trials == self.ended == self.mirrored + self.deleted


Report = Callable[[Progress], None]


class Session:
    """Copies a sweep into MLflow, pass by pass.

    What MLflow has is read from MLflow when the session begins, so a session may end anywhere, by an
    exception or by `kill -9`, and the next one goes on from there: there is no other way to recover.
    """

    def __init__(
        self,
        client: MlflowClient,
        source: Source,
        paths: MirrorPaths,
        watermark: Watermark,
        tracking_uri: str,
        report: Report,
        progress: Progress,
    ) -> None:
        self._client, self._source, self._paths, self._watermark = client, source, paths, watermark
        self._report, self._progress = report, progress
        self._counting = threading.Lock()
        # A server has several connections; a database of a file has one writer.
        self._at_once = REQUESTS_AT_ONCE if is_server(tracking_uri) else 1
        identity = store_id(paths)
        location = artifact_location(tracking_uri, source.root, source.name, identity)
        experiment = find_or_create_experiment(client, source.name, identity, location)
        self.registry = RunRegistry(client, experiment)
        self._series: dict[str, TrialSeries] = {}
        self._closed: set[str] = set()
        # What was last said of each trial that has ended, so as not to look at all of them in every pass.
        self._told: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
        self._varied: tuple[str, ...] = ()
        self._cursors: dict[str, tuple[int, int]] = {}
        # Rows of these were read by an earlier session, which alone knew their last points.
        self._inherited: set[str] = set()
        if watermark.cursors is not None and self._agrees(watermark):
            self._cursors = dict(watermark.cursors)
            self._inherited = set(self.registry.trials)

    def work(self, *, flush: bool, stop: Callable[[], bool] = lambda: False) -> bool:
        """One pass: send what has been committed since the last one. Whether there was anything new.

        Requests that are not full wait for a later pass unless `flush` is set; a trial that has ended
        is always sent to its last point. `stop` is asked between requests and ends the pass.
        """
        # Before the rows: all rows of a trial that has ended by now are then among those read.
        trials = self._read_trials()
        self._describe_sweep(trials)
        anything = False
        for batch in self._source.new_batches(self._cursors):
            anything = True
            if not trials.keys() >= set(batch.rows.column("trial_id").unique().to_pylist()):
                # The study has grown since the trials were read.
                trials = self._read_trials()
            full = []
            for rows in by_trial(batch.rows):
                if rows.trial_id not in trials:
                    continue
                self._take(rows, trials[rows.trial_id])
                if len(self._series[rows.trial_id].queue) >= BATCH:
                    full.append(rows.trial_id)

            def send_full(trial_id: str, of: dict[str, dict[str, Any]] = trials) -> None:
                self._send(trial_id, of[trial_id], everything=False)

            if not side_by_side(send_full, full, self._at_once, stop):
                return anything
            self._cursors[batch.pack_id] = (batch.attempt, batch.seq)
        runs = self.registry.trials
        self._progress.mirrored = sum(not runs[trial_id].deleted for trial_id in self._closed)
        self._read_again(trials)

        def bring_up_to_date(trial_id: str) -> None:
            trial = trials[trial_id]
            if self._has_just_ended(trial_id, trial):
                self._end(trial_id, trial)
            else:
                if trial["status"] not in ENDED:
                    self._closed.discard(trial_id)  # it had failed, and runs again
                self._send(trial_id, trial, everything=flush)

        due = [
            trial_id
            for trial_id, trial in trials.items()
            if self._has_just_ended(trial_id, trial) or self._needs_sending(trial_id, trial)
        ]
        if not side_by_side(bring_up_to_date, due, self._at_once, stop):
            return anything
        self._describe_sweep(trials)
        self._set_parent_status(trials)
        if flush:
            self._save()
        return anything

    def _read_trials(self) -> dict[str, dict[str, Any]]:
        trials = {str(trial["trial_id"]): trial for trial in self._source.trials()}
        self._varied = varied_fields(trials.values())
        self._progress.trials = len(trials)
        self._progress.ended = sum(trial["status"] in ENDED for trial in trials.values())
        runs = self.registry.trials
        self._progress.deleted = sum(runs[trial_id].deleted for trial_id in trials if trial_id in runs)
        return trials

    def _agrees(self, watermark: Watermark) -> bool:
        """Whether MLflow has at least what the watermark says was sent to it."""
        parent = self.registry.parent
        if parent is None or watermark.experiment_id != self.registry.experiment_id:
            return False
        if watermark.parent_run_id != parent.run_id:
            return False
        for trial_id, sent in watermark.sent.items():
            run = self.registry.trials.get(trial_id)
            if run is None or (not run.deleted and sum(run.newest.values()) < sent):
                return False
        return True

    def _take(self, rows: TrialRows, trial: dict[str, Any]) -> None:
        self._of(rows.trial_id, trial).add(rows.steps, rows.timestamps, rows.measures)
        # More of a trial that was taken to be complete: a compaction can come between the two readings.
        self._closed.discard(rows.trial_id)

    def _of(self, trial_id: str, trial: dict[str, Any]) -> TrialSeries:
        series = self._series.get(trial_id)
        if series is None:
            run = self.registry.trials.get(trial_id)
            series = TrialSeries(int(trial["train_steps"]), dict(run.newest) if run else {})
            self._series[trial_id] = series
        return series

    def _has_just_ended(self, trial_id: str, trial: dict[str, Any]) -> bool:
        return trial["status"] in ENDED and trial_id not in self._closed

    def _needs_sending(self, trial_id: str, trial: dict[str, Any]) -> bool:
        series = self._series.get(trial_id)
        if trial_id not in self.registry.trials:
            return series is not None
        return bool(series and series.queue) or self._told.get(trial_id) != (trial, self._varied)

    def _send(self, trial_id: str, trial: dict[str, Any], *, everything: bool) -> None:
        """Send what is queued for a trial, and what MLflow lacks or has otherwise of the rest."""
        series = self._series.get(trial_id)
        run = self.registry.trials.get(trial_id)
        if run is not None and run.deleted:
            if series is not None:
                series.queue.clear()
            return
        name, tags = run_name(trial, self._varied), trial_tags(trial, self._varied)
        if run is None:
            start = series.first_timestamp if series is not None else None
            run = self.registry.create_trial(trial_id, name, start or _now(), tags)
            with self._counting:
                self._progress.runs_created += 1
        params = {key: value for key, value in trial_params(trial).items() if key not in run.params}
        changed = {key: value for key, value in tags.items() if run.tags.get(key) != value}
        sent = send(self._client, run.run_id, series, params, changed, everything=everything)
        run.params.update(params)
        run.tags.update(changed)
        if sent:
            with self._counting:
                self._progress.metrics_sent += sent
                self._report(self._progress)
        status = RUN_STATUS[trial["status"]]
        # The final status comes last of all, from _end.
        if run.name != name or (run.status != status and trial["status"] not in ENDED):
            run.status = run.status if trial["status"] in ENDED else status
            self._client.update_run(run.run_id, status=run.status, name=name)
            run.name = name
        self._told[trial_id] = (trial, self._varied)

    def _end(self, trial_id: str, trial: dict[str, Any]) -> None:
        """Bring a trial that has ended to its last point, and then to its final status."""
        status = RUN_STATUS[trial["status"]]
        series = self._of(trial_id, trial)
        series.close()
        self._send(trial_id, trial, everything=True)
        run = self.registry.trials[trial_id]
        if not run.deleted and run.status != status:
            end = series.last_timestamp or run.end_time or _now()
            self._client.set_terminated(run.run_id, status, end_time=end)
            run.status, run.end_time = status, end
        with self._counting:
            self._closed.add(trial_id)
            self._progress.mirrored += not run.deleted
            self._report(self._progress)

    def _read_again(self, trials: dict[str, dict[str, Any]]) -> None:
        """Read the rows of inherited trials that have ended, some at once, for their last points."""
        runs = self.registry.trials
        ended = [
            trial_id
            for trial_id in self._inherited
            if trial_id in trials
            and trials[trial_id]["status"] in ENDED
            and not runs[trial_id].deleted
            and runs[trial_id].status != RUN_STATUS[trials[trial_id]["status"]]
        ]
        for first in range(0, len(ended), _INHERITED_AT_ONCE):
            for rows in self._source.rows_of(ended[first : first + _INHERITED_AT_ONCE]):
                self._take(rows, trials[rows.trial_id])
        self._inherited -= set(ended)

    def _describe_sweep(self, trials: dict[str, dict[str, Any]]) -> None:
        """Keep the parent run's tags and artifacts up to date."""
        record = self._source.record()
        tags = sweep_tags(self._source.name, record, trials.values())
        parent = self.registry.parent
        if parent is None:
            parent = self.registry.create_parent(self._source.name, _started(record), {})
        if parent.deleted:
            return
        changed = {k: v for k, v in tags.items() if parent.tags.get(k) != v}
        if changed:
            send(self._client, parent.run_id, None, {}, changed, everything=True)
            parent.tags.update(changed)
        self._keep_artifacts(parent, record)

    def _set_parent_status(self, trials: dict[str, dict[str, Any]]) -> None:
        parent = self.registry.parent
        if parent is None or parent.deleted:
            return
        over = self._progress.complete and self._progress.trials > 0
        failed = any(trial["status"] == "failed" for trial in trials.values())
        status = ("FAILED" if failed else "FINISHED") if over else "RUNNING"
        if parent.status == status:
            return
        if over:
            self._client.set_terminated(parent.run_id, status)
        else:
            self._client.update_run(parent.run_id, status=status)
        parent.status = status

    def _keep_artifacts(self, parent: MirroredRun, record: dict[str, Any]) -> None:
        fingerprint = digest(record)
        if parent.tags.get(_RECORD_DIGEST) == fingerprint:
            return
        study = record.get("study_text") or record.get("study")
        if isinstance(study, str) and "\n" in study:
            self._client.log_text(parent.run_id, study, "study.yaml")
        text = json.dumps(record, indent=1, default=str, sort_keys=True)
        self._client.log_text(parent.run_id, text, "sweep.json")
        # Last, so that a kill in between repeats the artifacts.
        self._client.set_tag(parent.run_id, _RECORD_DIGEST, fingerprint)
        parent.tags[_RECORD_DIGEST] = fingerprint

    def _save(self) -> None:
        """Commit the watermark; every row before the cursors is in MLflow now."""
        mark, parent = self._watermark, self.registry.parent
        # After skipping damaged files the store has to be read whole again, once they are mended.
        mark.cursors = None if self._source.skip_corrupt else dict(self._cursors)
        mark.experiment_id = self.registry.experiment_id
        mark.parent_run_id = parent.run_id if parent else ""
        mark.sent = {}
        for trial_id, run in self.registry.trials.items():
            series = self._series.get(trial_id)
            mark.sent[trial_id] = sum((series.newest if series else run.newest).values())
        mark.state = "complete" if self._progress.complete else "following"
        mark.message = ""
        mark.save(self._paths.watermark)


def _now() -> int:
    return int(time.time() * 1000)


def _started(record: dict[str, Any]) -> int:
    created = record.get("created")
    return int(created * 1000) if isinstance(created, (int, float)) else _now()
