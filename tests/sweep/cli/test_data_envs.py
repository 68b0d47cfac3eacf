"""`sweep data envs`: every family and environment, what installs it, and nothing heavy on the way."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib import metadata

import pytest
from commands import Sweep
from packaging.requirements import Requirement

from agents.environments import FAMILIES, Family, describe, env_ids


def test_every_family_is_listed_with_what_installs_it(sweep: Sweep) -> None:
    said = sweep("data", "envs", "--json")
    rows = {row["family"]: row for row in json.loads(said.out)}
    assert list(rows) == [family.name for family in FAMILIES]
    assert sum(row["environments"] for row in rows.values()) == len(env_ids())
    assert rows["gridworld"]["true_values"]
    assert rows["gridworld"]["install"] == ""
    for family in FAMILIES:
        words = shlex.split(rows[family.name]["install"])
        assert words[:2] == (["pip", "install"] if family.requires else [])
        assert [str(Requirement(word)) for word in words[2:]] == [
            str(Requirement(r)) for r in family.requires
        ]
        assert rows[family.name]["example"] in family.env_ids()


def test_the_table_names_each_family_with_an_example(sweep: Sweep) -> None:
    said = sweep("data", "envs")
    assert said.code == 0
    for family in FAMILIES:
        line = next(line for line in said.out.splitlines() if line.startswith(family.name))
        assert family.example in line
        assert str(len(family.env_ids())) in line


def test_a_family_that_is_missing_comes_with_the_exact_command(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Family, "installed", lambda self: self.name != "minatar")
    said = sweep("data", "envs")
    (line,) = [line for line in said.out.splitlines() if line.startswith("minatar  ")]
    assert " no " in line
    assert "minatar is installed by: pip install 'minatar==1.0.15'" in said.out
    assert "not installed; pip install 'minatar==1.0.15'" in sweep("data", "envs", "minatar").out
    assert not json.loads(sweep("data", "envs", "minatar", "--json").out)[0]["installed"]


def test_a_family_that_pip_cannot_install_says_where_it_comes_from(sweep: Sweep) -> None:
    said = sweep("data", "envs")
    assert "dmlab needs the Python package deepmind_lab, which is in no package index" in said.out
    assert "dmlab is installed by" not in said.out
    assert "not installed; needs the Python package deepmind_lab" in sweep("data", "envs", "dmlab").out


def test_another_version_than_the_proven_one_is_told(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.9" if name == "minatar" else real(name))
    said = sweep("data", "envs")
    assert (
        "minatar is not proven to work with minatar 0.9 (==1.0.15); what is proven: pip install 'minatar==1.0.15'"
        in said.out
    )
    (row,) = [row for row in json.loads(sweep("data", "envs", "--json").out) if row["family"] == "minatar"]
    assert row["other_versions"] == ["minatar 0.9 (==1.0.15)"]


def test_the_environments_of_a_family_say_what_is_seen_done_and_scored(sweep: Sweep) -> None:
    rows = json.loads(sweep("data", "envs", "bsuite", "--json").out)
    assert [row["env"] for row in rows] == [env_id for env_id in env_ids() if env_id.startswith("bsuite/")]
    for row in rows:
        spec = describe(row["env"])
        assert (tuple(row["observation_shape"]), row["num_actions"]) == (
            spec.observation_shape,
            spec.num_actions,
        )
    assert rows[0]["scores"][0]["scale"] == "optimal-normalised"
    assert (rows[0]["scores"][0]["low"], rows[0]["scores"][0]["high"]) == (-0.6, 1.0)
    table = sweep("data", "envs", "bsuite/catch").out
    assert table.count("bsuite/catch/") == 20
    assert "bsuite/cartpole" not in table
    assert "random -0.6" in table
    assert "optimal 1" in table


def test_an_id_alone_is_shown_and_not_those_that_begin_like_it(sweep: Sweep) -> None:
    assert [row["env"] for row in json.loads(sweep("data", "envs", "bsuite/catch/1", "--json").out)] == [
        "bsuite/catch/1"
    ]


def test_the_gridworld_says_that_its_true_values_are_known(sweep: Sweep) -> None:
    assert (
        "true values are known: evaluations report value_error"
        in sweep("data", "envs", "gridworld/onehot").out
    )


def test_an_environment_with_continuous_actions_says_their_range(sweep: Sweep) -> None:
    (hopper,) = json.loads(sweep("data", "envs", "mujoco/Hopper", "--json").out)
    assert (hopper["num_actions"], hopper["action_shape"], hopper["action_range"]) == (None, [3], [-1, 1])
    assert "3 in [-1, 1]" in sweep("data", "envs", "mujoco/Hopper").out


def test_what_is_no_family_is_refused_with_the_nearest(sweep: Sweep) -> None:
    said = sweep("data", "envs", "atri")
    assert said.code == 2
    assert "no environment begins with 'atri'. Did you mean 'atari'? Families: bsuite, gridworld" in said.err
    said = sweep("data", "envs", "zzz")
    assert "Did you mean" not in said.err
    assert "such as bsuite/memory_len" in said.err


def test_listing_imports_no_emulator_and_no_framework() -> None:
    code = (
        "import sys\n"
        "from sweep.cli import main\n"
        "for arguments in (['envs'], ['envs', 'gridworld'], ['envs', 'atari', '--json']):\n"
        "    sys.argv = ['sweep', 'data', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pandas', 'bsuite', 'gymnasium', 'ale_py', 'minatar', 'mujoco'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "loaded: []"
