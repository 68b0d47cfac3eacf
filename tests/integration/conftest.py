"""One undisturbed run, one Ray cluster for the drills that need none of their own, and a broom."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from drills import MARK, PATIENCE, STUDY, Drill, copy_datasets, end_marked
from shared_folders import made_once

from sweep.ports import free_port

MakeDrill = Callable[..., Drill]


def _environment(short: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return {
        **kept,
        MARK: uuid.uuid4().hex,
        # Unix sockets have names of at most 107 characters: Ray's files do not fit below pytest's folders.
        "RAY_TMPDIR": str(short),
        "RAY_AUTH_MODE": "disabled",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
    }


@contextmanager
def _marked_environment() -> Iterator[dict[str, str]]:
    short = Path(tempfile.mkdtemp(prefix="rk-", dir="/tmp"))
    variables = _environment(short)
    yield variables
    end_marked(variables)
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """Variables for the processes of one test; what is left of those at its end is ended."""
    with _marked_environment() as variables:
        yield variables


@pytest.fixture(scope="session")
def session_environment() -> Iterator[dict[str, str]]:
    """As `environment`, for what lasts as long as the tests."""
    with _marked_environment() as variables:
        yield variables


@pytest.fixture(scope="session")
def cluster(session_environment: dict[str, str]) -> str:
    """The address of a Ray cluster of two cores. Drills that do not hurt Ray itself share it, to save time."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"),
        *(
            "--node-ip-address=127.0.0.1",
            "--num-cpus=2",
            "--include-dashboard=false",
            "--disable-usage-stats",
        ),
        *("--object-store-memory=134217728", "--min-worker-port=0", "--max-worker-port=0"),
        f"--ray-client-server-port={free_port()}",
    ]
    log = Path(session_environment["RAY_TMPDIR"]) / "head.log"
    with open(log, "wb") as out:
        head = subprocess.Popen(command, env=session_environment, stdout=out, stderr=out)
    deadline = time.monotonic() + PATIENCE
    while "Ray runtime started" not in log.read_text():
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    session_environment: dict[str, str],
    cluster: str,
) -> Drill:
    """The tiny study, run once from nothing, with MLflow. Not to be changed: copy what you break."""

    def make(root: Path) -> None:
        Drill(root, session_environment, address=cluster).start_run(mlflow=True).wait().ok()

    root = made_once(tmp_path_factory, worker_id, "undisturbed", make)
    return Drill(root, session_environment, address=cluster)


@pytest.fixture
def new_drill(tmp_path: Path, environment: dict[str, str], undisturbed: Drill) -> MakeDrill:
    """Makes a root that has the dataset and nothing else; `copy` takes over all of the undisturbed one."""

    def make(study: dict[str, Any] | None = None, *, copy: bool = False, **fields: Any) -> Drill:
        root = tmp_path / fields.pop("folder", "root")
        if copy:
            shutil.copytree(undisturbed.root, root)
        else:
            copy_datasets(undisturbed.root, root)
        return Drill(root, environment, study or STUDY, **fields)

    return make


@pytest.fixture
def library_process() -> Iterator[None]:
    """This process computes as a training process does, while the test runs."""
    import torch

    from agents.devices import prepare_process

    threads = torch.get_num_threads()
    prepare_process(1, "float32")
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
