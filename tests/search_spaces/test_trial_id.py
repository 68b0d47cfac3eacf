"""The id of a trial: pinned, and the same for whatever means the same."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import TrialConfig, parse_study

FINGERPRINT = "f0" * 32


def test_trial_id_is_the_hash_of_the_canonical_text_written_by_hand() -> None:
    config = TrialConfig(
        env="bsuite/catch/0", dataset="catch", seed=3, learning_rate=1e-4, hidden_sizes=(64,), momentum=0.0
    )
    text = (
        '{"config":{"env":"bsuite/catch/0","hidden_sizes":[64],"learning_rate":0.0001},'
        f'"dataset":"{FINGERPRINT}","seed":3}}'
    )
    assert config.trial_id(FINGERPRINT) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_golden_ids_never_change() -> None:
    """Stores in the world hold these: a change here means that every finished trial is run again."""
    catch = TrialConfig(env="bsuite/catch/0", dataset="catch", seed=0)
    assert catch.trial_id(FINGERPRINT) == "2c2b8baaf2315e59"
    asterix = TrialConfig(
        env="atari/Asterix",
        dataset="asterix",
        seed=7,
        algorithm="double_dqn",
        network="nature_dqn",
        activation="elu",
        dropout=0.1,
        loss="mse",
        optimizer="rmsprop_centered",
        learning_rate=2.5e-4,
        optimizer_epsilon=1e-5,
        rmsprop_decay=0.9,
        momentum=0.5,
        batch_size=256,
        discount=1,
        target_update_period=2000,
        data_fraction=0.05,
        reward_clip=1,
        train_steps=2_000_000,
    )
    assert asterix.trial_id(FINGERPRINT) == "ccc224f2ae82d364"


def test_canonical_content_is_what_differs_from_the_defaults_without_seed_and_dataset() -> None:
    config = TrialConfig(
        env="atari/Pong", dataset="pong", seed=5, network="nature_dqn", reward_clip=1, discount=0
    )
    assert config.canonical() == {
        "env": "atari/Pong",
        "network": "nature_dqn",
        "reward_clip": 1.0,
        "discount": 0.0,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"env": "bsuite/catch/1"},
        {"seed": 1},
        {"algorithm": "double_dqn"},
        {"hidden_sizes": (64, 65)},
        {"hidden_sizes": ()},
        {"activation": "tanh"},
        {"dropout": 0.1},
        {"loss": "mse"},
        {"optimizer": "sgd"},
        {"learning_rate": 3.0000000000000003e-4},
        {"optimizer_epsilon": 1e-7},
        {"beta1": 0.0},
        {"beta2": 0.99},
        {"batch_size": 33},
        {"discount": 1},
        {"target_update_period": 200},
        {"data_fraction": 0.05},
        {"data_prefix": 0.1},
        {"reward_clip": 1},
        {"train_steps": 10_001},
    ],
)
def test_every_field_that_matters_changes_the_id(changed: dict[str, object]) -> None:
    fields = {"env": "bsuite/catch/0", "dataset": "catch", "seed": 0}
    assert TrialConfig(**fields).trial_id("a") != TrialConfig(**{**fields, **changed}).trial_id("a")


def test_the_content_of_the_dataset_counts_and_its_name_does_not() -> None:
    one, other = (TrialConfig(env="bsuite/catch/0", dataset=name, seed=0) for name in ("one", "other"))
    assert one.trial_id("a") == other.trial_id("a")
    assert one.trial_id("a") != one.trial_id("b")


trial_fields = st.fixed_dictionaries(
    {"env": st.just("bsuite/catch/0"), "dataset": st.just("catch"), "seed": st.integers(0, 2**63 - 1)},
    optional={
        "algorithm": st.sampled_from(["dqn", "double_dqn"]),
        "hidden_sizes": st.lists(st.integers(1, 65536), max_size=4),
        "activation": st.sampled_from(["relu", "tanh", "elu", "sigmoid", "leaky_relu", "identity"]),
        "dropout": st.floats(0, 1, exclude_max=True),
        "learning_rate": st.floats(0, 1e12, exclude_min=True),
        "beta1": st.floats(0, 1, exclude_max=True),
        "batch_size": st.integers(1, 65536),
        "discount": st.floats(0, 1),
        "data_fraction": st.floats(0, 1, exclude_min=True),
        "data_prefix": st.floats(0, 1, exclude_min=True),
        "reward_clip": st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    },
)


@given(trial_fields, st.randoms(use_true_random=False))
def test_key_order_does_not_change_the_id(fields: dict[str, object], rng: random.Random) -> None:
    shuffled = list(fields.items())
    rng.shuffle(shuffled)
    assert TrialConfig(**dict(shuffled)).trial_id("a") == TrialConfig(**fields).trial_id("a")


@given(trial_fields)
def test_defaults_written_or_left_out_do_not_change_the_id(fields: dict[str, object]) -> None:
    config = TrialConfig(**fields)
    written = TrialConfig(**config.model_dump())
    minimal = TrialConfig(**config.model_dump(exclude_defaults=True))
    assert written.trial_id("a") == minimal.trial_id("a") == config.trial_id("a")


@given(trial_fields)
def test_an_id_survives_json(fields: dict[str, object]) -> None:
    """Plans are stored as JSON: a float must come back to the last bit."""
    import json

    config = TrialConfig(**fields)
    again = TrialConfig(**json.loads(json.dumps(config.model_dump(mode="json"))))
    assert again == config
    assert again.trial_id("a") == config.trial_id("a")


@given(st.integers(1, 9), st.integers(-6, 3))
def test_every_way_to_write_a_number_in_yaml_gives_one_id(digit: int, exponent: int) -> None:
    value = digit * 10.0**exponent
    spellings = [f"{digit}e{exponent}", f"{digit}E{exponent:+03d}", f"{digit}.0e{exponent}", f"{value:.{9}f}"]
    if exponent >= 0:
        spellings.append(str(digit * 10**exponent))
    ids = {_trial_of(f"learning_rate: {spelling}").trial_id("a") for spelling in spellings}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("1e-4", "0.0001"), ("1e-4", "1.0E-4"), ("1e-4", ".0001"), ("1", "1.0")]
)
def test_spellings_named_in_the_contract(one: str, other: str) -> None:
    ids = [_trial_of(f"learning_rate: {spelling}").trial_id("a") for spelling in (one, other)]
    assert ids[0] == ids[1]


def test_negative_zero_is_zero() -> None:
    ids = {
        TrialConfig(env="a/b", dataset="d", seed=0, discount=zero).trial_id("a") for zero in (0, 0.0, -0.0)
    }
    assert len(ids) == 1


def _trial_of(base: str) -> TrialConfig:
    text = f"""
    study: s
    title: t
    question: q
    datasets: {{d: {{env: bsuite/catch/0, existing: true}}}}
    base: {{dataset: d, {base}}}
    spaces: [{{name: one}}]
    """
    (planned,) = parse_study(text, "s.yaml").trials()
    return planned.config
