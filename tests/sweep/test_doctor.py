"""The doctor: sees what is wrong, says the mend, and never faints."""

from __future__ import annotations

import base64
import http.server
import json
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import pytest
from tiny_sweeps import DATASET, study, train_all

from agents.environments import Family
from sweep.doctor import Finding, examination, examine, machine, root, software
from sweep.doctor.questions import ask


def by_what(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in findings}


def look(where: Path | str, tracking_uri: str | None = None, *, deep: bool = False) -> dict[str, Finding]:
    """At the root alone: what is installed takes seconds."""
    return by_what(examine(where, tracking_uri, deep=deep, software_too=False))


def test_this_machine_is_good_enough_for_the_tests(tiny_root: Path) -> None:
    found = by_what(examine(tiny_root))
    assert [f for f in found.values() if f.state == "bad"] == []
    for what in ("python", "package torch", "PyTorch", "Ray", "C++ compiler", "usage statistics", "disk"):
        assert what in found
    assert found["package torch"].found.startswith(metadata.version("torch"))
    assert found["Ray"].found == f"{metadata.version('ray')} loads"
    assert f"dataset {DATASET}" in found
    assert [f.what for f in found.values() if f.state != "good" and not f.mend] == []


@pytest.mark.slow
def test_deep_compiles_and_starts_a_ray(tmp_path: Path) -> None:
    found = by_what(examine(tmp_path, deep=True))
    assert found["torch.compile"].found == "works, and agrees with eager"
    assert found["Ray"].found.endswith("starts and runs a task")


# Software


def test_a_package_that_is_missing_or_out_of_range_is_bad_with_the_command_that_mends_it() -> None:
    numpy = metadata.version("numpy")
    found = by_what(
        list(
            software.requirements(
                ["numpy>=1", "no-such-package-here>=2", "pandas<1", "ruff>=99; extra == 'dev'", "pyyaml"]
            )
        )
    )
    assert found["package numpy"] == Finding("package numpy", f"{numpy} (>=1)")
    missing = found["package no-such-package-here"]
    assert (missing.state, missing.found) == ("bad", "not installed, >=2 is needed")
    assert missing.mend == "pip install --upgrade 'no-such-package-here>=2'"
    old = found["package pandas"]
    assert (old.state, old.found) == ("bad", f"{metadata.version('pandas')}, outside <1")
    assert "package ruff" not in found, "extras are not needed to run"
    assert found["package pyyaml"].state == "good"


def test_all_that_the_distribution_requires_is_looked_at() -> None:
    names = {finding.what for finding in software.packages()}
    assert {"package torch", "package ray", "package mlflow", "package pyarrow", "package typer"} <= names


def test_a_family_of_environments_that_is_missing_is_told_and_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Family, "other_versions", lambda self: [])
    monkeypatch.setattr(Family, "installed", lambda self: self.name not in ("dmc", "vizdoom"))
    (finding,) = software.environments()
    assert finding.state == "good"
    assert finding.found.startswith("bsuite, gridworld, minatar, atari")
    assert finding.found.endswith("; not installed: dmc, vizdoom (`sweep data envs` says how)")
    monkeypatch.setattr(
        Family, "other_versions", lambda self: ["mujoco 4.0 (==3.10.0)"] * (self.name == "mujoco")
    )
    _, other = software.environments()
    assert (other.what, other.state) == ("environments mujoco", "warning")
    assert "not proven with mujoco 4.0 (==3.10.0)" in other.found
    assert "pip install" in other.mend
    assert "mujoco==3.10.0" in other.mend


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    finding = software.compiler()
    assert finding.state == "warning"
    assert "eagerly" in finding.found
    assert "apt-get install g++" in finding.mend


