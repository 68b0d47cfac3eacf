"""What cannot be run as this sweep is refused before anything starts: unknown things, two studies under one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from agents.data import Manifest
from agents.environments import describe
from agents.environments.perturbations import check_perturbation
from agents.errors import AgentError
from search_spaces import PlannedTrial, Study
from sweep.datasets import find_datasets, fingerprints
from sweep.errors import UsageError
from sweep.objective_checks import check_objectives, check_target_policies
from sweep.plan import PackSpec
from sweep.store import SweepStore

__all__ = ["check_cards", "check_environments", "check_sweep", "planned_packs", "trials_by_id"]


def check_sweep(store: SweepStore, study: Study, root: Path, scheduler: str) -> dict[str, Manifest | None]:
    """The study's datasets, None for those to be made. Raises UsageError for what cannot be run as this sweep."""
    _check_same_sweep(store, study, scheduler)
    found = find_datasets(root, study)
    # A dataset that is not made yet has no planned trials: its recipe's id, which stands for it, is in none.
    wanted = trials_by_id(study, fingerprints(study, dict(found)))
    packs = planned_packs(store)
    for pack in packs:
        for trial_id in pack.trials:
            if trial_id in wanted:
                _check_same_protocol(store.name, wanted[trial_id], pack)
    check_objectives(study, found)
    done = store.packs_done()
    # What finished trials needed may be gone.
    finished = {trial for pack in packs if pack.pack_id in done for trial in pack.trials}
    check_target_policies([t.config for trial_id, t in wanted.items() if trial_id not in finished], root)
    return found


def check_environments(study: Study) -> None:
    """Refuse unknown environments, and perturbations that mean nothing for what they show."""
    for env in {recipe.env for recipe in study.datasets.values()}:
        describe(env)
    for env, perturbation in {(t.config.env, t.protocol.eval_perturbation) for t in study.trials()}:
        if perturbation is not None:
            try:
                check_perturbation(describe(env), perturbation.kind, perturbation.amount)
            except AgentError as error:
                raise UsageError(f"protocol.eval_perturbation: {error}") from error


def check_cards(packs: Iterable[PackSpec]) -> None:
    """Refuse packs that were planned for cards, for where there are none: they would wait for one for ever."""
    for pack in packs:
        if pack.gpus:
            raise UsageError(
                f"pack {pack.pack_id} was planned for {pack.gpus:g} of a card, and Ray sees none on this machine. Go "
                "on where there are cards, or with --address on a cluster that has them; a sweep of another --name "
                "is planned anew, for processors."
            )


def trials_by_id(study: Study, prints: Mapping[str, str]) -> dict[str, PlannedTrial]:
    """The study's trials by their ids; `prints` are the fingerprints of its datasets."""
    return study.trials_by_id(prints)


def planned_packs(store: SweepStore) -> list[PackSpec]:
    """All packs of all generations of the plan."""
    return [PackSpec.model_validate(spec) for plan in store.plans() for spec in plan["packs"].values()]


def _check_same_sweep(store: SweepStore, study: Study, scheduler: str) -> None:
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
    if record["scheduler"] != scheduler:
        raise UsageError(
            f"sweep {store.name!r} was begun with --scheduler {record['scheduler']}, not {scheduler}: "
            "trials that were stopped early cannot be mixed with others. Choose another --name."
        )


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
