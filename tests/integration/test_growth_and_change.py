"""A study that has grown runs its new trials alone; one that would measure in two ways is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from drills import STUDY, Drill, assert_same_store, contiguous, metrics

MakeDrill = Callable[..., Drill]


@pytest.mark.slow
def test_a_grown_study_runs_only_its_new_trials(
    new_drill: MakeDrill, undisturbed: Drill, cluster: str
) -> None:
    drill = new_drill(copy=True, address=cluster)
    old = set(metrics(drill.root)["trial_id"])
    before = drill.attempts()
    narrow, broad = STUDY["spaces"]
    grown = {**STUDY, "spaces": [{**narrow, "seeds": 2}, broad]}
    drill.write_study(grown)
    ended = drill.run().ok()
    assert "planned 3 new trials" in ended.output
    rows = metrics(drill.root)
    assert rows["trial_id"].nunique() == 9
    assert contiguous(rows, 50)
    assert {pack: drill.attempts()[pack] for pack in before} == before, "old packs were trained again"
    assert_same_store(drill.root, undisturbed.root, trials=old)

    # And back: the trials that are no longer asked for stay, and that is said.
    drill.write_study(STUDY)
    assert "3 trials that were planned before are no longer in the study" in drill.run().ok().output
    assert_same_store(drill.root, undisturbed.root, trials=old)


def test_a_changed_protocol_recipe_or_study_is_refused_before_anything_starts(
    new_drill: MakeDrill, undisturbed: Drill
) -> None:
    drill = new_drill(copy=True)
    recipe = STUDY["datasets"]["catch-tiny"]
    changed = [
        ({"protocol": {**STUDY["protocol"], "eval_episodes": 5}}, "eval_episodes 4 then, 5 now"),
        ({"study": "other"}, "runs the study 'tiny', not 'other'"),
        (
            {"datasets": {"catch-tiny": {**recipe, "collect": {**recipe["collect"], "seed": 1}}}},
            "seed 0 there, 1 in the study",
        ),
    ]
    for change, said in changed:
        drill.write_study({**STUDY, **change})
        refused = drill.run("--name", "tiny")
        assert refused.code == 2, refused.output
        assert said in refused.output
        assert refused.seconds < 15, "Ray was started first"
    drill.write_study(STUDY)
    refused = drill.run("--scheduler", "asha")
    assert refused.code == 2
    assert "begun with --scheduler fifo" in refused.output
    assert set(drill.attempts().values()) == {1}
    assert_same_store(drill.root, undisturbed.root)
