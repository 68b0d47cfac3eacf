"""Pickles are read by an interpreter of our own: what pickle writes, and that nothing runs."""

import io
import os
import pickle
import pickletools
from collections import OrderedDict

import numpy as np
import pytest

from agents.data.importers.plain_pickle import PlainPickleError, dictionaries

KEYS = frozenset(("wanted",))
PROTOCOLS = range(2, 6)  # numpy has written 2, 3 and 4
VALUES = [
    None, True, False, 0, 255, 65536, -5, 2**70, 1.5, "text", "ä" * 300, b"", b"x" * 300, b"x" * 70_000, (), (1,),
    (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, [2, {"a": 3}]], {}, {"a": 1}, OrderedDict(a=1), bytearray(b"abc"),
]  # fmt: skip
ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 4), np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.float32(2.5),
    np.bool_(True), np.int64(-3), np.array(7.0), np.zeros((0, 3), np.float16), np.arange(3, dtype=">i4"),
    np.array(["a", "bcd"]), np.array([b"a", b"bcd"]), np.array([1, "a", None], object), np.zeros((48, 48, 3), np.uint8),
]  # fmt: skip


def found(content):
    return [dict(one) for one in dictionaries(io.BytesIO(content), KEYS)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_plain_values_are_what_pickle_gives(value, protocol):
    if isinstance(value, bytearray) and protocol < 5:
        pytest.skip("written by calling bytearray")
    if value == b"" and protocol < 3:
        pytest.skip("written by calling bytes")
    (one,) = found(pickle.dumps({"wanted": value, "same": [value, value]}, protocol))
    assert one == {"wanted": value, "same": [value, value]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}{value.shape}")
def test_arrays_are_what_pickle_gives(value, protocol):
    if value.size == 0 and protocol < 3:
        pytest.skip("written by calling bytes")
    (one,) = found(pickle.dumps({"wanted": value, "same": [value, value]}, protocol))
    for read in (one["wanted"], *one["same"]):
        np.testing.assert_array_equal(np.asarray(read), value)
        assert np.asarray(read).dtype == value.dtype


def test_names_of_older_numpy_are_known():
    content = pickle.dumps({"wanted": np.arange(3)}, 2)
    assert b"numpy._core.multiarray" in content
    (one,) = found(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(np.asarray(one["wanted"]), np.arange(3))


def test_many_dictionaries_come_one_by_one_and_are_forgotten():
    shared = np.arange(5)
    whole = [
        {"wanted": i, "image": np.full((48, 48), i, np.uint8), "other": {"x": i}, "s": shared}
        for i in range(9)
    ]
    read = dictionaries(io.BytesIO(pickle.dumps(np.array(whole, object), 4)), KEYS)
    first = next(read)
    np.testing.assert_array_equal(np.asarray(first["s"]), shared)
    second = next(read)
    assert (first, second["wanted"]) == ({}, 1)
    np.testing.assert_array_equal(np.asarray(second["image"]), 1)
    # What the second shares with the first was forgotten, and says so instead of passing for data.
    with pytest.raises(PlainPickleError, match="without values"):
        np.asarray(second["s"])
    assert [one["wanted"] for one in read] == list(range(2, 9))


class Runs:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open({!r}, 'w')",)),
        (open, ("{}", "w")),
        (np.savetxt, ("{}", [1])),
        (np.fromfile, ("{}",)),
        (getattr, ("x", "y")),
        (__import__, ("os",)),
        (np.load, ("{}", None, True)),
    ],
    ids=lambda value: getattr(value, "__name__", "with"),
)
def test_what_would_run_code_is_refused_and_did_not_run(tmp_path, function, arguments, protocol):
    trace = tmp_path / "trace"
    filled = [one.format(str(trace)) if isinstance(one, str) else one for one in arguments]
    content = pickle.dumps({"before": Runs(function, *filled), "wanted": 1}, protocol)
    with pytest.raises(PlainPickleError, match="nothing was run"):
        found(content)
    assert not trace.exists()


def test_the_danger_is_real(tmp_path):
    """The same file, unpickled as numpy would: the test above would pass on a harmless file as well."""
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps({"before": Runs(os.system, f"touch {trace}"), "wanted": 1}))  # noqa: S301
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93)\x81.", "instruction NEWOBJ"),
        (b"(S'touch x'\nios\nsystem\n.", "instruction INST"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"Pname\n.", "instruction PERSID"),
        (b"cnumpy\nndarray\n(K\x05tR.", "a call of ndarray"),
        (b"cnumpy\ndtype\n(S'V8'\nK\x00K\x01tR.", "a dtype 'V8', which is no plain one"),
        (b"cnumpy\ndtype\n(S'O8'\nK\x00K\x01tR(K\x03S'|'\nN(S'a'\ntNJ\xff\xff\xff\xffK\x08K\x00tb.", "fields"),
        (b"ccodecs\nencode\n.", "codecs.encode"),
        (b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.", "a call of encode"),
        (b"(lp0\ng5\n.", "damage"),
        (b"t.", "damage"),
        (b"}", "damage"),
        (b"", "damage"),
        (b"\x80\x04]K\x01K\x02s.", "a list where a dict belongs"),
        (b"\x80\x04}(K\x01u.", "damage"),
        (b"\x80\x04}(]K\x01u.", "damage"),
    ],
)  # fmt: skip
def test_crafted_files_are_refused(content, message):
    with pytest.raises(PlainPickleError, match=message):
        found(content)


def test_arrays_whose_values_do_not_fit_are_refused():
    whole = pickle.dumps({"wanted": np.arange(6, dtype=np.uint8)}, 2)
    for changed in (
        whole.replace(b"K\x06\x85", b"K\x07\x85"),
        whole.replace(b"K\x06\x85", b"J\xff\xff\xff\xff\x85"),
    ):
        assert changed != whole
        with pytest.raises(PlainPickleError, match="an array of shape"):
            found(changed)


def test_every_cut_of_a_file_is_refused():
    content = pickle.dumps(
        np.array([{"wanted": np.arange(3), "x": [1.5, "a", None]} for _ in range(2)], object), 4
    )
    assert len(found(content)) == 2
    for length in range(len(content)):
        with pytest.raises(PlainPickleError):
            found(content[:length])


def test_random_changes_end_in_an_error_or_in_plain_data():
    content = pickletools.optimize(pickle.dumps([{"wanted": np.arange(3), "x": [1.5, "a"]}], 4))
    random = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(content)
        changed[random.integers(len(changed))] = random.integers(256)
        try:
            found(bytes(changed))
        except PlainPickleError:
            continue
