"""The page on adding an objective is followed to the letter: its files are taken from it and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.store import Store

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-an-objective.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    program = [str(Path(sys.executable).with_name(command[0]))]
    return subprocess.run(
        [*program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_an_objective_is_one_file_of_under_80_lines_and_its_test_passes(folder: Path) -> None:
    assert len((folder / "munchausen.py").read_text().splitlines()) < 80
    outcome = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "test_munchausen.py")
    assert outcome.returncode == 0, outcome.stdout
    # The test can fail: another temperature is another algorithm.
    wrong = (folder / "munchausen.py").read_text().replace("0.03, 0.9, -1.0", "0.05, 0.9, -1.0")
    (folder / "munchausen.py").write_text(wrong)
    assert run(folder, "pytest", "-q", "-p", "no:cacheprovider", "test_munchausen.py").returncode == 1


@pytest.mark.slow
def test_it_is_swept_beside_dqn_without_a_change_to_the_package(folder: Path) -> None:
    outcome = run(folder, "sweep", "run", "munchausen.yaml", "--root", "root", "--eager")
    assert outcome.returncode == 0, outcome.stderr
    trials = Store(folder / "root").trials("munchausen")
    assert (trials["status"] == "finished").all()
    assert trials["algorithm"].value_counts().to_dict() == {"dqn": 4, "munchausen:MunchausenDQN": 4}


def test_one_that_cannot_be_imported_is_refused_before_anything_starts(folder: Path) -> None:
    (folder / "munchausen.py").unlink()
    outcome = run(folder, "sweep", "run", "munchausen.yaml", "--root", "root", "--eager")
    assert outcome.returncode == 2
    assert "munchausen:MunchausenDQN" in outcome.stderr
    assert "PYTHONPATH" in outcome.stderr
    assert not (folder / "root" / "datasets").exists()
