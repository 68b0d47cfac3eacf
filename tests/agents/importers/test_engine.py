"""The engine: kills, resumed imports, sources that change, choices of files, memory."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from file_servers import served
from rlu_writing import AtariEpisode, write_shards

from agents.data import Dataset
from agents.data.importers.blocks import EpisodeBlock, ImportPlan
from agents.data.importers.engine import import_dataset
from agents.data.importers.frame_store import DigestTable, digests
from agents.data.importers.registry import READERS
from agents.data.importers.source import Source
from agents.data.unfinished import list_unfinished
from agents.environments import describe
from agents.environments.protocol import ArrayFormat
from agents.errors import DatasetError

CATCH = describe("bsuite/catch/0")


@pytest.fixture(scope="module")
def pong(tmp_path_factory):
    """40 transitions in five files, and the fingerprint of an import that nothing disturbed."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    records = [record for steps in (12, 7, 21) for record in AtariEpisode(rng, steps).transition_records()]
    order = rng.permutation(len(records))
    source = write_shards(folder / "Pong", "run_1", [records[k] for k in order], 5)
    made = import_dataset("rlu-atari", str(source), folder / "datasets" / "undisturbed")
    return source, made.fingerprint


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from agents.data import writer
    from agents.data.importers import engine, storing

    source, target, where, count = sys.argv[1:]
    left = int(count)

    def killing(real):
        def call(*arguments, **named):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)
        return call

    if where == "block":
        storing.BlockStore.add = killing(storing.BlockStore.add)
    elif where == "mark":
        writer.DatasetWriter.mark = killing(writer.DatasetWriter.mark)
    elif where == "journal":
        writer._sync_folder = killing(writer._sync_folder)
    elif where == "frames":
        writer.DatasetWriter.add_transitions = killing(writer.DatasetWriter.add_transitions)
    elif where == "finish":
        writer.describe_array = killing(writer.describe_array)
    engine.import_dataset("rlu-atari", source, Path(target))
