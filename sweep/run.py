"""`sweep run`: from a study to a finished store, whatever was done before and whatever is killed on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from agents.data import Manifest
from agents.environments import describe
from agents.environments.perturbations import check_perturbation
from agents.errors import AgentError
from search_spaces import PlannedTrial, Study, TrialConfig
from sweep.dataset_making import about_to_make
from sweep.datasets import check_made, find_datasets, fingerprints
from sweep.errors import SweepError, UsageError
from sweep.mirror import start_mirror_process
from sweep.objective_checks import check_objectives, check_target_policies
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.probe_checks import check_probes
from sweep.provenance import sweep_record
from sweep.store import Store, SweepStore
from sweep.store.layout import Layout, checked_name
from sweep.tune_session import TuneSession, make_missing, train_packs

__all__ = ["Display", "RunOptions", "RunSummary", "run_study"]

_PATIENCE_WHEN_INTERRUPTED = 15.0


@dataclass(frozen=True)
class RunOptions:
    """How to run; what to run is the study's business.

    `address` of a running Ray cluster, None for a Ray of our own; `workers` packs at once (None: one a core or
    four a card); `scheduler` other than fifo only for plain tuning. `mirror` switches MLflow off and on,
    `tracking_uri` is a server instead of the root's embedded MLflow.
    """

    address: str | None = None
    workers: int | None = None
    device: str = "auto"
    scheduler: Literal["fifo", "asha", "median"] = "fifo"
    strategy: Literal["auto", "fused", "looped"] = "auto"
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    compile: bool | None = None
    mirror: bool = True
    tracking_uri: str | None = None
    mirror_patience_seconds: float = 120.0


@dataclass(frozen=True)
class RunSummary:
    """How it ended: trials by status, and what the user should know.

    `failures` maps packs without a result, and damaged files of the store, to what is wrong with them.
    """

    name: str
    trials: Mapping[str, int]
    seconds: float
    trained_packs: int
    mirror_complete: bool | None
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every planned trial finished or diverged, and the store is whole."""
        return not set(self.trials) - {"finished", "diverged"} and not self.failures


class Display(Protocol):
    """Who is told what happens. Methods are called from the driver's main thread, `follow` aside."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def collecting(self, root: Path, names: Sequence[str]) -> AbstractContextManager[None]:
        """Show datasets being made while the block runs."""
        ...

    def following(self, store: SweepStore) -> AbstractContextManager[None]:
        """Show the sweep's progress while the block runs."""
        ...


def run_study(study: Study, name: str, root: Path, options: RunOptions, display: Display) -> RunSummary:
    """Run what is not done yet of `study` as the sweep `name`, and return how it stands.

    Raises UsageError before anything has started, LockedError where another process runs this sweep.
    """
    began = time.monotonic()
    _check_environments(study)
    check_probes(study)
    store = SweepStore(Layout(Path(root), checked_name(name)))
    # What is refused leaves nothing behind, not even the folder of the sweep.
    found = None if store.layout.folder.is_dir() else _checked(store, study, root, options)
    Store(root).create(name)
    with store.lock():
        if found is None or store.sweep_record() is not None:
            found = _checked(store, study, root, options)
        with TuneSession(options.address, options.workers, options.device) as session:
            missing = [dataset for dataset, manifest in found.items() if manifest is None]
            if missing:
                for dataset in missing:
                    display.say(f"dataset {dataset} is {about_to_make(study.datasets[dataset])}")
                with display.collecting(root, missing):
                    make_missing(session, root, {dataset: study.datasets[dataset] for dataset in missing})
                found.update({d: check_made(root / "datasets" / d, study.datasets[d]) for d in missing})
                # Of an import only the data tell whether its episodes are whole.
                check_objectives(study, found)
            made = {dataset: manifest for dataset, manifest in found.items() if manifest}
            resources = Resources(
                device=session.device,
                workers=session.workers,
                memory_bytes=session.memory_per_worker,
                precision=options.precision,
                strategy=options.strategy,
                compile=options.compile,
            )
            packs = _plan(store, study, made, resources, options, display)
            store.write_sweep_record(
                sweep_record(study, _about(made), resources, options.scheduler, store.sweep_record())
            )
            done = store.packs_done()
            todo = [pack for pack in packs if pack.pack_id not in done]
            mirror = start_mirror_process(root, name, options.tracking_uri) if options.mirror else None
            failures: dict[str, str] = {}
            patience = options.mirror_patience_seconds
            try:
                if todo:
                    with display.following(store):
                        failures.update(train_packs(session, store, root, todo))
            except KeyboardInterrupt:
                display.say("interrupted: ending the workers")
                session.close()
                patience = min(patience, _PATIENCE_WHEN_INTERRUPTED)
                raise
            finally:
                failures.update(_settle(store))
                complete = None
                if mirror is not None:
                    complete = mirror.stop(finish=True, timeout=patience) == 0
        return _summary(store, name, time.monotonic() - began, len(todo), complete, failures)


