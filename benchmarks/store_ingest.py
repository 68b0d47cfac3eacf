"""The store against plain peers on the same rows: writing segments, and reading back with a filter.

Ingest: segments (encoded, checksummed, fsynced, renamed) against pyarrow writing all rows as one file.
Flush: how long the training process is held up by one append and one flush of 8192 rows.
Read-back: `Store.metrics` with a filter on two columns against DuckDB on the one file, both to pandas.
Bar: 1.5 times its time.
Reads are repeated in turn, after one that warms the page cache; the median of the turn-by-turn ratios counts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import emit, in_turn, judged, median_ratio, show, unmet
from sweep.store import MEASURES, Store

ROWS_A_TRIAL = 1000
TRIALS_A_PACK = 64
ROWS_A_SEGMENT = 8192
LOGGED_EVERY = 100  # gradient steps
PROBED_EVERY = 10  # rows; other rows have no probe or evaluation, as in a sweep
SPARSE = (
    "srank",
    "numerical_rank",
    "dead_units",
    "dormant_units",
    "return_mean",
    "return_std",
    "episode_length",
)
COLUMNS = ["trial_id", "step", "loss", "grad_norm"]
READ_BAR = 1.5


def batches(rows: int, seed: int = 0) -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """The rows a sweep of so many would write: pack id, its trials, and the columns of one segment."""
    random = np.random.default_rng(seed)
    trials = max(1, rows // ROWS_A_TRIAL)
    for first in range(0, trials, TRIALS_A_PACK):
        names = [random.bytes(8).hex() for _ in range(min(TRIALS_A_PACK, trials - first))]
        height = max(1, ROWS_A_SEGMENT // len(names))
        level = random.lognormal(size=(len(MEASURES), len(names)))
        for start in range(0, ROWS_A_TRIAL, height):
            count = np.repeat(np.arange(start, min(ROWS_A_TRIAL, start + height)), len(names))
            columns: dict[str, Any] = {
                "trial_id": names * (len(count) // len(names)),
                "step": count * LOGGED_EVERY,
                "wall_time": 1.8e9 + count * 0.004,
            }
            for number, name in enumerate(MEASURES):
                noise = random.normal(1.0, 0.1, len(count)) * np.tile(level[number], len(count) // len(names))
                values = noise.astype(np.float32).astype(np.float64)  # networks measure in float32
                sparse = name in SPARSE
                columns[name] = (
                    np.ma.masked_array(values, mask=count % PROBED_EVERY != 0) if sparse else values
                )
            yield f"p{first // TRIALS_A_PACK:05}", names, columns


def ingest(store: Store, rows: int) -> dict[str, Any]:
    """Write the rows as segments; seconds in append and flush, and rows."""
    sweep = store.create("benchmark")
    appends, flushes, written = [], [], 0
    pack = writer = None
    members: list[str] = []
    packs: dict[str, list[str]] = {}
    for pack_id, members, columns in batches(rows):
        if pack_id != pack:
            pack = pack_id
            packs[pack_id] = members
            writer = sweep.segment_writer(pack_id, sweep.start_attempt(pack_id, {"resume_step": -1}), -1)
        assert writer
        start = time.perf_counter()
        writer.append(columns)
        appended = time.perf_counter()
        writer.flush()
        appends.append(appended - start)
        flushes.append(time.perf_counter() - appended)
        written += len(columns["step"])
    for pack_id, members in packs.items():
        outcome = {trial: {"status": "finished"} for trial in members}
        sweep.finish_pack(pack_id, {"attempt": 0, "trials": outcome})
    return {"rows": written, "appends": appends, "flushes": flushes}


def write_one_file(store: Store, path: Path) -> float:
    """The peer of ingest: seconds that pyarrow takes to write the same rows, sorted, as one file."""
    rows = store.sweep("benchmark").table()[0]
    rows = rows.set_column(0, "trial_id", rows.column("trial_id").cast(pa.string())).combine_chunks()
    start = time.perf_counter()
    pq.write_table(rows, path)
    return time.perf_counter() - start


def read_back(store: Store, path: Path, repeats: int, rows: int) -> Iterator[dict[str, Any]]:
    """A result for each query of the store and of DuckDB on one file."""
    late = (ROWS_A_TRIAL - ROWS_A_TRIAL // 10) * LOGGED_EVERY
    some = sorted(store.sweep("benchmark").result("p00000")["trials"])[:4]  # type: ignore[index]
    names = ", ".join(f"'{name}'" for name in some)
    chosen = ", ".join(COLUMNS)
    queries = {
        "two filtered columns": (
            COLUMNS,
            [("step", ">=", late), ("loss", ">", 1.0)],
            f"select {chosen} from '{path}' where step >= {late} and loss > 1.0",
        ),
        "all columns, two filtered": (
            None,
            [("step", ">=", late), ("loss", ">", 1.0)],
            f"select * from '{path}' where step >= {late} and loss > 1.0",
        ),
        "four trials": (
            None,
            [("trial_id", "in", some)],
            f"select * from '{path}' where trial_id in ({names})",
        ),
    }
    for name, (columns, filters, query) in queries.items():
        mine = store.metrics("benchmark", columns, filters)
        peer = duckdb.sql(query).df().sort_values(["trial_id", "step"], ignore_index=True)
        assert mine["step"].equals(peer["step"]), name
        assert mine["loss"].equals(peer["loss"]), name
        tasks = {
            "store": lambda c=columns, f=filters: store.metrics("benchmark", c, f),
            "duckdb": lambda q=query: duckdb.sql(q).df(),
        }
        seconds = in_turn(tasks, repeats)
        yield emit(
            "store_ingest",
            f"read-back: {name}",
            rows=rows,
            found=len(mine),
            store_seconds=round(statistics.median(seconds["store"]), 4),
            peer_seconds=round(statistics.median(seconds["duckdb"]), 4),
            meaning="times DuckDB's time on one file",
            **judged(median_ratio(seconds["store"], seconds["duckdb"]), READ_BAR, "lower"),
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="metric rows in all (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="timed reads of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--dir", type=Path, help="where to work; the disk matters (default: a temporary folder)"
    )
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        store, one_file = Store(Path(folder) / "root"), Path(folder) / "one.parquet"
        written = ingest(store, options.rows)
        start = time.perf_counter()
        store.sweep("benchmark").compact(grace_seconds=0)
        compaction = time.perf_counter() - start
        peer = write_one_file(store, one_file)
        rows = written["rows"]
        busy = sum(written["appends"]) + sum(written["flushes"])
        per_flush = [a + f for a, f in zip(written["appends"], written["flushes"], strict=True)]
        results += [
            emit(
                "store_ingest",
                "ingest",
                rows=rows,
                store_rows_per_second=round(rows / busy),
                peer_rows_per_second=round(rows / peer),
                ratio=round(peer / busy, 3),
                meaning="share of the speed of pyarrow writing one file",
            ),
            emit(
                "store_ingest",
                "flush",
                rows=ROWS_A_SEGMENT,
                median_ms=round(statistics.median(per_flush) * 1e3, 3),
                slowest_ms=round(max(per_flush) * 1e3, 3),
                meaning="the training process is held up so long by one append and flush",
            ),
            emit(
                "store_ingest",
                "compaction",
                rows=rows,
                seconds=round(compaction, 3),
                meaning="by the driver, beside the training",
            ),
            *read_back(store, one_file, options.repeats, rows),
        ]
    show("The store against plain peers", results)
    return 1 if unmet(results) else 0


if __name__ == "__main__":
    sys.exit(main())