"""


@pytest.mark.parametrize(
    ("where", "count"), [("block", 0), ("mark", 2), ("journal", 1), ("frames", 3), ("finish", 4)]
)
def test_an_import_that_was_killed_goes_on_to_the_same_content(tmp_path, pong, where, count):
    source, wanted = pong
    target = tmp_path / "datasets" / "pong"
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(source), str(target), where, str(count)],
        cwd=Path(__file__).parents[3],
        timeout=100,
    )
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    unfinished = list_unfinished(tmp_path)
    done = len(unfinished[0].state["shards"]) if unfinished else 0
    assert done == {"block": 0, "mark": 2, "journal": 2, "frames": 3, "finish": 5}[where]
    read = []
    dataset = import_dataset(
        "rlu-atari", str(source), target, progress=lambda now: read.append((now.shard, now.shards_done))
    )
    assert dataset.fingerprint == wanted
    dataset.verify()
    assert [shards_done for _, shards_done in read] == list(range(done + 1, 6))
    assert dataset.manifest.provenance["import"]["processes"] == (2 if done else 1)
    assert sorted(path.stem for path in target.glob("*.npy")) == sorted(dataset.arrays)
    assert {path.suffix for path in target.iterdir()} == {".npy", ".json"}
    assert sorted(path.name for path in target.glob("*.json")) == ["dataset.json"]
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["pong"]
    mean = Dataset.open(source.parent / "datasets" / "undisturbed").manifest.mean_return
    assert dataset.manifest.mean_return == pytest.approx(mean)


class Stop(Exception):
    """Ends an import from its progress."""


def stopped(source, target, after=2, **more):
    """An import that ended after so many files."""

    def stop(now):
        if now.shards_done == after:
            raise Stop

    with pytest.raises(Stop):
        import_dataset("rlu-atari", str(source), target, progress=stop, **more)


def copied(source, tmp_path):
    """The source again, in a folder that a test may change."""
    folder = tmp_path / "copy" / "Pong"
    folder.mkdir(parents=True)
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize("change", ["size", "gone"])
def test_a_source_that_changed_behind_an_import_is_refused(tmp_path, pong, change):
    source, target = copied(pong[0], tmp_path), tmp_path / "datasets" / "pong"
    stopped(source, target)
    first = source / "run_1-00000-of-00005"
    if change == "size":
        first.write_bytes(first.read_bytes() + b"\0" * 8)
    else:
        first.unlink()
    with pytest.raises(
        DatasetError,
        match=r"the source has changed .* file 0, run_1-00000-of-00005 of \d+ bytes, is now .*--begin-again",
    ):
        import_dataset("rlu-atari", str(source), target)
    assert list_unfinished(tmp_path)[0].transitions == 16
    if change == "gone":
        anew = import_dataset("rlu-atari", str(source), target, begin_again=True)
        assert len(anew) == 32
        assert anew.manifest.provenance["import"]["processes"] == 1


def test_files_that_are_yet_to_be_imported_may_change(tmp_path, pong):
    source, target = copied(pong[0], tmp_path), tmp_path / "datasets" / "pong"
    last = source / "run_1-00004-of-00005"
    whole = last.read_bytes()
    last.write_bytes(whole[:-9])
    with pytest.raises(DatasetError, match="run_1-00004-of-00005"):
        import_dataset("rlu-atari", str(source), target)
    last.write_bytes(whole)
    assert import_dataset("rlu-atari", str(source), target).fingerprint == pong[1]


def test_another_import_of_the_same_name_is_refused_with_what_differs(tmp_path, pong):
    source, target = pong[0], tmp_path / "datasets" / "pong"
    stopped(source, target)
    with pytest.raises(
        DatasetError, match=r"begun otherwise: max_transitions was None, now 20\. .*or delete .*--begin-again"
    ):
        import_dataset("rlu-atari", str(source), target, max_transitions=20)
    assert import_dataset("rlu-atari", str(source), target).fingerprint == pong[1]


def test_bad_records_are_counted_over_interruptions(tmp_path, pong):
    source, target = copied(pong[0], tmp_path), tmp_path / "datasets" / "pong"
    rng = np.random.default_rng(1)
    for name in ("run_1-00000-of-00005", "run_1-00003-of-00005"):
        bad = [{**record, "a_t": (9, "int")} for record in AtariEpisode(rng, 2).transition_records()]
        write_shards(tmp_path / "bad", "x", bad, 1)
        (tmp_path / "bad" / "x-00000-of-00001").replace(source / name)
    stopped(source, target, skip_bad_records=3)
    with pytest.raises(
        DatasetError, match=r"run_1-00003-of-00005, record 1, key 'a_t': .* after 3 others, and at most 3"
    ):
        import_dataset("rlu-atari", str(source), target, skip_bad_records=3)
    dataset = import_dataset("rlu-atari", str(source), target, skip_bad_records=4)
    noted = dataset.manifest.provenance["import"]["bad_records"]
    assert (noted["count"], noted["allowed"]) == (4, 4)
    assert [(one["shard"], one["record"]) for one in noted["first"]] == [
        (f"run_1-0000{shard}-of-00005", record) for shard in (0, 3) for record in (0, 1)
    ]
    assert len(dataset) == 24


def test_an_import_that_fails_in_its_first_file_leaves_nothing(tmp_path, pong):
    source, target = copied(pong[0], tmp_path), tmp_path / "datasets" / "pong"
    first = source / "run_1-00000-of-00005"
    first.write_bytes(first.read_bytes()[:-9])
    with pytest.raises(DatasetError, match="run_1-00000-of-00005"):
        import_dataset("rlu-atari", str(source), target)
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "files"),
    [("1:2", [1, 2]), ("0:0", [0]), ("3:99", [3, 4]), ("*-0000[24]-of-*", [2, 4])],
)
def test_files_are_chosen_by_place_or_by_glob(tmp_path, pong, wanted, files):
    dataset = import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "some", shards=wanted)
    assert [file["name"] for file in dataset.manifest.provenance["import"]["files"]] == [
        f"run_1-{number:05d}-of-00005" for number in files
    ]
    assert len(dataset) == 8 * len(files)


@pytest.mark.parametrize("wanted", ["7:9", "2:1", "nothing*"])
def test_a_choice_of_no_file_is_refused(tmp_path, pong, wanted):
    with pytest.raises(DatasetError, match=r"chooses none of the 5 files .* such as 0:4"):
        import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "some", shards=wanted)


@pytest.mark.parametrize("most", [1, 8, 19, 40, 1000])
def test_a_greatest_number_of_transitions_is_kept_to(tmp_path, pong, most):
    whole = Dataset.open(pong[0].parent / "datasets" / "undisturbed")
    dataset = import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "some", max_transitions=most)
    kept = min(most, 40)
    assert len(dataset) == kept
    np.testing.assert_array_equal(dataset.observations(np.arange(kept)), whole.observations(np.arange(kept)))
    assert len(dataset.manifest.provenance["import"]["files"]) == -(-kept // 8)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"max_transitions": 0}, "max_transitions is 0; it must be at least 1"),
        ({"skip_bad_records": -1}, "skip_bad_records is -1; it must be at least 0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(tmp_path, pong, arguments, why):
    with pytest.raises(DatasetError, match=why):
        import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "some", **arguments)


def test_unknown_formats_and_taken_names_are_refused(tmp_path, pong):
    with pytest.raises(DatasetError, match=r"unknown format 'rlu-atary'. Did you mean 'rlu-atari'"):
        import_dataset("rlu-atary", str(pong[0]), tmp_path / "datasets" / "some")
    with pytest.raises(DatasetError, match=r"'undisturbed' exists already"):
        import_dataset("rlu-atari", str(pong[0]), pong[0].parent / "datasets" / "undisturbed")


def test_checksums_are_compared_and_noted(tmp_path, pong):
    import hashlib

    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in pong[0].iterdir()}
    dataset = import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "a", checksums=sums)
    noted = dataset.manifest.provenance["import"]
    assert {file["name"]: file["sha256"] for file in noted["files"]} == sums
    assert all("SHA-256" in how for how in noted["verified"].values())
    name = "run_1-00002-of-00005"
    with pytest.raises(DatasetError, match=rf"{name}.*SHA-256"):
        import_dataset(
            "rlu-atari", str(pong[0]), tmp_path / "datasets" / "b", checksums={**sums, name: "0" * 64}
        )
    assert list_unfinished(tmp_path)[0].state["shards"][-1][0] == "run_1-00001-of-00005"


def test_progress_tells_how_far_and_how_fast(tmp_path, pong):
    said = []
    import_dataset("rlu-atari", str(pong[0]), tmp_path / "datasets" / "a", progress=said.append)
    total = sum(file.stat().st_size for file in pong[0].iterdir())
    assert [now.shards_done for now in said] == [1, 2, 3, 4, 5]
    assert (said[-1].bytes_read, said[-1].bytes_total, said[-1].transitions) == (total, total, 40)
    assert said[-1].seconds_left == 0
    assert said[0].seconds_left > 0
    assert said[-1].bytes_per_second == pytest.approx(total / said[-1].seconds, rel=0.01)


class RowsReader:
    """Episodes of catch-like vectors whose every step is a record; what ``change`` does to a block is bad."""

    format, title = "rows", "for tests"

    def __init__(self, blocks, columns=(), environment=CATCH):
        self.blocks, self.columns, self.environment = blocks, columns, environment

    def plan(self, source, options):
        return ImportPlan(
            self.environment, tuple(source.list("*")),
            {name: ArrayFormat(dtype="int32") for name in self.columns},
        )  # fmt: skip

    def read(self, source, shard, plan):
        yield from self.blocks


def imported(tmp_path, monkeypatch, blocks, name="a", environment=CATCH, columns=(), **more):
    (tmp_path / "source").mkdir(exist_ok=True)
    (tmp_path / "source" / "x").write_bytes(b"x")
    monkeypatch.setitem(READERS, "rows", RowsReader(blocks, columns, environment))
    return import_dataset("rows", str(tmp_path / "source"), tmp_path / "datasets" / name, **more)


def block(steps=6, record=0, environment=CATCH, **changes):
    values = np.arange(steps + 1 + changes.get("lead", 0)).reshape(-1, *[1] * len(environment.frame_shape))
    frames = np.ones((1, *environment.frame_shape)) * (values + 1)
    made = {
        "frames": frames.astype(environment.observation_dtype),
        "action": np.arange(steps) % 3,
        "reward": np.arange(steps, dtype=np.float32),
        "discount": np.ones(steps, np.float32),
    }
    return EpisodeBlock(record=record, **{**made, **changes})


def with_value(name, row, value, **more):
    made = block(**more)
    array = np.array(getattr(made, name), np.float64 if name != "action" else np.int64)
    array[row] = value
    return EpisodeBlock(**{**vars(made), name: array})


@pytest.mark.parametrize(
    ("name", "row", "value", "kept", "why"),
    [
        ("reward", 2, np.nan, [0, 1, 3, 4, 5], "nan is not a finite number"),
        ("reward", 5, 1e300, [0, 1, 2, 3, 4], "1e+300 does not fit float32"),
        ("action", 0, 3, [1, 2, 3, 4, 5], "action 3 is outside 0 to 2 of bsuite/catch/0"),
        ("discount", 1, np.inf, [0, 2, 3, 4, 5], "inf is not a finite number"),
        # What is seen before step 3 is what step 2 led to.
        ("frames", 3, np.nan, [0, 1, 4, 5], "nan is not a finite number"),
    ],
)
def test_a_bad_row_costs_itself_and_what_needs_it(tmp_path, monkeypatch, name, row, value, kept, why):
    blocks = [block(record=0), with_value(name, row, value, record=6)]
    with pytest.raises(DatasetError) as caught:
        imported(tmp_path, monkeypatch, [EpisodeBlock(**{**vars(one), "rows": True}) for one in blocks])
    assert f"x, record {6 + row}, key '{name}': " in str(caught.value)
    assert why.replace("1e+300 does not fit float32", "") in str(caught.value)
    dataset = imported(
        tmp_path,
        monkeypatch,
        [EpisodeBlock(**{**vars(one), "rows": True}) for one in blocks],
        skip_bad_records=1,
    )
    np.testing.assert_array_equal(dataset.arrays["reward"], [0, 1, 2, 3, 4, 5, *kept])
    np.testing.assert_array_equal(
        dataset.observations(np.arange(len(dataset)))[:, 0], [1, 2, 3, 4, 5, 6, *(k + 1 for k in kept)]
    )
    np.testing.assert_array_equal(
        dataset.observations(np.arange(len(dataset)), following=True)[:, 0],
        [2, 3, 4, 5, 6, 7, *(k + 2 for k in kept)],
    )
    gaps = np.cumsum([0, *(int(b != a + 1) for a, b in itertools.pairwise(kept))])
    np.testing.assert_array_equal(dataset.arrays["episode"], [0] * 6 + (1 + gaps).tolist())
    # The harmed episode's return is not known.
    assert (dataset.manifest.episodes, dataset.manifest.mean_return) == (1, 15.0)
    # A whole record that is bad goes as one.
    whole = imported(tmp_path, monkeypatch, blocks, "whole", skip_bad_records=1)
    assert len(whole) == 6


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"frames": np.zeros((6, 50), np.float32)}, "frames", r"has shape \(6, 50\); \(7, 50\) is needed"),
        ({"frames": np.zeros((7, 50), "U1")}, "frames", "has dtype <U1; what can be stored as float32"),
        ({"action": np.zeros(6)}, "action", "has dtype float64; what can be stored as int32"),
        ({"discount": np.ones((6, 1))}, "discount", r"has shape \(6, 1\); \(6,\) is needed"),
        ({}, "level", "is missing"),
        ({"columns": {"level": np.full(6, 2**31)}}, "level", "2147483648 does not fit int32"),
    ],
)
def test_what_does_not_fit_is_named_with_its_shape_or_dtype(tmp_path, monkeypatch, changes, key, why):
    with pytest.raises(DatasetError, match=rf"x, record 0, key '{key}': {why}"):
        imported(tmp_path, monkeypatch, [block(**changes)], columns=("level",))


def test_continuous_actions_are_held_to_the_space(tmp_path, monkeypatch):
    hopper = CATCH.model_copy(update={"num_actions": 0, "action_shape": (2,), "env_id": "test/continuous"})
    action = np.linspace(-1, 1.000001, 12).reshape(6, 2)
    dataset = imported(tmp_path, monkeypatch, [block(action=action)], environment=hopper)
    np.testing.assert_array_equal(dataset.arrays["action"], action.astype(np.float32))
    action[3, 1] = -1.5
    with pytest.raises(
        DatasetError,
        match=r"record 0, key 'action': component -1.5 is outside \[-1.0, 1.0\] of test/continuous",
    ):
        imported(tmp_path, monkeypatch, [block(action=action)], "b", environment=hopper)


def test_a_piece_of_an_episode_has_its_history_in_its_stacks(tmp_path, monkeypatch):
    pong = describe("atari/Pong")
    piece = block(4, environment=pong, lead=2, complete=False)
    dataset = imported(tmp_path, monkeypatch, [piece], environment=pong)
    np.testing.assert_array_equal(
        dataset.observations(np.arange(4))[:, :, 0, 0],
        [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]],
    )
    assert dataset.manifest.episodes == 0


@pytest.mark.parametrize("count", [1, 100, 5000, 40_000])
def test_the_table_of_digests_knows_what_a_dictionary_knows(count):
    rng = np.random.default_rng(count)
    table, known = DigestTable(), {}
    for _ in range(3):
        keys = digests([int(number).to_bytes(8, "little") for number in rng.integers(0, count, count)])
        found = table.find(keys)
        np.testing.assert_array_equal(found, [known.get(key.tobytes(), -1) for key in keys])
        fresh = np.unique(keys[found < 0], axis=0)
        numbers = np.arange(len(known), len(known) + len(fresh), dtype=np.int32)
        table.add(fresh, numbers)
        known |= {key.tobytes(): number for key, number in zip(fresh, numbers, strict=True)}
        np.testing.assert_array_equal(table.find(fresh), numbers)
    assert table.count == len(known)


def test_keys_that_all_want_one_place_are_told_apart():
    table = DigestTable()
    keys = np.stack([np.zeros(500, np.uint64), np.arange(500, dtype=np.uint64)], axis=1)
    table.add(keys, np.arange(500, dtype=np.int32))
    np.testing.assert_array_equal(table.find(keys), np.arange(500))
    assert table.find(np.array([[0, 500]], np.uint64)).tolist() == [-1]


def test_a_resumed_import_whose_files_were_harmed_says_so(tmp_path, pong):
    target = tmp_path / "datasets" / "pong"
    stopped(pong[0], target)
    making = list_unfinished(tmp_path)[0].path
    os.truncate(making / "digests", 16)
    with pytest.raises(DatasetError, match=r"digests does not hold .* delete .* and begin again"):
        import_dataset("rlu-atari", str(pong[0]), target)
    assert import_dataset("rlu-atari", str(pong[0]), target, begin_again=True).fingerprint == pong[1]


def test_a_full_disk_says_that_what_was_finished_is_kept(tmp_path, pong):
    target = tmp_path / "datasets" / "pong"
    script = """
        import resource, sys
        from pathlib import Path
        from agents.data.importers.engine import import_dataset
        from agents.errors import DatasetError
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        def limit(now):
            if now.shards_done == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (now.frames * 84 * 84 + 8192,) * 2)

        try:
            import_dataset("rlu-atari", sys.argv[1], Path(sys.argv[2]), progress=limit)
        except DatasetError as error:
            print(error)
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(pong[0]), str(target)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=100, check=True,
    ).stdout  # fmt: skip
    assert "no room for frames.npy" in said
    assert f"What was finished before is kept in {target.parent / '.making-pong'}" in said
    assert import_dataset("rlu-atari", str(pong[0]), target).fingerprint == pong[1]


