"""What compiling a pack's update costs and what it saves: the numbers behind `sweep.compiling`.

Each case in a process of its own with an empty cache, on one core: seconds of the first compiled step, and
milliseconds of a step compiled and eagerly.

    python benchmarks/compiling.py
    python benchmarks/compiling.py --case mlp,32,8 --case mlp,256,8,sam,curl,dropout
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CASES = (
    "mlp,32,2",
    "mlp,32,8",
    "mlp,32,32",
    "mlp,32,8,dropout",
    "mlp,32,8,sam",
    "mlp,32,8,curl",
    "mlp,32,8,sam,curl,dropout",
    "mlp,256,8",
    "mlp,256,8,sam,curl,dropout",
    "minatar,32,8",
    "nature_dqn,32,2",
)
"""Network, batch size, members, and what is switched on."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", help="only this one; may be repeated")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here)))
        return
    for case in given.case or CASES:
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "COMPILE_CACHE": cache}
            command = [sys.executable, __file__, "--here", case]
            out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        print(out.stdout.splitlines()[-1], flush=True)


def measure(case: str) -> dict[str, Any]:
    """Seconds of the first compiled step and milliseconds of later ones, of a pack on random transitions."""
    import numpy as np
    import torch

    from agents.compilation import use_compile_cache
    from agents.data import Transitions
    from agents.devices import prepare_process
    from agents.pack import Pack
    from agents.sampling import MinibatchSampler
    from agents.spec import LearnerShape, MemberHypers

    use_compile_cache(Path(os.environ["COMPILE_CACHE"]))
    prepare_process(1, "float32")
    network, batch, members, *switches = case.split(",")
    observation = {"mlp": (50,), "minatar": (4, 10, 10), "nature_dqn": (4, 84, 84)}[network]
    hidden = {"mlp": (64, 64), "minatar": (128,), "nature_dqn": (512,)}[network]
    shape = LearnerShape(
        network=network,  # type: ignore[arg-type]
        observation_shape=observation,
        num_actions=4,
        hidden_sizes=hidden,
        batch_size=int(batch),
        **dict.fromkeys(switches, True),  # type: ignore[arg-type]
    )
    numbers = {
        name: value
        for name, value in {"sam_weight": 1.0, "curl_weight": 1e-3, "dropout": 0.1}.items()
        if name.split("_")[0] in switches
    }
    hypers = [MemberHypers(seed=seed, learning_rate=1e-3, **numbers) for seed in range(int(members))]  # type: ignore[arg-type]
    draws, count = np.random.default_rng(0), 500
    stack = observation[0] if len(observation) == 3 else 1
    frame = observation[1:] if stack > 1 else observation
    frames = draws.random((count + stack, *frame), np.float32)
    data = Transitions(
        frames=torch.from_numpy(frames),
        frame_index=torch.arange(count, dtype=torch.int32)[:, None] + torch.arange(stack + 1).int(),
        action=torch.from_numpy(draws.integers(0, 4, count).astype(np.int32)),
        reward=torch.from_numpy(draws.normal(size=count).astype(np.float32)),
        discount=torch.ones(count),
        subset_order=torch.arange(count).int(),
    )
    select = MinibatchSampler(hypers, data.subset_order.numpy(), int(batch)).indices
    found: dict[str, Any] = {"case": case}
    for way in ("compiled", "eager"):
        pack = Pack(shape, hypers, data, compile=way == "compiled")
        began = time.perf_counter()
        pack.update(select(0, 1))
        first = time.perf_counter() - began
        if way == "compiled":
            found["first_seconds"] = round(first, 1)
        pack.update(select(1, 3))
        taken, began = 0, time.perf_counter()
        while time.perf_counter() - began < 2.0:
            pack.update(select(pack.step, 8))
            taken += 8
        found[f"{way}_ms"] = round(1000 * (time.perf_counter() - began) / taken, 2)
    return found


if __name__ == "__main__":
    main()
