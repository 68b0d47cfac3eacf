"""Minibatches a second from an Atari dataset: 256 × (s, s'), stacks of 4 images of 84 × 84.

Each side in turn, on one thread where nothing else is said:

- `Dataset.sample_batch` from a dataset whose pages are in memory, against the machine's own memcpy (numpy) of the bytes
  of s and s' (bar: 0.5), read from memory as frames drawn at random are. Stricter and without a bar: of the five frames
  that s and s' share, which is all that is moved; of these from the processor's cache; and the gather of a pack
  (`Transitions.gather`) with a thread a core against the memcpy of s and s';
- against sampling as Dopamine does it, and against d3rlpy's replay buffer where it can be imported, both holding their
  frames in memory (bar: faster). d3rlpy hands out float32 and we uint8, which networks convert on their device; so it
  is compared as it is, and with our batch converted too. d3rlpy is a peer and no dependency: put it and what it needs
  on PYTHONPATH, `pip install --no-deps --target peers d3rlpy structlog dataclasses-json marshmallow typing-inspect
  colorama gym==0.26.2 gym-notices cloudpickle`;
- from a dataset none of whose pages are in memory, evicted by posix_fadvise before every turn, with the pages of
  coming batches read ahead as packs do it, against touching them as they come (bar: faster).

    python benchmarks/sampling.py                    # 2 GB of frames in a temporary folder
    python benchmarks/sampling.py --gigabytes 7 --folder /data/scratch
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from agents.data import Dataset
from agents.data.paging import FrameFile
from agents.sampling import MinibatchSampler
from agents.spec import LearnerShape, MemberHypers
from agents.transitions import BatchReader
from benchmarks.atari_like import FRAME_BYTES, evict, make
from benchmarks.common import emit, in_turn, judged, median_ratio, show, unmet
from benchmarks.dopamine_buffer import CircularBuffer

BATCH, STACK = 256, 4
STATES_BYTES = BATCH * 2 * STACK * FRAME_BYTES
"""s and s', as the peers hand them out and a network reads them."""
MOVED_BYTES = BATCH * (STACK + 1) * FRAME_BYTES
"""Our s and s' are views of five frames, which are moved once."""
PEER_TRANSITIONS = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the frames")
    parser.add_argument("--folder", type=Path, help="where to make the dataset (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--batches", type=int, default=100, help="warm batches a turn")
    parser.add_argument("--cold-batches", type=int, default=8, help="batches after each eviction")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        dataset = make(Path(folder) / "atari-like", given.gigabytes)
        torch.set_num_threads(1)
        results = [*warm(dataset, given), *peers(dataset, given), cold(dataset, given)]
    show("sampling", results)
    return int(unmet(results))


