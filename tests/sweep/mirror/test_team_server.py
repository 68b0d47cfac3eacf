"""`sweep ui` for a team: a real PostgreSQL, a real S3 interface, accounts; and the mirror into it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from mirror_studies import Mlflow, Study, truth
from services import MISSING, Postgres, postgres, postgres_programs, s3
from test_mirror_crash import Killed, MortalClient

from sweep.errors import UsageError
from sweep.mirror import MirrorError, mirror_status, start_mirror_process, sync
from sweep.mirror import follow as follow_module
from sweep.mirror.tracking import client_settings, connect
from sweep.store import MEASURES

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason=MISSING)

ADMIN, MEMBER = ("admin", "correct horse battery"), ("mirror", "staple of the mirror")
NAME = "sweeps.example.org"


@dataclass
class Team:
    """A server that a team shares, and what is behind it."""

    url: str
    reports: str
    root: Path
    database: Postgres
    bucket: dict[str, str]
    process: subprocess.Popen[str]
    said: str

    @property
    def mlflow(self) -> Mlflow:
        return Mlflow(lambda sql, *values: self.database.sql(sql.replace("?", "%s"), *values))

    def ask(
        self,
        path: str,
        account: tuple[str, str] | None = ADMIN,
        *,
        body: object = None,
        base: str = "",
        **headers: str,
    ) -> tuple[int, str]:
        """Status and text of an answer."""
        if account is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(account).encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request((base or self.url) + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    import os

    root = tmp_path_factory.mktemp("team")
    with postgres() as database, s3() as bucket:
        environment = {
            **os.environ,
            **bucket,
            "TEAM_DATABASE": database.url_with_password,
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for the tests alone",
            "COLUMNS": "400",
        }
        command = [
            *(Path(sys.executable).with_name("sweep"), "ui", "--root", root, "--host", "0.0.0.0"),
            *("--port", "0", "--reports-port", "0", "--workers", "2", "--allowed-hosts", NAME),
            *("--backend", "env:TEAM_DATABASE", "--artifacts", "s3://sweeps/mlflow"),
        ]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            words = dict(line.split(maxsplit=1) for line in said if line.strip())
            yield Team(
                words["MLflow"].strip(),
                words["reports"].strip(),
                root,
                database,
                bucket,
                process,
                "".join(said),
            )
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()


@pytest.fixture
def account(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror's account, which is no administrator's."""
    status, answer = team.ask(
        "/api/2.0/mlflow/users/create", body={"username": MEMBER[0], "password": MEMBER[1]}
    )
    assert status == 200 or "already exists" in answer, answer
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", MEMBER[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", MEMBER[1])


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


def test_nobody_comes_in_without_an_account_to_mlflow_or_to_the_reports(team: Team) -> None:
    (team.root / "reports").mkdir(exist_ok=True)
    (team.root / "reports" / "demo.html").write_text("the report")
    for path, base in (
        (SEARCH, team.url),
        ("/", team.url),
        ("/", team.reports),
        ("/demo.html", team.reports),
    ):
        assert team.ask(path, None, base=base)[0] == 401, (path, base)
        assert team.ask(path, ("admin", "not the password"), base=base)[0] == 401, (path, base)
        assert team.ask(path, base=base)[0] == 200, (path, base)


def test_only_the_names_it_was_given_are_answered(team: Team) -> None:
    port = team.url.rpartition(":")[2]
    for base, path in ((team.url, SEARCH), (team.reports, "/")):
        for host in (NAME, f"{NAME}:{port}", f"127.0.0.1:{port}"):
            assert team.ask(path, base=base, Host=host)[0] == 200, (base, host)
        for host in ("evil.example.org", f"10.example.org:{port}"):
            assert team.ask(path, base=base, Host=host)[0] == 403, (base, host)
    # A browser says which page asks for a change, and MLflow's searches count as one.
    search = {"max_results": 1, "experiment_ids": ["0"]}
    for origin, status in ((f"http://{NAME}:{port}", 200), ("http://evil.example.org", 403)):
        answer = team.ask("/api/2.0/mlflow/runs/search", body=search, Origin=origin, Host=f"{NAME}:{port}")
        assert answer[0] == status, answer


def test_links_on_the_page_of_reports_lead_to_mlflow_under_the_readers_name(team: Team) -> None:
    port = team.url.rpartition(":")[2]
    assert f'href="http://{NAME}:{port}"' in team.ask("/", base=team.reports, Host=f"{NAME}:1234")[1]


def test_no_secret_is_in_arguments_output_or_files(team: Team) -> None:
    secrets = (team.database.PASSWORD, quote(team.database.PASSWORD, safe=""), ADMIN[1], "testing-secret")
    family = [psutil.Process(team.process.pid), *psutil.Process(team.process.pid).children(recursive=True)]
    shown = {f"arguments of {one.pid}": "\n".join(one.cmdline()) for one in family}
    assert any("mlflow" in arguments for arguments in shown.values())
    shown["output"] = team.said
    for path in team.root.rglob("*"):
        if path.is_file():
            shown[str(path)] = path.read_bytes().decode(errors="replace")
    assert "mlflow-server.log" in " ".join(shown)
    assert [where for where, text in shown.items() for secret in secrets if secret in text] == []
    for name in ("mlflow-server.log", "mlflow-auth.ini"):
        assert (team.root / name).stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("account")
