"""The packs of a sweep that is begun or gone on with, and its table of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from agents.data import Manifest
from agents.environments import describe
from search_spaces import PlannedTrial, Study
from sweep.calibration import with_measured_shares
from sweep.datasets import fingerprints
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.run_checks import planned_packs, trials_by_id
from sweep.store import SweepStore

__all__ = ["plan_sweep"]

Scheduler = Literal["fifo", "asha", "median"]

_OUTCOMES = ("status", "final_step", "diverged_step", "wall_seconds", "attempts")
"""What the table says of a trial that is done."""


def plan_sweep(
    store: SweepStore,
    study: Study,
    datasets: Mapping[str, Manifest],
    resources: Resources,
    scheduler: Scheduler,
    say: Callable[[str], None],
) -> list[PackSpec]:
    """All packs of the sweep: those planned before, and a new generation for trials that are new."""
    prints = fingerprints(study, dict(datasets))
    wanted = trials_by_id(study, prints)
    packs = planned_packs(store)
    planned = {trial_id: pack for pack in packs for trial_id in pack.trials}
    fresh = [(trial_id, trial) for trial_id, trial in wanted.items() if trial_id not in planned]
    if fresh:
        new = plan_packs(fresh, prints, describe, resources, scheduler)
        if resources.device.startswith("cuda"):
            new = with_measured_shares(new, store.layout.root, say)
        generation = store.write_plan({"packs": {p.pack_id: p.model_dump(mode="json") for p in new}})
        packs += new
        say(f"planned {len(fresh)} new trials in {len(new)} packs (generation {generation})")
    left_over = len(planned.keys() - wanted.keys())
    if left_over:
        say(
            f"{left_over} trials that were planned before are no longer in the study; they stay in this sweep. "
            "For a sweep without them choose another --name."
        )
    _write_trials(store, packs, wanted)
    return packs


def _write_trials(store: SweepStore, packs: Sequence[PackSpec], wanted: Mapping[str, PlannedTrial]) -> None:
    """The table of trials: what is planned, with what is known of their spaces, now or from before.

    What became of trials that are done stays in it, so that readers need not open their packs' results again.
    """
    done = store.packs_done()
    known: dict[str, Mapping[Any, Any]] = {
        row["trial_id"]: row if row["pack_id"] in done else {"spaces": row["spaces"]}
        for row in store.trials(["trial_id", "pack_id", "spaces", *_OUTCOMES]).to_dict("records")
    }
    columns: dict[str, list[Any]] = {}
    for pack in packs:
        trials = [known.get(trial_id, {}) for trial_id in pack.trials]
        about: dict[str, Sequence[Any]] = {
            **pack.members.columns(),
            "trial_id": list(pack.trials),
            "spaces": [
                list(wanted[trial_id].spaces if trial_id in wanted else row.get("spaces", ()))
                for trial_id, row in zip(pack.trials, trials, strict=True)
            ],
            **{name: [row.get(name) for row in trials] for name in _OUTCOMES},
            **{
                name: [getattr(pack, name)] * len(trials)
                for name in ("pack_id", "scheduler", "dataset_fingerprint")
            },
        }
        about["status"] = [row.get("status", "planned") for row in trials]
        for name, values in about.items():
            columns.setdefault(name, []).extend(values)
    # Not as a DataFrame: that takes longer than all the rest.
    store.write_trials(columns)