def test_a_compiler_that_fails_is_told_with_its_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken-c++"
    broken.write_text(
        "#!/bin/sh\necho 'x.cpp:1: fatal error: Python.h: No such file or directory' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    finding = software.compiler()
    assert finding.state == "warning"
    assert "Python.h: No such file" in finding.found
    assert "python3-dev" in finding.mend


def test_usage_statistics_are_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    assert software.usage_statistics().found.startswith("off")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    finding = software.usage_statistics()
    assert (finding.state, finding.found[:2]) == ("warning", "ON")
    assert "RAY_USAGE_STATS_ENABLED=1" in finding.found
    assert "unset RAY_USAGE_STATS_ENABLED" in finding.mend


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("print('noise'); print('{\"a\": 1}')", {"a": 1}),
        ("raise ImportError('libfoo.so is missing')", "ImportError: libfoo.so is missing"),
        ("import os; os.kill(os.getpid(), 11)", "the process died of SIGSEGV"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
        ("pass", "the process gave no answer"),
        ("import sys; sys.exit(3)", "the process ended with exit status 3"),
    ],
)
def test_a_library_that_breaks_its_process_does_not_break_the_doctor(code: str, answer: object) -> None:
    assert ask(code, seconds=1 if "sleep" in code else 30) == answer


def test_a_torch_that_does_not_load_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "ask", lambda *_: "ImportError: libtorch.so")
    (finding,) = software.torch_works()
    assert (finding.state, finding.found) == ("bad", "does not load: ImportError: libtorch.so")
    assert software.ray_works(deep=False).state == "bad"
    assert software.compiled_update().state == "warning"


def test_cards_are_told_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    card = ["NVIDIA H200", 140 * 2**30, 10 * 2**30]
    answer = {"version": "2.13.0", "cuda": "12.9", "cards": [card]}
    monkeypatch.setattr(software, "ask", lambda *_: answer)
    _, finding = software.torch_works()
    assert (finding.what, finding.state) == ("card 0", "warning")
    assert finding.found == "NVIDIA H200, 10.0 of 140.0 GiB free"
    assert "nvidia-smi" in finding.mend


def test_a_check_that_faints_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def faint(*_: object, **__: object) -> Iterator[Finding]:
        yield Finding("datasets", "one seen")
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(root, "datasets", faint)
    found = examine(tmp_path, software_too=False)
    assert Finding("datasets", "one seen") in found
    assert [f.found for f in found if f.state == "bad"] == ["could not be examined: ZeroDivisionError: oh"]
    assert examination.examine is examine


# The machine


def test_little_memory_for_ray_is_a_warning(tmp_path: Path) -> None:
    missing = machine.shared_memory(tmp_path / "none")
    assert (missing.state, missing.found) == ("warning", f"{tmp_path / 'none'} does not exist")


@pytest.mark.parametrize(
    ("limits", "state", "mend"),
    [
        ((65536, 65536), "good", ""),
        ((1024, 1048576), "warning", "before the sweep: ulimit -n 65536"),
        ((1024, 8192), "warning", "before the sweep: ulimit -n 8192"),
        ((1024, resource.RLIM_INFINITY), "warning", "before the sweep: ulimit -n 65536"),
        ((1024, 1024), "warning", "limits.conf"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "good", ""),
    ],
)
def test_few_open_files_are_mended_as_far_as_the_hard_limit_goes(
    limits: tuple[int, int], state: str, mend: str
) -> None:
    finding = machine.open_files(limits)
    assert finding.state == state
    assert mend in finding.mend


@pytest.mark.parametrize(("free", "state"), [(50e9, "good"), (5e9, "warning"), (5e8, "bad")])
def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    usage = shutil._ntuple_diskusage(int(1e12), 0, int(free))  # type: ignore[attr-defined]
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)  # type: ignore[attr-defined]
    assert machine.free_disk(Path("/")).state == state


# The root


def test_a_root_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    where = tmp_path / "later" / "root"
    found = look(where)
    assert {f.state for f in found.values()} == {"good"}
    assert "not made yet" in found["root"].found
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_can_be_none_is_refused_with_the_stores_own_words() -> None:
    (finding,) = look("ftp://host/sweeps").values()
    assert finding.state == "bad"
    assert "root 'ftp://host/sweeps': it must be a folder" in finding.found