def _checked(store: SweepStore, study: Study, root: Path, options: RunOptions) -> dict[str, Manifest | None]:
    """The study's datasets, None for those to be made. Raises UsageError for what cannot be run as this sweep."""
    _check_same_sweep(store, study, options)
    found = find_datasets(root, study)
    _check_same_protocols(store, study, found)
    check_objectives(study, found)
    check_target_policies(_unfinished(store, study, found), root)
    return found


def _check_environments(study: Study) -> None:
    """Refuse unknown environments, and perturbations that mean nothing for what they show."""
    for env in {recipe.env for recipe in study.datasets.values()}:
        describe(env)
    for env, perturbation in {(t.config.env, t.protocol.eval_perturbation) for t in study.trials()}:
        if perturbation is not None:
            try:
                check_perturbation(describe(env), perturbation.kind, perturbation.amount)
            except AgentError as error:
                raise UsageError(f"protocol.eval_perturbation: {error}") from error


def _check_same_sweep(store: SweepStore, study: Study, options: RunOptions) -> None:
    """Refuse to mix two studies, or two ways of choosing trials, under one name."""
    record = store.sweep_record()
    if record is None:
        return
    if record["study"] != study.name:
        raise UsageError(
            f"sweep {store.name!r} runs the study {record['study']!r}, not {study.name!r}. Choose another --name."
        )
    if record.get("scale") != study.scale:
        raise UsageError(
            f"sweep {store.name!r} runs {study.name!r} at scale {record.get('scale')}, not {study.scale}. "
            "Choose another --name."
        )
    if record["scheduler"] != options.scheduler:
        raise UsageError(
            f"sweep {store.name!r} was begun with --scheduler {record['scheduler']}, not {options.scheduler}: "
            "trials that were stopped early cannot be mixed with others. Choose another --name."
        )


def _plan(
    store: SweepStore,
    study: Study,
    datasets: Mapping[str, Manifest],
    resources: Resources,
    options: RunOptions,
    display: Display,
) -> list[PackSpec]:
    """All packs of the sweep: those planned before, and a new generation for trials that are new."""
    prints = fingerprints(study, dict(datasets))
    wanted = _by_id(study, prints)
    packs = _planned_packs(store)
    planned = {trial_id: pack for pack in packs for trial_id in pack.trials}
    fresh = [(trial_id, trial) for trial_id, trial in wanted.items() if trial_id not in planned]
    if fresh:
        new = plan_packs(fresh, prints, describe, resources, options.scheduler)
        generation = store.write_plan({"packs": {p.pack_id: p.model_dump(mode="json") for p in new}})
        packs += new
        display.say(f"planned {len(fresh)} new trials in {len(new)} packs (generation {generation})")
    left_over = len(planned.keys() - wanted.keys())
    if left_over:
        display.say(
            f"{left_over} trials that were planned before are no longer in the study; they stay in this sweep. "
            "For a sweep without them choose another --name."
        )
    _write_trials(store, packs, wanted)
    return packs


