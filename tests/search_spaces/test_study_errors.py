"""Every refusal of a study names the file, the path inside it, the value, and what is allowed."""

import pickle
from pathlib import Path

import pytest

from search_spaces import SpecificationError, Study, load_study, parse_study

GOOD = """\
study: example
title: t
question: q
datasets:
  catch: {env: bsuite/catch/0, collect: {agent: dqn, steps: 1000}}
base: {dataset: catch}
spaces:
  - name: narrow
    axes:
      learning_rate: {low: 1e-4, high: 1e-2, num: 3, scale: log}
      activation: [relu, tanh]
    seeds: 2
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        parse_study(text, "my.yaml")
    return str(caught.value).splitlines()


def test_the_good_study_is_good() -> None:
    assert len(parse_study(GOOD, "my.yaml").trials()) == 12


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "low: 1e-4",
            "low: -0.1",
            "my.yaml: spaces[0].axes.learning_rate.low: -0.1: must be greater than 0 on a log",
        ),
        (
            "[relu, tanh]",
            "[relu, thanh]",
            "my.yaml: spaces[0].axes.activation[1]: 'thanh': must be 'relu', 'tanh'",
        ),
        ("[relu, tanh]", "[]", "my.yaml: spaces[0].axes.activation: []: is empty: give at least one value"),
        (
            "[relu, tanh]",
            "relu",
            "my.yaml: spaces[0].axes.activation: 'relu': must be a list of values, or a range",
        ),
        ("[relu, tanh]", "[relu, relu]", "my.yaml: spaces[0].axes.activation[1]: 'relu': repeats value 0"),
        (
            "activation:",
            "activatoin:",
            "unknown hyperparameter; did you mean 'activation'? Allowed: env, dataset",
        ),
        ("activation: [relu, tanh]", "seed: [1, 2]", "my.yaml: spaces[0].axes.seed: seed is no axis"),
        (
            "activation: [relu, tanh]",
            "activation: {name: dropout, values: [0.1]}",
            "spaces[0].axes.activation.name: 'dropout': must be 'activation', the key it stands under",
        ),
        (
            "high: 1e-2",
            "high: 1e-2, hihg: 3",
            "spaces[0].axes.learning_rate.hihg: 3: unknown key; did you mean 'high'",
        ),
        ("seeds: 2", "seeds: 0", "my.yaml: spaces[0].seeds: 0: a number of seeds is 1 to 100,000"),
        ("seeds: 2", "seeds: []", "my.yaml: spaces[0].seeds: []: is empty: give at least one seed"),
        ("seeds: 2", "seeds: [1, -1]", "my.yaml: spaces[0].seeds[1]: -1: must be greater than or equal to 0"),
        ("seeds: 2", "seeds: [1, 2, 1]", "my.yaml: spaces[0].seeds[2]: 1: is given twice"),
        (
            "seeds: 2",
            "seeds: two",
            "my.yaml: spaces[0].seeds: 'two': must be a number of seeds, such as 4, or a list",
        ),
        ("seeds: 2", "seeds: true", "my.yaml: spaces[0].seeds: True: must be a number of seeds"),
        (
            "seeds: 2",
            "base: {seed: 1}",
            "my.yaml: spaces[0].base.seed: 1: is not shared by all trials: set the",
        ),
        (
            "seeds: 2",
            "base: {activation: elu}",
            "my.yaml: spaces[0].base.activation: 'elu': is an axis of this space",
        ),
        ("seeds: 2", "base: 3", "my.yaml: spaces[0].base: 3: must be a valid dictionary"),
        ("seeds: 2", "sedes: 2", "my.yaml: spaces[0].sedes: 2: unknown key; did you mean 'seeds'?"),
        (
            "seeds: 2",
            "design: {kind: random, n: 7}",
            "my.yaml: spaces[0].design.n: 7: the axes have only 6 distinct",
        ),
        (
            "seeds: 2",
            "protocol: {evl_every: 7}",
            "spaces[0].protocol.evl_every: 7: unknown key; did you mean 'eval_ev",
        ),
        (
            "seeds: 2",
            "protocol: {eval_every: 150}",
            "spaces[0].protocol.eval_every: 150: must be a multiple of log_e",
        ),
        (
            "name: narrow",
            "name: ../narrow",
            "my.yaml: spaces[0].name: '../narrow': a name is 1 to 64 of a-z 0-9 . _ -",
        ),
        ("study: example", "study: /tmp/x", "my.yaml: study: '/tmp/x': a name is 1 to 64 of a-z 0-9 . _ -"),
        ("study: example", "study: ..", "my.yaml: study: '..': a name is 1 to 64"),
        ("title: t", "title: 3", "my.yaml: title: 3: must be a valid string"),
        ("title: t\n", "", "my.yaml: title: is missing, and has no default (one line for `sweep list`)"),
        ("  catch: {", "  ca/tch: {", "my.yaml: datasets['ca/tch']: 'ca/tch': a name is 1 to 64"),
        ("env: bsuite/catch/0", "env: catch", "my.yaml: datasets.catch.env: 'catch': must be family/name"),
        (
            "agent: dqn",
            "agent: dqnn",
            "my.yaml: datasets.catch.collect.agent: 'dqnn': must be 'dqn', 'random' or 'policy'; did",
        ),
        (
            "steps: 1000",
            "stpes: 1000",
            "datasets.catch.collect.stpes: 1000: unknown key; did you mean 'steps'?",
        ),
        (
            ", collect: {agent: dqn, steps: 1000}",
            "",
            "my.yaml: datasets.catch: needs either `existing: true`",
        ),
        (
            "collect: {",
            "existing: true, collect: {",
            "my.yaml: datasets.catch: needs either `existing: true`",
        ),
        (
            "collect: {",
            "name: pong, collect: {",
            "datasets.catch.name: 'pong': must be 'catch', the key it stands",
        ),
        (
            "base: {dataset: catch}",
            "base: {dataset: cach}",
            "my.yaml: base.dataset: 'cach': unknown dataset; did you m",
        ),
        ("base: {dataset: catch}", "base: {}", "spaces[0].base.dataset: is missing: must be one of catch"),
        (
            "{dataset: catch}",
            "{dataset: catch, lr: 1}",
            "my.yaml: base.lr: 1: unknown hyperparameter. Allowed: env",
        ),
        (
            "{dataset: catch}",
            "{dataset: catch, batch_size: 1.5}",
            "my.yaml: base.batch_size: 1.5: must be a valid int",
        ),
        (
            "{dataset: catch}",
            "{dataset: catch, env: atari/Pong}",
            "my.yaml: base.env: 'atari/Pong': dataset 'catch' is",
        ),
        (
            "{dataset: catch}",
            "{dataset: catch, momentum: 0.9}",
            "my.yaml: base.momentum: 0.9: is not used by optimizer 'adam', only by rmsprop, "
            "rmsprop_centered, sgd: leave it out (at learning_rate=0.0001, activation='relu' and 5 more)",
        ),
        (
            "{dataset: catch}",
            "{dataset: catch, train_steps: 250}",
            "my.yaml: base.train_steps: 250: must be a multiple of protocol.log_every, 100",
        ),
        ("spaces:\n", "spaces: []\nx:\n", "my.yaml: spaces: []: is empty: give at least one"),
        (
            "question: q",
            "question: q\nmax_trials: 11",
            "my.yaml: spaces[0]: 'narrow': 6 points x 2 seeds are 12 trials",
        ),
    ],
)
def test_a_slip_in_a_study_is_named(old: str, new: str, line: str) -> None:
    assert old in GOOD
    lines = refusal(GOOD.replace(old, new, 1))
    assert any(line in found for found in lines), lines
    assert all(found.startswith("my.yaml: ") for found in lines)


def test_two_spaces_of_one_name_are_refused() -> None:
    again = GOOD[GOOD.index("  - name") :]
    assert refusal(GOOD + again) == [
        "my.yaml: spaces[1].name: 'narrow': is the name of an earlier space: names must differ"
    ]


def test_all_slips_are_reported_together() -> None:
    slips = {
        "low: 1e-4": "low: 0",
        "[relu, tanh]": "[rleu]",
        "steps: 1000": "steps: -1",
        "title: t": "titel: t",
    }
    text = GOOD
    for old, new in slips.items():
        text = text.replace(old, new)
    paths = {line.split(": ")[1] for line in refusal(text)}
    assert paths == {
        "title",
        "titel",
        "datasets.catch.collect.steps",
        "spaces[0].axes.learning_rate.low",
        "spaces[0].axes.activation[0]",
    }


def test_slips_in_single_points_are_reported_once_with_a_point_and_their_number() -> None:
    text = GOOD.replace("activation: [relu, tanh]", "optimizer: [adam, sgd]").replace(
        "seeds: 2", "base: {beta1: 0.5}"
    )
    assert refusal(text) == [
        "my.yaml: spaces[0].base.beta1: 0.5: is not used by optimizer 'sgd', only by adam: leave it out "
        "(at learning_rate=0.0001, optimizer='sgd' and 2 more)"
    ]


def test_python_gives_the_same_refusals_under_the_name_of_the_class() -> None:
    with pytest.raises(SpecificationError) as caught:
        Study(
            study="s",
            title="t",
            question="q",
            datasets={"d": {"env": "atari/Pong", "existing": True}},
            base={"dataset": "d"},
            spaces=[{"name": "a", "axes": {"dropout": [2]}}],
        )
    assert str(caught.value) == "Study: spaces[0].axes.dropout[0]: 2: must be less than 1"


@pytest.mark.parametrize("content", ["", "- a\n- b", "3", "null"])
def test_a_file_that_is_no_mapping_is_refused(content: str) -> None:
    (line,) = refusal(content)
    assert "must be a mapping with the keys study, title, question" in line


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"none\.yaml: cannot be read as a study: No such file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(SpecificationError, match="cannot be read as a study: Is a directory"):
        load_study(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"study: \xff\xfe")
    with pytest.raises(SpecificationError, match="it is not UTF-8 text"):
        load_study(binary)


def test_a_study_is_loaded_from_a_path_and_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    assert load_study(str(path)).name == load_study(path).name == "example"
    path.write_text(GOOD.replace("seeds: 2", "seeds: 0"))
    with pytest.raises(SpecificationError) as caught:
        load_study(path)
    assert str(caught.value).startswith(f"{path}: spaces[0].seeds: 0: ")


def test_values_of_any_size_are_shown_short() -> None:
    (line,) = refusal(GOOD.replace("seeds: 2", f"seeds: {'x' * 10_000}"))
    assert len(line) < 300


def test_a_study_survives_pickling() -> None:
    study = parse_study(GOOD, "my.yaml")
    again = pickle.loads(pickle.dumps(study))  # noqa: S301
    assert (again.trials(), again.text) == (study.trials(), GOOD)
