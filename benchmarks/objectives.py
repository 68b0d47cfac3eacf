"""Gradient steps a second of a pack of 32, each objective and regulariser, against an eager loop of one agent.

The same algorithm, network (50-64-64; R2D2's 50-64-LSTM 64), data, batch size (32; R2D2's 8 windows of 25 steps, 5 of
them burnt in), optimiser and core on both sides; each runs in turn and the median of the turn-by-turn ratios counts.
CQL, REM and BC are also held to DQN's time a step. `compile_seconds` is the first step of a process with the cache as
it was.

    python benchmarks/objectives.py                  # every one
    python benchmarks/objectives.py --only rem --only cql
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import Tensor

from agents.columns import Column, Columns
from agents.compilation import use_compile_cache
from agents.data import Dataset, DatasetWriter, Transitions
from agents.devices import prepare_process
from agents.environments import EnvironmentSpec
from agents.pack import Pack
from agents.sampling import MinibatchSampler
from agents.sequences import SequenceSampler
from agents.spec import LearnerShape, MemberHypers
from benchmarks.common import emit, in_turn, judged, median_ratio, show, unmet
from benchmarks.plain_objectives import ACTIONS, BATCH, HIDDEN, INPUTS, PEERS, PlainAgent
from benchmarks.plain_r2d2 import BURN_IN, EPISODE, LENGTH, WINDOWS, PlainR2D2

MEMBERS = 32
BAR, STEP_BAR = 8.0, 1.5
HELD_TO_DQN = ("cql", "rem", "bc")
REGULARISERS: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "dr3": ({"dr3": "dot"}, {"dr3_weight": 0.01}),
    "srank_penalty": ({"srank_penalty": True}, {"srank_penalty": 1e-3}),
    "curl": ({"curl": True}, {"curl_weight": 1e-3}),
    "sam": ({"sam": True}, {"sam_weight": 1.0}),
}
NAMES = (*PEERS, "r2d2")
DRAWN = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", choices=sorted(NAMES), action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--cache", type=Path, default=Path("sweeps/cache/compiled"))
    given = parser.parse_args()
    use_compile_cache(given.cache.resolve())
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepare_process(1, "float32")
    data = make_data()
    dqn, _ = ours("dqn", data, given.members)
    results = []
    for name in given.only or NAMES:
        results += compare(name, data, dqn, given)
    show("objectives", results)
    return int(unmet(results))


def make_data() -> dict[str, Tensor]:
    """Random transitions, and what the objectives read beside them: speed does not depend on what is in them."""
    draw = torch.Generator().manual_seed(0)
    return {
        "s": torch.rand(DRAWN + 1, INPUTS, generator=draw),
        "action": torch.randint(ACTIONS, (DRAWN,), generator=draw),
        "reward": torch.randn(DRAWN, generator=draw),
        "discount": torch.ones(DRAWN),
        "monte_carlo": torch.randn(DRAWN, generator=draw),
        "policy": torch.rand(DRAWN, ACTIONS, generator=draw).softmax(1),
        "q_star": torch.randn(DRAWN, ACTIONS, generator=draw),
    }


class Run:
    """A pack with what its members see at each step, as the training loop runs it."""

    def __init__(self, pack: Pack, select: Callable[[int, int], Any]) -> None:
        self.pack, self.select = pack, select

    def train(self, steps: int) -> None:
        while steps > 0:
            count = min(256, steps)
            self.pack.update(self.select(self.pack.step, count))
            steps -= count


def ours(name: str, data: dict[str, Tensor], members: int) -> tuple[Run, float]:
    """A pack that has taken its first step, and how long that took."""
    run = recurrent(data, members) if name == "r2d2" else feed_forward(name, data, members)
    began = time.perf_counter()
    run.train(1)
    return run, time.perf_counter() - began


def feed_forward(name: str, data: dict[str, Tensor], members: int) -> Run:
    switches, numbers = REGULARISERS.get(name, ({}, {}))
    shape = LearnerShape(
        objective="dqn" if name in REGULARISERS else name,
        hidden_sizes=(HIDDEN, HIDDEN),
        batch_size=BATCH,
        observation_shape=(INPUTS,),
        num_actions=ACTIONS,
        target_policy="uniform" if name == "fqe" else "behaviour",
        **switches,
    )
    hypers = [MemberHypers(seed=seed, learning_rate=1e-3, **numbers) for seed in range(members)]  # type: ignore[arg-type]
    first = torch.arange(DRAWN).unsqueeze(1)
    transitions = Transitions(
        frames=data["s"],
        frame_index=(first + torch.arange(2)).int(),
        action=data["action"].int(),
        reward=data["reward"],
        discount=data["discount"],
        subset_order=torch.randperm(DRAWN, generator=torch.Generator().manual_seed(1)).int(),
    )
    pack = Pack(shape, hypers, transitions, columns(shape, data, members))
    return Run(pack, MinibatchSampler(hypers, transitions.subset_order.numpy(), BATCH).indices)


def recurrent(data: dict[str, Tensor], members: int) -> Run:
    shape = LearnerShape(
        objective="r2d2",
        hidden_sizes=(HIDDEN,),
        lstm_size=HIDDEN,
        sequence_length=LENGTH,
        burn_in=BURN_IN,
        batch_size=WINDOWS,
        observation_shape=(INPUTS,),
        num_actions=ACTIONS,
    )
    hypers = [MemberHypers(seed=seed, learning_rate=1e-3) for seed in range(members)]
    with tempfile.TemporaryDirectory() as folder:
        dataset = episodes(Path(folder) / "episodes", data)
        sampler = SequenceSampler.for_shape(shape, hypers, dataset)
        return Run(Pack(shape, hypers, dataset.transitions, sequences=sampler), sampler.windows)


def episodes(path: Path, data: dict[str, Tensor]) -> Dataset:
    """The same transitions as episodes, each of which begins with the frame that the one before it ended with."""
    environment = EnvironmentSpec(
        env_id="benchmark/random",
        observation_shape=(INPUTS,),
        observation_dtype="float32",
        num_actions=ACTIONS,
        score_reference=None,
        requires="",
    )
    rows = np.arange(DRAWN, dtype=np.int32)
    with DatasetWriter(path, environment, DRAWN) as writer:
        writer.add_frames(data["s"].numpy())
        writer.add_transitions(
            np.stack([rows, rows + 1], axis=1),
            data["action"].numpy().astype(np.int32),
            data["reward"].numpy(),
            data["discount"].numpy(),
            rows // EPISODE,
        )
        return writer.finish(DRAWN // EPISODE, None, {})


def columns(shape: LearnerShape, data: dict[str, Tensor], members: int) -> Columns:
    """Every column that an objective may read; a pack reads those that it is given."""
    from agents.objectives import objective_class

    known = {
        "a_t": data["action"].roll(-1),
        "a_t_known": torch.ones(DRAWN),
        "mc_return": data["monte_carlo"],
        "policy_t": data["policy"],
        # Of the actions taken.
        "q_star": data["q_star"].gather(1, data["action"].unsqueeze(1)).squeeze(1),
    }
    wanted = objective_class(shape.objective)(shape).columns
    variant = torch.zeros(members, dtype=torch.int64)
    return Columns({name: Column(known[name].unsqueeze(0), variant) for name in wanted})


def compare(name: str, data: dict[str, Tensor], dqn: Run, given: argparse.Namespace) -> list[dict[str, Any]]:
    run, compile_seconds = ours(name, data, given.members)
    peer = PlainR2D2(data) if name == "r2d2" else PlainAgent(name, data)
    our_steps, peer_steps = work(run), 400
    tasks = {"pack": lambda: run.train(our_steps), "plain": lambda: peer.train(peer_steps)}
    if name in HELD_TO_DQN:
        tasks["dqn"] = lambda: dqn.train(our_steps)
    seconds = in_turn(tasks, given.repeats)
    rates = {
        "pack": [our_steps * given.members / s for s in seconds["pack"]],
        "plain": [peer_steps / s for s in seconds["plain"]],
    }
    results = [
        emit(
            "objectives",
            f"{name}, {given.members} members",
            pack_steps_per_second=_median(rates["pack"]),
            plain_steps_per_second=_median(rates["plain"]),
            compile_seconds=compile_seconds,
            **judged(median_ratio(rates["pack"], rates["plain"]), BAR, "higher"),
        )
    ]
    if name in HELD_TO_DQN:
        ratio = median_ratio(seconds["pack"], seconds["dqn"])
        results.append(
            emit("objectives", f"{name}: time of a step over DQN's", **judged(ratio, STEP_BAR, "lower"))
        )
    return results


def work(run: Run) -> int:
    """Steps that take about a third of a second."""
    began = time.perf_counter()
    run.train(16)
    return max(16, int(16 / 3 / (time.perf_counter() - began)))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
