"""A model on paper: 1,000 nodes and 100,000 trials, from constants that were measured. Which part gives way first?

    python benchmarks/scale/model.py
    python benchmarks/scale/model.py --nodes 100 --packs-a-node 8 --hours 2

Every constant has its source beside it; those of this machine come from the other two scripts of this folder.
Nothing runs. A part gives way where its load is above what it can do; `load` is the ratio of the two.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from rich.console import Console
from rich.table import Table

# Measured by through_tune.py --trials 10000, machine C of docs/benchmarks.md: processor time, memory while training.
DRIVER_SECONDS_A_PACK = 0.066
GCS_SECONDS_A_PACK = 0.026
DRIVER_BYTES = 400e6
DRIVER_BYTES_A_TRIAL = 14e3
# The same: what compacting 200,000 rows added to the driver's memory, by row; a part has at most two million.
COMPACTION_BYTES_A_ROW, ROWS_OF_A_PART = 1_600, 2e6
ROWS_A_TRIAL = 1_000
# Measured by planning.py: processor seconds of 100,000 trials.
PLAN_SECONDS, STATUS_SECONDS = 4.5, 1.25
# Measured by mirror_rate.py over HTTP, and the size of MLflow's index of metrics (its issue 12813).
MIRROR_POINTS_A_SECOND = 7_400.0
MLFLOW_BYTES_A_POINT = 11 * 2**30 / 100e6
# Ray's own tests (its release/benchmarks/README.md and release_logs/1.12.0/benchmarks/many_actors.json).
RAY_NODES, RAY_ACTORS, RAY_PLACEMENT_GROUPS, RAY_ACTORS_A_SECOND = 250, 10_000, 1_000, 389.0
# Amazon's documentation of S3, "Optimizing performance": of one prefix, and of a small object.
S3_PUTS_A_SECOND, S3_GETS_A_SECOND, S3_REQUEST_SECONDS, S3_NAMES_A_LISTING = 3_500, 5_500, 0.1, 1_000
# Of the code: requests that are under way together, and what a pack at work asks of a bucket.
AT_ONCE = 16
# Counted at an S3 emulator, docs/how-to/root-in-a-bucket.md: of a pack at work, an hour.
PUTS_A_PACK_HOUR, GETS_A_PACK_HOUR = 340 + 320 + 60 + 160, 180 + 720
SEGMENTS_A_PACK_HOUR = 340
FILES_OF_A_PACK = 2
"""An attempt and a result."""
POINTS_A_TRIAL = 20 * 200
"""Of a thinned run in MLflow: 20 metrics of 200 points."""
LARGEST_PACK = 64


@dataclass(frozen=True)
class Part:
    """What is asked of a part, what it can do, and what was done about it."""

    part: str
    asked: float
    can: float
    unit: str
    holds_up: str
    """What suffers where it gives way."""
    done: str

    @property
    def load(self) -> float:
        """Above 1 it gives way."""
        return self.asked / self.can


def parts(nodes: int, packs_a_node: int, trials: int, hours: float) -> list[Part]:
    """Each part under `trials` on `nodes`, which run `packs_a_node` at once of `hours` each; heaviest load first."""
    workers = nodes * packs_a_node
    packs = min(max(math.ceil(trials / LARGEST_PACK), workers), trials)
    at_work = min(workers, packs)
    seconds = hours * 3600
    waves = math.ceil(packs / workers)
    begin = at_work * DRIVER_SECONDS_A_PACK
    found = [
        Part("Tune's controller: the packs of a wave begin within a tenth of their time", begin, seconds / 10, "s",
             "workers wait for their first pack", "a Tune trial is a pack; it reports once, at its end"),
        Part("Tune's controller: packs that end, one after the other", at_work / seconds, 1 / DRIVER_SECONDS_A_PACK,
             "packs/s", "workers wait between packs", "its configuration is the pack's id"),
        Part("driver's memory of 8 GB: while packs train", DRIVER_BYTES + trials * DRIVER_BYTES_A_TRIAL, 8e9, "bytes",
             "the driver is killed", "configurations are made only of packs that are looked into"),
        Part("driver's memory of 8 GB: while it compacts", DRIVER_BYTES + trials * DRIVER_BYTES_A_TRIAL
             + COMPACTION_BYTES_A_ROW * min(trials * ROWS_A_TRIAL, ROWS_OF_A_PART), 8e9, "bytes",
             "the driver is killed", "a part at a time"),
        Part("GCS: processor time of a wave's start", at_work * GCS_SECONDS_A_PACK, seconds / 10, "s",
             "packs begin late", "an actor and a placement group a pack, not a trial"),
        Part("GCS: placement groups at once (Ray has tested)", at_work, RAY_PLACEMENT_GROUPS, "groups",
             "beyond what Ray tests", "`--max-concurrent`; fewer packs a node, each with more members"),
        Part("GCS: nodes (Ray has tested)", nodes, RAY_NODES, "nodes",
             "beyond what Ray tests", "nothing of ours runs on a node beside its packs"),
        Part("GCS: actors at once (Ray has tested)", at_work, RAY_ACTORS, "actors", "beyond what Ray tests", ""),
        Part("bucket: writes while packs train", at_work * PUTS_A_PACK_HOUR / 3600, S3_PUTS_A_SECOND, "PUT/s",
             "503 Slow Down; packs train on from memory", "progress at most every 10 s, segments every 30 s"),
        Part("bucket: reads while packs train", at_work * GETS_A_PACK_HOUR / 3600, S3_GETS_A_SECOND, "GET/s",
             "503 Slow Down", "one GET answers whether to stop, for all packs the same object"),
        Part("bucket: the display's look every 15 s, all workers busy",
             (math.ceil(packs * FILES_OF_A_PACK / S3_NAMES_A_LISTING) + at_work / AT_ONCE) * S3_REQUEST_SECONDS,
             15, "s", "whoever looks waits", "one listing of all packs; a file of each pack at work, 16 at once"),
        Part("bucket: segments left at the end, compacted in a quarter of a pack's time",
             at_work * SEGMENTS_A_PACK_HOUR * hours / AT_ONCE * S3_REQUEST_SECONDS, seconds / 4, "s",
             "the sweep's end", "compacted while it trains, 64 packs at a time; 16 reads at once"),
        Part("mirror: as fast as the sweep", trials * POINTS_A_TRIAL / (waves * seconds), MIRROR_POINTS_A_SECOND,
             "points/s", "MLflow lags behind; training does not wait",
             "thinned, one batch a request; it goes on after the sweep"),
        Part("MLflow's database: index of metrics", trials * POINTS_A_TRIAL * MLFLOW_BYTES_A_POINT, 100e9, "bytes",
             "MLflow's pages slow down", "PostgreSQL; thinned series; the store has all rows"),
        Part("plan and table of trials", PLAN_SECONDS * trials / 1e5, 10, "s", "the start", "decision 28"),
        Part("status from a folder", STATUS_SECONDS * trials / 1e5, 2, "s", "whoever looks waits", "decision 28"),
    ]  # fmt: skip
    return sorted(found, key=lambda part: -part.load)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--packs-a-node", type=int, default=4)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--hours", type=float, default=1.0, help="that a pack trains")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = parts(given.nodes, given.packs_a_node, given.trials, given.hours)
    if given.json:
        print(json.dumps([{**asdict(part), "load": part.load} for part in found], indent=1))
        return
    table = Table(title=f"{given.nodes:,} nodes, {given.trials:,} trials, packs of {given.hours:g} h")
    for header in ("part", "asked", "can", "", "load", "what suffers"):
        table.add_column(header, justify="left" if header in ("part", "", "what suffers") else "right")
    for part in found:
        table.add_row(
            part.part, f"{part.asked:,.4g}", f"{part.can:,.4g}", part.unit, f"{part.load:.2g}", part.holds_up
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
