"""The members of a pack: what they share is kept once, and nothing of them is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_sweeps import planned, study

from search_spaces import SpecificationError, TrialConfig
from sweep.members import Members, shared_config
from sweep.plan import PackSpec

SHARED = {"env": "bsuite/catch/0", "dataset": "catch", "hidden_sizes": (16, 8), "activation": "tanh"}


def configs() -> list[TrialConfig]:
    return [
        TrialConfig(**SHARED, seed=seed, learning_rate=rate, reward_clip=clip)
        for seed, rate, clip in ((0, 1e-3, None), (1, 1e-4, 1.0), (2, 1e-3, None))
    ]


def members() -> Members:
    return Members.of((f"{number:016x}", config) for number, config in enumerate(configs()))


def written_out(of: Members) -> list[dict[str, object]]:
    """As plans held members before what they share was kept once."""
    return [one.model_dump(mode="json") for one in of]


def test_members_come_back_from_json_as_they_were() -> None:
    text = json.dumps(members().as_json())
    read = Members._read(json.loads(text))
    assert read == members()
    assert [one.config for one in read] == configs()
    assert json.dumps(read.as_json()) == text
    assert read[0].config.hidden_sizes == (16, 8), "a tuple as ever, and not JSON's list"


def test_what_members_share_is_written_once_and_what_differs_in_columns() -> None:
    held = members().as_json()
    assert held["varying"] == {
        "seed": [0, 1, 2],
        "learning_rate": [1e-3, 1e-4, 1e-3],
        "reward_clip": [None, 1.0, None],
    }
    assert held["shared"].keys() | held["varying"].keys() == TrialConfig.model_fields.keys()
    assert shared_config(held)["activation"] == shared_config(written_out(members()))["activation"] == "tanh"
    many = Members.of((f"{n:016x}", configs()[0].model_copy(update={"seed": n})) for n in range(64))
    assert len(json.dumps(many.as_json())) * 15 < len(json.dumps(written_out(many)))


def test_equal_numbers_of_different_text_are_told_apart() -> None:
    # 0.0 == -0.0 and 1 == 1.0: as one shared value the plan would not be the one that was made.
    one, other = configs()[0], configs()[0].model_copy(update={"dropout": -0.0})
    held = Members.of([("a" * 16, one), ("b" * 16, other)]).as_json()
    assert [str(value) for value in held["varying"]["dropout"]] == ["0.0", "-0.0"]


def test_a_plan_that_wrote_every_member_out_is_read_still(tiny_root: Path) -> None:
    (pack,) = planned(tiny_root, study())
    held = pack.model_dump(mode="json")
    before = {**held, "members": written_out(pack.members)}
    assert PackSpec.model_validate(before) == pack
    assert PackSpec.model_validate(before).model_dump_json() == pack.model_dump_json()


def test_some_of_the_members_are_members_too() -> None:
    half = members()[1:]
    assert isinstance(half, Members)
    assert [one.config for one in half] == configs()[1:]
    assert half[0].trial_id == members()[1].trial_id
    assert half.columns()["activation"] == ["tanh", "tanh"]
    assert half.columns()["learning_rate"] == [1e-4, 1e-3]


def test_configurations_are_checked_when_they_are_asked_for() -> None:
    held = members().as_json()
    held["varying"]["learning_rate"] = [1e-3, -1.0, 1e-3]
    read = Members._read(held)
    assert read[0].config == configs()[0]
    with pytest.raises(SpecificationError, match="learning_rate"):
        list(read)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": []}, "at least one member"),
        ({"varying": {"seed": [0]}}, "seed has 1 values for 3 members"),
        ({"more": 1}, "ids, shared and varying, not ids, shared, varying, more"),
    ],
)
def test_members_that_do_not_fit_together_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Members._read({**members().as_json(), **change})
