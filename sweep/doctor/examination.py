"""All checks, side by side; none can stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from sweep.doctor import bucket, machine, root, software
from sweep.doctor.finding import Finding
from sweep.errors import SweepError
from sweep.store.places import is_local, root_place

__all__ = ["examine"]

Check = Callable[[], Finding | Iterable[Finding]]


def examine(
    where: str | Path, tracking_uri: str | None = None, *, deep: bool = False, software_too: bool = True
) -> list[Finding]:
    """Look at this machine and at the root `where`; nothing is left behind, and nothing raises.

    `tracking_uri` is an MLflow server instead of the root's database. `deep` also compiles an update, starts
    a Ray, and reads every array and row (a minute or more). `software_too` False looks at the root alone.
    """
    checks: list[tuple[str, Check]] = []
    if software_too:
        checks += [
            ("python", software.python),
            ("packages", software.packages),
            ("environments", software.environments),
            ("PyTorch", software.torch_works),
            ("C++ compiler", software.compiler),
            *([("torch.compile", software.compiled_update)] if deep else []),
            ("Ray", partial(software.ray_works, deep=deep)),
            ("usage statistics", software.usage_statistics),
            ("shared memory", machine.shared_memory),
            ("open files", machine.open_files),
        ]
    checks += _root_checks(where, tracking_uri, deep=deep)
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = pool.map(lambda check: _guarded(*check), checks)
        return [finding for found in answers for finding in found]


def _root_checks(where: str | Path, tracking_uri: str | None, *, deep: bool) -> list[tuple[str, Check]]:
    try:
        folder = root_place(where)
    except SweepError as error:
        refused = Finding("root", str(error), "bad", "give --root a folder")
        return [("root", lambda: refused)]
    here: list[tuple[str, Check]] = [
        ("disk", lambda: machine.free_disk(root.nearest_folder(folder))),
        ("root", partial(root.file_system, folder)),
    ]
    return [
        *(
            here
            if is_local(folder)
            else [("disk", bucket.node_disk), ("root", partial(bucket.bucket, folder))]
        ),
        ("datasets", partial(root.datasets, folder, deep=deep)),
        ("sweeps", partial(root.segments, folder, deep=deep)),
        ("MLflow", partial(root.mlflow, folder, tracking_uri, deep=deep)),
    ]


def _guarded(what: str, check: Check) -> list[Finding]:
    findings: list[Finding] = []
    try:
        found = check()
        for finding in [found] if isinstance(found, Finding) else found:
            findings.append(finding)
    except Exception as error:
        # A doctor who faints is no help: whatever a check did not foresee is a finding too.
        reason = f"could not be examined: {type(error).__name__}: {error}".splitlines()[0]
        findings.append(
            Finding(what, reason, "bad", "see the reason; if it is not clear, report it as a bug")
        )
    return findings
