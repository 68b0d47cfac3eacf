"""What one node of a cluster says of itself: room, software, cards, and whether it sees the root. Runs on that node.

Only the standard library is needed to say it, so that a node without the rest can say that too.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["LEAST_DISK_BYTES", "LEAST_SHARED_BYTES", "node_report", "token_name"]

LEAST_DISK_BYTES = 10**9
"""Free, below which a node is refused: compiled kernels, cached data sets and Ray's own files need room."""
_GOOD_DISK_BYTES = 10**10
LEAST_SHARED_BYTES = 32 * 2**20
"""Free in /dev/shm, below which a node is refused: Ray's processes there would be killed in the middle of training."""
_GOOD_SHARED_BYTES = 256 * 2**20
_SHARED = Path("/dev/shm")


def token_name(who: str) -> str:
    """The file, in the folder of tokens, that `who` (a node's id) writes for the others."""
    return f"{who}.token"


def node_report(asked: dict[str, Any]) -> dict[str, Any]:
    """What this node is and what is wrong with it: `host`, `python`, `cards`, and the lists `problems`, `warnings`.

    `asked`: `root`; `tokens`, the folder below it; `me`, this node's id; `theirs`, a file's content by its name that
    others have put there; `requirements`, in the words of pip; `python` and `ray`, the driver's; `least_disk` and
    `least_shared` in bytes. Writes this node's token.
    """
    problems, warnings = list[str](), list[str]()
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if found != asked["python"]:
        problems.append(
            f"Python {found} is there, {asked['python']} at the driver; use one image or environment"
        )
    problems += _unmet(asked["requirements"])
    _room(asked, problems, warnings)
    if not problems:
        problems += _reach(asked)
    return {
        "host": socket.gethostname(),
        "python": found,
        "cards": _cards() if asked.get("gpus") else [],
        "problems": problems,
        "warnings": warnings,
    }


def _unmet(requirements: Sequence[str]) -> list[str]:
    """What pip would still have to install, in one sentence."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return (
            ["the package packaging is not installed; install Rankscope's dependencies there"]
            if requirements
            else []
        )
    missing = []
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{wanted.name} (not installed)")
            continue
        if not wanted.specifier.contains(there, prereleases=True):
            missing.append(f"{wanted.name} ({there}; needs {wanted.specifier})")
    if not missing:
        return []
    return [
        f"dependencies are missing or too old: {', '.join(missing)}; install Rankscope's dependencies there"
    ]


def _room(asked: dict[str, Any], problems: list[str], warnings: list[str]) -> None:
    folders = [_existing(Path(tempfile.gettempdir()))]
    try:
        from sweep.settings import cache_folder

        folders.append(_existing(cache_folder()))
    except ImportError as error:
        problems.append(f"Rankscope cannot be imported there: {error}; install its dependencies")
    root = Path(asked["root"])
    if "://" not in asked["root"] and root.is_dir():
        folders.append(root)
    for folder in dict.fromkeys(folders):
        free = shutil.disk_usage(folder).free
        said = f"{free / 1e9:.2f} GB free at {folder}"
        if free < asked["least_disk"]:
            problems.append(
                f"too little disk: {said}, at least {asked['least_disk'] / 1e9:g} GB; free some space"
            )
        elif free < _GOOD_DISK_BYTES:
            warnings.append(said)
    if _SHARED.is_dir():
        free = shutil.disk_usage(_SHARED).free
        said = f"{free / 2**20:,.0f} MiB free of shared memory at {_SHARED}"
        if free < asked["least_shared"]:
            problems.append(
                f"too little shared memory: {said}, at least {asked['least_shared'] / 2**20:,.0f} MiB; "
                "give the container more (docker: --shm-size=1g)"
            )
        elif free < _GOOD_SHARED_BYTES:
            warnings.append(f"{said}; Ray may use the slower disk")


def _reach(asked: dict[str, Any]) -> list[str]:
    """Read what the others wrote, write this node's own and read that again."""
    root = asked["root"]
    mend = "put the root where every node sees it: a mount that all have, or s3://bucket/folder"
    try:
        from sweep.store import files
        from sweep.store.places import is_local, root_place

        place = root_place(root)
        if is_local(place) and not place.is_dir():
            return [f"the root {root} does not exist there; {mend}"]
        folder = place / asked["tokens"]
        for name, content in asked["theirs"].items():
            try:
                if files.read_bytes(folder / name) != content.encode():
                    return [f"under the root {root} another file than the driver's is seen there; {mend}"]
            except FileNotFoundError:
                return [f"the root {root} is not shared: what others write there is not seen; {mend}"]
        if asked["me"]:
            mine = folder / token_name(asked["me"])
            files.replace(mine, asked["me"].encode())
            if files.read_bytes(mine) != asked["me"].encode():
                return [f"what is written under the root {root} is not read back; {mend}"]
    except Exception as error:
        # A missing driver of the bucket, a wrong key, a network that is closed: whatever it is, it is the answer.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [f"the root {root} cannot be written and read there: {type(error).__name__}: {first}"]
    return []


def _cards() -> list[dict[str, Any]]:
    """Name and memory in bytes of each card that the driver of the cards knows; none where there is no such driver."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rsplit(",", 1) for line in said.strip().splitlines() if "," in line]
    return [
        {"name": name.strip(), "memory": float(mib) * 2**20}
        for name, mib in rows
        if mib.strip().replace(".", "").isdigit()
    ]


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