def _by_id(study: Study, prints: Mapping[str, str]) -> dict[str, PlannedTrial]:
    return {trial.config.trial_id(prints[trial.config.dataset]): trial for trial in study.trials()}


def _unfinished(store: SweepStore, study: Study, found: Mapping[str, Manifest | None]) -> list[TrialConfig]:
    """Configurations that are yet to be trained: what finished ones needed may be gone."""
    done = store.packs_done()
    finished = {trial for pack in _planned_packs(store) if pack.pack_id in done for trial in pack.trials}
    wanted = _by_id(study, fingerprints(study, dict(found)))
    return [trial.config for trial_id, trial in wanted.items() if trial_id not in finished]


def _planned_packs(store: SweepStore) -> list[PackSpec]:
    return [PackSpec.model_validate(spec) for plan in store.plans() for spec in plan["packs"].values()]


def _check_same_protocols(store: SweepStore, study: Study, found: Mapping[str, Manifest | None]) -> None:
    """Refuse to measure a trial of this sweep in two ways."""
    planned = {trial_id: pack for pack in _planned_packs(store) for trial_id in pack.trials}
    # A dataset that is not made yet has no planned trials: its recipe's id, which stands for it, is in none.
    for trial_id, trial in _by_id(study, fingerprints(study, dict(found))).items():
        if trial_id in planned:
            _check_same_protocol(store.name, trial, planned[trial_id])


def _check_same_protocol(name: str, trial: PlannedTrial, pack: PackSpec) -> None:
    now, then = trial.protocol.model_dump(), pack.protocol.model_dump()
    if now != then:
        # Without probes a protocol has no such key.
        differ = ", ".join(
            f"{key} {then.get(key)!r} then, {now.get(key)!r} now"
            for key in {**then, **now}
            if now.get(key) != then.get(key)
        )
        raise UsageError(
            f"sweep {name!r} was begun with another protocol ({differ}): its trials would be measured in two "
            "ways. Restore the protocol, or choose another --name."
        )


def _write_trials(store: SweepStore, packs: Sequence[PackSpec], wanted: Mapping[str, PlannedTrial]) -> None:
    """The table of trials: what is planned, with what is known of their spaces, now or from before."""
    before = store.trials()
    spaces_before = dict(zip(before["trial_id"], before["spaces"], strict=True)) if len(before) else {}
    rows = [
        {
            **member.config.model_dump(),
            "trial_id": member.trial_id,
            "sweep": store.name,
            "spaces": list(wanted[member.trial_id].spaces)
            if member.trial_id in wanted
            else list(spaces_before.get(member.trial_id, [])),
            "status": "planned",
            "pack_id": pack.pack_id,
            "scheduler": pack.scheduler,
            "dataset_fingerprint": pack.dataset_fingerprint,
        }
        for pack in packs
        for member in pack.members
    ]
    store.write_trials(pd.DataFrame(rows))


def _settle(store: SweepStore) -> dict[str, str]:
    """Compact what is finished and write the trials' outcomes into their table, for readers without our code.

    Returns what is wrong with the store itself, by file or under "store". It does not raise: that would hide
    what became of the training.
    """
    try:
        damaged = {str(error.path): str(error) for error in store.compact().corrupt}
        store.write_trials(store.trials())
    except SweepError as error:
        return {"store": str(error)}
    return damaged


def _about(datasets: Mapping[str, Manifest]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "env": manifest.environment.env_id,
            "fingerprint": manifest.fingerprint,
            "transitions": manifest.transitions,
            "provenance": manifest.provenance,
        }
        for name, manifest in datasets.items()
    }


def _summary(
    store: SweepStore,
    name: str,
    seconds: float,
    trained: int,
    mirror_complete: bool | None,
    failures: Mapping[str, str],
) -> RunSummary:
    counts = store.trials()["status"].value_counts()
    return RunSummary(
        name=name,
        trials={str(status): int(count) for status, count in counts.items()},
        seconds=seconds,
        trained_packs=trained,
        mirror_complete=mirror_complete,
        failures=failures,
    )
