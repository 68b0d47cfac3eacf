"""The analysis of a large sweep, reading included, against pandas and loops.

    python benchmarks/analysis.py                        # 10,000 trials x 1,000 rows: a few minutes
    python benchmarks/analysis.py --scale 0.05           # 1,200 trials
    python benchmarks/analysis.py --root DIR --no-report # a sweep that was generated before

`large_sweep.py` writes the sweep through the store's own writer and compaction. Then four tables as `sweep export`
makes them, each from the store, with 2,000 bootstrap draws: in a process of its own, on two cores, with 4 GB of
address space and no more. Bars: 20 s in all, and 20 times as fast as the peer.

Peer: `plain_analysis.py`, on the same cores: `pandas.read_parquet` of the columns that are needed, `groupby`, and a
loop over draws with pandas and scipy. It makes `--peer-draws` of the draws; its time for all is extrapolated, as the
table says. Where both give the same estimate the two are compared, to 1e-8 of their size.

The report, with everything it has, is a process of its own too; bar 90 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import plain_analysis
from benchmarks.common import emit, judged, show, unmet
from benchmarks.large_sweep import NAME, SWITCHES, generate
from sweep.store import Store

TABLES = ("correlation", "threshold-ate", "intervention-ate", "simpson")
DRAWS, CORES, MEMORY = 2000, 2, 4 * 10**9
FASTER, SECONDS, REPORT_SECONDS = 20.0, 20.0, 90.0
# Matrices are small here: a second thread of BLAS gains nothing, and waits busily where anything else runs.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def ours(root: Path) -> None:
    """The tables, in this process: they and what they took as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    start = time.perf_counter()
    from sweep.export import result_table

    seconds, rows = {"importing": time.perf_counter() - start}, {}
    for table in TABLES:
        start = time.perf_counter()
        found = result_table(root, NAME, table)
        seconds[table] = time.perf_counter() - start
        rows[table] = json.loads(found.to_json(orient="records", double_precision=15))
    print(json.dumps({"seconds": seconds, "peak": _peak(), "tables": rows}))


def report(root: Path) -> None:
    """The report, in this process; what it took as a line of JSON."""
    start = time.perf_counter()
    from sweep.report import write_report

    path = write_report(root, NAME)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": _peak(), "megabytes": path.stat().st_size / 1e6}))


def alike(table: str, rows: list[dict[str, Any]], peer: dict[str, Any]) -> int:
    """How many of the peer's estimates the table has too; all of them must agree."""
    mine: dict[tuple[str, ...], list[float | None]] = {}
    for row in rows:
        if table == "correlation":
            mine[row["env"], row["space"]] = [row["pearson"], row["spearman"], row["slope"]]
        elif table == "threshold-ate":
            mine.setdefault((row["env"], row["space"], row["type"]), []).append(row["ate"])
        elif table == "intervention-ate" and row["factor"] in SWITCHES:
            place = list(SWITCHES).index(row["factor"])
            mine.setdefault((row["space"],), [np.nan] * len(SWITCHES))[place] = row["plain_effect"]
        elif table == "simpson" and row["bins"] is None:
            slopes = np.array([row["pooled_slope"], row["within_slope"], row["measure_sd"]], float)
            mine[row["env"], row["space"], row["group"]] = list(slopes[:2] / slopes[2])
    both = mine.keys() & peer["estimates"].keys()
    assert both, f"{table}: no row in common"
    agreed = 0
    for key in both:
        own, plain = np.array(mine[key], float), np.array(peer["estimates"][key], float)
        given = np.isfinite(own)  # a refusal gives none
        np.testing.assert_allclose(own[given], plain[given], rtol=1e-8, err_msg=f"{table} {key}")
        agreed += int(given.sum())
    return agreed


def _peak() -> int:
    """Most bytes of memory this process has held (`getrusage` would count what its parent held)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _apart(what: str, root: Path) -> dict[str, Any]:
    """What a fresh process measured, and its wall time from start to exit."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--only", what, "--root", str(root)]
    made = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT}
    )
    return {**json.loads(made.stdout.splitlines()[-1]), "wall": time.perf_counter() - start}


def compare(root: Path, peer_draws: int) -> list[dict[str, Any]]:
    """A result for each table, and one for all."""
    rows = sum(part.rows for part in _parts(root))
    mine, results, plain = _apart("ours", root), [], 0.0
    for table in TABLES:
        peer = plain_analysis.run(root, NAME, table, peer_draws, DRAWS)
        plain += peer["seconds"]
        results.append(
            emit(
                "analysis",
                table,
                rows=rows,
                seconds=round(mine["seconds"][table], 2),
                peer_seconds_extrapolated=round(peer["seconds"], 1),
                peer_reading_seconds=round(peer["reading_seconds"], 1),
                peer_draws_made=peer_draws,
                estimates_that_agree=alike(table, mine["tables"][table], peer),
                meaning=f"times as fast, {DRAWS} draws",
                **judged(peer["seconds"] / mine["seconds"][table], FASTER, "higher"),
            )
        )
    seconds = sum(mine["seconds"][table] for table in TABLES)
    figures = {"rows": rows, "seconds": round(seconds, 2), "wall_seconds_with_start": round(mine["wall"], 2)}
    return [
        *results,
        emit(
            "analysis",
            "four tables in all",
            **figures,
            meaning="times as fast",
            **judged(plain / seconds, FASTER, "higher"),
        ),
        emit(
            "analysis",
            f"four tables in {SECONDS:g} s",
            **figures,
            meaning="share of the time allowed",
            **judged(mine["wall"] / SECONDS, 1.0, "lower"),
        ),
        emit(
            "analysis",
            "four tables in 4 GB",
            peak_mb=round(mine["peak"] / 1e6),
            meaning="share of the memory allowed",
            **judged(mine["peak"] / MEMORY, 1.0, "lower"),
        ),
    ]


def report_result(root: Path) -> dict[str, Any]:
    """The report's time, memory and size."""
    found = _apart("report", root)
    return emit(
        "analysis",
        f"report in {REPORT_SECONDS:g} s",
        seconds=round(found["wall"], 1),
        peak_mb=round(found["peak"] / 1e6),
        megabytes=round(found["megabytes"], 2),
        meaning="share of the time allowed",
        **judged(found["wall"] / REPORT_SECONDS, 1.0, "lower"),
    )


def _parts(root: Path) -> list[Any]:
    from sweep.store import manifest

    return manifest.latest(Store(root).sweep(NAME).layout).of("metrics")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows-a-trial", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of 2,000 configurations (default: 1)")
    parser.add_argument("--peer-draws", type=int, default=40, help="of 2,000 (default: %(default)s)")
    parser.add_argument(
        "--root", type=Path, help="a root with the sweep, or where to make it (default: temporary)"
    )
    parser.add_argument("--no-report", action="store_true", help="tables only")
    parser.add_argument("--only", choices=["ours", "report"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:CORES]))
    if options.only:
        (ours if options.only == "ours" else report)(options.root)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder)
        if NAME not in Store(root).sweeps():
            start = time.perf_counter()
            generate(Store(root), options.rows_a_trial, options.scale)
            print(f"generated in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        results = compare(root, options.peer_draws)
        if not options.no_report:
            results.append(report_result(root))
    show("The analysis against pandas and loops", results)
    return 1 if unmet(results) else 0


if __name__ == "__main__":
    sys.exit(main())
