"""Studies: which trials they hold, once each, in an order that never changes."""

from collections import Counter

import pytest

from search_spaces import Protocol, Space, SpecificationError, Study, TrialConfig, parse_study

YAML = """
study: example
title: An example
question: Does it work?
datasets:
  catch: {env: bsuite/catch/0, existing: true}
  pong: {env: atari/Pong, existing: true}
base: {dataset: catch, train_steps: 2000, batch_size: 64}
protocol: {eval_episodes: 5}
spaces:
  - name: narrow
    axes: {learning_rate: [1e-3, 1e-4]}
    seeds: 2
  - name: broad
    base: {batch_size: 32}
    axes: {activation: [relu, tanh], batch_size: [64, 32], learning_rate: [1e-3]}
    seeds: [1, 7]
"""


def study(*spaces: object, **fields: object) -> Study:
    return Study(
        **{
            "study": "s",
            "title": "t",
            "question": "q",
            "datasets": {"catch": {"env": "bsuite/catch/0", "existing": True}},
            "base": {"dataset": "catch"},
            "spaces": spaces,
            **fields,
        }
    )


def test_the_bases_are_overridden_from_study_to_space_to_axis() -> None:
    spaces = (
        {"name": "a"},
        {"name": "b", "base": {"batch_size": 8}},
        {"name": "c", "axes": {"batch_size": [16]}},
    )
    made = study(*spaces, base={"dataset": "catch", "batch_size": 4})
    assert [trial.config.batch_size for trial in made.trials()] == [4, 8, 16]


def test_a_trial_in_two_spaces_is_there_once_and_belongs_to_both() -> None:
    text = YAML.replace("    base: {batch_size: 32}\n", "")
    trials = parse_study(text, "x.yaml").trials()
    assert Counter(trial.spaces for trial in trials) == {
        ("narrow",): 3,
        ("narrow", "broad"): 1,
        ("broad",): 7,
    }
    (shared,) = [trial.config for trial in trials if len(trial.spaces) == 2]
    assert (shared.learning_rate, shared.seed, shared.activation, shared.batch_size) == (1e-3, 1, "relu", 64)
    assert len({trial.config.trial_id("a") for trial in trials}) == len(trials) == 11


def test_trials_come_in_the_order_of_spaces_points_and_seeds() -> None:
    made = study({"name": "a", "axes": {"learning_rate": [2, 1]}, "seeds": [5, 3]})
    assert [(trial.config.learning_rate, trial.config.seed) for trial in made.trials()] == [
        (2.0, 5),
        (2.0, 3),
        (1.0, 5),
        (1.0, 3),
    ]
    assert [trial.config for trial in made.trials()] == list(made.space("a").trials(made))


def test_env_is_that_of_the_dataset() -> None:
    text = YAML.replace("dataset: catch, ", "").replace(
        "learning_rate: [1e-3, 1e-4]", "dataset: [catch, pong]"
    )
    text = text.replace("base: {batch_size: 32}", "base: {dataset: pong}").replace(
        "batch_size: [64, 32], ", ""
    )
    configs = [trial.config for trial in parse_study(text, "x.yaml").trials()]
    assert {(config.dataset, config.env) for config in configs} == {
        ("catch", "bsuite/catch/0"),
        ("pong", "atari/Pong"),
    }


def test_python_and_yaml_make_the_same_study() -> None:
    text = YAML.replace("    base: {batch_size: 32}\n", "")
    from_python = Study(
        study="example",
        title="An example",
        question="Does it work?",
        datasets={
            "catch": {"env": "bsuite/catch/0", "existing": True},
            "pong": {"env": "atari/Pong", "existing": True},
        },
        base={"dataset": "catch", "train_steps": 2000, "batch_size": 64},
        protocol=Protocol(eval_episodes=5),
        spaces=[
            Space(name="narrow", axes={"learning_rate": [1e-3, 1e-4]}, seeds=2),
            Space(
                name="broad",
                axes={"activation": ["relu", "tanh"], "batch_size": [64, 32], "learning_rate": [1e-3]},
                seeds=(1, 7),
            ),
        ],
    )
    from_yaml = parse_study(text, "x.yaml")
    assert from_python.trials() == from_yaml.trials()
    assert from_yaml.text == text
    assert parse_study(from_python.text, "again").trials() == from_python.trials()


