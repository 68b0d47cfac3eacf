"""The compose file's MLflow, as it is written there, on a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml
from rendered import described
from services import MISSING, Postgres, postgres, postgres_programs

from cluster.render import render
from sweep.ports import free_port


@contextmanager
def served(database: Postgres, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service's own command, with this machine's places for the container's."""
    port = free_port()
    content = yaml.safe_load(render(described(), "compose")["compose.yaml"])
    address = f"@127.0.0.1:{database.port}/{database.DATABASE}"

    def here(text: str) -> str:
        return (
            text.replace("mlflow@postgres:5432/mlflow", f"{database.USER}{address}")
            .replace("/run/secrets/", f"{folder}/secrets/")
            .replace("/etc/mlflow/auth.ini", f"{folder}/auth.ini")
        )

    service = content["services"]["mlflow"]
    (folder / "auth.ini").write_text(here(content["configs"]["mlflow_auth"]["content"]))
    *shell, script = service["command"]
    script = (
        here(script)
        .replace("$$", "$")
        .replace("0.0.0.0", "127.0.0.1")
        .replace("--port 5000", f"--port {port}")
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [*shell, script],
        cwd=folder,
        env={
            **os.environ,
            **{name: here(text) for name, text in service["environment"].items()},
            "PATH": path,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        while status(f"{url}/health") != 200:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield url, process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def status(url: str, password: str | None = None, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    if password is not None:
        request.add_header("Authorization", f"Basic {b64encode(f'admin:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.skipif(postgres_programs() is None, reason=MISSING)
def test_it_asks_for_the_password_and_its_own_name_and_shows_no_secret_to_ps(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text(render(described(), "compose")["secrets.sh"])
    subprocess.run(["bash", str(script)], check=True, stdout=subprocess.DEVNULL)
    secrets = tmp_path / "secrets"
    with postgres() as database:
        (secrets / "postgres_password").chmod(0o644)
        (secrets / "postgres_password").write_text(database.PASSWORD)
        with served(database, tmp_path) as (url, process):
            password = (secrets / "mlflow_admin_password").read_text()
            listing = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
            assert status(listing) == 401
            assert status(listing, "not the password") == 401
            assert status(listing, password) == 200
            assert status(listing, password, "mlflow:5000") == 200
            assert status(listing, password, "evil.example") == 403
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            arguments = "\0".join(part for one in family for part in one.cmdline())
            for name in ("mlflow_admin_password", "mlflow_session_key", "postgres_password"):
                assert (secrets / name).read_text() not in arguments, name
            # The file that the head gets as ~/.mlflow/credentials is one that MLflow's client takes.
            home = tmp_path / "home"
            (home / ".mlflow").mkdir(parents=True)
            (home / ".mlflow" / "credentials").write_text((secrets / "mlflow_credentials").read_text())
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    f"import mlflow; print(mlflow.MlflowClient({url!r}).create_experiment('x'))",
                ],
                env={**os.environ, "HOME": str(home)},
                capture_output=True,
                text=True,
                check=True,
            )
            experiment = done.stdout.split()[-1]
        (row,) = database.sql("select artifact_location from experiments where name = 'x'")
        assert row == (f"mlflow-artifacts:/{experiment}",)
        assert database.sql("select username from users") == [("admin",)]