def test_a_web_server_is_read_over_mishaps_and_only_once(tmp_path, pong):
    source, wanted = pong
    with served(source.parent) as (url, mishaps):
        stopped(f"{url}/Pong/", tmp_path / "datasets" / "pong")
        mishaps.drops, mishaps.drop_after, before = 1, 500, len(mishaps.asked)
        dataset = import_dataset("rlu-atari", f"{url}/Pong/", tmp_path / "datasets" / "pong")
        again = {path for method, path, _ in mishaps.asked[before:] if method == "GET" and "run_" in path}
    assert dataset.fingerprint == wanted
    assert again == {f"/Pong/run_1-{number:05d}-of-00005" for number in (2, 3, 4)}
    assert mishaps.drops == 0


def test_a_source_is_left_as_it_is(pong):
    assert Source(str(pong[0]), cache=pong[0]).list("*-of-*")
    assert sorted(path.name for path in pong[0].iterdir()) == [f"run_1-{n:05d}-of-00005" for n in range(5)]


PEAK = """
    import json, re, sys
    from pathlib import Path
    from agents.data.importers.engine import import_dataset
    dataset = import_dataset("rlu-atari", sys.argv[1], Path(sys.argv[2]))
    # Not getrusage: its peak begins at what the parent held when it forked.
    peak = re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]
    print(json.dumps([len(dataset), int(peak) * 1024]))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_number_of_transitions(tmp_path):
    """100,000 transitions of 20,000 frames a file: 1.4 GB of frames, of which none may stay in memory."""
    from rlu_writing import png

    rng = np.random.default_rng(0)
    peaks = {}
    for shards in (1, 5):
        folder = tmp_path / str(shards) / "Pong"
        for shard in range(shards):
            frames = []
            for _ in range(20_003):
                image = np.zeros((84, 84), np.uint8)
                image[:2] = rng.integers(0, 256, (2, 84))
                frames.append(png(image))
            records = (
                {
                    "o_t": (frames[t : t + 4], "byte"),
                    "o_tp1": ([*frames[t + 1 : t + 4], frames[(t + 4) % 20_003]], "byte"),
                    "a_t": (int(t % 6), "int"),
                    "a_tp1": (0, "int"),
                    "r_t": (0.0, "float"),
                    "d_t": (1.0, "float"),
                    "episode_id": (shard, "int"),
                    "episode_return": (1.0, "float"),
                }
                for t in range(20_000)
            )
            write_shards(folder.parent / "one", "run_1", list(records), 1)
            folder.mkdir(exist_ok=True, parents=True)
            (folder.parent / "one" / "run_1-00000-of-00001").replace(
                folder / f"run_1-{shard:05d}-of-{shards:05d}"
            )
        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PEAK), str(folder), str(tmp_path / "datasets" / f"of-{shards}")],
            cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=1500, check=True,
        ).stdout  # fmt: skip
        count, peaks[shards] = json.loads(said)
        assert count == 20_000 * shards
    assert peaks[5] < 400e6
    # 80,000 frames more: 40 bytes of table each, twice that while it grows.
    assert peaks[5] - peaks[1] < 80_000 * 120 + 20e6
