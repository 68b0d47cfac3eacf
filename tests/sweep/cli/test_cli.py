"""The command line: what it says, in what form, and with which exit status."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from commands import Sweep, command
from tiny_sweeps import DATASET, RECIPE, begin, finish, study

from search_spaces import load_study
from sweep.cli.common import console
from sweep.errors import UsageError
from sweep.store import Store
from sweep.tune_session import _choose_device

COMMANDS = [
    *("list", "show", "power", "run", "retry", "diff", "submit", "status", "sync", "ui"),
    *("export", "analyze", "report", "doctor"),
    *("data ls", "data show", "data collect", "data import", "data subset", "data envs", "data verify"),
]


# Help


def test_the_first_page_groups_the_commands_and_says_where_to_begin(sweep: Sweep) -> None:
    said = sweep("--help")
    assert said.code == 0
    for text in ("Choose a study", "Run it", "Look at results", "Data and machine", "sweep run demo"):
        assert text in said.out
    for name in COMMANDS:
        assert re.search(rf"│ {name.split()[0]} ", said.out), name
    assert "Exit status: 0 done, 1 failed, 2 asked for wrongly" in said.out


def test_without_a_command_it_is_the_same_page(sweep: Sweep) -> None:
    said = sweep()
    assert "Choose a study" in said.out + said.err
    assert said.code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_an_example_and_explains_every_option(sweep: Sweep, name: str) -> None:
    said = sweep(*name.split(), "--help")
    assert said.code == 0
    assert "Example" in said.out
    assert re.search(rf"sweep {name}\b", said.out.split("Example")[1]), "an example of this command"
    for line in said.out.splitlines():
        if option := re.match(r"│ [* ]  --(\S+)", line):
            rest = re.sub(r"--\S+|<[^>]*>|\[[^]]*\]", "", line).strip("│* ")
            assert len(rest.split()) >= 2 or "[default" in line, f"--{option[1]} is not explained"


@pytest.mark.parametrize("name", ["list", "show", "status", "doctor", "data ls", "data show", "run"])
def test_reading_commands_take_json_and_a_root(sweep: Sweep, name: str) -> None:
    said = sweep(*name.split(), "--help").out
    assert "--json" in said
    assert "--root" in said


def test_the_version_is_the_distributions(sweep: Sweep) -> None:
    assert re.fullmatch(r"rankscope \d+\.\d+\.\d+\n", sweep("--version").out)


# At once, and light


@pytest.mark.parametrize("arguments", [("list",), ("show", "demo"), ("--help",), ("show", "--help")])
def test_looking_loads_neither_torch_nor_ray_and_is_quick(arguments: tuple[str, ...], tmp_path: Path) -> None:
    asked = (
        "import sys, time\n"
        "sys.argv = ['sweep', *sys.argv[1:]]\n"
        "from sweep.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pandas', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "print(); print(time.process_time(), *heavy)"
    )
    import subprocess
    import sys

    said = subprocess.run(
        [sys.executable, "-c", asked, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    seconds, *heavy = said.stdout.splitlines()[-1].split()
    assert heavy == []
    # Of processor time, start of Python included: the clock on the wall would tell how busy the machine is.
    assert 0 < float(seconds) < 1.5


# list, show


def test_list_tells_the_studies_and_their_sweeps_here(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_width", 240)
    Store(tmp_path).create("mine").write_sweep_record({"study": "demo"})
    said = sweep("list", "--root", tmp_path)
    assert re.search(r"demo .*rank and return.* mine", said.out)
    (demo,) = [
        one for one in json.loads(sweep("list", "--json", "--root", tmp_path).out) if one["name"] == "demo"
    ]
    assert demo["sweeps"] == ["mine"]
    assert demo["title"] == load_study("demo").title


def test_a_damaged_record_does_not_hide_the_studies(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path).create("mine")
    store.layout.record.write_text("{")
    assert "demo" in sweep("list", "--root", tmp_path).out


def test_show_tells_trials_packs_steps_time_and_cost(sweep: Sweep, tiny_root: Path, study_file: Path) -> None:
    loaded = load_study(study_file)
    store, packs = begin(tiny_root, loaded)
    for pack in packs:
        finish(store, pack, {"train": 1800.0})
    said = sweep("show", study_file, "--root", tiny_root, "--workers", 1)
    assert said.code == 0
    assert "8 in 2 packs; 2 are in more than one space and run once" in said.out
    assert f"{8 * 60} gradient steps" in said.out
    assert "400 transitions" in said.out
    assert "about 1:00:00 on 1 worker (cpu), measured under this root" in said.out
    assert "1.00 core-hours" in said.out
    assert "learning_rate: 0.001, 0.01, 0.1" in said.out
    assert packs[0].pack_id not in said.out
    assert packs[0].pack_id in sweep("show", study_file, "--root", tiny_root, "--packs").out


def test_show_as_json_has_the_numbers(sweep: Sweep, tiny_root: Path, study_file: Path) -> None:
    found = json.loads(sweep("show", study_file, "--root", tiny_root, "--json").out)
    assert (found["trials"], found["shared"], found["gradient_steps"]) == (8, 2, 480)
    assert found["seconds"] > 0
    assert found["worker_hours"] > 0


def test_an_unmeasured_card_is_said_to_be_one(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("show", "demo", "--gpu", "NVIDIA B300", "--root", tmp_path)
    assert said.code == 0
    assert re.search(r"time +unknown: no speed of these packs was measured on 'NVIDIA B300' yet", said.out)
    assert re.search(r"cost +unknown", said.out)


def test_brackets_in_a_study_are_text(sweep: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "brackets.yaml"
    path.write_text(study(title="[red]a [/b] c", question="what of [bold]?").text)
    said = sweep("show", path, "--root", tmp_path)
    assert said.code == 0
    assert "[red]a [/b] c" in said.out
    assert "what of [bold]?" in said.out


def test_an_unknown_study_is_a_usage_error_with_a_suggestion(sweep: Sweep, tmp_path: Path) -> None:
    for name in ("show", "run"):
        said = sweep(name, "demmo", "--root", tmp_path)
        assert said.code == 2
        assert "'demmo'" in said.err
        assert "did you mean 'demo'?" in said.err
        assert said.out == ""


def test_a_study_with_mistakes_names_file_path_and_value(sweep: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(study().text.replace("- 0.001", "- -0.001").replace("- 1.0e-3", "- -1.0e-3"))
    for name in ("show", "run"):
        said = sweep(name, path, "--root", tmp_path / "root")
        assert said.code == 2
        assert str(path) in said.err
        assert "learning_rate" in said.err
        assert "-0.001" in said.err
    assert not (tmp_path / "root").exists()


def test_a_study_file_that_is_not_there_is_a_usage_error(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("show", tmp_path / "none.yaml")
    assert said.code == 2
    assert str(tmp_path / "none.yaml") in said.err


# Roots


@pytest.mark.parametrize(
    "arguments",
    [
        *(("list",), ("show", "demo"), ("run", "demo"), ("status",), ("doctor",), ("data", "ls")),
        *(("sync", "demo"), ("export", "demo", "final"), ("report", "demo"), ("ui",)),
        ("data", "collect", "bsuite/catch/0", "--name", "d", "--steps", "10"),
    ],
    ids=" ".join,
)
def test_an_address_that_is_no_object_store_is_refused_as_root_and_makes_no_folder(
    sweep: Sweep, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = sweep(*arguments, "--root", "ftp://host/sweeps")
    assert said.code == 2
    assert (
        "root 'ftp://host/sweeps': it must be a folder, a mounted one, or one of s3://bucket/folder"
        in said.err
    )
    assert list(tmp_path.iterdir()) == []


def test_the_root_can_come_from_the_environment(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).create("mine")
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    assert "mine" in sweep("status").out
    monkeypatch.setenv("SWEEP_ROOT", "hdfs://bucket")
    assert sweep("status").code == 2


def test_an_empty_root_is_refused(sweep: Sweep) -> None:
    said = sweep("status", "--root", "")
    assert said.code == 2
    assert "root ''" in said.err


def test_wrong_options_are_usage_errors(sweep: Sweep) -> None:
    assert sweep("nonsense").code == 2
    assert sweep("show").code == 2
    assert sweep("run", "demo", "--scheduler", "best").code == 2
    assert sweep("run", "demo", "--workers", "0").code == 2


# run


def test_a_second_run_trains_nothing_and_says_so_as_json(finished: Path, study_file: Path) -> None:
    before = Store(finished).metrics("tiny")
    ran = command("run", study_file, "--root", finished, "--eager", "--no-mlflow", "--json")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["name"], said["trials"], said["trained_packs"]) == ("tiny", {"finished": 8}, 0)
    pd.testing.assert_frame_equal(Store(finished).metrics("tiny"), before)


def refused(sweep: Sweep, *arguments: object) -> str:
    said = sweep("run", *arguments, "--no-mlflow", "--eager")
    assert said.code == 2, said
    return said.err


def changed(study_file: Path, folder: Path, old: str, new: str) -> Path:
    text = study_file.read_text()
    assert old in text
    path = folder / "changed.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_another_study_under_a_sweeps_name_is_refused(
    sweep: Sweep, finished: Path, study_file: Path, tmp_path: Path
) -> None:
    other = changed(study_file, tmp_path, "study: tiny", "study: other")
    message = refused(sweep, other, "--name", "tiny", "--root", finished)
    assert "runs the study 'tiny', not 'other'" in message
    assert "--name" in message


def test_a_refused_study_leaves_no_sweep_behind(sweep: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    wrong = {"dataset": DATASET, "train_steps": 60, "hidden_sizes": [16, 8], "algorithm": "oracle"}
    path.write_text(study(base=wrong).text)
    assert "oracle" in refused(sweep, path, "--root", tmp_path / "root")
    assert not (tmp_path / "root" / "store").exists()


def test_another_scheduler_is_refused(sweep: Sweep, finished: Path, study_file: Path) -> None:
    message = refused(sweep, study_file, "--scheduler", "asha", "--root", finished)
    assert "--scheduler fifo, not asha" in message


def test_another_protocol_is_refused(sweep: Sweep, finished: Path, study_file: Path, tmp_path: Path) -> None:
    other = changed(study_file, tmp_path, "eval_episodes: 3", "eval_episodes: 4")
    message = refused(sweep, other, "--root", finished)
    assert "eval_episodes 3 then, 4 now" in message


@pytest.mark.parametrize("name", ["../x", "", "A", ".hidden", "a/b", "x" * 65])
def test_a_name_that_is_none_is_refused(sweep: Sweep, study_file: Path, tmp_path: Path, name: str) -> None:
    said = sweep("run", study_file, f"--name={name}", "--root", tmp_path / "root", "--eager", "--no-mlflow")
    assert said.code == 2
    assert repr(name) in said.err


def test_a_sweep_that_another_process_runs_is_refused_with_its_owner(
    sweep: Sweep, finished: Path, study_file: Path
) -> None:
    import os
    import socket

    with Store(finished).sweep("tiny").lock():
        said = sweep("run", study_file, "--root", finished)
    assert said.code == 1
    assert f"process {os.getpid()} on host {socket.gethostname()}" in said.err


def test_a_dataset_that_cannot_be_used_is_refused_before_anything_starts(
    sweep: Sweep, tiny_root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(study(datasets={DATASET: {"env": "bsuite/catch/0", "existing": True}}).text)
    assert "existing: true" in refused(sweep, path, "--root", tmp_path / "empty")
    path.write_text(study(datasets={DATASET: {**RECIPE, "env": "bsuite/catch/1"}}).text)
    assert "is of bsuite/catch/0" in refused(sweep, path, "--root", tiny_root)


def test_an_environment_that_does_not_exist_is_an_error_with_the_remedy(sweep: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(study(datasets={DATASET: {**RECIPE, "env": "atari/Astrix"}}).text)
    said = sweep("run", path, "--root", tmp_path / "root")
    assert said.code == 1
    assert "Asterix" in said.err


@pytest.mark.parametrize(
    ("wanted", "gpus", "found"), [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu")]
)
def test_the_device_is_what_was_asked_for(wanted: str, gpus: float, found: str) -> None:
    assert _choose_device(wanted, gpus) == found


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="must be auto, cpu or cuda"):
        _choose_device("tpu", 0)
    with pytest.raises(UsageError, match="Ray sees no GPU"):
        _choose_device("cuda", 0)


# status, sync


def test_status_tells_a_finished_sweep(sweep: Sweep, finished: Path) -> None:
    said = sweep("status", "--root", finished)
    assert said.code == 0
    assert "tiny (study tiny): not running" in said.out
    assert "100% · packs 2/2 · trials: 8 finished" in said.out
    assert "narrow: 6/6\n  broad: 4/4" in said.out
    found = json.loads(sweep("status", "tiny", "--root", finished, "--json").out)
    assert found["trials"] == {"finished": 8}
    assert [pack["state"] for pack in found["packs"]] == ["done", "done"]
    (one,) = json.loads(sweep("status", "--root", finished, "--json").out)
    assert one["name"] == "tiny"


def test_status_of_no_sweep_says_how_to_begin(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("status", "--root", tmp_path)
    assert (said.code, "sweep run demo" in said.out) == (0, True)
    assert json.loads(sweep("status", "--root", tmp_path, "--json").out) == []


@pytest.mark.parametrize("arguments", [("status",), ("sync",), ("report",), ("export",)])
def test_an_unknown_sweep_is_a_usage_error_with_those_there_are(
    sweep: Sweep, finished: Path, arguments: tuple[str, ...]
) -> None:
    table = ("final",) if arguments == ("export",) else ()
    said = sweep(*arguments, "tinny", *table, "--root", finished)
    assert said.code == 2
    assert "'tinny'" in said.err
    assert "there are: tiny" in said.err


def test_a_reason_with_brackets_is_shown_whole(sweep: Sweep, tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, study())
    store.start_attempt(pack.pack_id, {"resume_step": -1})
    store.fail_pack(pack.pack_id, 0, {"reason": "StoreError: [Errno 28] in [/tmp/x] of [bold]"})
    said = sweep("status", "--root", tiny_root)
    assert (
        f"failed {pack.pack_id} after 1 attempt(s): StoreError: [Errno 28] in [/tmp/x] of [bold]" in said.out
    )


def test_a_copy_into_mlflow_is_asked_for_and_told(sweep: Sweep, finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(finished, root)
    assert (
        "MLflow: not copied yet; `sweep sync tiny` brings it up to date"
        in sweep("status", "--root", root).out
    )
    said = sweep("sync", "tiny", "--root", root, "--json")
    assert said.code == 0
    assert (json.loads(said.out)["ended"], json.loads(said.out)["runs_created"]) == (8, 8)
    assert "MLflow" not in sweep("status", "--root", root).out


# export, report


@pytest.mark.parametrize("table", ["trials", "final", "summary", "curves", "correlation"])
def test_every_table_is_written_in_every_format(
    sweep: Sweep, finished: Path, tmp_path: Path, table: str
) -> None:
    arguments = ("export", "tiny", table, "--root", finished)
    said = sweep(*arguments, "--format", "csv,parquet,latex,markdown,json", "--out", f"{tmp_path}/tables/")
    assert said.code == 0, said.err
    written = [Path(line.removeprefix("wrote ")) for line in said.out.splitlines()]
    assert [path.name for path in written] == [
        f"{table}{s}" for s in (".csv", ".parquet", ".tex", ".md", ".json")
    ]
    frame = pd.read_parquet(written[1])
    assert len(frame) == len(pd.read_csv(written[0])) == len(json.loads(written[4].read_text())) > 0
    assert re.search(r"\\begin\{(long)?tab(le|ular)\}", written[2].read_text())
    assert written[3].read_text().startswith("|")
    if table == "trials":
        assert sorted(frame["trial_id"]) == sorted(Store(finished).trials("tiny")["trial_id"])


def test_a_table_goes_to_standard_output_without_a_path(sweep: Sweep, finished: Path) -> None:
    said = sweep("export", "tiny", "final", "--root", finished)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("trial_id,")
    assert len(said.out.splitlines()) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finall",), "Did you mean 'final'?"),
        (("final", "--format", "xls"), "unknown format 'xls'"),
        (("final", "--format", "csv,json"), "give a path with --out"),
        (("final", "--format", ","), "no format given"),
        (("final", "--measure", "srank"), "has no option 'measure'"),
        (("final", "--columns", "sranck"), "Did you mean 'srank'?"),
    ],
)
def test_what_cannot_be_exported_is_a_usage_error(
    sweep: Sweep, finished: Path, arguments: tuple[str, ...], message: str
) -> None:
    said = sweep("export", "tiny", *arguments, "--root", finished)
    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_a_damaged_part_is_an_error_and_can_be_left_out(sweep: Sweep, finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(finished, root)
    (part,) = (root / "store" / "tiny" / "metrics").glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:500])
    said = sweep("export", "tiny", "final", "--root", root)
    assert said.code == 1
    assert str(part) in said.err
    assert "--skip-corrupt" in said.err
    assert str(part) in sweep("status", "--root", root).out


def test_a_report_is_one_file(sweep: Sweep, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    said = sweep("report", "tiny", "--root", finished, "--out", out)
    assert (said.code, said.out) == (0, f"wrote {out}\n")
    assert out.read_text().lstrip().lower().startswith("<!doctype html")


# data


def test_datasets_are_listed_and_shown(sweep: Sweep, tiny_root: Path) -> None:
    said = sweep("data", "ls", "--root", tiny_root)
    assert re.search(rf"{DATASET} +bsuite/catch/0 +400 ", said.out)
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)
    assert (row["name"], row["transitions"], row["source"]) == (DATASET, 400, "collected by random")
    shown = json.loads(sweep("data", "show", DATASET, "--json", "--root", tiny_root).out)
    assert shown["fingerprint"] == row["fingerprint"]
    assert "agent: random" in sweep("data", "show", DATASET, "--root", tiny_root).out
    # Lines end anywhere, as long as the folder's name is.
    assert "sweep data collect" in " ".join(sweep("data", "ls", "--root", tiny_root / "none").out.split())


def test_a_flipped_byte_is_found_by_verify(sweep: Sweep, tiny_root: Path) -> None:
    assert sweep("data", "verify", DATASET, "--root", tiny_root).code == 0
    path = tiny_root / "datasets" / DATASET / "frames.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    said = sweep("data", "verify", DATASET, "--root", tiny_root)
    assert said.code == 1
    assert str(path) in said.err
    assert "damaged" in said.err


@pytest.mark.parametrize("name", ["show", "verify"])
def test_a_dataset_that_is_not_there_is_a_usage_error(sweep: Sweep, tiny_root: Path, name: str) -> None:
    said = sweep("data", name, "random-catsh", "--root", tiny_root)
    assert said.code == 2
    assert f"Did you mean '{DATASET}'?" in said.err
    outside = sweep("data", name, "../datasets", "--root", tiny_root)
    assert outside.code == 2
    assert "'../datasets' is not allowed" in outside.err


def test_a_dataset_that_lost_its_manifest_is_told_and_listed(sweep: Sweep, tiny_root: Path) -> None:
    (tiny_root / "datasets" / DATASET / "dataset.json").unlink()
    assert sweep("data", "show", DATASET, "--root", tiny_root).code == 1
    said = sweep("data", "ls", "--root", tiny_root)
    assert (said.code, "damaged" in said.out) == (0, True)
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)
    assert "has no dataset.json" in row["problem"]


def test_a_dataset_is_collected_and_the_same_options_give_the_same_data(
    sweep: Sweep, tiny_root: Path, tmp_path: Path
) -> None:
    options = ("--steps", 400, "--num-envs", 4, "--agent", "random")
    said = sweep("data", "collect", "bsuite/catch/0", "--name", "mine", *options, "--root", tmp_path)
    assert said.code == 0
    (row,) = json.loads(sweep("data", "ls", "--json", "--root", tmp_path).out)
    (expected,) = json.loads(sweep("data", "ls", "--json", "--root", tiny_root).out)
    assert row["fingerprint"] == expected["fingerprint"]
    again = sweep("data", "collect", "bsuite/catch/0", "--name", "mine", *options, "--root", tmp_path)
    assert again.code == 1
    assert "mine" in again.err
    noisy = ("--noise", 0.5, "--name", "noisy")
    assert sweep("data", "collect", "bsuite/catch/0", *noisy, *options, "--root", tmp_path).code == 0
    rows = {
        one["name"]: one["fingerprint"]
        for one in json.loads(sweep("data", "ls", "--json", "--root", tmp_path).out)
    }
    assert rows["noisy"] != rows["mine"], "noise is not lost on the way to the random agent"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("catch", "--name", "d"), 2, "family/name"),
        (("bsuite/cacth/0", "--name", "d"), 1, "bsuite/catch"),
        (("bsuite/catch/0", "--name", "../d"), 2, "'../d'"),
        (("bsuite/catch/0", "--name", "d", "--network", "nature_dqn"), 1, "nature_dqn reads images"),
        (("bsuite/catch/0", "--name", "d", "--agent", "ppo"), 2, "ppo"),
    ],
)
def test_what_cannot_be_collected_is_refused(
    sweep: Sweep, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    said = sweep("data", "collect", *arguments, "--steps", 100, "--root", tmp_path)
    assert said.code == code
    assert message in said.err
    assert list(tmp_path.rglob("*.npy")) == []


# doctor


def test_the_doctor_ends_with_1_where_something_is_wrong(sweep: Sweep, tiny_root: Path) -> None:
    said = sweep("doctor", "--root", tiny_root, "--json")
    assert said.code == 0
    assert {"what", "found", "state", "mend"} == set(json.loads(said.out)[0])
    (tiny_root / "datasets" / DATASET / "dataset.json").write_text("{")
    wrong = sweep("doctor", "--root", tiny_root)
    assert wrong.code == 1
    assert re.search(rf"XX +dataset {DATASET}", wrong.out)
    assert "mend:" in wrong.out
    assert "1 wrong" in wrong.out


# The terminal


def test_pages_fit_eighty_columns(finished: Path) -> None:
    pages = [("--help",), ("list",), ("show", "demo"), ("status",), ("doctor",), ("data", "ls")]
    for page in pages:
        root = () if page == ("--help",) else ("--root", str(finished))
        said = command(*page, *root, COLUMNS="80")
        wide = [line for line in said.stdout.splitlines() if len(line) > 80 and str(finished) not in line]
        assert wide == [], page
        assert "…" not in said.stdout, f"{page}: something is cut"