def test_the_text_of_a_study_made_in_python_loads_to_the_same_trials_for_every_kind_of_axis_and_design() -> (
    None
):
    ranges = {"learning_rate": {"low": 1e-5, "high": 1e-1, "scale": "log"}, "hidden_sizes": [[], [64]]}
    two = {"reward_clip": [None, 1], "batch_size": [32, 64], "dropout": [0, 0.1]}
    made = study(
        {"name": "r", "axes": ranges, "design": {"kind": "random", "n": 6, "seed": 4}},
        {"name": "f", "axes": two, "design": {"kind": "factorial", "generators": ["C=-AB"]}},
        {"name": "o", "axes": two, "design": {"kind": "one_at_a_time", "control": {"reward_clip": 1}}},
        datasets={"catch": {"env": "bsuite/catch/0", "collect": {"agent": "random", "steps": 5}}},
    )
    again = parse_study(made.text, "again.yaml")
    assert again.trials() == made.trials()
    assert again.datasets == made.datasets


def test_the_protocol_of_a_space_overrides_that_of_the_study() -> None:
    made = study(
        {"name": "a"},
        {"name": "b", "base": {"batch_size": 8}, "protocol": {"eval_every": 500}},
        protocol={"eval_episodes": 3},
    )
    first, second = (trial.protocol for trial in made.trials())
    assert (first.eval_episodes, first.eval_every, first.probe_every) == (3, 1000, 2500)
    assert (second.eval_episodes, second.eval_every, second.probe_every) == (3, 500, 2500)


def test_protocols_that_differ_only_in_how_they_are_written_are_equal() -> None:
    made = study({"name": "a"}, {"name": "b", "protocol": {"eval_every": 1000}})
    assert [trial.spaces for trial in made.trials()] == [("a", "b")]


def test_a_trial_that_two_spaces_measure_differently_is_refused() -> None:
    with pytest.raises(SpecificationError) as caught:
        study({"name": "a", "seeds": 2}, {"name": "b", "protocol": {"eval_every": 500}})
    (problem,) = caught.value.problems
    assert problem.path == ("spaces", 1, "protocol")
    assert "shares trials with space 'a'" in problem.message
    assert "(eval_every 500 against 1000)" in problem.message


def test_changing_what_trials_returned_changes_nothing() -> None:
    made = study({"name": "a"})
    made.trials().clear()
    assert [trial.config for trial in made.trials()] == [
        TrialConfig(env="bsuite/catch/0", dataset="catch", seed=0)
    ]


def test_a_cap_is_checked_before_anything_is_expanded() -> None:
    rates = {"low": 1e-9, "high": 1, "num": 100_000, "scale": "log"}
    axes = dict.fromkeys(("learning_rate", "optimizer_epsilon", "reward_clip"), rates)
    with pytest.raises(SpecificationError) as caught:
        study({"name": "huge", "axes": axes, "seeds": 10})
    (problem,) = caught.value.problems
    assert problem.path == ("spaces", 0)
    assert "1,000,000,000,000,000 points x 10 seeds are 10,000,000,000,000,000 trials" in problem.message
    assert "more than the study's max_trials, 100,000" in problem.message


def test_caps_of_design_and_of_all_spaces_together() -> None:
    axes = {"learning_rate": [1, 2, 3]}
    with pytest.raises(SpecificationError, match="more than the design's max_trials, 2"):
        study({"name": "a", "axes": axes, "design": {"max_trials": 2}})
    with pytest.raises(SpecificationError, match="max_trials: 5: the spaces have 6 trials together"):
        study({"name": "a", "axes": axes}, {"name": "b", "axes": axes}, max_trials=5)
    assert len(study({"name": "a", "axes": axes}, max_trials=3).trials()) == 3


def test_a_seed_makes_the_trial_that_it_would_make_alone() -> None:
    # The members of a point are checked once, for the first of its seeds.
    for trial in parse_study(YAML.replace("    base: {batch_size: 32}\n", ""), "example.yaml").trials():
        alone = TrialConfig(**{name: getattr(trial.config, name) for name in trial.config.model_fields_set})
        assert alone == trial.config
        assert alone.model_fields_set == trial.config.model_fields_set
        assert alone.trial_id("f0" * 32) == trial.config.trial_id("f0" * 32)


def test_ids_are_those_of_the_trials_and_follow_the_fingerprints() -> None:
    spec = parse_study(YAML.replace("    base: {batch_size: 32}\n", ""), "example.yaml")
    prints = {"catch": "f0" * 32, "pong": "0f" * 32}
    by_id = spec.trials_by_id(prints)
    assert list(by_id.values()) == spec.trials()
    assert [trial.config.trial_id(prints[trial.config.dataset]) for trial in spec.trials()] == list(by_id)
    assert spec.trials_by_id(prints) == by_id
    assert not spec.trials_by_id({**prints, "catch": "aa" * 32}).keys() & by_id.keys()
