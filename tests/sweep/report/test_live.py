"""What answers the pointer: the data in the page, and the links to MLflow's runs."""

import base64
import gzip
import json
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from sweep.errors import UsageError
from sweep.mirror import embedded_tracking_uri, sync
from sweep.mirror.registry import STORE_ID, TRIAL_ID
from sweep.mirror.watermark import MirrorPaths, Watermark
from sweep.report.context import Context
from sweep.report.data import read_sweep
from sweep.report.live import RunLinks, page_data, plotly_source, trial_words
from sweep.report.reads import measures_for
from sweep.report.runs import run_links
from sweep.report.sections.scatter import scatters
from sweep.store import Store


@pytest.fixture(scope="module")
def context(finished_root: Path) -> Context:
    data = read_sweep(finished_root, "demo", measures_for("srank", "return_mean"))
    return Context(data, "srank", "return_mean", draws=200, seed=0)


def test_every_mark_knows_its_trial(context: Context) -> None:
    plots = [(f"scatter-{n}", plot) for n, plot in enumerate(scatters(context).plots, 1)]
    told = json.loads(page_data(plots, context.trials, None) or "")
    ends = context.ends.set_index(["space", "trial_id"])
    ids = [str(trial) for trial in context.trials["trial_id"]]
    marks = 0
    for trace in told["figures"]["scatter-1"]["traces"]:
        for x, y, number in zip(trace["x"], trace["y"], trace["trial"], strict=True):
            row = ends.loc[(trace["name"], ids[number])]
            np.testing.assert_allclose([x, y], [row["srank"], row["return_mean"]], rtol=1e-5)
            marks += 1
    assert marks == int((context.ends["env"] == "bsuite/catch/0").sum())
    lines = told["figures"]["scatter-3"]
    assert lines["form"] == "parallel"
    for coordinate in lines["coordinates"]:
        low, high = coordinate["range"]
        assert len(coordinate["values"]) == len(lines["trial"])
        assert low <= min(coordinate["values"]) <= max(coordinate["values"]) <= high
    assert told["runs"] is None


def test_a_trial_is_told_by_what_varies_and_its_seed(context: Context) -> None:
    trials = context.trials
    row = int(np.flatnonzero((trials["activation"] == "tanh") & (trials["batch_size"] == 256))[0])
    words = trial_words(trials)[row]
    assert "tanh" in words
    assert "batch size 256" in words
    assert words.endswith(f"seed {trials['seed'].iloc[row]}")
    assert "optimizer" not in words  # all trials have the same


def test_text_in_the_data_cannot_end_the_script(context: Context) -> None:
    plots = [("scatter-1", scatters(context).plots[0])]
    bad = context.trials.assign(activation="</script><script>alert(1)//")
    bad.loc[bad.index[0], "activation"] = "relu"
    told = page_data(plots, bad, None) or ""
    assert "<" not in told
    assert "</script>" in json.loads(told)["trials"][1]


def test_plotly_in_the_page_is_the_packages_own() -> None:
    own = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    assert gzip.decompress(base64.b64decode(plotly_source())) == own


def test_links_lead_to_the_runs_that_mlflow_has(tmp_path: Path, make_sweep: object) -> None:
    from mlflow import MlflowClient

    make_sweep(tmp_path, broad=2, atari=0)  # type: ignore[operator]
    assert run_links(tmp_path, "demo") is None, "no mirror has been there"
    sync(tmp_path, "demo")
    links = run_links(tmp_path, "demo")
    assert links is not None
    client = MlflowClient(embedded_tracking_uri(tmp_path))
    (experiment,) = client.search_experiments(filter_string=f"tags.`{STORE_ID}` LIKE '%'")
    expected = {
        run.data.tags[TRIAL_ID]: run.info.run_id
        for run in client.search_runs([experiment.experiment_id])
        if TRIAL_ID in run.data.tags
    }
    trials = Store(tmp_path).trials("demo")["trial_id"]
    assert links.runs == expected
    assert set(expected) == set(trials)
    assert links.before == f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs/"
    shared = run_links(tmp_path, "demo", "https://mlflow.example.org/")
    assert shared is not None
    assert shared.before.startswith("https://mlflow.example.org/#/experiments/")
    client.delete_run(expected[trials.iloc[0]])
    kept = run_links(tmp_path, "demo")
    assert kept is not None
    assert kept.of(trials)[0] is None
    assert all(kept.of(trials)[1:])


def test_in_an_mlflow_elsewhere_a_link_is_a_search_for_the_trial(small_root: Path) -> None:
    uri = "http://mlflow.example.org:5000"
    paths = MirrorPaths.of(Store(small_root).sweep("demo").layout.folder, uri)
    Watermark(uri, experiment_id="7").save(paths.watermark)
    links = run_links(small_root, "demo")
    assert links is not None
    (name,) = links.of(["abc"])
    address = unquote(f"{links.before}{name}{links.after}")
    assert address == f"{uri}/#/experiments/7/runs?searchFilter=tags.`{TRIAL_ID}` = 'abc'"


@pytest.mark.parametrize("url", ["mlflow.example.org", "javascript:alert(1)", "ftp://x"])
def test_an_address_that_is_none_is_refused(small_root: Path, url: str) -> None:
    with pytest.raises(UsageError, match=r"--mlflow-url .*give one such as http://127\.0\.0\.1:5000"):
        run_links(small_root, "demo", url)


def test_trials_without_a_run_have_no_link() -> None:
    assert RunLinks("a/", {"x": "1"}).of(["x", "y"]) == ["1", None]
