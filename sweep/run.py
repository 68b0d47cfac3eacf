"""`sweep run`: from a study to a finished store, whatever was done before and whatever is killed on the way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agents.data import Manifest
from search_spaces import Study
from sweep.budget import Budget
from sweep.dataset_making import about_to_make
from sweep.datasets import check_made
from sweep.errors import LockedError, StoppedError, SweepError, UsageError
from sweep.housekeeping import keeping_house
from sweep.messages import broken_off, ended, stalled
from sweep.mirror import start_mirror_process, why_no_mirror
from sweep.notify import Messenger
from sweep.objective_checks import check_objectives
from sweep.plan import PackSpec, Resources
from sweep.probe_checks import check_probes
from sweep.provenance import sweep_record
from sweep.reach import check_nodes, fits
from sweep.run_checks import check_cards, check_environments, check_sweep
from sweep.run_plan import plan_sweep
from sweep.store import Store, SweepStore
from sweep.store.files import check_conditional_writes
from sweep.store.layout import Layout, checked_name
from sweep.store.places import root_place
from sweep.supervisor import Supervisor
from sweep.tune_session import TuneSession, make_missing, train_packs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Display", "RunOptions", "RunSummary", "run_study"]

_PATIENCE_WHEN_INTERRUPTED = 15.0
_PATIENCE_FOR_MESSAGES = 12.0


@dataclass(frozen=True)
class RunOptions:
    """How to run; what to run is the study's business.

    `address` of a running Ray cluster, None for a Ray of our own; `workers` packs at once (None: one a core or
    four a card; on a cluster as many as it has room for); `scheduler` other than fifo only for plain tuning.
    `mirror` switches MLflow off and on, `tracking_uri` is a server instead of the root's embedded MLflow.
    `compile`: whether updates are compiled, None: where it pays. `budget` is kept to by stopping; messages go to
    `notify`, see `Messenger`.
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
    budget: Budget = field(default_factory=Budget)
    # They hold secrets.
    notify: tuple[str, ...] = field(default=(), repr=False)
    stall_seconds: float = 1800.0


@dataclass(frozen=True)
class RunSummary:
    """How it ended: trials by status, and what the user should know.

    `failures` maps packs without a result, and damaged files of the store, to what is wrong with them. `stopped`
    is why it stopped before its end, asked to; what is left is planned, and has not failed.
    """

    name: str
    trials: Mapping[str, int]
    seconds: float
    trained_packs: int
    mirror_complete: bool | None
    failures: Mapping[str, str] = field(default_factory=dict)
    stopped: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every planned trial finished or diverged, and the store is whole."""
        return bool(self.trials) and not set(self.trials) - {"finished", "diverged"} and not self.failures


class Display(Protocol):
    """Who is told what happens. Methods are called from the driver's main thread, `say` from others too."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def collecting(self, root: Path, names: Sequence[str]) -> AbstractContextManager[None]:
        """Show datasets being made while the block runs."""
        ...

    def following(self, store: SweepStore) -> AbstractContextManager[None]:
        """Show the sweep's progress while the block runs."""
        ...


def run_study(
    study: Study,
    name: str,
    root: Path,
    options: RunOptions,
    display: Display,
    only: Collection[str] | None = None,
) -> RunSummary:
    """Run what is not done yet of `study` as the sweep `name`, and return how it stands.

    `only` are ids of packs: those are run and no others, and if they have failed they count as planned again.
    Raises UsageError before anything has started, LockedError where another process runs this sweep.
    """
    check_environments(study)
    check_probes(study)
    root = root_place(root)
    messenger, patience = Messenger(options.notify, display.say), _PATIENCE_FOR_MESSAGES
    try:
        summary = _run(
            study, SweepStore(Layout(root, checked_name(name))), root, options, display, messenger, only
        )
    except (LockedError, UsageError):
        raise  # nothing has started
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            patience /= 4
        messenger.send(*broken_off(name, error))
        raise
    else:
        messenger.send(*ended(summary, root, options.tracking_uri))
        return summary
    finally:
        messenger.close(patience)