def test_a_file_in_place_of_the_root_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert look(file)["root"] == Finding("root", f"{file} is not a folder", "bad", "give --root a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_bad(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert look(tmp_path)["root"].state == "bad"
    tmp_path.chmod(0o700)


def test_a_folder_that_refuses_to_be_written_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(root.tempfile, "TemporaryDirectory", refuse)  # type: ignore[attr-defined]
    finding = look(tmp_path)["root"]
    assert finding.state == "bad"
    assert "Read-only file system" in finding.found
    assert "permissions" in finding.mend


def test_a_file_system_without_links_or_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(root.os, "link", unsupported)  # type: ignore[attr-defined]
    monkeypatch.setattr(root.fcntl, "flock", unsupported)  # type: ignore[attr-defined]
    found = look(tmp_path)
    assert found["root links"].state == "warning"
    assert found["root locks"].state == "bad"
    monkeypatch.setattr(root.fcntl, "flock", lambda *_: None)  # type: ignore[attr-defined]
    assert look(tmp_path)["root locks"].found == "flock does not keep a second owner out"


def test_a_flipped_bit_of_a_dataset_is_found_by_deep_and_a_cut_one_at_once(tiny_root: Path) -> None:
    what, path = f"dataset {DATASET}", tiny_root / "datasets" / DATASET / "reward.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert look(tiny_root)[what].state == "good"
    flipped = look(tiny_root, deep=True)[what]
    assert flipped.state == "bad"
    assert str(path) in flipped.found
    path.write_bytes(whole[:-100])
    cut = look(tiny_root)[what]
    assert cut.state == "bad"
    assert str(path) in cut.found
    assert cut.mend


def test_a_damaged_segment_is_named(tiny_root: Path) -> None:
    store = train_all(tiny_root, study())
    assert look(tiny_root, deep=True)["sweep tiny"] == Finding("sweep tiny", "rows whole")
    segment = min(store.layout.folder.glob("hot/*/*.parquet"))
    segment.write_bytes(segment.read_bytes()[:100])
    finding = look(tiny_root)["sweep tiny"]
    assert finding.state == "bad"
    assert str(segment) in finding.found
    assert "--skip-corrupt" in finding.mend


# MLflow


def test_the_roots_mlflow_database_is_read(tmp_path: Path) -> None:
    assert "the first run makes it" in look(tmp_path)["MLflow"].found
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("create table runs (run_uuid text)")
    connection.executemany("insert into runs values (?)", [("a",), ("b",)])
    connection.commit()
    connection.close()
    assert look(tmp_path, deep=True)["MLflow"] == Finding("MLflow", f"{path} answers, 2 runs")
    path.write_bytes(b"not a database, whatever its name says" * 100)
    finding = look(tmp_path)["MLflow"]
    assert finding.state == "bad"
    assert str(path) in finding.found
    assert "sweep sync" in finding.mend


@contextmanager
def http_server(status: int, user: str = "") -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else None
            self.send_response(status if self.headers["Authorization"] == wanted else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_mlflow_server_is_asked_for_its_health(tmp_path: Path) -> None:
    with http_server(200) as url:
        assert look(tmp_path, url)["MLflow"] == Finding("MLflow", f"{url} answers")
    gone = look(tmp_path, url)["MLflow"]
    assert gone.state == "bad"
    assert url in gone.found
    assert "sweep sync" in gone.mend
    with http_server(403) as url:
        refused = look(tmp_path, url)["MLflow"]
    assert "403" in refused.found
    assert "--allowed-hosts" in refused.mend


def test_a_server_with_a_password_is_asked_with_it(tmp_path: Path) -> None:
    with http_server(200, "me:sec/ret") as url:
        address = url.replace("//", "//me:sec%2Fret@")
        assert look(tmp_path, address)["MLflow"].found == f"{url.replace('//', '//***@')} answers"
        assert "401" in look(tmp_path, url)["MLflow"].found


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    finding = look(tmp_path, "http://me:secret@127.0.0.1:9")["MLflow"]
    assert "secret" not in json.dumps(finding.__dict__)
    other = look(tmp_path, "postgresql://me:secret@db/mlflow")["MLflow"]
    assert other.state == "warning"
    assert "secret" not in json.dumps(other.__dict__)
