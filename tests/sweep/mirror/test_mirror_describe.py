"""How trials and sweeps are named and tagged in MLflow."""

from __future__ import annotations

import json

from sweep.mirror.describe import run_name, sweep_tags, text, trial_params, trial_tags, varied_fields
from sweep.mirror.sending import BATCH, send
from sweep.mirror.series import Point, TrialSeries


def trial(**fields: object) -> dict[str, object]:
    return {
        "trial_id": "a", "sweep": "demo", "spaces": ["narrow"], "status": "running", "pack_id": "p",
        "env": "bsuite/catch/0", "learning_rate": 1e-4, "batch_size": 32, "activation": "relu",
        "hidden_sizes": [64, 64], "dropout": 0.0, "seed": 0, "error": None, **fields,
    }  # fmt: skip


def test_names_have_what_varies_and_always_the_seed() -> None:
    trials = [trial(), trial(seed=1), trial(learning_rate=3e-4), trial(activation="tanh", dropout=0.1)]
    varied = varied_fields(trials)
    assert [run_name(each, varied) for each in trials] == [
        "relu dropout=0.0 lr=0.0001 seed=0",
        "relu dropout=0.0 lr=0.0001 seed=1",
        "relu dropout=0.0 lr=0.0003 seed=0",
        "tanh dropout=0.1 lr=0.0001 seed=0",
    ]
    assert run_name(trial(seed=7), varied_fields([trial(seed=7)])) == "seed=7"


def test_what_follows_from_the_environment_stays_out_of_names_and_the_environment_comes_last() -> None:
    asterix = {"env": "atari/Asterix", "hidden_sizes": [512], "dropout": 0.0}
    trials = [trial(), trial(learning_rate=3e-4), trial(**asterix), trial(**asterix, seed=1)]
    varied = varied_fields(trials)
    assert run_name(trials[1], varied) == "lr=0.0003 bsuite/catch/0 seed=0"
    assert run_name(trials[3], varied) == "lr=0.0001 atari/Asterix seed=1"


def test_seeds_of_one_configuration_share_a_tag_to_group_by() -> None:
    trials = [trial(), trial(seed=1), trial(batch_size=256)]
    varied = varied_fields(trials)
    tags = [trial_tags(each, varied)["rankscope.configuration"] for each in trials]
    assert tags == ["batch=32", "batch=32", "batch=256"]


def test_params_are_the_hyperparameters_alone_and_exact() -> None:
    params = trial_params(trial(learning_rate=1 / 3))
    assert float(params["learning_rate"]) == 1 / 3
    assert params["hidden_sizes"] == "[64, 64]"
    assert "status" not in params
    assert "trial_id" not in params


def test_tags_follow_outcomes_and_leave_out_what_is_unknown() -> None:
    tags = trial_tags(trial(status="diverged", diverged_step=512, spaces=["broad", "narrow"]), ("seed",))
    assert tags["rankscope.status"] == "diverged"
    assert tags["rankscope.diverged_step"] == "512"
    assert tags["rankscope.spaces"] == "broad,narrow"
    assert "rankscope.error" not in tags
    assert len(trial_tags(trial(error="x" * 10_000), ("seed",))["rankscope.error"]) == 5000


def test_the_parent_says_where_the_sweep_came_from_and_how_far_it_is() -> None:
    record = {
        "title": "Rank", "question": "Does rank predict return?", "study_text": "x" * 5000,
        "git": {"commit": "abc", "dirty": True}, "machine": {"cpus": 2, "gpu": None, "deep": {"er": 1}},
    }  # fmt: skip
    tags = sweep_tags("demo", record, [trial(), trial(status="finished"), trial(status="finished")])
    assert tags["mlflow.source.git.commit"] == tags["rankscope.git.commit"] == "abc"
    assert (tags["rankscope.git.dirty"], tags["rankscope.machine.cpus"]) == ("True", "2")
    assert (tags["rankscope.trials"], tags["rankscope.trials.finished"]) == ("3", "2")
    assert tags["mlflow.note.content"].startswith("Rank\n\nDoes rank predict return?")
    assert not any(len(value) > 500 for value in tags.values())


def test_text_is_exact_and_plain() -> None:
    assert [text(value) for value in (None, 0.1, 10, (64, 64), "relu", True)] == [
        "None", "0.1", "10", json.dumps([64, 64]), "relu", "True",
    ]  # fmt: skip


class Recorder:
    """Takes what MLflow would be sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, int]] = []
        self.steps: list[int] = []

    def log_batch(self, run_id: str, metrics: list, params: list, tags: list) -> None:
        self.requests.append((len(metrics), len(params), len(tags)))
        self.steps += [metric.step for metric in metrics]


def test_requests_are_full_and_within_mlflows_limits() -> None:
    series = TrialSeries(10_000)
    series.queue.extend(Point(step, "loss", step, 0.0) for step in range(2 * BATCH + 500))
    tags = {f"t{i}": "v" for i in range(130)}
    client = Recorder()
    assert send(client, "run", series, {"p": "1"}, tags, everything=False) == 899 + 970
    assert client.requests == [(899, 1, 100), (970, 0, 30)]
    assert len(series.queue) == 631
    assert send(client, "run", series, {}, {}, everything=False) == 0
    assert send(client, "run", series, {}, {}, everything=True) == 631
    assert client.steps == list(range(2 * BATCH + 500))
    assert all(sum(request) <= 1000 for request in client.requests)
