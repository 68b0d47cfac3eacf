"""What tests know of the cluster that they share."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STUDY = """
study: tiny
title: Two members
question: Does a job end in a store?
datasets:
  random-catch: {env: bsuite/catch/0, collect: {agent: random, steps: 200, num_envs: 4}}
protocol: {log_every: 10, probe_every: 20, eval_every: 40, eval_episodes: 2, probe_batch_size: 32}
spaces:
  - name: rates
    base: {dataset: random-catch, train_steps: 40, hidden_sizes: [8]}
    axes: {learning_rate: [1.0e-3, 1.0e-2]}
"""


@dataclass(frozen=True)
class Dashboard:
    """A cluster of two nodes with one processor each. `env`: what processes need that are to reach it and `bucket`."""

    url: str
    address: str
    env: dict[str, str]
    bucket: str
    """An empty root on an object store that the cluster reaches."""

    def sweep(
        self,
        *arguments: object,
        env: dict[str, str] | None = None,
        folder: Path | None = None,
        seconds: int = 240,
    ) -> subprocess.CompletedProcess[str]:
        """The real command, in a process of its own: Ray settles its authentication when it is imported."""
        return subprocess.run(
            [sys.executable, "-c", "from sweep.cli import main; main()", *map(str, arguments)],
            env={**self.env, **(env or {})},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def asked(self, path: str) -> Any:
        """What the cluster itself says, by plain HTTP."""
        token = Path(self.env["HOME"], ".ray", "auth_token").read_text()
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())
