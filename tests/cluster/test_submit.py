"""`sweep submit` on a real Ray cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ray_dashboard import Dashboard
from typer.testing import CliRunner

from cluster import package_study
from cluster.ray_jobs import submission_id
from search_spaces import load_study
from sweep.cli.app import build_app
from sweep.errors import SweepError, UsageError
from sweep.store import Store

STUDY = """
study: tiny
title: Two members
question: Does a job end in a store?
datasets:
  random-catch: {env: bsuite/catch/0, collect: {agent: random, steps: 200, num_envs: 4}}
protocol: {log_every: 10, probe_every: 20, eval_every: 40, eval_episodes: 2, probe_batch_size: 32}
spaces:
  - name: rates
    base: {dataset: random-catch, train_steps: 40, hidden_sizes: [8]}
    axes: {learning_rate: [1.0e-3, 1.0e-2]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path


def submit(dashboard: Dashboard, *arguments: object, token: bool = True) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own: Ray settles its authentication when it is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"COLUMNS": "200", **(dashboard.token if token else {})}
    command = [sys.executable, "-c", "from sweep.cli import main; main()", "submit"]
    return subprocess.run(
        [*command, *map(str, arguments), "--address", dashboard.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def failure(*arguments: object) -> SweepError:
    error = CliRunner().invoke(build_app(), ["submit", *map(str, arguments)]).exception
    assert isinstance(error, SweepError), error
    return error


def test_a_submitted_study_is_followed_to_a_finished_store(
    dashboard: Dashboard, study: Path, tmp_path: Path
) -> None:
    root, url = tmp_path / "root", dashboard.url
    arguments = (study, "--root", root, "--eager", "--no-mlflow")

    first = submit(dashboard, *arguments, "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    job_id = submission_id(load_study(study), "tiny", str(root))
    assert said == {"job_id": job_id, "started": True, "address": url, "root": str(root)}

    # While it runs: the same request is the same job.
    second = submit(dashboard, *arguments, "--follow")
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"{job_id} runs already on {url}" in second.stdout
    assert "nothing was submitted" in second.stdout
    assert "every node of the cluster sees" in second.stdout
    assert f"ray job logs --address {url} --follow {job_id}" in second.stdout
    assert "2 finished" in second.stdout, "the job's own output is streamed"
    assert second.stdout.rstrip().endswith("SUCCEEDED")

    store = Store(root)
    assert store.trials("tiny")["status"].tolist() == ["finished", "finished"]
    assert sorted(store.metrics("tiny")["step"]) == sorted([0, 10, 20, 30, 40] * 2)
    record = store.sweep("tiny").sweep_record() or {}
    assert record["study_text"] == STUDY
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if commit.returncode == 0:
        # The code that was sent has no .git folder, and knows its commit all the same.
        assert record["git"]["commit"] == commit.stdout.strip()
    assert "SUCCEEDED" in job_details(dashboard, job_id)["status"]
    metadata = job_details(dashboard, job_id)["metadata"]
    assert metadata["git_commit"] == (record["git"] or {})["commit"]
    assert (metadata["study"], metadata["sweep"], metadata["root"]) == ("tiny", "tiny", str(root))

    # After it has ended: a job of its own, which finds nothing left to train.
    again = submit(dashboard, *arguments, "--follow")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{job_id}-2 submitted to {url}" in again.stdout
    assert "0 packs trained" in again.stdout


def job_details(dashboard: Dashboard, job_id: str) -> dict[str, Any]:
    """What the cluster itself says of a job, by plain HTTP."""
    request = urllib.request.Request(
        f"{dashboard.url}/api/jobs/{job_id}",
        headers={"Authorization": f"Bearer {Path(dashboard.token['RAY_AUTH_TOKEN_PATH']).read_text()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_a_job_that_fails_is_an_exit_status(dashboard: Dashboard, study: Path, tmp_path: Path) -> None:
    result = submit(
        dashboard, study, "--root", tmp_path / "root", "--no-mlflow", "--device", "cuda", "--follow"
    )
    assert result.returncode == 1
    assert "Ray sees no GPU" in result.stdout
    assert result.stdout.rstrip().endswith("FAILED")


def test_a_cluster_that_wants_a_token_says_how_to_give_it(dashboard: Dashboard, study: Path) -> None:
    result = submit(dashboard, study, token=False)
    assert result.returncode == 1
    assert "wants its token" in result.stderr
    assert "RAY_AUTH_MODE=token" in result.stderr


def test_the_id_is_of_study_name_and_root_alone(study: Path, tmp_path: Path) -> None:
    loaded = load_study(study)
    one = submission_id(loaded, "my.sweep", "/mnt/a")
    assert one == submission_id(load_study(study), "my.sweep", "/mnt/a")
    assert one.startswith("rankscope-my-sweep-")
    study.write_text(STUDY.replace("1.0e-3", "2.0e-3"))
    others = {
        submission_id(loaded, "other", "/mnt/a"),
        submission_id(loaded, "my.sweep", "/mnt/b"),
        submission_id(load_study(study), "my.sweep", "/mnt/a"),
    }
    assert len(others | {one}) == 4


def test_what_is_sent_is_the_study_and_code_that_runs_by_itself(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    package_study(load_study(study), folder)
    assert (folder / "study.yaml").read_text() == STUDY
    assert {path.name for path in folder.iterdir()} == {
        *("agents", "cluster", "search_spaces", "sweep"),
        *("study.yaml", "rankscope-commit.json"),
    }
    assert not [path for path in folder.rglob("*") if path.name == "__pycache__" or path.suffix == ".pyc"]
    asked = "import sweep, search_spaces; print(sweep.__file__); print(len(search_spaces.named_studies()))"
    said = subprocess.run(
        [sys.executable, "-c", asked], cwd=folder, capture_output=True, text=True, check=True
    )
    where, studies = said.stdout.splitlines()
    assert Path(where).is_relative_to(folder)
    assert int(studies) >= 1


def test_an_address_that_is_no_url_is_refused(study: Path) -> None:
    error = failure(study, "--address", "127.0.0.1:8265")
    assert isinstance(error, UsageError)
    assert "127.0.0.1:8265" in str(error)
    assert "http://127.0.0.1:8265" in str(error)


def test_an_address_where_nothing_answers_says_so(study: Path) -> None:
    error = failure(study, "--address", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in str(error)
    assert "nothing answers" in str(error)
    assert error.exit_code == 1


def test_a_root_in_an_object_store_is_refused_before_the_address_is_looked_at(study: Path) -> None:
    error = failure(study, "--address", "http://127.0.0.1:9", "--root", "s3://bucket/sweeps")
    assert isinstance(error, UsageError)
    assert "s3://bucket/sweeps" in str(error)


def test_a_name_that_could_leave_the_root_is_refused(study: Path) -> None:
    assert "../x" in str(failure(study, "--address", "http://127.0.0.1:9", "--name", "../x"))


def test_a_password_does_not_get_into_a_job(study: Path) -> None:
    error = failure(
        study, "--address", "http://127.0.0.1:9", "--mlflow-uri", "http://me:secret@mlflow.example.org"
    )
    assert isinstance(error, UsageError)
    assert "secret" not in str(error)
    assert "MLFLOW_TRACKING_PASSWORD" in str(error)
