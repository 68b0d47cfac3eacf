import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sweep import analysis
from sweep.analysis.catalog import TABLES
from sweep.errors import StoreError, UsageError
from sweep.export import destinations, export, result_table
from sweep.formats import FORMATS, SUFFIXES, escape_latex, to_json, to_latex, to_markdown
from sweep.store import Store, SweepStore

OPTIONS = {"equivalence": {"sesoi": 0.1}, "robustness": {"shift": [1.0, 2.0]}}
"""What a table cannot do without."""
REFUSED = {
    "robustness": "protocol probes",
    "specification-curve": "none was measured",
    "specification-summary": "none was measured",
}
"""Tables of a sweep that has measured nothing, and what they say."""
MORE = ("robustness", "value-error", "value-error-trials")
"""Tables of what few sweeps measure."""


@pytest.mark.parametrize("table", list(TABLES))
def test_every_table_in_every_format(
    finished_root: Path, measured_root: Path, tmp_path: Path, table: str
) -> None:
    root, options = measured_root if table in MORE else finished_root, OPTIONS.get(table, {})
    paths = export(root, "demo", table, list(FORMATS), tmp_path / "out", **options)
    assert [path.name for path in paths] == [f"out{SUFFIXES[f]}" for f in FORMATS]
    frame = result_table(root, "demo", table, **options)
    assert len(frame) > 0
    csv, parquet = (
        pd.read_csv(tmp_path / "out.csv", float_precision="round_trip"),
        pd.read_parquet(tmp_path / "out.parquet"),
    )
    assert len(csv) == len(parquet) == len(json.loads((tmp_path / "out.json").read_text())) == len(frame)
    assert list(csv.columns) == list(parquet.columns) == list(frame.columns)
    for column in frame.select_dtypes("number").columns:
        expected = frame[column].to_numpy(float, na_value=np.nan)
        np.testing.assert_array_equal(csv[column].to_numpy(float, na_value=np.nan), expected)
        np.testing.assert_array_equal(parquet[column].to_numpy(float, na_value=np.nan), expected)
    assert (tmp_path / "out.md").read_text().count("\n") == len(frame) + 2
    assert (tmp_path / "out.tex").read_text().count(r"\\") >= len(frame) + 1


def test_tables_are_the_analysis_functions_on_the_whole_store(finished_root: Path) -> None:
    store = Store(finished_root)
    trials, metrics = store.trials("demo"), store.metrics("demo")
    found = result_table(finished_root, "demo", "correlation", draws=200, seed=3)
    pd.testing.assert_frame_equal(found, analysis.correlation(trials, metrics, draws=200, seed=3))
    pd.testing.assert_frame_equal(
        result_table(finished_root, "demo", "final"), analysis.final(trials, metrics)
    )
    curves = result_table(finished_root, "demo", "curves", by=["activation"], measures=["srank"])
    pd.testing.assert_frame_equal(
        curves, analysis.curves(trials, metrics, by=["activation"], measures=["srank"])
    )


def test_final_agrees_with_duckdb_on_the_stores_files(finished_root: Path) -> None:
    parts = finished_root / "store" / "demo" / "metrics" / "*.parquet"
    expected = duckdb.sql(
        "select trial_id, arg_max(srank, step) filter (srank is not null) as srank "
        f"from '{parts}' group by trial_id"
    ).df()
    table = result_table(finished_root, "demo", "final")
    both = table.merge(expected, on="trial_id", suffixes=("", "_expected"))
    assert len(both) == len(expected) == len(table)
    np.testing.assert_array_equal(both["srank"], both["srank_expected"])


def test_parquet_keeps_types_and_lists(finished_root: Path, tmp_path: Path) -> None:
    (path,) = export(finished_root, "demo", "trials", ["parquet"], tmp_path / "trials.parquet")
    schema = pq.read_schema(path)
    assert str(schema.field("spaces").type) in ("list<element: string>", "list<item: string>")
    assert str(schema.field("hidden_sizes").type) in ("list<element: int64>", "list<item: int64>")
    assert str(schema.field("seed").type) == "int64"
    assert str(schema.field("diverged_step").type) == "int64"  # nullable, not a float
    assert str(schema.field("learning_rate").type) == "double"


def test_csv_writes_lists_as_json(finished_root: Path, tmp_path: Path) -> None:
    (path,) = export(finished_root, "demo", "trials", ["csv"], tmp_path / "t.csv")
    row = pd.read_csv(path).iloc[0]
    assert json.loads(row["hidden_sizes"]) in ([64, 64], [512])
    assert "narrow" in json.loads(row["spaces"])


def test_without_a_path_the_table_goes_to_the_stream(finished_root: Path) -> None:
    sink = io.BytesIO()
    assert export(finished_root, "demo", "correlation", ["csv"], stream=sink) == []
    assert pd.read_csv(io.BytesIO(sink.getvalue()))["space"].tolist() == ["narrow", "broad", "atari"]


def test_several_formats_on_one_stream_are_refused(finished_root: Path) -> None:
    with pytest.raises(UsageError, match="--out"):
        export(finished_root, "demo", "trials", ["csv", "json"], stream=io.BytesIO())


def test_parquet_on_a_terminal_is_refused(finished_root: Path) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UsageError, match="terminal"):
        export(finished_root, "demo", "trials", ["parquet"], stream=Terminal())


