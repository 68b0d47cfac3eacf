"""RL Unplugged's Atari formats: every field compared, any sharding, every kind of bad record."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rlu_writing import AtariEpisode, png, write_records, write_shards

from agents.data.importers.engine import import_dataset
from agents.environments import describe
from agents.errors import DatasetError

COLUMNS = ("action", "reward", "discount", "next_action", "episode_id", "episode_return")


def episodes(seed, *steps, **more):
    rng = np.random.default_rng(seed)
    return [AtariEpisode(rng, count, terminal=place % 2 == 0, **more) for place, count in enumerate(steps)]


def shuffled(played, seed=0):
    """Pairs of an episode and a step, and their records, in an order that is not that of time."""
    pairs = [(episode, step) for episode in played for step in range(episode.steps)]
    order = np.random.default_rng(seed).permutation(len(pairs))
    records = {id(episode): episode.transition_records() for episode in played}
    return [pairs[k] for k in order], [records[id(pairs[k][0])][pairs[k][1]] for k in order]


def compare_transitions(dataset, pairs):
    everything = np.arange(len(pairs))
    np.testing.assert_array_equal(
        dataset.observations(everything), [episode.stack(step) for episode, step in pairs]
    )
    np.testing.assert_array_equal(
        dataset.observations(everything, following=True),
        [episode.stack(step + 1) for episode, step in pairs],
    )
    wanted = {
        "action": [episode.actions[step] for episode, step in pairs],
        "next_action": [episode.actions[step + 1] for episode, step in pairs],
        "reward": [episode.rewards[step] for episode, step in pairs],
        "discount": [episode.discounts[step] for episode, step in pairs],
        "episode_id": [episode.id for episode, step in pairs],
        "episode_return": [episode.clipped_return for episode, step in pairs],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(dataset.arrays[name], np.array(values, dataset.arrays[name].dtype))
    seen = list(dict.fromkeys(episode.id for episode, _ in pairs))
    np.testing.assert_array_equal(dataset.arrays["episode"], [seen.index(episode.id) for episode, _ in pairs])


@pytest.mark.parametrize("gzipped", [True, False])
def test_every_field_of_atari_transitions_is_as_written(tmp_path, gzipped):
    played = episodes(0, 9, 1, 14, 6)
    pairs, records = shuffled(played)
    write_shards(tmp_path / "Pong", "run_1", records, 4, gzipped)
    dataset = import_dataset("rlu-atari", str(tmp_path / "Pong"), tmp_path / "datasets" / "pong")
    dataset.verify()
    assert dataset.spec == describe("atari/Pong")
    compare_transitions(dataset, pairs)
    # Each image once, the black one of the padding twice: as number 0, and as the source holds it.
    assert len(dataset.arrays["frames"]) == 2 + sum(episode.steps + 1 for episode in played)
    manifest = dataset.manifest
    assert (manifest.transitions, manifest.episodes, manifest.consecutive) == (30, 4, False)
    assert manifest.mean_return == pytest.approx(np.mean([episode.clipped_return for episode in played]))
    imported = manifest.provenance["import"]
    assert imported["format"] == "rlu-atari"
    assert [file["name"] for file in imported["files"]] == [f"run_1-0000{n}-of-00004" for n in range(4)]
    assert imported["bad_records"]["count"] == 0
    assert manifest.provenance["reader"]["runs"] == {"run_1": {"files": 4, "of": 4}}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**20),
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    shards=st.integers(1, 5),
    ordered=st.booleans(),
)
def test_any_sharding_gives_the_same_content(tmp_path_factory, seed, steps, shards, ordered):
    played, folder = episodes(seed, *steps), tmp_path_factory.mktemp("sharding")
    if ordered:
        records = [episode.ordered_record(0, number) for number, episode in enumerate(played)]
    else:
        pairs, records = shuffled(played, seed)
    made = [
        import_dataset(
            "rlu-atari-ordered" if ordered else "rlu-atari",
            str(write_shards(folder / str(count) / "Pong", "run_1", records, count)),
            folder / "datasets" / f"in-{count}",
        )
        for count in (1, shards + 1)
    ]
    assert made[0].fingerprint == made[1].fingerprint
    if not ordered:
        compare_transitions(made[1], pairs)


def test_every_field_of_ordered_episodes_is_as_written(tmp_path):
    played = episodes(1, 9, 5, 14)
    records = [
        episode.ordered_record(checkpoint=place // 2, number=100 + place, clipped_last=7.0)
        for place, episode in enumerate(played)
    ]
    write_shards(tmp_path / "Asterix", "run_2", records, [2, 1])
    dataset = import_dataset("rlu-atari-ordered", str(tmp_path / "Asterix"), tmp_path / "datasets" / "a")
    assert dataset.spec == describe("atari/Asterix")
    steps = [(place, step) for place, episode in enumerate(played) for step in range(episode.steps)]
    everything = np.arange(len(steps))
    for following in (False, True):
        np.testing.assert_array_equal(
            dataset.observations(everything, following=following),
            [played[place].stack(step + following) for place, step in steps],
        )
    wanted = {
        "action": [played[place].actions[step] for place, step in steps],
        "reward": [played[place].rewards[step] for place, step in steps],
        "discount": [played[place].discounts[step] for place, step in steps],
        "checkpoint": [place // 2 for place, _ in steps],
        "episode": [place for place, _ in steps],
        "episode_id": [100 + place for place, _ in steps],
        "episode_return": [played[place].rewards.sum() for place, _ in steps],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(dataset.arrays[name], values, err_msg=name)
    assert dataset.arrays["checkpoint"].dtype == np.int32
    assert len(dataset.arrays["frames"]) == 1 + sum(episode.steps + 1 for episode in played)
    manifest = dataset.manifest
    assert (manifest.episodes, manifest.consecutive) == (3, True)
    assert manifest.mean_return == pytest.approx(np.mean([episode.rewards.sum() for episode in played]))


@pytest.mark.parametrize(
    ("source", "options", "env"),
    [
        ("other", {"env": "atari/Pong"}, "atari/Pong"),
        ("Pong/run_1-00000-of-00001", {}, "atari/Pong"),
        ("two/Pong", {"run": "run_2"}, "atari/Pong"),
    ],
)
def test_the_game_is_told_by_the_folder_or_the_user(tmp_path, source, options, env):
    _, records = shuffled(episodes(2, 3))
    for folder in ("other", "Pong", "two/Pong"):
        write_shards(tmp_path / folder, "run_1", records, 1)
    write_shards(tmp_path / "two" / "Pong", "run_2", records[:2], 1)
    made = import_dataset("rlu-atari", str(tmp_path / source), tmp_path / "datasets" / "a", options=options)
    assert made.spec.env_id == env
    assert len(made) == (2 if "run" in options else 3)


def test_a_folder_that_names_no_game_asks_for_the_environment(tmp_path):
    write_shards(tmp_path / "Pnog", "run_1", shuffled(episodes(2, 3))[1], 1)
    with pytest.raises(DatasetError, match=r"'atari/Pnog', from the folder's name.*atari/Pong.*--env"):
        import_dataset("rlu-atari", str(tmp_path / "Pnog"), tmp_path / "datasets" / "a")
    with pytest.raises(DatasetError, match=r"'atari/Nothing', from --env"):
        import_dataset(
            "rlu-atari", str(tmp_path / "Pnog"), tmp_path / "datasets" / "a", options={"env": "atari/Nothing"}
        )
    with pytest.raises(DatasetError, match=r"rlu-atari has no option 'evn'. Did you mean 'env'"):
        import_dataset(
            "rlu-atari", str(tmp_path / "Pnog"), tmp_path / "datasets" / "a", options={"evn": "atari/Pong"}
        )


def changed(**changes):
    return lambda record: {**record, **changes}


def without(key):
    return lambda record: {name: value for name, value in record.items() if name != key}


def grey(*shape):
    return png(np.zeros(shape, np.uint8))


def frames_of(key, data, place=3):
    def change(record):
        pngs = list(record[key][0])
        pngs[place] = data
        return {**record, key: (pngs, "byte")}

    return change


def jpeg():
    out = io.BytesIO()
    Image.fromarray(np.zeros((84, 84), np.uint8)).save(out, format="JPEG")
    return out.getvalue()


BAD_TRANSITIONS = {
    "missing key": (without("a_t"), "a_t", "is missing; the record has a_tp1, d_t"),
    "wrong list": (changed(r_t=(1, "int")), "r_t", "is a int64_list; a float_list is needed"),
    "wrong count": (changed(r_t=([1.0, 2.0], "float")), "r_t", "has 2 values; 1 are needed"),
    "three frames": (changed(o_t=([b"1", b"2", b"3"], "byte")), "o_t", "has 3 values; 4 are needed"),
    "action outside": (changed(a_t=(6, "int")), "a_t", "action 6 is outside 0 to 5 of atari/Pong"),
    "negative action": (changed(a_t=(-1, "int")), "a_t", "action -1 is outside 0 to 5"),
    "next action outside": (changed(a_tp1=(18, "int")), "a_tp1", "action 18 is outside 0 to 5"),
    "NaN reward": (changed(r_t=(float("nan"), "float")), "r_t", "nan is not a finite number"),
    "infinite return": (
        changed(episode_return=(float("inf"), "float")), "episode_return", "inf is not a finite number",
    ),
    "discount": (changed(d_t=(1.5, "float")), "d_t", "1.5 is not between 0 and 1"),
    "no image": (frames_of("o_tp1", b"nonsense"), "o_tp1[3]", "8 bytes that are no whole PNG image"),
    "cut image": (frames_of("o_tp1", grey(84, 84)[:-20]), "o_tp1[3]", "are no whole PNG image"),
    "another size": (frames_of("o_tp1", grey(84, 80)), "o_tp1[3]", "80×84 pixels with mode L; 84×84"),
    "coloured": (frames_of("o_tp1", grey(84, 84, 3)), "o_tp1[3]", "mode RGB; 84×84 with mode L is needed"),
    "not a PNG": (frames_of("o_tp1", jpeg()), "o_tp1[3]", "are no whole PNG image"),
    "frames that do not follow": (frames_of("o_tp1", grey(84, 84), 1), "o_tp1[1]", "another image than o_t[2]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TRANSITIONS)
def test_a_bad_transition_is_named_and_can_be_skipped(tmp_path, kind):
    change, key, why = BAD_TRANSITIONS[kind]
    # In the middle of an episode that does not end there.
    pairs, records = shuffled(episodes(3, 12), 3)
    place = next(k for k, (_, step) in enumerate(pairs) if step == 6)
    records[place] = change(records[place])
    source = str(write_shards(tmp_path / "Pong", "run_1", records, [4, 8]))
    shard, record = (0, place) if place < 4 else (1, place - 4)
    target = tmp_path / "datasets" / "pong"
    with pytest.raises(DatasetError) as caught:
        import_dataset("rlu-atari", source, target)
    said = str(caught.value)
    assert said.startswith(f"run_1-0000{shard}-of-00002, record {record}, key '{key}': ")
    assert why in said
    assert "--skip-bad-records" in said
    assert not target.exists()
    dataset = import_dataset("rlu-atari", source, target, skip_bad_records=1)
    compare_transitions(dataset, [pair for k, pair in enumerate(pairs) if k != place])
    noted = dataset.manifest.provenance["import"]["bad_records"]
    assert noted["count"] == 1
    (first,) = noted["first"]
    assert (first["shard"], first["record"]) == (f"run_1-0000{shard}-of-00002", record)
    assert first["key"] == key
    assert why in first["why"]


def test_equal_images_that_are_packed_differently_follow_one_another(tmp_path):
    (played,) = episodes(4, 6)
    records = played.transition_records()
    out = io.BytesIO()
    Image.fromarray(played.images[5]).save(out, format="PNG", compress_level=0)
    assert out.getvalue() != played.pngs[5]
    records[4] = frames_of("o_tp1", out.getvalue())(records[4])
    records[5] = frames_of("o_t", out.getvalue())(records[5])
    source = str(write_shards(tmp_path / "Pong", "run_1", records, 1))
    dataset = import_dataset("rlu-atari", source, tmp_path / "datasets" / "a")
    compare_transitions(dataset, [(played, step) for step in range(6)])


def test_what_follows_a_terminal_state_is_not_looked_at(tmp_path):
    (played,) = episodes(5, 6)
    records = played.transition_records()
    after = [*([grey(84, 84)] * 3), played.pngs[6]]
    records[5] |= {"o_tp1": (after, "byte"), "a_tp1": (99, "int")}
    source = str(write_shards(tmp_path / "Pong", "run_1", records, 1))
    dataset = import_dataset("rlu-atari", source, tmp_path / "datasets" / "a")
    played.actions[6] = 0
    compare_transitions(dataset, [(played, step) for step in range(6)])


def ordered(change, steps=7):
    (played,) = episodes(6, steps)
    return change(played.ordered_record(0, 0))


def at(key, step, value, kind="float"):
    def change(record):
        values = list(record[key][0])
        values[step] = value
        return {**record, key: (values, kind)}

    return change


BAD_EPISODES = {
    "missing key": (without("observations"), "observations", "is missing"),
    "missing number": (without("checkpoint_idx"), "checkpoint_idx", "is missing"),
    "lengths differ": (changed(discounts=([1.0], "float")), "discounts", "has 1 values; 8 are needed"),
    "too short": (changed(actions=([1], "int")), "actions", "has 1 values; an episode has at least 2"),
    "action outside": (at("actions", 2, 6, "int"), "actions", "action 6 is outside 0 to 5 of atari/Pong"),
    "NaN reward": (at("unclipped_rewards", 3, float("nan")), "unclipped_rewards", "nan is not a finite"),
    "clipped otherwise": (at("clipped_rewards", 1, 9.0), "clipped_rewards", "is 9.0 at step 1, where"),
    "ends in the middle": (at("discounts", 3, 0.0), "discounts", "is 0.0 at step 3 of 8"),
    "no image": (at("observations", 4, b"x", "byte"), "observations[4]", "no whole PNG image"),
    "another size": (at("observations", 4, grey(10, 84), "byte"), "observations[4]", "84×10 pixels"),
    "checkpoint": (changed(checkpoint_idx=(2**40, "int")), "checkpoint", "does not fit int32"),
}


@pytest.mark.parametrize("kind", BAD_EPISODES)
def test_a_bad_episode_is_named_and_can_be_skipped_whole(tmp_path, kind):
    change, key, why = BAD_EPISODES[kind]
    good, other = episodes(7, 4, 5)
    records = [good.ordered_record(0, 0), ordered(change), other.ordered_record(0, 2)]
    source = str(write_shards(tmp_path / "Pong", "run_1", records, 1))
    with pytest.raises(DatasetError) as caught:
        import_dataset("rlu-atari-ordered", source, tmp_path / "datasets" / "a")
    assert str(caught.value).startswith(f"run_1-00000-of-00001, record 1, key '{key}': ")
    assert why in str(caught.value)
    dataset = import_dataset("rlu-atari-ordered", source, tmp_path / "datasets" / "a", skip_bad_records=1)
    assert len(dataset) == 9
    assert dataset.manifest.episodes == 2
    np.testing.assert_array_equal(dataset.arrays["action"], [*good.actions[:4], *other.actions[:5]])


def test_a_wrong_crc_is_a_bad_record_and_a_truncated_file_ends_the_import(tmp_path):
    pairs, records = shuffled(episodes(8, 12))
    folder = write_shards(tmp_path / "Pong", "run_1", records, [6, 6], gzipped=False)
    harmed = folder / "run_1-00001-of-00002"
    whole = harmed.read_bytes()
    content = bytearray(whole)
    content[40] ^= 1
    harmed.write_bytes(content)
    target = tmp_path / "datasets" / "pong"
    with pytest.raises(DatasetError, match=r"run_1-00001-of-00002, record 0, key '\(all\)': .* CRC-32C"):
        import_dataset("rlu-atari", str(folder), target)
    made = import_dataset("rlu-atari", str(folder), tmp_path / "datasets" / "other", skip_bad_records=5)
    compare_transitions(made, [pair for k, pair in enumerate(pairs) if k != 6])
    harmed.write_bytes(whole[:-30])
    for allowed in (0, 100):
        with pytest.raises(
            DatasetError, match=r"run_1-00001-of-00002, record 5 at byte .*cut short.*get the file"
        ):
            import_dataset("rlu-atari", str(folder), target, skip_bad_records=allowed)
    assert [path.name for path in (tmp_path / "datasets").iterdir() if not path.name.startswith(".")] == [
        "other"
    ]
    # Got again, the file may have another size: it was not yet imported.
    harmed.write_bytes(whole)
    resumed = import_dataset("rlu-atari", str(folder), target)
    compare_transitions(resumed, pairs)
    assert resumed.manifest.provenance["import"]["processes"] == 2


def test_a_run_without_a_usable_record_is_refused(tmp_path):
    write_records(tmp_path / "Pong" / "run_1-00000-of-00001", [])
    with pytest.raises(DatasetError, match="holds no transition that rlu-atari could read in 1 files"):
        import_dataset("rlu-atari", str(tmp_path / "Pong"), tmp_path / "datasets" / "a")
    (tmp_path / "Pong" / "run_1-00000-of-00001").unlink()
    (tmp_path / "Pong" / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="holds no file that rlu-atari reads"):
        import_dataset(
            "rlu-atari", str(tmp_path / "Pong"), tmp_path / "datasets" / "a", options={"env": "atari/Pong"}
        )
