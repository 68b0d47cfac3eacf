"""The named studies: valid, instant, and the demo as promised."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from search_spaces import SpecificationError, load_study, named_studies
from search_spaces.trial import TrialConfig


@pytest.mark.parametrize("name", [study.name for study in named_studies()])
def test_every_named_study_is_valid_and_named_after_its_file(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.trials()


def test_the_catalogue_gives_names_and_titles() -> None:
    titles = {study.name: study.title for study in named_studies()}
    assert titles["demo"] == load_study("demo").title


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SpecificationError) as caught:
        load_study("dmeo")
    assert str(caught.value).startswith("'dmeo': unknown study; did you mean 'demo'? Named studies: demo")
    assert "a path to a .yaml file" in str(caught.value)


def configs(space: str) -> list[TrialConfig]:
    return [trial.config for trial in load_study("demo").trials() if space in trial.spaces]


def test_demo_narrow_is_relu_at_batch_32_over_learning_rates_and_seeds() -> None:
    narrow = configs("narrow")
    assert {(config.activation, config.batch_size, config.network) for config in narrow} == {
        ("relu", 32, "mlp")
    }
    assert len({config.learning_rate for config in narrow}) >= 6
    assert len({config.seed for config in narrow}) >= 4
    assert len(narrow) == len({config.learning_rate for config in narrow}) * len(
        {config.seed for config in narrow}
    )


def test_demo_broad_varies_every_factor_of_the_paper_about_evenly() -> None:
    broad = configs("broad")
    wanted = {
        "activation": {"relu", "tanh", "elu"},
        "batch_size": {32, 256},
        "target_update_period": {200, 2500},
        "data_fraction": {0.05, 1.0},
        "dropout": {0.0, 0.1},
        "learning_rate": {config.learning_rate for config in configs("narrow")},
    }
    for name, values in wanted.items():
        counts = Counter(getattr(config, name) for config in broad)
        assert set(counts) == values
        even = len(broad) / len(values)
        assert all(0.75 * even < count < 1.25 * even for count in counts.values()), (name, counts)


def test_demo_has_a_size_that_two_cores_can_carry() -> None:
    trials = load_study("demo").trials()
    assert 150 <= len(trials) <= 300
    assert any(trial.spaces == ("narrow", "broad") for trial in trials)
    assert len({trial.config.shape_key() for trial in trials}) <= 14
    assert len({trial.config.trial_id(trial.config.dataset) for trial in trials}) == len(trials)


def test_demo_trains_the_nature_network_on_a_collected_asterix() -> None:
    study, atari = load_study("demo"), configs("atari")
    assert len(atari) == 2
    assert {(config.network, config.env) for config in atari} == {("nature_dqn", "atari/Asterix")}
    collect = study.datasets[atari[0].dataset].collect
    assert collect is not None
    assert collect.steps >= 20_000


def test_listing_and_loading_import_nothing_heavy_and_are_instant() -> None:
    script = """
import sys, time
begin = time.process_time()
from search_spaces import load_study, named_studies
named_studies()
load_study("demo").trials()
print(time.process_time() - begin)
print(*sorted({"torch", "ray", "pandas", "pyarrow", "mlflow", "numpy", "scipy"} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    # The least of three: the machine may be busy, and the imports cold.
    seconds = []
    for _ in range(3):
        output = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
        ).stdout.split("\n")
        assert output[1] == ""
        seconds.append(float(output[0]))
    assert min(seconds) < 0.7
