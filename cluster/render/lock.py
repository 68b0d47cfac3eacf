"""The lock of the images: every package with its version and hashes, made anew from a package index.

`python -m cluster.render.lock` in a checkout, with uv on the path. It keeps to the versions of requirements.lock
and resolves for Linux on x86-64, whatever it runs on; PyTorch is the index's CUDA build.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import SweepError, UsageError

__all__ = ["EXTRAS", "LOCK", "main", "make_lock"]

LOCK = Path("cluster", "ready", "docker", "requirements.lock")
EXTRAS = ("remote", "server", "notify")
"""Of the project, what the images have: buckets, MLflow's database, messages."""

PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
_OF_THE_IMAGES = (
    "setuptools>=77",  # builds the project itself, without a look at the index
    "boto3",  # `ray up` on AWS: the head makes machines
    "google-api-python-client",  # and on GCP
)
_HEADER = f"""\
# Python {PYTHON}, Linux x86-64: every package of the images, with the hashes of its files.
# Made by `python -m cluster.render.lock`; the Dockerfile installs it with --require-hashes.
"""


def make_lock(project: Path, extras: Sequence[str] = ()) -> str:
    """The lock's text for a checkout and further extras of it.

    Raises UsageError where `project` is no checkout or has no such extra, SweepError where uv is missing or fails.
    """
    file = project / "pyproject.toml"
    if not file.is_file():
        raise UsageError(
            f"{str(file)!r}: no such file. Give --project the folder of a checkout of Rankscope."
        )
    known = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in extras:
        if extra not in known:
            raise UsageError(f"--extra {extra!r}: unknown. Extras: {', '.join(known)}.")
    uv = shutil.which("uv")
    if uv is None:
        raise SweepError(
            "uv is not on the path. Install it (`pip install uv`), then give the same command again."
        )
    wanted = dict.fromkeys((*(extra for extra in EXTRAS if extra in known), *extras))
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder, "requirements.in")
        more.write_text("\n".join(_OF_THE_IMAGES), encoding="utf-8")
        done = subprocess.run(
            [
                *(uv, "pip", "compile", str(file), str(more), "--quiet", "--generate-hashes"),
                *(part for extra in wanted for part in ("--extra", extra)),
                *("--constraint", str(project / "requirements.lock")),
                *("--python-version", PYTHON, "--python-platform", PLATFORM),
                # Neither who asked for a package nor where it came from: an index's address belongs to a machine.
                *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise SweepError(f"uv could not resolve the images' packages:\n{done.stderr.strip()}")
    if re.search(r"^-|://|file:", done.stdout, re.MULTILINE):
        raise SweepError(
            "uv named an index or a file in the lock; it is not written. Look at uv's configuration."
        )
    return _HEADER + done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the lock of the checkout in the current folder, or in --project."""
    parser = argparse.ArgumentParser(prog="python -m cluster.render.lock", description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="a checkout of Rankscope")
    parser.add_argument("--extra", action="append", default=[], help="a further extra, such as envs")
    options = parser.parse_args(arguments)
    try:
        text = make_lock(options.project, options.extra)
    except SweepError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    (options.project / LOCK).write_text(text, encoding="utf-8")
    print(f"{options.project / LOCK}: {len(re.findall('^[a-z]', text, re.MULTILINE))} packages")


if __name__ == "__main__":
    main()
