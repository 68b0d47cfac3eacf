"""Gradient steps a second of a pack, all members together, against a plain eager PyTorch loop of one agent.

The same network, data, batch size, optimiser and core; each side runs in turn, and the median of the
turn-by-turn ratios counts. Where `jax` is installed, `jit` + `vmap` + `lax.scan` on the same work is a second
peer (not on the bar). With `--device cuda` the Nature network at batch 256 is measured fused, looped with CUDA
graphs, and as several processes sharing the card.

    python benchmarks/pack_throughput.py                     # every network, one CPU core
    python benchmarks/pack_throughput.py --network mlp --members 16,32,64
    python benchmarks/pack_throughput.py --device cuda
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from agents.compilation import use_compile_cache
from agents.data import Transitions
from agents.devices import prepare_process, resident
from agents.pack import Pack
from agents.sampling import MinibatchSampler
from agents.spec import LearnerShape, MemberHypers
from benchmarks import plain_dqn
from benchmarks.common import emit, in_turn, judged, median_ratio, show, unmet
from benchmarks.jax_dqn import JaxDQN

BARS = {"mlp": 10.0, "minatar": 3.0, "nature_dqn": 1.0}
MEMBERS = {"mlp": (16, 32, 64), "minatar": (8,), "nature_dqn": (4,)}
STEPS = {"mlp": 6000, "minatar": 800, "nature_dqn": 24}
# A training step of the Nature network is three forward passes' worth of target, online and its gradients, twice:
# 22 MFLOP forward a sample, four times, 256 samples.
NATURE_FLOPS_PER_SAMPLE = 24e9 / 256


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--network", choices=sorted(BARS), action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--members", type=lambda text: tuple(map(int, text.split(","))), help="pack sizes")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--cache", type=Path, default=Path("sweeps/cache/compiled"))
    parser.add_argument(
        "--peak-tflops", type=float, default=67.0, help="the card's peak in the precision used"
    )
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16"))
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    use_compile_cache(given.cache.resolve())
    if given.device == "cuda":
        return worker(given) if given.worker else on_card(given)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepare_process(1, "float32")
    results = []
    for network in given.network or BARS:
        for members in given.members or MEMBERS[network]:
            results += compare(network, members, given.repeats)
        if network == "mlp":
            results += pack_of_one(given.repeats)
    show("pack_throughput", results)
    return int(unmet(results))


def make_data(network: str, transitions: int = 20_000) -> Transitions:
    """Random transitions: speed does not depend on what is in them."""
    generator = torch.Generator().manual_seed(0)
    if network == "mlp":
        frames, count = torch.rand(transitions + 1, 50, generator=generator), 1
    elif network == "minatar":
        frames = (torch.rand(transitions + 1, 4, 10, 10, generator=generator) < 0.1).float()
        count = 1
    else:
        transitions = 4_000
        frames = torch.randint(256, (transitions + 5, 84, 84), generator=generator, dtype=torch.uint8)
        count = 4
    first = torch.arange(transitions).unsqueeze(1)
    actions = 3 if network == "mlp" else 6
    return Transitions(
        frames=frames,
        frame_index=(first + torch.arange(count + 1)).int(),
        action=torch.randint(actions, (transitions,), generator=generator, dtype=torch.int32),
        reward=torch.randn(transitions, generator=generator),
        discount=torch.ones(transitions),
        subset_order=torch.randperm(transitions, generator=generator).int(),
    )


def shape_of(network: str, batch_size: int) -> LearnerShape:
    hidden: dict[str, tuple[int, ...]] = {"mlp": (64, 64), "minatar": (128,), "nature_dqn": (512,)}
    observation: dict[str, tuple[int, ...]] = {
        "mlp": (50,),
        "minatar": (4, 10, 10),
        "nature_dqn": (4, 84, 84),
    }
    return LearnerShape(
        network=network,  # type: ignore[arg-type]
        hidden_sizes=hidden[network],
        batch_size=batch_size,
        observation_shape=observation[network],
        observation_dtype="uint8" if network == "nature_dqn" else "float32",
        num_actions=3 if network == "mlp" else 6,
    )


class PackRun:
    """A pack with its sampler, as the training loop runs it."""

    def __init__(
        self,
        network: str,
        members: int,
        data: Transitions,
        batch_size: int = 32,
        device: str = "cpu",
        strategy: Literal["fused", "looped"] = "fused",
        precision: Any = "float32",
    ) -> None:
        hypers = [MemberHypers(seed=seed, learning_rate=1e-3) for seed in range(members)]
        self.pack = Pack(
            shape_of(network, batch_size), hypers, data, device=device, strategy=strategy, precision=precision
        )
        self.sampler = MinibatchSampler(hypers, data.subset_order.cpu().numpy(), batch_size)

    def train(self, steps: int) -> None:
        while steps > 0:
            count = min(256, steps)
            self.pack.update(self.sampler.indices(self.pack.step, count))
            steps -= count
        self.pack.synchronize()


def plain(network: str, data: Transitions, batch_size: int = 32, device: str = "cpu") -> plain_dqn.PlainDQN:
    make = {
        "mlp": lambda: plain_dqn.mlp(50, 3),
        "minatar": lambda: _squeezed(plain_dqn.minatar(4, 6)),
        "nature_dqn": lambda: plain_dqn.nature(4, 6),
    }[network]
    return plain_dqn.PlainDQN(make(), make(), data, batch_size, device)


def _squeezed(network: torch.nn.Module) -> torch.nn.Module:
    """Frames of one image a state come as [B, 1, 4, 10, 10]."""
    return torch.nn.Sequential(torch.nn.Flatten(1, 2), network)


def compare(network: str, members: int, repeats: int) -> list[dict[str, Any]]:
    data = make_data(network)
    ours, peer = PackRun(network, members, data), plain(network, data)
    began = time.perf_counter()
    ours.train(1)
    compile_seconds = time.perf_counter() - began
    steps = STEPS[network]
    # Work of about equal length on both sides, so that a mood of the machine meets both.
    our_steps = max(1, steps * BARS[network].__int__() // members // 2)
    peer_steps = max(1, steps // 4)
    tasks = {"pack": lambda: ours.train(our_steps), "plain": lambda: peer.train(peer_steps)}
    jax_steps = 0
    if network == "mlp" and importlib.util.find_spec("jax"):
        jax_steps = max(250, our_steps // 250 * 250)
        rival = JaxDQN(data, members, 32, (50, 64, 64, 3), 250)
        tasks["jax"] = lambda: rival.train(jax_steps)
    seconds = in_turn(tasks, repeats)
    rate = {
        "pack": [our_steps * members / s for s in seconds["pack"]],
        "plain": [peer_steps / s for s in seconds["plain"]],
        "jax": [jax_steps * members / s for s in seconds.get("jax", [])],
    }
    ratio = median_ratio(rate["pack"], rate["plain"])
    found = [
        emit(
            "pack_throughput",
            f"{network}, batch 32, {members} members",
            pack_steps_per_second=_median(rate["pack"]),
            plain_steps_per_second=_median(rate["plain"]),
            compile_seconds=compile_seconds,
            **judged(ratio, BARS[network], "higher"),
        )
    ]
    if jax_steps:
        found.append(
            emit(
                "pack_throughput",
                f"{network}, {members} members, against JAX (aim 1, no bar)",
                jax_steps_per_second=_median(rate["jax"]),
                ratio=round(median_ratio(rate["pack"], rate["jax"]), 4),
            )
        )
    return found


def pack_of_one(repeats: int) -> list[dict[str, Any]]:
    """A single trial is a pack of one: it may cost no more than 1.2 times the plain loop."""
    data = make_data("mlp")
    ours, peer = PackRun("mlp", 1, data), plain("mlp", data)
    ours.train(1)
    seconds = in_turn({"pack": lambda: ours.train(2000), "plain": lambda: peer.train(2000)}, repeats)
    return [
        emit(
            "pack_throughput",
            "mlp, a pack of one: time over the plain loop's",
            pack_steps_per_second=2000 / _median(seconds["pack"]),
            plain_steps_per_second=2000 / _median(seconds["plain"]),
            **judged(median_ratio(seconds["pack"], seconds["plain"]), 1.2, "lower"),
        )
    ]


def on_card(given: argparse.Namespace) -> int:
    """Nature-DQN at batch 256: fused, looped with CUDA graphs, several processes, next to the plain loop."""
    prepare_process(1, given.precision)
    data, _ = resident(make_data("nature_dqn"), torch.device("cuda"))
    results = []
    peer = plain("nature_dqn", data, 256, "cuda")
    peer_rate = _rate_on_card(peer.train, 200)
    results.append(_card_row(given, "plain eager loop, 1 agent", peer_rate, peer_rate))
    for members in given.members or (1, 4, 16):
        for strategy in ("fused", "looped"):
            run = PackRun("nature_dqn", members, data, 256, "cuda", strategy, given.precision)  # type: ignore[arg-type]
            run.train(5)
            rate = members * _rate_on_card(run.train, max(20, 200 // members))
            results.append(_card_row(given, f"{strategy}, captured, {members} members", rate, peer_rate))
            del run
        if members > 1:
            rate = _processes(given, members)
            results.append(_card_row(given, f"{members} processes sharing the card", rate, peer_rate))
    show("pack_throughput on " + torch.cuda.get_device_name(), results)
    return 0


def worker(given: argparse.Namespace) -> int:
    """One of several processes: compile, wait for the others, then print a rate."""
    prepare_process(1, given.precision)
    data, _ = resident(make_data("nature_dqn"), torch.device("cuda"))
    run = PackRun("nature_dqn", 1, data, 256, "cuda", "fused", given.precision)
    run.train(5)
    print("ready", flush=True)
    sys.stdin.readline()
    print(_rate_on_card(run.train, 200), flush=True)
    return 0


def _processes(given: argparse.Namespace, count: int) -> float:
    command = [sys.executable, __file__, "--device", "cuda", "--precision", given.precision, "--worker", "1"]
    command += ["--cache", str(given.cache)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for one in workers:
        assert one.stdout is not None
        one.stdout.readline()
    for one in workers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return sum(float(one.communicate()[0].split()[-1]) for one in workers)


def _rate_on_card(train: Any, steps: int) -> float:
    train(3)
    rates = []
    for _ in range(5):
        torch.cuda.synchronize()
        began = time.perf_counter()
        train(steps)
        torch.cuda.synchronize()
        rates.append(steps / (time.perf_counter() - began))
    return _median(rates)


def _card_row(given: argparse.Namespace, measure: str, rate: float, peer_rate: float) -> dict[str, Any]:
    return emit(
        "pack_throughput",
        f"nature_dqn, batch 256, {given.precision}: {measure}",
        steps_per_second=rate,
        share_of_roofline=rate * NATURE_FLOPS_PER_SAMPLE * 256 / (given.peak_tflops * 1e12),
        ratio=round(rate / peer_rate, 3),
        card=torch.cuda.get_device_name(),
    )


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
