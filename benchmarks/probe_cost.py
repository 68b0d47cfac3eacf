"""What the probes cost: a pack that is measured at the default cadence against the same pack that is not.

Both train from the same state on the same minibatches, turn by turn, compiled, on one thread. One takes every
measure of 512 transitions, as a trial of 10,000 steps does by default: every 2,500 steps and at step 0, 5 times.
Figures: by how much that lengthens the training, in processor time and on the wall (medians of the turns), and
what a clock around the probes sees. The bar is on processor time, which neighbours on the machine disturb
least. Rows, evaluation and checkpoints are off on both sides.

The convolutional networks run fewer steps and probes; the share is reckoned for the same trial of 10,000 steps.

    python benchmarks/probe_cost.py
    python benchmarks/probe_cost.py --network mlp --members 16,32 --repeats 9
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from agents.compilation import use_compile_cache
from agents.devices import prepare_process
from agents.measuring import ProbeBatch
from benchmarks.common import emit, judged, show, unmet
from benchmarks.pack_throughput import PackRun, make_data, shape_of
from search_spaces import Protocol

BAR = 0.03
TRIAL_STEPS = 10_000
TRIAL_PROBES = TRIAL_STEPS // Protocol().resolve(TRIAL_STEPS).probe_every + 1
LOG_EVERY = 100
MEMBERS = {"mlp": (16, 32), "minatar": (8,), "nature_dqn": (4,)}
# Steps and probes of one turn.
TURNS = {"mlp": (TRIAL_STEPS, TRIAL_PROBES), "minatar": (600, 5), "nature_dqn": (16, 1)}


class Turn:
    """A pack that trains from one state again and again, with probes or without."""

    def __init__(self, network: str, members: int) -> None:
        data = make_data(network)
        self.run = PackRun(network, members, data)
        chosen = np.sort(np.random.default_rng(0).choice(len(data), 512, replace=False))
        self.probes = ProbeBatch(self.run.pack, chosen)
        self.start = self.run.pack.state_dict()
        # Compile, and let the probes set up what libraries set up when they are first called.
        self.run.train(1)
        for _ in range(2):
            self.probes.measure()

    def __call__(self, steps: int, probes: int) -> dict[str, float]:
        """Train `steps` with so many probes spread over them: seconds on the wall, of processor, in probes."""
        self.run.pack.load_state_dict(self.start)
        due = {round(place) for place in np.linspace(0, steps, probes)}
        wall, processor, inside = time.perf_counter(), time.process_time(), 0.0
        for step in range(steps + 1):
            if step in due:
                at = time.process_time()
                self.probes.measure()
                inside += time.process_time() - at
            if step == steps or step % LOG_EVERY:
                continue
            self.run.train(min(LOG_EVERY, steps - step))
            self.run.pack.take_mean_loss()
        return {
            "wall": time.perf_counter() - wall,
            "processor": time.process_time() - processor,
            "inside": inside,
        }


def measure(network: str, members: int, repeats: int, steps: int, probes: int) -> dict[str, Any]:
    """Turns with and without, and the shares of a whole trial."""
    turn = Turn(network, members)
    off, on = [], []
    for number in range(repeats):
        # Neither always follows the other.
        for kind in (off, on) if number % 2 else (on, off):
            kind.append(turn(steps, probes if kind is on else 0))
    whole = (TRIAL_PROBES / probes) / (TRIAL_STEPS / steps)

    def share(clock: str) -> float:
        grown = [a[clock] / b[clock] - 1 for a, b in zip(on, off, strict=True)]
        return statistics.median(grown) * whole

    training = statistics.median(one["processor"] for one in off)
    inside = statistics.median(one["inside"] for one in on)
    return emit(
        "probe_cost",
        f"{network}, {members} members",
        batch_size=shape_of(network, 32).batch_size,
        steps_per_second=round(members * steps / statistics.median(one["wall"] for one in off)),
        step_ms=round(training / steps * 1e3, 3),
        probe_ms=round(inside / probes * 1e3, 2),
        wall_share=round(share("wall"), 4),
        clocked_share=round(inside / training * whole, 4),
        repeats=repeats,
        **judged(share("processor"), BAR, "lower"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--network", choices=sorted(TURNS), action="append", help="only this; may be repeated"
    )
    parser.add_argument("--members", type=lambda text: tuple(map(int, text.split(","))), help="pack sizes")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each kind (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of a turn, instead of each network's own")
    parser.add_argument("--cache", type=Path, default=Path("sweeps/cache/compiled"))
    given = parser.parse_args()
    use_compile_cache(given.cache.resolve())
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepare_process(1, "float32")
    results = []
    for network in given.network or TURNS:
        steps, probes = TURNS[network]
        if given.steps:
            steps, probes = given.steps, max(1, round(probes * given.steps / steps))
        for members in given.members or MEMBERS[network]:
            results.append(measure(network, members, given.repeats, steps, probes))
    show("probe_cost: what probes at the default cadence add to training", results)
    return int(unmet(results))


if __name__ == "__main__":
    sys.exit(main())
