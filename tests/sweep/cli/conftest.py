"""The command line in this process, and a root that the real `sweep run` has filled."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from commands import Said, Sweep, command
from shared_folders import made_once
from tiny_sweeps import DATASET, root_with, study

from sweep.cli import main


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Runs `sweep ARGUMENTS...` as the command does, exit status and error messages included."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    spaces = [
        {"name": "narrow", "axes": {"learning_rate": {"values": [1e-3, 1e-2, 1e-1]}}, "seeds": 2},
        {
            "name": "broad",
            "axes": {"learning_rate": {"values": [1e-3, 1e-1]}, "activation": {"values": ["relu", "tanh"]}},
        },
    ]
    path.write_text(study(*spaces).text)
    return path


@pytest.fixture(scope="session")
def finished(
    dataset_root: Path, study_file: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Path:
    """A root whose sweep `tiny` has been run by the real command, on a real Ray. Not to be changed."""

    def make(content: Path) -> None:
        root = root_with(dataset_root, content)
        ran = command("run", study_file, "--root", root, "--eager", "--no-mlflow", "--workers", "1")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "tiny: 8 finished; 2 packs trained in" in ran.stdout
        assert f"sweep report tiny --root {root}" in ran.stdout
        assert (root / "datasets" / DATASET).is_dir()

    made = made_once(tmp_path_factory, worker_id, "finished", make)
    # Two processes that read it at a time would meet in its lock.
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("finished") / "root"))
