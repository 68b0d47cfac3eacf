"""What holds of every environment, whatever its family."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from slots import check_slots, roll

from agents.environments import FAMILIES, describe, env_ids, family_of, make
from agents.errors import AgentError, EnvironmentUnavailable


@pytest.mark.parametrize(("env_id", "steps"), [("bsuite/catch/0", 60), ("atari/Asterix", 420)])
def test_what_a_slot_shows_depends_on_its_own_seed_and_actions_only(env_id, steps):
    shown = check_slots(env_id, steps, differs=False)
    assert shown["terminated"].any(), "no episode ended, so restarts were not compared"
    assert (shown["observation"][:, 0] != shown["observation"][:, 1]).any()


def test_the_number_of_threads_changes_nothing():
    actions = np.random.default_rng(1).integers(3, size=(60, 2))
    one, two = (roll(make("atari/Asterix", 2, num_threads=threads), [6, 7], actions) for threads in (1, 2))
    for name, expected in one.items():
        np.testing.assert_array_equal(two[name], expected)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("atari/asterix", "atari/Asterix"), ("bsuite/cach/0", "bsuite/catch/0"), ("Asterix", "atari/Asterix")],
)
def test_an_unknown_environment_is_refused_with_the_nearest_known(wrong, meant):
    with pytest.raises(EnvironmentUnavailable, match=f"unknown environment '{wrong}'.*'{meant}'"):
        make(wrong, 1)
    assert issubclass(EnvironmentUnavailable, AgentError)


def test_an_unknown_environment_without_a_neighbour_says_what_is_allowed():
    with pytest.raises(EnvironmentUnavailable, match=r"Families: .*such as bsuite/catch/0.*sweep data envs"):
        describe("zzz")


@pytest.mark.parametrize(
    ("env_id", "module", "remedy"),
    [
        ("bsuite/catch/0", "bsuite", "pip install 'bsuite"),
        ("atari/Pong", "ale_py.vector_env", r"pip install 'gymnasium\[atari\].*'ale-py"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, env_id, module, remedy):
    monkeypatch.setitem(sys.modules, module, None)
    describe(env_id)
    with pytest.raises(EnvironmentUnavailable, match=f"{env_id}.*{remedy}"):
        make(env_id, 1)


@pytest.mark.parametrize("seeds", [[1], [1, -1], [1, 2**31]])
@pytest.mark.parametrize("env_id", ["bsuite/catch/0", "atari/Pong"])
def test_seeds_that_an_emulator_would_misread_are_refused(env_id, seeds):
    vector = make(env_id, 2)
    with pytest.raises(ValueError, match=r"seeds must be \[2\] integers in \[0, 2147483648\)"):
        vector.reset(np.array(seeds))


def test_zero_slots_are_refused():
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        make("bsuite/catch/0", 0)


def test_describing_every_environment_starts_nothing():
    modules = {module for family in FAMILIES for module in family.modules} | {"torch", "pandas", "scipy"}
    code = (
        "import sys; from agents.environments import describe, env_ids; [describe(e) for e in env_ids()];"
        f"print(sorted({modules!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_id_is_there_once_and_belongs_to_the_family_it_names():
    assert len(set(env_ids())) == len(env_ids())
    for env_id in env_ids():
        assert env_id in family_of(env_id).env_ids()
        assert describe(env_id).env_id == env_id
    counts = {family.name: len(family.env_ids()) for family in FAMILIES}
    assert (counts["bsuite"], counts["atari"], counts["minatar"], counts["gridworld"]) == (83, 104, 5, 100)


def test_the_extras_of_the_distribution_are_what_the_families_ask_for():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"]
    for family in FAMILIES:
        if family.extra is not None:
            assert tuple(extras[family.extra]) == family.requires
        else:
            assert set(family.requires) <= set(project["dependencies"]), family.name
    (everything,) = extras["envs"]
    named = set(everything.removeprefix("rankscope[").removesuffix("]").split(","))
    assert named == {family.extra for family in FAMILIES} - {None}


def test_what_is_installed_is_in_versions_that_run_together():
    for family in FAMILIES:
        assert family.other_versions() == []
        assert family.installed() == (family.name != "dmlab")
