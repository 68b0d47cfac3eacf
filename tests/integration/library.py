"""Packs trained without Ray, in this process: for drills inside a pack."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.environments import describe
from search_spaces import Study
from sweep.datasets import find_datasets, fingerprints
from sweep.pack_loop import train_pack
from sweep.pack_report import Report
from sweep.plan import PackSpec, Resources, plan_packs
from sweep.store import Store


def make_packs(root: Path, content: dict[str, Any], workers: int = 2) -> list[PackSpec]:
    """The packs of a study on the datasets of `root`, planned as `sweep run --eager --workers 2` plans them."""
    study = Study.model_validate(content)
    prints = fingerprints(study, find_datasets(root, study))
    trials = [(trial.config.trial_id(prints[trial.config.dataset]), trial) for trial in study.trials()]
    return plan_packs(trials, prints, describe, Resources(workers=workers, memory_bytes=1e9, compile=False))


def trained(
    root: Path,
    datasets: Path,
    spec: PackSpec,
    on_report: Callable[[Report], None] = lambda report: None,
    expect: type[Exception] | None = None,
) -> Store:
    """A store in which this process has trained `spec`; with `expect`, until that was raised."""
    store = Store(root).create("tiny")
    if not (root / "datasets").exists():
        os.symlink(datasets / "datasets", root / "datasets")
    if expect is None:
        train_pack(spec, store, root, "cpu", on_report=on_report)
    else:
        with pytest.raises(expect):
            train_pack(spec, store, root, "cpu", on_report=on_report)
    return Store(root)
