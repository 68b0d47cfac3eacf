"""What stands in for the learner in `through_tune.py`: it sleeps and writes rows.

All around it is the real thing: Tune, the worker's process, the plan, attempts, segments, results. Ray calls
`install` in each worker's process before anything else.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = "RANKSCOPE_STUB_SECONDS_A_TRIAL"
_FLUSHES = 4


def install() -> None:
    """Put the stub in place of training in this process."""
    import sweep.trainable

    sweep.trainable._train = train


def train(spec: Any, store: Any, root: Path) -> dict[str, Any]:
    """Sleep for the members' seconds and write a row a member every `log_every` steps, as `train_pack` does."""
    from sweep.pack_progress import write_progress
    from sweep.pack_report import Report

    attempt = store.start_attempt(spec.pack_id, {"resume_step": -1, "device": "cpu", "compiled": False})
    writer = store.segment_writer(spec.pack_id, attempt, -1)
    members, pause = len(spec.trials), float(os.environ[SECONDS]) * len(spec.trials)
    steps = np.arange(spec.protocol.log_every, spec.train_steps + 1, spec.protocol.log_every)
    for done in np.array_split(steps, _FLUSHES):
        time.sleep(pause / _FLUSHES)
        for step in done:
            writer.append(
                {
                    "trial_id": list(spec.trials),
                    "step": np.full(members, step, np.int64),
                    "loss": np.linspace(1.0, 0.5, members) / step,
                    "q_mean": np.linspace(-1.0, 1.0, members),
                }
            )
        writer.flush()
        rate = members * spec.train_steps / max(pause, 1e-3)
        write_progress(
            store,
            Report(
                pack_id=spec.pack_id,
                attempt=attempt,
                step=int(done[-1]),
                train_steps=spec.train_steps,
                members=members,
                active=members,
                steps_per_second=rate,
                compiled=False,
                return_mean=float("nan"),
                evaluated=False,
            ),
        )
    ended = {"status": "finished", "final_step": spec.train_steps, "wall_seconds": pause}
    result = {
        "attempt": attempt,
        "trials": dict.fromkeys(spec.trials, ended),
        "seconds": {"train": pause},
        "members": members,
        "return_mean": 0.0,
        "steps": spec.train_steps,
        "compiled": False,
        "device": "cpu",
    }
    store.finish_pack(spec.pack_id, result)
    return result
