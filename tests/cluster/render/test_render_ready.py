"""The files under cluster/ready are what is rendered now; no file of any kind holds a secret."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from rendered import every_file
from typer.testing import CliRunner

from cluster.description import default_cluster, example_text
from cluster.render import TARGETS, render, write_files
from sweep.errors import SweepError, UsageError

PROJECT = Path(__file__).resolve().parents[3]
READY = PROJECT / "cluster" / "ready"


@pytest.mark.parametrize("kind", TARGETS)
def test_the_ready_files_are_what_is_rendered_now(kind: str) -> None:
    rendered = render(default_cluster(), kind)
    there = {file.name: file.read_text() for file in (READY / kind).iterdir() if file.suffix != ".lock"}
    assert there == rendered, f"sweep cluster render {kind} --out cluster/ready/{kind}"
    for name, text in rendered.items():
        assert os.access(READY / kind / name, os.X_OK) == text.startswith("#!"), name


def test_the_package_has_the_templates_the_example_and_the_ready_files() -> None:
    setuptools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = setuptools["package-data"]
    packaged = {
        file.relative_to(PROJECT)
        for package, patterns in data.items()
        for pattern in patterns
        for file in PROJECT.joinpath(*package.split(".")).glob(pattern)
    }
    wanted = [*READY.rglob("*.*"), READY / "docker" / "Dockerfile", PROJECT / "cluster" / "example.yaml"]
    wanted += (PROJECT / "cluster" / "render" / "templates").glob("*.j2")
    assert {file.relative_to(PROJECT) for file in wanted if file.is_file()} <= packaged


def test_no_rendered_file_holds_what_looks_like_a_secret() -> None:
    # A value behind a name of a secret, a private key, an access key, a password inside an address.
    suspicious = re.compile(
        r"(?i)(password|secret|token|_key)\w*[\"']?\s*[:=]\s*[\"']?(?!\$|/|true|false|\[)[A-Za-z0-9+/]{16,}"
        r"|BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|://[^\s/:@]+:[^\s/@$]+@"
    )
    assert suspicious.search("PASSWORD: correcthorsebatterystaple")
    assert suspicious.search("postgresql://me:hunter2@db/x")
    for where, name, text in every_file():
        found = [line for line in text.splitlines() if suspicious.search(line)]
        # Names of variables and of keys in Kubernetes secrets are in capitals.
        assert not [line for line in found if not re.search(r"(key|name): [A-Z_]+$", line)], (
            f"{where}: {name}"
        )


def test_every_file_says_what_made_it_and_yaml_is_yaml() -> None:
    for where, name, text in every_file():
        if name.endswith(".yaml"):
            assert list(yaml.safe_load_all(text)), where
        if name != "Dockerfile.dockerignore":
            assert "made by `sweep cluster render" in text, f"{where}: {name}"


def test_the_command_writes_the_files_of_a_description(tmp_path: Path) -> None:
    from sweep.cli.app import build_app

    file = tmp_path / "mine.yaml"
    shown = CliRunner().invoke(build_app(), ["cluster", "example"])
    assert shown.output == example_text()
    file.write_text(shown.output.replace("name: rankscope\n", "name: mine\n"))
    out = tmp_path / "out"
    done = CliRunner().invoke(
        build_app(), ["cluster", "render", "slurm", "--description", str(file), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(out / "sweep.sbatch")]
    assert "#SBATCH --job-name=mine\n" in (out / "sweep.sbatch").read_text()


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'kuberay'.* Allowed: kuberay, aws"):
        render(default_cluster(), "kubray")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(SweepError, match=r"--out .*taken.*cannot be written: .* Give another folder"):
        write_files({"x": ""}, tmp_path / "taken")
