"""Training one pack from wherever it got to, to its end: steps, measures, rows, checkpoints.

Knows nothing of Ray. Whoever runs it may be killed at any moment; run again, it goes on from the last
checkpoint and leaves the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.measuring import ProbeBatch
from sweep.checkpoints import Checkpoints
from sweep.dataset_making import open_dataset
from sweep.errors import StoppedError, SweepError
from sweep.outage import WAIT_SECONDS, Outage
from sweep.pack_building import build_pack
from sweep.pack_evaluation import PackEvaluation
from sweep.pack_report import Report
from sweep.plan import PackSpec
from sweep.probing import PackProbes
from sweep.stop_requests import StopRequests, stop_reason
from sweep.stopwatch import Stopwatch
from sweep.store import SweepStore, files

if TYPE_CHECKING:
    from agents.data import Dataset
    from sweep.store import SegmentWriter

__all__ = ["train_pack"]

_CHUNK_STEPS = 256
_PROGRESS_SECONDS = 1.0
_FIRST_FLUSH_SECONDS, _MOST_FLUSH_SECONDS = 2.0, 30.0


def train_pack(
    spec: PackSpec,
    store: SweepStore,
    root: Path,
    device: str,
    about: dict[str, Any] | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> dict[str, Any]:
    """Train `spec` to its end and return its result, which is in the store by then; one that is done stays so.

    `about` is added to the attempt's record. `on_report` is called about once a second and after each
    evaluation, whose rows are committed first. Raises SupersededError where another process has taken the
    pack over, StoppedError where the sweep is asked to stop, StoreError for a full disk or an object store that is
    away for too long (`sweep.outage`), DatasetError for a dataset that is not the planned one.
    """
    # Killed between its result and telling Ray of it, a pack is given to a new process: nothing is left to do.
    with files.patience(WAIT_SECONDS):
        result = store.result(spec.pack_id)
    if result is not None:
        return result
    if (reason := stop_reason(store)) is not None:
        raise StoppedError(reason)
    dataset = open_dataset(root, spec.dataset)
    if dataset.fingerprint != spec.dataset_fingerprint:
        raise SweepError(
            f"dataset {spec.dataset!r} has fingerprint {dataset.fingerprint[:16]}…, but this sweep was planned "
            f"on {spec.dataset_fingerprint[:16]}…: it was replaced since. Restore it, or run under a new --name."
        )
    return _Loop(spec, store, root, dataset, device, about or {}, on_report).run()


class _Loop:
    def __init__(
        self,
        spec: PackSpec,
        store: SweepStore,
        root: Path,
        dataset: Dataset,
        device: str,
        about: dict[str, Any],
        on_report: Callable[[Report], None],
    ) -> None:
        self.spec, self.store, self.on_report = spec, store, on_report
        self.protocol = spec.protocol
        self.seeds = [member.config.seed for member in spec.members]
        self.dataset = dataset
        self.pack, self.draw = build_pack(spec, dataset, root, device)
        self.probes = ProbeBatch(
            self.pack, dataset.probe_indices(self.protocol.probe_batch_size), self.protocol.delta
        )
        self.checkpoints = Checkpoints(root, store.name, spec.pack_id)
        self.watch = Stopwatch()
        self.flush_seconds = _FIRST_FLUSH_SECONDS
        self.return_mean = float("nan")
        self.outage = Outage(f"pack {spec.pack_id!r}")
        self.owes_checkpoint = False
        self.reported, self.reported_step = time.monotonic(), 0
        with files.patience(WAIT_SECONDS):
            self.resume_step, self.attempt, self.writer = self._begin(about)

    def run(self) -> dict[str, Any]:
        with (
            closing(PackEvaluation(self.spec, self.pack)) as self.evaluation,
            StopRequests(self.store) as stop,
        ):
            self.groups = PackProbes(self.spec, self.pack, self.dataset, self.evaluation, self.probes.initial)
            if self.resume_step < 0:
                self._record(0)
                self._checkpoint()
            while self.pack.step < self.spec.train_steps and self.pack.active.any():
                self._advance(self._next_stop())
                self._record(self.pack.step)
                if self._checkpoint_due():
                    self._checkpoint()
                elif self.writer.due(seconds=self.flush_seconds) and self._commit(self.writer.flush):
                    # Soon at first, so that whoever looks sees something; then in fewer, larger segments.
                    self.flush_seconds = min(2 * self.flush_seconds, _MOST_FLUSH_SECONDS)
                self._report(evaluated=False)
                if stop.reason is not None and self.pack.step < self.spec.train_steps:
                    self._checkpoint(insist=True)
                    raise StoppedError(stop.reason)
        return self._finish()

    def _begin(self, about: dict[str, Any]) -> tuple[int, int, SegmentWriter]:
        attempts = self.store.attempts(self.spec.pack_id)
        saved = self.checkpoints.latest({one["attempt"]: one["resume_step"] for one in attempts})
        resume_step = -1
        if saved is not None:
            self.pack.load_state_dict(saved["pack"])
            self.watch.seconds = dict(saved["seconds"])
            resume_step = self.reported_step = self.pack.step
        self.checkpointed_at = time.monotonic()
        attempt = self.store.start_attempt(
            self.spec.pack_id,
            {
                **about,
                "resume_step": resume_step,
                "device": str(self.pack.device),
                "compiled": self.pack.compiled,
                "strategy": self.spec.strategy,
                "precision": self.spec.precision,
            },
        )
        return resume_step, attempt, self.store.segment_writer(self.spec.pack_id, attempt, resume_step)

    def _next_stop(self) -> int:
        """The next multiple of `log_every`, of which every other cadence is a multiple."""
        every = self.protocol.log_every
        return min((self.pack.step // every + 1) * every, self.spec.train_steps)

    def _advance(self, until: int) -> None:
        with self.watch("train"):
            while self.pack.step < until:
                count = min(_CHUNK_STEPS, until - self.pack.step)
                self.pack.update(self.draw(self.pack.step, count))
            self.pack.freeze_overflowed()
            self.pack.synchronize()

    def _record(self, step: int) -> None:
        """One row a member that still learns, with all that is measured at `step`."""
        columns: dict[str, np.ndarray] = {}
        last = step == self.spec.train_steps
        probed = step % self.protocol.probe_every == 0 or last
        evaluated = step % self.protocol.eval_every == 0 or last
        active = self.pack.active
        spectra: dict[str, np.ndarray] = {}
        if probed:
            with self.watch("probe"):
                result = self.probes.measure()
            columns.update(result.measures)
            spectra.update(result.spectra)
        if step > 0:
            columns["loss"] = self.pack.take_mean_loss()
        if evaluated:
            with self.watch("evaluate"):
                outcome, spectra["episode_returns"] = self.evaluation.measure(step)
            columns.update(outcome)
        if active.any():
            further = self.groups.measure(step, self.watch)
            columns.update(further.measures)
            spectra.update(further.spectra)
        rows = np.flatnonzero(active)
        if len(rows) == 0:
            return
        ids = [self.spec.trials[row] for row in rows]
        steps = np.full(len(rows), step, np.int64)
        self.writer.append({"trial_id": ids, "step": steps, **{k: v[rows] for k, v in columns.items()}})
        for name, values in spectra.items():
            vectors = [values[row].astype(np.float32) for row in rows]
            self.writer.append_spectra(
                {"trial_id": ids, "step": steps, "name": [name] * len(rows), "values": vectors}
            )
        if evaluated:
            self.return_mean = float(np.nanmean(columns["return_mean"][rows]))
            if self.spec.scheduler != "fifo":
                # The scheduler may end this process at the report: what it decides on must be in the store.
                self._checkpoint(insist=True)
            self._report(evaluated=True)

    def _checkpoint_due(self) -> bool:
        waited = time.monotonic() - self.checkpointed_at
        return (
            self.owes_checkpoint
            or self.pack.step % self.protocol.checkpoint_every_steps == 0
            or waited >= self.protocol.checkpoint_every_seconds
        )

    def _commit(self, commit: Callable[[], object]) -> bool:
        """Whether the store took it; where it is away, training goes on from memory."""
        return self.outage.commits(commit, self.writer.bytes_pending)

    def _checkpoint(self, *, insist: bool = False) -> None:
        """Postponed while the store is away, unless `insist`: then training waits for it."""
        with self.watch("store"):
            if insist:
                self.outage.insist(self._save)
            elif not self._commit(self._save):
                self.owes_checkpoint = True
                return
        self.owes_checkpoint = False
        self.checkpointed_at = time.monotonic()

    def _save(self) -> None:
        """Rows first, then the state: a checkpoint never knows of rows that the store does not have."""
        next_seq = self.writer.flush()
        state = {
            "pack": self.pack.state_dict(),
            "seconds": dict(self.watch.seconds),
            "watermark": {"attempt": self.attempt, "next_seq": next_seq, "step": self.pack.step},
        }
        self.checkpoints.save(self.attempt, self.pack.step, state)

    def _report(self, *, evaluated: bool) -> None:
        now = time.monotonic()
        if not evaluated and now - self.reported < _PROGRESS_SECONDS:
            return
        rate = len(self.seeds) * (self.pack.step - self.reported_step) / max(now - self.reported, 1e-9)
        self.reported, self.reported_step = now, self.pack.step
        active = int(self.pack.active.sum())
        self.on_report(
            Report(
                pack_id=self.spec.pack_id,
                attempt=self.attempt,
                step=self.pack.step,
                train_steps=self.spec.train_steps,
                members=len(self.seeds),
                active=active,
                steps_per_second=rate,
                compiled=self.pack.compiled,
                return_mean=self.return_mean,
                evaluated=evaluated,
            )
        )

    def _finish(self) -> dict[str, Any]:
        self._checkpoint(insist=True)
        seconds = {name: round(value, 3) for name, value in self.watch.seconds.items()}
        trials: dict[str, Any] = {}
        for trial_id, diverged in zip(self.spec.trials, self.pack.diverged_at.tolist(), strict=True):
            ended: dict[str, Any] = {"status": "finished", "final_step": self.pack.step}
            if diverged >= 0:
                ended = {"status": "diverged", "final_step": diverged, "diverged_step": diverged}
            trials[trial_id] = {**ended, "wall_seconds": sum(seconds.values())}
        result = {
            "attempt": self.attempt,
            "trials": trials,
            "seconds": seconds,
            "members": len(self.seeds),
            "return_mean": self.return_mean,
            "steps": self.pack.step,
            "compiled": self.pack.compiled,
            "device": self.pack.device_name,
        }
        self.outage.insist(lambda: self.store.finish_pack(self.spec.pack_id, result))
        return result
