"""What a trial and a sweep look like in MLflow: names, params and tags a person can read and group by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweep.store.schema import HYPERPARAMETERS

RUN_STATUS: dict[str, str] = {
    # With rows but without anybody at work on it: interrupted, to be gone on with.
    "planned": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    # Stopped on purpose at its step, and a result; FAILED is for trials that have to be run again.
    "diverged": "KILLED",
    "failed": "FAILED",
}
"""MLflow's status for each status of a trial."""

ENDED = frozenset({"finished", "diverged", "failed"})

_MAX_NAME = 200
# Short names for the axes that sweeps vary most; any other field goes by its own name.
_SHORT = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "target_update_period": "target",
    "data_fraction": "data",
    "data_prefix": "prefix",
}
# Fields whose values speak for themselves.
_BARE = frozenset({"env", "algorithm", "network", "activation", "optimizer", "dataset"})


def varied_fields(trials: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The hyperparameters that differ between trials of one environment, then env if there are several, and seed.

    What follows from the environment, such as its dataset and network, tells nothing more; and MLflow shows
    the beginnings of names only, so what was swept comes first.
    """
    seen: dict[str, dict[str, set[str]]] = {}
    for trial in trials:
        here = seen.setdefault(text(trial.get("env")), {name: set() for name in HYPERPARAMETERS})
        for name, values in here.items():
            values.add(text(trial.get(name)))
    varied = [
        name
        for name in HYPERPARAMETERS
        if name not in ("seed", "env") and any(len(here[name]) > 1 for here in seen.values())
    ]
    return (*varied, *(("env",) if len(seen) > 1 else ()), "seed")


def run_name(trial: Mapping[str, Any], varied: Sequence[str]) -> str:
    """A name such as `tanh lr=0.001 batch=32 seed=3`, of the fields that vary in the sweep."""
    words = []
    for name in varied:
        value = text(trial.get(name))
        words.append(value if name in _BARE else f"{_SHORT.get(name, name)}={value}")
    return " ".join(words)[:_MAX_NAME]


def trial_params(trial: Mapping[str, Any]) -> dict[str, str]:
    """Every hyperparameter as text. MLflow never lets a param change, so nothing else belongs here."""
    return {name: text(trial[name]) for name in HYPERPARAMETERS if name in trial}


def trial_tags(trial: Mapping[str, Any], varied: Sequence[str]) -> dict[str, str]:
    """What may change or is not a hyperparameter.

    `rankscope.configuration` is equal for the seeds of one configuration: group by it in the charts
    and MLflow draws the mean over seeds.
    """
    tags = {
        "rankscope.sweep": text(trial["sweep"]),
        "rankscope.spaces": ",".join(_listed(trial.get("spaces"))),
        "rankscope.pack_id": text(trial.get("pack_id")),
        "rankscope.status": text(trial["status"]),
        "rankscope.configuration": run_name(trial, [name for name in varied if name != "seed"]) or "all",
    }
    for name in ("scheduler", "dataset_fingerprint", "diverged_step", "error", "attempts"):
        if trial.get(name) is not None:
            tags[f"rankscope.{name}"] = text(trial[name])[:5000]
    return tags


def sweep_tags(name: str, record: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tags of the parent run: what the sweep is, where it came from, how far it is."""
    counts: dict[str, int] = {}
    for trial in trials:
        counts[text(trial["status"])] = counts.get(text(trial["status"]), 0) + 1
    tags = {"rankscope.sweep": name, "rankscope.trials": str(sum(counts.values()))}
    for status in RUN_STATUS:
        tags[f"rankscope.trials.{status}"] = str(counts.get(status, 0))
    # Every short fact of the record becomes a tag; the long ones are in the artifact sweep.json.
    for key, value in _facts(record):
        if len(value) <= 250:
            tags.setdefault(f"rankscope.{key}", value)
    commit = tags.get("rankscope.git.commit")
    if commit:
        # The tag by which MLflow's own Version column is filled.
        tags["mlflow.source.git.commit"] = commit
    note = [text(record[key]) for key in ("title", "question") if record.get(key) is not None]
    done = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    tags["mlflow.note.content"] = "\n\n".join(
        [*note, f"Rankscope sweep `{name}`: {done or 'no trials yet'}."]
    )
    return tags


def digest(record: Mapping[str, Any]) -> str:
    """A short fingerprint of a record, to see whether its artifact is up to date."""
    canonical = json.dumps(record, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def text(value: Any) -> str:
    """A value as a param or tag: floats in their shortest exact form, lists as JSON, nothing as `None`."""
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value))
    return str(value)


def _facts(record: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            # One level is enough for git.commit and machine.host; deeper is for the artifact.
            if not prefix:
                yield from _facts(value, f"{key}.")
        elif isinstance(value, (str, int, float)):
            yield f"{prefix}{key}", text(value)


def _listed(value: Any) -> list[str]:
    return [] if value is None else [str(item) for item in value]
