"""The image: no root, every package by its hash; and its lock holds what the project needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rendered import described, tool

from cluster.description import lock_text
from cluster.render import render
from cluster.render.lock import EXTRAS, make_lock
from sweep.errors import SweepError, UsageError

PROJECT = Path(__file__).resolve().parents[3]


def dockerfile() -> str:
    return render(described(), "docker")["Dockerfile"]


def test_hadolint_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(dockerfile())
    checked = tool("hadolint", "--no-color", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    file.write_text(dockerfile().replace("USER 1000:1000", "USER root"))
    assert "DL3002" in tool("hadolint", "--no-color", file).stdout


def test_it_runs_as_a_user_and_installs_nothing_whose_hash_is_not_locked() -> None:
    last_stage = dockerfile().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["1000:1000"]
    installs = re.findall(r"pip install (.*)", dockerfile())
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-index --no-deps" in one for one in installs)


def test_the_base_is_the_descriptions_and_may_be_named_by_digest() -> None:
    digest = "python:3.11-slim-bookworm@sha256:" + "0" * 64
    text = render(described(images={"python": digest}), "docker")["Dockerfile"]
    assert f"ARG PYTHON_IMAGE={digest}\n" in text


def test_nothing_but_the_code_goes_to_the_build() -> None:
    ignored = render(described(), "docker")["Dockerfile.dockerignore"].splitlines()
    assert ignored[1] == "*"
    allowed = [one.removeprefix("!") for one in ignored if one.startswith("!")]
    assert all((PROJECT / one).exists() for one in allowed)
    assert not {"sweeps", ".git", ".venv", "tests"} & set(allowed)


def test_every_locked_package_has_hashes_and_no_place() -> None:
    packages = re.split(r"\n(?=[a-z0-9])", lock_text(), flags=re.IGNORECASE)[1:]
    assert len(packages) > 100
    for package in packages:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+", package), package[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package[:60]
    assert not re.search(r"://|^-|file:", lock_text(), re.MULTILINE)


def test_the_lock_has_what_the_project_and_its_extras_ask_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for extra in EXTRAS for one in extras.get(extra, ()))]
    locked = {
        canonicalize_name(name): version
        for name, version in re.findall(
            r"^([\w.-]+?)(?:\[[\w,-]+\])?==([^\s;\\]+)", lock_text(), re.MULTILINE
        )
    }
    for requirement in map(Requirement, wanted):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: renew the lock with `python -m cluster.render.lock`"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement}: the lock has {version}"
        )


def test_a_folder_that_is_no_checkout_or_an_unknown_extra_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Give --project the folder of a checkout"):
        make_lock(tmp_path)
    with pytest.raises(UsageError, match=r"--extra 'env': unknown. Extras: .*envs"):
        make_lock(PROJECT, ["env"])


def test_without_uv_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SweepError, match="pip install uv"):
        make_lock(PROJECT)
