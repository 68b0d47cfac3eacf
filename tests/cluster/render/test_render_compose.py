"""The compose file: its schema takes it, nothing is open beyond loopback, secrets are files."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rendered import VARIANTS, described, documents, tool

from cluster.render import render
from search_spaces.errors import SpecificationError

COMPOSABLE = [name for name, changes in VARIANTS.items() if changes.get("mlflow", ()) is not None]


def composed(**changes: Any) -> dict[str, Any]:
    (content,) = documents(render(described(**changes), "compose")["compose.yaml"])
    return content


@pytest.mark.parametrize("variant", COMPOSABLE)
def test_the_compose_specifications_schema_takes_it(variant: str) -> None:
    check_jsonschema = pytest.importorskip("check_jsonschema", reason="the extra `dev` has it")
    file = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(file.read_text())
    content = composed(**VARIANTS[variant])
    jsonschema.validate(content, schema)
    content["services"]["head"]["port"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_what_is_published_is_published_on_loopback_unless_told() -> None:
    ports = [port for service in composed()["services"].values() for port in service.get("ports", ())]
    assert sorted(ports) == ["127.0.0.1:5000:5000", "127.0.0.1:8265:8265", "127.0.0.1:9000:9000"]
    told = composed(compose={"listen": "192.0.2.1", "minio_port": 0})["services"]
    assert told["mlflow"]["ports"] == ["192.0.2.1:5000:5000"]
    assert "ports" not in told["minio"]
    assert (
        "whoever has the token"
        in render(described(compose={"listen": "192.0.2.1"}), "compose")["compose.yaml"]
    )


def test_no_service_is_root_or_can_become_it() -> None:
    for name, service in composed()["services"].items():
        assert service["user"] in ("1000:1000", "postgres"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "network_mode", "pid"} & {
            key for key, value in service.items() if value != "none"
        }, name


def test_mlflow_asks_who_calls_and_by_which_name() -> None:
    mlflow = composed()["services"]["mlflow"]
    script = mlflow["command"][-1]
    assert "--app-name basic-auth" in script
    assert "--allowed-hosts 'localhost:*,127.0.0.1:*,mlflow:*'" in script
    assert (
        mlflow["environment"]["MLFLOW_BACKEND_STORE_URI"]
        == "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    )


def test_ray_asks_for_the_token_and_only_the_head_has_mlflows_password() -> None:
    services = composed()["services"]
    for name, service in services.items():
        if name == "head" or name.startswith("worker-"):
            assert service["environment"]["RAY_AUTH_MODE"] == "token"
            assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_auth_token"
            assert ("mlflow_credentials" in str(service["secrets"])) == (name == "head")


def test_only_mlflow_reaches_for_the_databases_password() -> None:
    services = composed()["services"]
    assert [name for name, one in services.items() if "postgres_password" in one.get("secrets", ())] == [
        "mlflow",
        "postgres",
    ]


def test_every_secret_that_is_read_is_declared_and_made(tmp_path: Path) -> None:
    files = render(described(), "compose")
    script = tmp_path / "secrets.sh"
    script.write_text(files["secrets.sh"])
    assert tool("shellcheck", script).stdout == ""
    first = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    content = composed()
    named = {
        one if isinstance(one, str) else one["source"]
        for service in content["services"].values()
        for one in service.get("secrets", ())
    }
    assert set(made) == set(content["secrets"]) == named
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    # Random each, agreeing where two files hold one, never printed, and kept by a second call.
    key = made["s3_user"].split()[1]
    assert f"aws_secret_access_key = {key}" in made["s3_credentials"]
    assert f"mlflow_tracking_password = {made['mlflow_admin_password']}" in made["mlflow_credentials"]
    drawn = [made[name].split()[-1] for name in sorted(made) if not name.endswith("credentials")]
    assert len(set(drawn)) == len(drawn) == 7
    assert all(len(re.sub("^root-", "", one)) == 48 for one in drawn)
    assert not any(one in first.stdout + first.stderr for one in drawn)
    subprocess.run(["bash", str(script)], capture_output=True, check=True)
    assert {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()} == made


def test_the_scripts_inside_are_ones_that_the_shell_takes(tmp_path: Path) -> None:
    services = composed()["services"]
    for name, script in (
        ("mlflow", services["mlflow"]["command"][-1]),
        ("buckets", services["buckets"]["entrypoint"][-1]),
    ):
        file = tmp_path / name
        # Compose's own escape of the dollar.
        file.write_text(script.replace("$$", "$"))
        checked = tool("shellcheck", "--shell=sh", file)
        assert checked.returncode == 0, checked.stdout


def test_both_buckets_are_made_and_a_mount_needs_but_mlflows() -> None:
    made = composed()["services"]["buckets"]["entrypoint"][-1]
    assert re.findall(r"store/(\S+)$", made, re.MULTILINE) == ["example-bucket", "mlflow"]
    on_mount = composed(root="/mnt/sweeps", secrets=[])["services"]
    assert re.findall(r"store/(\S+)$", on_mount["buckets"]["entrypoint"][-1], re.MULTILINE) == ["mlflow"]
    assert on_mount["worker-cpu"]["volumes"] == ["/mnt/sweeps:/mnt/sweeps"]


def test_cards_are_asked_for_where_a_group_has_them_and_only_when_told() -> None:
    gpu = composed()["services"]["worker-gpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert gpu["profiles"] == ["gpu"]
    assert "profiles" not in composed()["services"]["worker-cpu"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"root": "gs://bucket/sweeps"}, "compose has MinIO, which is s3://"),
        ({"mlflow": None}, "compose serves one"),
    ],
)
def test_what_compose_cannot_serve_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecificationError, match=says):
        render(described(**changes), "compose")
