"""How fast, and in how much memory, RL Unplugged's Atari transitions are imported.

    python benchmarks/import_rate.py [--transitions 20000] [--shards 4] [--repeats 3] [--folder DIR]

Files in RL Unplugged's format are made first: GZIP TFRecord, eight PNG images a record, records shuffled within
their file. Then, in turn and each in a process of its own, they are imported, and read by the package `tfrecord`
with every PNG image decoded by Pillow, which is what a loader does that keeps nothing. `ratio` is our transitions a
second over the peer's; the peer stores nothing and checks nothing. Peak memory is the kernel's VmHWM
(`getrusage` would count what the parent held when it forked). With `--transitions
1000000` the files take about 12 GB, the dataset 7 GB, and making the files longer than importing them.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np

_EPISODE = 1000
_MEMORY_BAR = 2e9

OURS = """
import json, re, sys, time
from pathlib import Path
from agents.data.importers.engine import import_dataset
began = time.perf_counter()
dataset = import_dataset("rlu-atari", sys.argv[1], Path(sys.argv[2]))
seconds = time.perf_counter() - began
frames = len(dataset.arrays["frames"])
"""
PEER = """
import io, json, re, sys, time
from pathlib import Path
import numpy as np
from PIL import Image
from tfrecord import example_pb2
from tfrecord.reader import tfrecord_iterator
began = time.perf_counter()
dataset, frames = 0, 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    for data in tfrecord_iterator(str(path), compression_type="gzip"):
        example = example_pb2.Example()
        example.ParseFromString(data)
        feature = example.features.feature
        stacks = [
            np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in feature[key].bytes_list.value])
            for key in ("o_t", "o_tp1")
        ]
        row = [feature[key].int64_list.value[0] for key in ("a_t", "a_tp1", "episode_id")]
        row += [feature[key].float_list.value[0] for key in ("r_t", "d_t", "episode_return")]
        dataset, frames = dataset + 1, frames + 8
seconds = time.perf_counter() - began
dataset = range(dataset)
"""
_SAY = """
print(json.dumps({"transitions": len(dataset), "frames": frames, "seconds": seconds,
    "peak": int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) * 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transitions", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; a temporary folder else")
    arguments = parser.parse_args()
    common.machine()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        source = folder / "Pong"
        make(source, arguments.transitions, arguments.shards)
        size = sum(file.stat().st_size for file in source.iterdir())
        results = measure(source, folder / "datasets", size, arguments.repeats)
    finally:
        shutil.rmtree(folder)
    common.show("Importing RL Unplugged's Atari transitions", results)
    if common.unmet(results):
        sys.exit(1)


def measure(source: Path, datasets: Path, size: int, repeats: int) -> list[dict[str, Any]]:
    """Both sides in turn; the first turn warms the page cache and does not count."""
    turns: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for turn in range(repeats + 1):
        scripts = {"ours": OURS, "peer": PEER}
        for name, script in list(scripts.items())[:: 1 if turn % 2 else -1]:
            said = subprocess.run(
                [sys.executable, "-c", script + _SAY, str(source), str(datasets / f"turn-{turn}")],
                cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            if turn:
                turns[name].append(json.loads(said))
        shutil.rmtree(datasets)
    ours, peer = turns["ours"], turns["peer"]
    assert all(one["transitions"] == ours[0]["transitions"] for one in (*ours, *peer))
    seconds = {name: [one["seconds"] for one in turn] for name, turn in turns.items()}
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    count = ours[0]["transitions"]
    peak = max(one["peak"] for one in ours)
    return [
        common.emit(
            "import_rate",
            "import against tfrecord + Pillow",
            **common.judged(common.median_ratio(seconds["peer"], seconds["ours"]), 1.0, "higher"),
            transitions=count,
            frames_stored=ours[0]["frames"],
            transitions_per_second=count / median["ours"],
            bytes_per_second=size / median["ours"],
            peer_transitions_per_second=count / median["peer"],
            repeats=repeats,
            meaning="ours checks, stores and hashes; the peer decodes and forgets",
        ),
        common.emit(
            "import_rate",
            "peak memory in bytes",
            **common.judged(peak / _MEMORY_BAR, 1.0, "lower"),
            peak=peak,
            peer_peak=max(one["peak"] for one in peer),
            transitions=count,
            meaning="share of 2 GB",
        ),
    ]


def make(folder: Path, transitions: int, shards: int) -> None:
    """A game's run in ``shards`` files: a still background, and things that move over it."""
    from tfrecord.writer import TFRecordWriter

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = [len(part) for part in np.array_split(np.arange(transitions), shards)]
    for shard, size in enumerate(sizes):
        pngs = [_png(rng) for _ in range(size + 4)]
        plain = folder / "plain"
        writer = TFRecordWriter(str(plain))
        for t in rng.permutation(size).tolist():
            writer.write(
                {
                    "o_t": (pngs[t : t + 4], "byte"),
                    "o_tp1": (pngs[t + 1 : t + 5], "byte"),
                    "a_t": (t % 6, "int"),
                    "a_tp1": ((t + 1) % 6, "int"),
                    "r_t": (float(t % 3 - 1), "float"),
                    "d_t": (float(t % _EPISODE != _EPISODE - 1), "float"),
                    "episode_id": (shard * 2**32 + t // _EPISODE, "int"),
                    "episode_return": (1.0, "float"),
                }
            )
        writer.close()
        target = folder / f"run_1-{shard:05d}-of-{shards:05d}"
        with plain.open("rb") as file, gzip.open(target, "wb", compresslevel=1) as out:
            shutil.copyfileobj(file, out, 2**20)
        plain.unlink()


_BACKGROUND = np.random.default_rng(1).integers(0, 256, (12, 12), np.uint8).repeat(7, 0).repeat(7, 1)


def _png(rng: np.random.Generator) -> bytes:
    """About 1.2 kB, as a frame of Atari."""
    from PIL import Image

    image = _BACKGROUND.copy()
    for row, column, height, width, grey in rng.integers((8, 8, 2, 2, 0), (76, 76, 8, 8, 256), (12, 5)):
        image[row : row + height, column : column + width] = grey
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
