"""What a sweep keeps about how it came to be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from agents.data.provenance import provenance
from search_spaces import Study
from sweep.command_line import command_without_secrets
from sweep.plan import Resources

__all__ = ["sweep_record"]

_PACKAGES = ("ray", "mlflow", "pyarrow", "pandas", "scipy", "pydantic")


def sweep_record(
    study: Study,
    datasets: Mapping[str, Mapping[str, Any]],
    resources: Resources,
    scheduler: str,
    earlier: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The record of a sweep: the study's full text, code, versions, machine, datasets, scheduler.

    A sweep that is gone on with keeps the moment it was created, and every run is listed under `runs`.
    """
    found = provenance()
    versions = {**found["versions"], **{name: metadata.version(name) for name in _PACKAGES}}
    now = time.time()
    run = {
        "started": now,
        "command": command_without_secrets(),
        "git": found["git"],
        "versions": versions,
        "machine": found["machine"],
        "resources": resources.model_dump(mode="json"),
    }
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "paper": study.paper,
        **_scale(study),
        "study_text": study.text,
        "spaces": [space.name for space in study.spaces],
        "created": (earlier or {}).get("created", now),
        "scheduler": scheduler,
        "git": found["git"],
        "versions": versions,
        "machine": found["machine"],
        "datasets": {name: dict(about) for name, about in datasets.items()},
        "runs": [*(earlier or {}).get("runs", []), run],
    }


def _scale(study: Study) -> dict[str, str]:
    """The scale of a study that has several, and what it changed: a line each, for the report."""
    if study.scale is None:
        return {}
    lines = [f"{change.what}: {change.paper} → {change.here}" for change in study.changed]
    return {"scale": study.scale, "changed_from_the_paper": "\n".join(lines) or "nothing"}