def _run(
    study: Study,
    store: SweepStore,
    root: Path,
    options: RunOptions,
    display: Display,
    messenger: Messenger,
    only: Collection[str] | None,
) -> RunSummary:
    began = time.monotonic()
    # What is refused leaves nothing behind, not even the folder of the sweep.
    found = None if store.sweep_record() else check_sweep(store, study, root, options.scheduler)
    Store(root).create(store.name)

    def on_stall(sentence: str) -> None:
        display.say(f"stalled: {sentence}")
        messenger.send(*stalled(store.name, root, sentence))

    if caution := check_conditional_writes(root):
        display.say(caution)
    with store.lock() as owned:
        if found is None or store.sweep_record() is not None:
            found = check_sweep(store, study, root, options.scheduler)
        store.clear_stop()
        watched = Supervisor(store, options.budget, options.stall_seconds, on_stall, owned.lost)
        with (
            watched as supervisor,
            TuneSession(options.address, options.workers, options.device) as session,
            supervisor.minding_signals(),
        ):
            if session.device == "cpu" and options.budget.max_gpu_hours is not None:
                raise UsageError(
                    f"--max-gpu-hours {options.budget.max_gpu_hours:g}: this sweep trains on processors and uses no "
                    "card; limit it with --max-hours."
                )
            if limits := options.budget.said(supervisor.gpu_hours):
                display.say(f"{limits}; what is under way then is kept")
            # Of a Ray of our own there is nothing to ask: it is this machine.
            nodes = check_nodes(root) if options.address is not None else None
            for warning in nodes.warnings if nodes else ():
                display.say(f"note: {warning}")
            if nodes and (caution := nodes.about_cards(options.device)):
                display.say(f"note: {caution}")
            try:
                made = _made(session, study, root, found, display, supervisor)
            except StoppedError:
                return _summary(store, time.monotonic() - began, 0, None, {}, supervisor.reason)
            resources = Resources(
                device=session.device,
                workers=session.workers,
                memory_bytes=session.memory_per_worker,
                precision=options.precision,
                strategy=options.strategy,
                compile=options.compile,
            )
            packs = plan_sweep(store, study, made, resources, options.scheduler, display.say)
            store.write_sweep_record(
                sweep_record(study, _about(made), resources, options.scheduler, store.sweep_record())
            )
            todo = _todo(store, packs, only, no_cards=session.address is None and not session.cards)
            if nodes and todo:
                display.say(str(fits(todo, nodes, root, options.workers)))
            mirror = None
            if options.mirror and (reason := why_no_mirror(root, options.tracking_uri, store.name)):
                display.say(reason)
            elif options.mirror:
                mirror = start_mirror_process(root, store.name, options.tracking_uri)
            failures: dict[str, str] = {}
            patience = options.mirror_patience_seconds
            supervisor.tick()
            try:
                if todo and not supervisor.stopping:
                    with display.following(store), keeping_house(store, hurry=supervisor.has_to_hurry):
                        failures.update(train_packs(session, store, root, todo, supervisor))
            except KeyboardInterrupt:
                display.say("interrupted: ending the workers")
                session.close()
                patience = min(patience, _PATIENCE_WHEN_INTERRUPTED)
                raise
            finally:
                hurry = supervisor.has_to_hurry()
                failures.update(_settle(store, hurry=hurry))
                complete = None
                if mirror is not None:
                    patience = min(patience, _PATIENCE_WHEN_INTERRUPTED) if hurry else patience
                    complete = mirror.stop(finish=True, timeout=patience) == 0
            trained = len(store.packs_done().intersection(pack.pack_id for pack in todo))
            return _summary(store, time.monotonic() - began, trained, complete, failures, supervisor.reason)


def _made(
    session: TuneSession,
    study: Study,
    root: Path,
    found: Mapping[str, Manifest | None],
    display: Display,
    supervisor: Supervisor,
) -> dict[str, Manifest]:
    """The study's datasets, of which those that are missing are made. Raises StoppedError."""
    made = {dataset: manifest for dataset, manifest in found.items() if manifest}
    missing = [dataset for dataset in found if dataset not in made]
    if missing:
        for dataset in missing:
            display.say(f"dataset {dataset} is {about_to_make(study.datasets[dataset])}")
        with display.collecting(root, missing):
            make_missing(session, root, {dataset: study.datasets[dataset] for dataset in missing}, supervisor)
        made.update({d: check_made(root / "datasets" / d, study.datasets[d]) for d in missing})
        # Of an import only the data tell whether its episodes are whole.
        check_objectives(study, made)
    return {dataset: made[dataset] for dataset in found}


def _todo(
    store: SweepStore, packs: Sequence[PackSpec], only: Collection[str] | None, *, no_cards: bool
) -> list[PackSpec]:
    """The packs to run: those that have no result, of `only` those whose failures are then put aside.

    Raises UsageError for packs that are planned for cards, where there are none and none will come.
    """
    done = store.packs_done()
    todo = [pack for pack in packs if pack.pack_id not in done and (only is None or pack.pack_id in only)]
    if no_cards:
        check_cards(todo)
    if only is not None:
        for pack in todo:
            store.retry_pack(pack.pack_id)
    return todo


def _settle(store: SweepStore, *, hurry: bool = False) -> dict[str, str]:
    """Compact what is finished, unless in a `hurry`, and write the trials' outcomes into their table.

    Both are for readers, who do without, and the next run makes up for it. Returns what is wrong with the store
    itself, by file or under "store". It does not raise: that would hide what became of the training.
    """
    damaged: dict[str, str] = {}
    try:
        if not hurry:
            damaged = {str(error.path): str(error) for error in store.compact().corrupt}
        store.write_trials(_trials(store))
        store.gather_seconds()
    except SweepError as error:
        return {"store": str(error)}
    return damaged


def _trials(store: SweepStore) -> pd.DataFrame:
    """The trials now that nothing runs: what had begun is planned again."""
    trials = store.trials()
    trials["status"] = trials["status"].replace("running", "planned")
    return trials


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
    seconds: float,
    trained: int,
    mirror_complete: bool | None,
    failures: Mapping[str, str],
    stopped: str | None,
) -> RunSummary:
    counts = {str(status): int(n) for status, n in _trials(store)["status"].value_counts().items()}
    if counts and not counts.keys() - {"finished", "diverged", "failed"}:
        # Asked to stop when nothing was left to stop.
        stopped = None
        with contextlib.suppress(SweepError):
            store.clear_stop()
    return RunSummary(store.name, counts, seconds, trained, mirror_complete, failures, stopped)
