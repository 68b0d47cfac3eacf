"""What these tests share: descriptions, parsed files, and tools that may be missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.description import Cluster, example_text
from cluster.render import TARGETS, render
from search_spaces.yaml_loader import load_yaml


def described(**changes: Any) -> Cluster:
    """The example with other values: `root="/mnt"` or, a level down, `security={"token": False}`."""
    content = load_yaml(example_text(), "example.yaml")
    for key, value in changes.items():
        merge = isinstance(value, dict) and isinstance(content.get(key), dict)
        content[key] = {**content[key], **value} if merge else value
    return Cluster.parse(content, "test.yaml")


VARIANTS: dict[str, dict[str, Any]] = {
    "example": {},
    "mount": {"root": "/mnt/sweeps", "secrets": []},
    "without MLflow": {"mlflow": None},
    "without token": {"security": {"token": False}},
    "one CPU group": {
        "workers": [{"name": "cpu", "cpus": 2, "memory_gib": 8}],
        "aws": {"instance_types": {"cpu": "m5.large"}},
        "gcp": {"machine_types": {"cpu": "n2-standard-2"}, "accelerators": {}, "gpu_source_image": None},
        "slurm": {
            "gres": {},
            "account": "rl",
            "partition": "batch",
            "modules": ["gcc/13"],
            "container": "$HOME/r.sif",
        },
        "kuberay": {"service_account": "sweeps", "storage_class": "fast"},
        "job": {"study": "kumar2021/gridworld-fqi", "max_hours": 48},
    },
}


def every_file() -> Iterator[tuple[str, str, str]]:
    """Name of the variant and kind, name of the file, its text: all that can be rendered."""
    for variant, changes in VARIANTS.items():
        cluster = described(**changes)
        for kind in TARGETS:
            if kind == "compose" and cluster.mlflow is None:
                continue
            for name, text in render(cluster, kind).items():
                yield f"{variant}, {kind}", name, text


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a checker of this environment or the system; skips where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; the extra `dev` has it")
    return subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
