"""What travels to a cluster: the study and this installation's code, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from agents.data.provenance import COMMIT_FILE, git_state
from search_spaces import Study
from sweep.reach import REQUIREMENTS_FILE, requirements

__all__ = ["EXCLUDES", "STUDY_FILE", "git_state", "package_study"]

STUDY_FILE = "study.yaml"
PACKAGES = ("agents", "cluster", "search_spaces", "sweep")
EXCLUDES = ("__pycache__", "*.pyc", ".*")
"""What is left out of the packages: what Python makes anew, and what editors and systems leave behind."""


def package_study(study: Study, folder: Path) -> dict[str, Any] | None:
    """Fill `folder` with the study's text, the four packages, what they need and their commit; returns the commit.

    Copied by name, so that no data set, result, environment or credential beside the code can slip in. The
    cluster then runs the code that was previewed here, whatever is installed there.
    """
    here = Path(__file__).resolve().parents[1]
    for package in PACKAGES:
        shutil.copytree(here / package, folder / package, ignore=shutil.ignore_patterns(*EXCLUDES))
    (folder / STUDY_FILE).write_text(study.text, encoding="utf-8")
    commit = git_state()
    (folder / REQUIREMENTS_FILE).write_text("".join(f"{one}\n" for one in requirements()), encoding="utf-8")
    # Without a .git folder the code over there could not tell where it is from.
    (folder / COMMIT_FILE).write_text(json.dumps(commit), encoding="utf-8")
    return commit
