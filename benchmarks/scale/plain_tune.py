"""The peer of `through_tune.py`: plain Ray Tune, a Tune trial a configuration, rows by `tune.report`.

    python benchmarks/scale/plain_tune.py --trials 64 --seconds 0.05 --rows 20 --workers 2 --marks FILE

Tune's defaults, its loggers included. Writes its marks (unix seconds and processor seconds) as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path


def train(config: dict[str, float]) -> None:
    from ray import tune

    time.sleep(config["seconds"])
    for row in range(int(config["rows"])):
        tune.report({"loss": config["learning_rate"] / (row + 1), "q_mean": 0.0})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--marks", type=Path, required=True)
    given = parser.parse_args()

    import ray
    from ray import tune

    ray.init(address="local", num_cpus=given.workers, include_dashboard=False, log_to_driver=False)
    began, processor = time.time(), time.process_time()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        space = {
            "seconds": given.seconds,
            "rows": given.rows,
            "learning_rate": tune.grid_search([1e-5 * (1 + i) for i in range(given.trials)]),
        }
        tuner = tune.Tuner(
            tune.with_resources(train, {"CPU": 1}),
            param_space=space,
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        errors = tuner.fit().num_errors
    marks = {"wall": time.time() - began, "driver": time.process_time() - processor, "errors": errors}
    given.marks.write_text(json.dumps(marks))
    ray.shutdown()


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main()