class Ours:
    """Batches as a user takes them: transition numbers drawn before, `Dataset.sample_batch` into one buffer."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.sampler = MinibatchSampler(
            [MemberHypers(seed=0, learning_rate=1e-3)], dataset.arrays["subset_order"], BATCH
        )
        self.step = 0
        self.out: Any = None

    def numbers(self, count: int) -> np.ndarray:
        drawn = self.sampler.indices(self.step, count)[:, 0]
        self.step += count
        return drawn

    def take(self, count: int, use: Callable[[Any], Any] = lambda batch: None) -> None:
        for chosen in self.numbers(count):
            self.out = self.dataset.sample_batch(chosen, self.out)
            use(self.out)


def warm(dataset: Dataset, given: argparse.Namespace) -> list[dict[str, Any]]:
    ours, count, cores = Ours(dataset), given.batches, len(os.sched_getaffinity(0))
    # Every page once, so that what is timed is sampling and not the first touch.
    for first in range(0, len(dataset), BATCH):
        dataset.sample_batch(np.arange(first, min(first + BATCH, len(dataset))))
    # Sources that are not in the cache, because frames drawn at random are not; the target stays, as ours does.
    sources = np.random.default_rng(0).integers(0, 256, (24, STATES_BYTES), np.uint8)
    target = np.empty(STATES_BYTES, np.uint8)
    room = dataset.transitions.empty_batch((BATCH,))

    def copy(size: int, rows: int) -> None:
        for turn in range(count):
            np.copyto(target[:size], sources[turn % rows, :size])

    def gather() -> None:
        torch.set_num_threads(cores)
        for chosen in torch.from_numpy(ours.numbers(count)):
            dataset.transitions.gather(chosen, room)
        torch.set_num_threads(1)

    seconds = in_turn(
        {
            "sampling": lambda: ours.take(count),
            "pack": gather,
            "memcpy": lambda: copy(STATES_BYTES, len(sources)),
            "memcpy of moved": lambda: copy(MOVED_BYTES, len(sources)),
            "memcpy in cache": lambda: copy(MOVED_BYTES, 1),
        },
        given.repeats,
    )
    rate = {name: count / statistics.median(taken) for name, taken in seconds.items()}

    def row(measure: str, side: str, peer: str, size: int, bar: float | None = None) -> dict[str, Any]:
        ratio = median_ratio(seconds[peer], seconds[side])
        return emit(
            "sampling",
            measure,
            batches_per_second=rate[side],
            gigabytes_per_second=rate[side] * size / 1e9,
            memcpy_gigabytes_per_second=rate[peer] * size / 1e9,
            **({"ratio": round(ratio, 4)} if bar is None else judged(ratio, bar, "higher")),
        )

    return [
        row("warm, against memcpy of the bytes of (s, s')", "sampling", "memcpy", STATES_BYTES, 0.5),
        row(
            "warm, against memcpy of the 5 frames moved (no bar)", "sampling", "memcpy of moved", MOVED_BYTES
        ),
        row(
            "warm, against memcpy of these in the cache (no bar)", "sampling", "memcpy in cache", MOVED_BYTES
        ),
        row(f"warm, a pack's gather on {cores} threads (no bar)", "pack", "memcpy", STATES_BYTES),
    ]


def peers(dataset: Dataset, given: argparse.Namespace) -> list[dict[str, Any]]:
    ours, kept = Ours(dataset), min(PEER_TRANSITIONS, len(dataset))
    dopamine = CircularBuffer(dataset, kept, BATCH)
    count = max(1, given.batches // 20)
    seconds = in_turn(
        {"ours": lambda: ours.take(count), "peer": lambda: [dopamine.sample() for _ in range(count)]},
        given.repeats,
    )
    results = [_against("Dopamine-style sampling", seconds, count)]
    buffer = d3rlpy_buffer(dataset, kept)
    if buffer is None:
        print("d3rlpy cannot be imported, so it is left out; see the text of --help.", file=sys.stderr)
        return results

    # Buffers that are kept, as the batch's own are.
    states = [np.empty((BATCH, STACK, 84, 84), np.float32) for _ in range(2)]

    def convert(batch: Any) -> None:
        for target, source in zip(states, (batch.s_tm1, batch.s_t), strict=True):
            np.copyto(target, source)

    seconds = in_turn(
        {
            "ours": lambda: ours.take(count),
            "converted": lambda: ours.take(count, convert),
            "peer": lambda: [buffer.sample_transition_batch(BATCH) for _ in range(count)],
        },
        given.repeats,
    )
    both = {"ours": seconds["converted"], "peer": seconds["peer"]}
    results.append(_against("d3rlpy's replay buffer", seconds, count))
    results.append(_against("d3rlpy's replay buffer, both in float32", both, count))
    return results


def _against(name: str, seconds: dict[str, list[float]], count: int) -> dict[str, Any]:
    return emit(
        "sampling",
        f"warm, against {name}",
        batches_per_second=count / statistics.median(seconds["ours"]),
        peer_batches_per_second=count / statistics.median(seconds["peer"]),
        **judged(median_ratio(seconds["peer"], seconds["ours"]), 1.0, "higher"),
    )


def d3rlpy_buffer(dataset: Dataset, transitions: int) -> Any:
    """Whole episodes of ``transitions`` in all, in d3rlpy's buffer with its frame stacking; None without d3rlpy."""
    try:
        import d3rlpy
        from d3rlpy.dataset import Episode, FrameStackTransitionPicker, InfiniteBuffer, ReplayBuffer
    except (ImportError, ValueError) as error:
        print(f"d3rlpy: {error}", file=sys.stderr)
        return None
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    arrays, episodes = dataset.arrays, []
    rows = np.argsort(arrays["episode"], kind="stable")[:transitions]
    for part in np.split(rows, np.flatnonzero(np.diff(arrays["episode"][rows])) + 1):
        episodes.append(
            Episode(
                observations=arrays["frames"][arrays["frame_index"][part, 3]][:, None],
                actions=arrays["action"][part][:, None],
                rewards=arrays["reward"][part][:, None],
                terminated=bool(arrays["discount"][part[-1]] == 0),
            )
        )
    return ReplayBuffer(
        InfiniteBuffer(),
        episodes=episodes,
        transition_picker=FrameStackTransitionPicker(n_frames=4),
        action_space=d3rlpy.ActionSpace.DISCRETE,
        action_size=6,
    )


def cold(dataset: Dataset, given: argparse.Namespace) -> dict[str, Any]:
    count, ours = given.cold_batches, Ours(dataset)
    shape = LearnerShape(observation_shape=(4, 84, 84), observation_dtype="uint8", num_actions=6)
    plainly = Dataset.open(dataset.path)
    ahead = Dataset.open(dataset.path)
    # As in a process that finds less memory than twice the frames.
    ahead.frame_file = FrameFile(ahead.arrays["frames"], budget=1)
    readers = {
        name: BatchReader((one.transitions, torch.device("cpu")), shape)
        for name, one in (("plain", plainly), ("ahead", ahead))
    }
    room = plainly.transitions.empty_batch((1, BATCH))

    def take(name: str) -> float:
        reader = readers[name]
        for one in (dataset, plainly, ahead):
            evict(one)
        chosen = reader.stage(ours.numbers(count)[:, None])
        began = time.perf_counter()
        for selected in reader.batches(chosen):
            reader.data.gather(selected, room)
        return time.perf_counter() - began

    seconds: dict[str, list[float]] = {"plain": [], "ahead": []}
    for _ in range(max(3, given.repeats // 2)):
        for name, taken in seconds.items():
            taken.append(take(name))
    return emit(
        "sampling",
        "no page in memory (fadvise), read ahead against as they come",
        batches_per_second=count / statistics.median(seconds["ahead"]),
        megabytes_per_second=count * MOVED_BYTES / 1e6 / statistics.median(seconds["ahead"]),
        plain_batches_per_second=count / statistics.median(seconds["plain"]),
        evicted_gigabytes=round(dataset.arrays["frames"].nbytes / 1e9, 2),
        **judged(median_ratio(seconds["plain"], seconds["ahead"]), 1.0, "higher"),
    )


if __name__ == "__main__":
    sys.exit(main())
