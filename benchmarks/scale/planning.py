"""A hundred thousand trials: how long planning, a preview and `sweep status` take.

    python benchmarks/scale/planning.py                       # 100,000 trials, about a minute
    python benchmarks/scale/planning.py --trials 10000

Each is a process of its own. Planning is from the study's text to the written plan and table of trials, as
`sweep run` does it; the preview is `sweep show`'s. For the status half of the packs are then given results,
200 are at work and 20 have failed, as their processes leave it, and the whole command is clocked, from its start
to its exit: while the sweep runs (the table of trials is as it was planned), and once more when the outcomes are
in the table, as a run leaves it. Peer: the same configurations in full as one JSON text, which is the least that
a plan written out takes (`json.dumps`, no files).
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.common import emit, judged, show, unmet
from benchmarks.scale.studies import large_study, make_dataset

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PLAN_BAR, SHOW_BAR, STATUS_BAR = 10.0, 10.0, 2.0
NAME = "scale"


def plan(root: Path, text: Path) -> dict[str, Any]:
    """Plan the study in `text` and write it down, as `sweep run` does between its start and Ray's."""
    from search_spaces import load_study
    from sweep.plan import Resources
    from sweep.probe_checks import check_probes
    from sweep.run_checks import check_environments, check_sweep
    from sweep.run_plan import plan_sweep
    from sweep.store import Store

    wall, processor = time.perf_counter(), time.process_time()
    study = load_study(str(text))
    check_environments(study)
    check_probes(study)
    store = Store(root).create(NAME)
    found = check_sweep(store, study, root, "fifo")
    made = {dataset: manifest for dataset, manifest in found.items() if manifest}
    resources = Resources(workers=2, memory_bytes=8e9)
    packs = plan_sweep(store, study, made, resources, "fifo", lambda said: None)
    return {
        "trials": len(study.trials()),
        "packs": len(packs),
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "plan_bytes": store.layout.plan(0).stat().st_size,
        "trials_bytes": store.layout.trials.stat().st_size,
    }


def preview(root: Path, text: Path) -> dict[str, Any]:
    """What `sweep show` computes."""
    from search_spaces import load_study
    from sweep.preview import preview

    wall = time.perf_counter()
    found = preview(load_study(str(text)), root)
    return {"seconds": time.perf_counter() - wall, "packs": len(found.packs)}


def peer(root: Path, text: Path) -> dict[str, Any]:
    """Every configuration in full, as one JSON text."""
    from search_spaces import load_study

    study = load_study(str(text))
    wall = time.perf_counter()
    written = json.dumps([trial.config.model_dump(mode="json") for trial in study.trials()])
    return {"seconds": time.perf_counter() - wall, "bytes": len(written)}


def populate(root: Path, text: Path) -> dict[str, Any]:
    """What the processes of packs leave: half are done, 200 at work, 20 have failed."""
    from sweep.store import Store
    from sweep.store.files import make_folder

    store = Store(root).sweep(NAME)
    packs = store.plans()[0]["packs"]
    half, now = len(packs) // 2, time.time()
    make_folder(store.layout.folder / "progress")
    for number, (pack_id, spec) in enumerate(packs.items()):
        folder, steps = store.layout.pack(pack_id), spec["members"]["shared"]["train_steps"]
        if number >= half + 220:
            break
        folder.mkdir(parents=True)
        attempt = {"host": "node", "pid": 1, "started": now, "resume_step": -1, "attempt": 0}
        (folder / "attempt-000.json").write_text(json.dumps(attempt))
        if number < half:
            ended = {"status": "finished", "final_step": steps, "wall_seconds": 12.345}
            seconds = {"train": 10.0, "probe": 1.2, "evaluate": 0.9, "store": 0.2}
            result = {"attempt": 0, "trials": dict.fromkeys(spec["trials"], ended), "seconds": seconds}
            (folder / "result.json").write_text(json.dumps(result))
        elif number < half + 200:
            said = {"step": steps // 2, "steps_per_second": 30_000.0, "updated": now}
            (store.layout.folder / "progress" / f"{pack_id}.json").write_text(json.dumps(said))
        else:
            failure = {"reason": "out of memory", "attempt": 0}
            (folder / "failure-000.json").write_text(json.dumps(failure))
    return {}


def gather(root: Path, text: Path) -> dict[str, Any]:
    """What a run does at its end."""
    from sweep.store import Store

    store = Store(root).sweep(NAME)
    wall = time.perf_counter()
    store.write_trials(store.trials())
    store.gather_seconds()
    return {"seconds": time.perf_counter() - wall}


STEPS = {"plan": plan, "preview": preview, "peer": peer, "populate": populate, "gather": gather}


def in_a_process(step: str, root: Path, text: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", step, "--root", str(root), "--text", str(text)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def status(root: Path) -> dict[str, float]:
    """Seconds of the whole command, of its fastest of three runs: the first reads files that are not in memory."""
    command = [sys.executable, "-c", "from sweep.cli import main; main()"]
    command += ["status", NAME, "--root", str(root), "--json"]
    seconds, processor = [], []
    for _ in range(3):
        wall, before = time.perf_counter(), os.times()
        done = subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
        )
        seconds.append(time.perf_counter() - wall)
        after = os.times()
        processor.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    found = json.loads(done.stdout)
    return {
        "seconds": min(seconds),
        "first": seconds[0],
        "processor_seconds": min(processor),
        "packs_done": found["totals"]["packs_done"],
    }


def measure(trials: int, folder: Path) -> list[dict[str, Any]]:
    root, text = folder / "root", folder / "scale.yaml"
    make_dataset(root)
    text.write_text(large_study(trials).text)
    planned = in_a_process("plan", root, text)
    written = in_a_process("peer", root, text)
    shown = in_a_process("preview", root, text)
    bars = trials / 100_000
    results = [
        emit(
            "scale",
            "planning / 10 s",
            **planned,
            **judged(planned["seconds"] / (PLAN_BAR * bars), 1.0, "lower"),
        ),
        emit(
            "scale",
            "planning / configurations as JSON",
            json_bytes=written["bytes"],
            json_seconds=written["seconds"],
            ratio=round(planned["seconds"] / written["seconds"], 2),
        ),
        emit(
            "scale", "preview / 10 s", **shown, **judged(shown["seconds"] / (SHOW_BAR * bars), 1.0, "lower")
        ),
    ]
    in_a_process("populate", root, text)
    running = status(root)
    gathered = in_a_process("gather", root, text)
    ended = status(root)
    for what, found in (("half done", running), ("half done, outcomes in the table", ended)):
        results.append(
            emit(
                "scale",
                f"status / 2 s, {what}",
                **found,
                **judged(found["seconds"] / STATUS_BAR, 1.0, "lower"),
            )
        )
    results.append(emit("scale", "outcomes into the table", **gathered))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(STEPS[given.step](given.root, given.text)))
        return
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        results = measure(given.trials, Path(folder))
    show("A hundred thousand trials", results)
    sys.exit(unmet(results))


if __name__ == "__main__":
    main()
