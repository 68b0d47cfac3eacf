"""Resident memory of worker processes that sample from one dataset, all together against one of them.

Each worker opens the dataset, samples batches of 256 until every transition was seen once, and waits. Memory is the
proportional set size of /proc/<pid>/smaps_rollup: a page that n processes map counts 1/n in each, so that the sum over
workers is what they take together; the share that is private to each, and its page tables, are told too. Bar: 8 workers
take less than 1.2 times what one takes. A second row, without a bar, is of workers that have PyTorch loaded and gather
as packs do: PyTorch alone takes about 0.15 GiB of each process, whatever the dataset.

    python benchmarks/sampling_memory.py                             # 8 workers on 5 GB
    python benchmarks/sampling_memory.py --gigabytes 1 --workers 4
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from agents.data import Dataset
from benchmarks.atari_like import make
from benchmarks.common import emit, judged, show, unmet

BATCH = 256


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=5.0, help="size of the frames")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where to make the dataset (default: a temporary folder)")
    parser.add_argument("--worker", choices=("numpy", "torch"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return worker(given.folder, given.worker)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "atari-like"
        make(path, given.gigabytes)
        results = [compare(path, kind, given) for kind in ("numpy", "torch")]
    show("sampling_memory", results)
    return int(unmet(results))


def compare(path: Path, kind: str, given: argparse.Namespace) -> dict[str, Any]:
    one, all_of_them = measure(path, kind, 1), measure(path, kind, given.workers)

    def total(name: str) -> float:
        return round(sum(each[name] for each in all_of_them), 3)

    ratio = total("Pss") / one[0]["Pss"]
    return emit(
        "sampling_memory",
        f"{given.workers} workers on {given.gigabytes:g} GB, {kind}, together against one",
        together_gib=total("Pss"),
        one_gib=round(one[0]["Pss"], 3),
        private_gib_a_worker=round(total("Private") / given.workers, 3),
        page_tables_gib_a_worker=round(total("VmPTE") / given.workers, 4),
        **(judged(ratio, 1.2, "lower") if kind == "numpy" else {"ratio": round(ratio, 4)}),
    )


def measure(path: Path, kind: str, count: int) -> list[dict[str, float]]:
    """Memory of each of ``count`` workers, all of which have seen the whole dataset and still hold it, in GiB."""
    command = [sys.executable, __file__, "--worker", kind, "--folder", str(path)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for each in workers:
            assert each.stdout is not None
            if each.stdout.readline().strip() != "ready":
                raise RuntimeError(f"a worker ended early, with exit status {each.wait()}")
        return [memory(each.pid) for each in workers]
    finally:
        for each in workers:
            each.communicate("done\n")


def memory(process: int) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for file in ("smaps_rollup", "status"):
        for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
            name, _, value = line.partition(":")
            if value.endswith(" kB"):
                sizes[name] = int(value.split()[0]) / 2**20
    return {
        "Pss": sizes["Pss"],
        "Private": sizes["Private_Clean"] + sizes["Private_Dirty"],
        "VmPTE": sizes["VmPTE"],
    }


def worker(path: Path, kind: str) -> int:
    dataset = Dataset.open(path)
    order = np.random.default_rng().permutation(len(dataset))
    batches = [
        order[first : first + BATCH] for first in (*range(0, len(order) - BATCH, BATCH), len(order) - BATCH)
    ]
    if kind == "numpy":
        out = dataset.sample_batch(batches[0])
        for chosen in batches:
            dataset.sample_batch(chosen, out)
    else:
        import torch

        torch.set_num_threads(1)
        room = dataset.transitions.empty_batch((BATCH,))
        for chosen in batches:
            dataset.transitions.gather(torch.from_numpy(chosen), room)
    print("ready", flush=True)
    sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