@pytest.mark.parametrize(
    ("table", "formats", "options", "says"),
    [
        ("corelation", ["csv"], {}, "one of trials, final, summary, curves, correlation.*'correlation'"),
        ("trials", ["excel"], {}, "one of csv, parquet, latex, markdown, json"),
        ("trials", [], {}, "no format given"),
        ("trials", ["csv"], {"measure": "srank"}, "no option 'measure'.*takes none"),
        ("correlation", ["csv"], {"measure": "rank"}, "rank"),
    ],
)
def test_unknown_names_say_what_is_allowed_and_write_nothing(
    finished_root: Path, tmp_path: Path, table: str, formats: list[str], options: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        export(finished_root, "demo", table, formats, tmp_path / "out", **options)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_unknown_sweep_names_those_there_are(finished_root: Path) -> None:
    with pytest.raises(UsageError, match="demo"):
        export(finished_root, "demos", "trials", ["csv"])


def test_a_path_that_cannot_be_made_is_named(finished_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        export(finished_root, "demo", "correlation", ["csv"], tmp_path / "file" / "out.csv")


@pytest.mark.parametrize(
    ("out", "formats", "expected"),
    [
        ("a/final.csv", ["csv"], ["a/final.csv"]),
        ("a/final.csv", ["csv", "latex"], ["a/final.csv", "a/final.tex"]),
        ("a/final", ["markdown"], ["a/final.md"]),
        ("a/run.1", ["csv"], ["a/run.1.csv"]),
        ("a/", ["csv", "json"], ["a/trials.csv", "a/trials.json"]),
    ],
)
def test_file_names(out: str, formats: list[str], expected: list[str]) -> None:
    assert [str(path) for path in destinations(out, "trials", formats)] == expected


def test_an_empty_sweep_exports_heads(tmp_path: Path, make_sweep: Callable[..., SweepStore]) -> None:
    make_sweep(tmp_path, packs_done=0, broad=8)
    for table in TABLES:
        if table in REFUSED:
            with pytest.raises(UsageError, match=REFUSED[table]):
                export(tmp_path, "demo", table, ["csv"], tmp_path / "tables" / table)
            continue
        options = OPTIONS.get(table, {})
        paths = export(tmp_path, "demo", table, list(FORMATS), tmp_path / "tables" / table, **options)
        assert all(path.stat().st_size for path in paths)
    assert pd.read_csv(tmp_path / "tables" / "correlation.csv")["note"].str.startswith("refused").all()


AWKWARD = pd.DataFrame(
    {
        "name_with_underscores": [
            "50% & more",
            "a|b",
            'C:\\path {x} #1 ~ ^ $5 <1> "q"',
            "[0] δ ≥ ½ naïve 漢",
            None,
        ],
        "value": [1e-8, 0.00031, np.nan, -np.inf, 12345.678],
        "many": [[64, 64], [], [1], [2], [3]],
    }
)


def test_latex_escapes_every_special_character() -> None:
    escaped = escape_latex("a_b & 50% #1 $x {y} ~ ^ \\ <")
    assert escaped == (
        r"a\_b \& 50\% \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}"
    )
    assert escape_latex("δ ≥ 0.01 é 漢") == r"$\delta$ $\geq$ 0.01 e U+6F22"
    assert escape_latex("line\nbreak\x00") == "line breakU+0000"
    assert all(char.isascii() for char in to_latex(AWKWARD).decode())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(finished_root: Path, tmp_path: Path) -> None:
    correlation = result_table(finished_root, "demo", "correlation", draws=100)
    long = pd.concat([AWKWARD] * 20)
    body = b"\n\n".join(map(to_latex, (AWKWARD, correlation, long)))
    packages = b"\\usepackage{booktabs}\\usepackage{longtable}"
    document = b"\\documentclass{article}" + packages + b"\\begin{document}" + body + b"\\end{document}"
    (tmp_path / "t.tex").write_bytes(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_markdown_keeps_its_columns_and_json_its_nulls() -> None:
    lines = to_markdown(AWKWARD).decode().splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}
    rows = json.loads(to_json(AWKWARD))
    assert rows[2]["value"] is None
    assert rows[3]["value"] is None
    assert rows[0] == {"name_with_underscores": "50% & more", "value": 1e-8, "many": [64, 64]}


def test_chosen_columns_come_in_the_order_asked_for(finished_root: Path) -> None:
    sink = io.BytesIO()
    export(finished_root, "demo", "correlation", ["csv"], stream=sink, columns=["space", "spearman"])
    whole = result_table(finished_root, "demo", "correlation")
    chosen = pd.read_csv(io.BytesIO(sink.getvalue()), float_precision="round_trip")
    pd.testing.assert_frame_equal(chosen, whole[["space", "spearman"]])
    with pytest.raises(UsageError, match=r"unknown column 'spearmann'.*Did you mean 'spearman'"):
        export(finished_root, "demo", "correlation", stream=sink, columns=["spearmann"])


def test_summary_is_the_median_over_finished_trials(finished_root: Path) -> None:
    final = result_table(finished_root, "demo", "final")
    summary = result_table(finished_root, "demo", "summary").set_index(["space", "activation"])
    relu = final[
        (final["status"] == "finished")
        & (final["activation"] == "relu")
        & final["spaces"].map(lambda spaces: "narrow" in spaces)
    ]
    assert summary.loc[("narrow", "relu"), "n_trials"] == len(relu)
    assert summary.loc[("narrow", "relu"), "srank"] == relu["srank"].median()


def test_markdown_is_aligned_as_text() -> None:
    lines = to_markdown(pd.DataFrame({"name": ["a", "longer"], "value": [1.5, 1200.0]})).decode().splitlines()
    assert lines == ["| name   | value |", "| ------ | ----: |", "| a      |   1.5 |", "| longer |  1200 |"]