def test_a_sweep_is_mirrored_whole_by_an_account_that_is_no_administrators(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = tuple(name for name in MEASURES if name not in ("srank", "return_mean"))[:20]
    assert len(dense) == 20
    study = _Dense(
        tmp_path, name="whole", packs=4, members=5, train_steps=4900, log_every=100, dense=dense
    ).run_all(segments=2)
    summary = sync(tmp_path, "whole", team.url)
    assert summary.runs_created == 20
    assert summary.metrics_sent == 20 * 20 * 50
    team.mlflow.assert_complete(study)
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=team.bucket["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing-secret",
    )
    stored = [item["Key"] for item in client.list_objects_v2(Bucket="sweeps", Prefix="mlflow/")["Contents"]]
    assert {key.rpartition("/")[2] for key in stored} >= {"study.yaml", "sweep.json"}
    assert sync(tmp_path, "whole", team.url).metrics_sent == 0
    # The page of reports of that root would link to it; another account may read and not write.
    team.ask("/api/2.0/mlflow/users/create", body={"username": "reader", "password": "only for reading"})
    run = team.mlflow.trial_runs("whole").popitem()[1][0]
    path = f"/api/2.0/mlflow/runs/get?run_id={run}"
    assert team.ask(path, ("reader", "only for reading"))[0] == 200
    tag = {"run_id": run, "key": "x", "value": "y"}
    assert team.ask("/api/2.0/mlflow/runs/set-tag", ("reader", "only for reading"), body=tag)[0] == 403
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another password")
    with pytest.raises(MirrorError, match=r"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        sync(tmp_path, "whole", team.url, patience=1.0)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("runs", [1, 2, 3], ids=["the sweep's", "a trial's", "another trial's"])
def test_a_mirror_that_dies_before_it_hears_of_its_run_makes_no_second_one(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    name = f"dies-{runs}"
    study = Study(tmp_path, name=name, packs=1, members=2).run_all()
    with monkeypatch.context() as patch:
        creating = frozenset({"create_run"})
        patch.setattr(follow_module, "connect", lambda uri: MortalClient(connect(uri), runs, creating))
        with pytest.raises(Killed):
            sync(tmp_path, name, team.url)
    sync(tmp_path, name, team.url)
    team.mlflow.assert_complete(study)
    made = team.mlflow.query(
        "select count(*) from runs r join experiments e on e.experiment_id = r.experiment_id"
        " where e.name like ?",
        f"{name}%",
    )
    # Deleted ones count too: none was made to be thrown away.
    assert made == [(len(study.trials) + 1,)]


@pytest.mark.usefixtures("account")
@pytest.mark.slow
def test_a_database_that_is_away_and_comes_back_doubles_nothing(team: Team, tmp_path: Path) -> None:
    study = Study(tmp_path, name="away", packs=2, members=3)
    mirror = start_mirror_process(tmp_path, "away", team.url, poll_seconds=0.1)
    try:
        study.commit("pack-0", 500)
        _until(lambda: len(team.mlflow.trial_runs("away")) == 3, "the first pack is in MLflow")
        team.database.stop()
        study.commit("pack-0", 1000)
        study.finish("pack-0")
        study.commit("pack-1", 500)
        _until(lambda: mirror_status(tmp_path, "away", team.url).state == "waiting", "the mirror waits")
        assert team.ask("/health")[0] == 200
        time.sleep(3.0)
        assert mirror.poll() is None
        team.database.start()
        study.commit("pack-1", 1000)
        study.finish("pack-1")
    finally:
        status = mirror.stop(finish=True, timeout=120)
    assert status == 0, mirror.log.read_text()
    team.mlflow.assert_complete(study)
    points = sum(len(series) for series in truth(study).values())
    where = " where t.key = 'rankscope.sweep' and t.value = 'away'"
    [(stored,)] = team.mlflow.query(
        f"select count(*) from metrics m join tags t on t.run_uuid = m.run_uuid{where}"
    )
    assert stored == points


def test_the_mirror_talks_to_a_server_and_never_to_its_database(team: Team, tmp_path: Path) -> None:
    Study(tmp_path).run_all()
    for uri in (team.database.url_with_password, "postgresql+psycopg2://mlflow@db/mlflow"):
        for call in (sync, start_mirror_process):
            with pytest.raises(
                UsageError, match=r"never to its database.*sweep ui --backend.*--mlflow-uri http://"
            ) as error:
                call(tmp_path, "demo", uri)
            assert team.database.PASSWORD not in str(error.value)
    with client_settings():
        assert not (tmp_path / "mlflow.db").exists()


class _Dense(Study):
    """A study whose rows have the dense measures alone, all of them in every row."""

    def rows(self, pack: str, first: int, last: int):
        return super().rows(pack, first, last).assign(srank=float("nan"), return_mean=float("nan"))


def _until(happened, what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
