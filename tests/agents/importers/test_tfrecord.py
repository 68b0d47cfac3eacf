"""TFRecord framing and tf.train.Example, against the packages tfrecord and crc32c."""

import gzip
import io
import struct

import crc32c
import numpy as np
import pytest
from rlu_writing import write_records
from tfrecord.writer import TFRecordWriter

from agents.data.importers.blocks import BadRecord
from agents.data.importers.example import BadValue, Example
from agents.data.importers.tfrecord import Record, masked_crc32c, read_records
from agents.errors import DatasetError

RECORDS = [
    {
        "ids": ([2**63 - 1, -(2**63), 0, number], "int"),
        "rewards": ([0.5, -1e30, number], "float"),
        "frames": ([b"", b"\x00\xff" * 1000, bytes([number])], "byte"),
    }
    for number in range(5)
]


def read(path, name="shard-0"):
    with open(path, "rb") as stream:
        return list(read_records(stream, name))


@pytest.mark.parametrize("gzipped", [False, True])
def test_what_the_tfrecord_package_wrote_is_read_whole(tmp_path, gzipped):
    found = read(write_records(tmp_path / "a", RECORDS, gzipped))
    assert [record.number for record in found] == list(range(5))
    for number, record in enumerate(found):
        example = Example(record.data)
        assert example.ints("ids", 4).tolist() == [2**63 - 1, -(2**63), 0, number]
        np.testing.assert_array_equal(example.floats("rewards", 3), np.float32([0.5, -1e30, number]))
        assert example.strings("frames") == [b"", b"\x00\xff" * 1000, bytes([number])]


def test_several_gzip_members_one_behind_the_other_are_one_file(tmp_path):
    parts = [write_records(tmp_path / name, RECORDS[:2]).read_bytes() for name in "ab"]
    (tmp_path / "c").write_bytes(parts[0] + parts[1])
    assert [record.number for record in read(tmp_path / "c")] == [0, 1, 2, 3]


def test_an_empty_file_holds_no_record(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(gzip.compress(b""))
    assert read(tmp_path / "a") == read(tmp_path / "b") == []


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 7])
def test_the_checksum_is_that_of_tfrecord(data):
    # 0xe3069283 is the published CRC-32C of the nine digits.
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    assert struct.pack("<I", masked_crc32c(data)) == TFRecordWriter.masked_crc(data)


def framed(tmp_path):
    path = write_records(tmp_path / "a", RECORDS, gzipped=False)
    lengths = [12 + len(record.data) + 4 for record in read(path)]
    return bytearray(path.read_bytes()), np.concatenate([[0], np.cumsum(lengths)]).tolist()


@pytest.mark.parametrize("at", [12, -5, -1])
def test_wrong_data_cost_one_record_and_the_next_are_read(tmp_path, at):
    content, starts = framed(tmp_path)
    content[starts[2] + at if at > 0 else starts[3] + at] ^= 0x10
    found = list(read_records(io.BytesIO(content), "run_1-00007"))
    assert [type(one) for one in found] == [Record, Record, BadRecord, Record, Record]
    bad = found[2]
    assert (bad.shard, bad.record) == ("run_1-00007", 2)
    assert f"at byte {starts[2]:,} have CRC-32C 0x" in bad.why
    assert [one.number if isinstance(one, Record) else one.record for one in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", [0, 7, 8, 11])
def test_a_wrong_length_ends_the_file_with_shard_record_and_byte(tmp_path, at):
    content, starts = framed(tmp_path)
    content[starts[3] + at] ^= 1
    with pytest.raises(
        DatasetError,
        match=rf"run_1-00007, record 3 at byte {starts[3]:,}: its length .* has CRC-32C 0x.* get the file again",
    ):
        list(read_records(io.BytesIO(content), "run_1-00007"))


@pytest.mark.parametrize("cut", [1, 4, 5, 300])
def test_a_file_that_ends_within_a_record_says_where(tmp_path, cut):
    content, starts = framed(tmp_path)
    with pytest.raises(
        DatasetError, match=rf"s, record 4 at byte {starts[4]:,}: the file ends after .* cut short"
    ):
        list(read_records(io.BytesIO(content[:-cut]), "s"))


def test_a_header_that_is_cut_short_is_no_end(tmp_path):
    content, starts = framed(tmp_path)
    with pytest.raises(DatasetError, match=r"s, record 2 at byte .*: the file ends after 5 of 12 bytes"):
        list(read_records(io.BytesIO(content[: starts[2] + 5]), "s"))


@pytest.mark.parametrize("harm", ["cut", "crc", "bits"])
def test_a_damaged_gzip_stream_says_where(tmp_path, harm):
    content = bytearray(write_records(tmp_path / "a", RECORDS * 40).read_bytes())
    if harm == "cut":
        content = content[:-20]
    elif harm == "crc":
        content[-8] ^= 1
    else:
        content[len(content) // 2] ^= 0xFF
    with pytest.raises(DatasetError, match=r"^s, record \d+ at byte [\d,]+: .*get the file again"):
        list(read_records(io.BytesIO(content), "s"))


def test_a_file_of_another_kind_is_no_tfrecord():
    with pytest.raises(DatasetError, match=r"record 0 at byte 0: .*no TFRecord file"):
        list(read_records(io.BytesIO(b"%PDF-1.4 and more bytes than a header"), "s"))


def example(**features):
    return Example(TFRecordWriter.serialize_tf_example(features))


@pytest.mark.parametrize(
    ("ask", "key", "why"),
    [
        (lambda e: e.ints("b"), "b", "is missing; the record has a"),
        (lambda e: e.floats("a"), "a", "is a int64_list; a float_list is needed"),
        (lambda e: e.strings("a"), "a", "is a int64_list; a bytes_list is needed"),
        (lambda e: e.ints("a", 3), "a", "has 2 values; 3 are needed"),
        (lambda e: e.integer("a"), "a", "has 2 values; 1 are needed"),
    ],
)
def test_a_key_that_is_missing_or_of_another_kind_is_named(ask, key, why):
    with pytest.raises(BadValue) as caught:
        ask(example(a=([1, 2], "int")))
    assert (caught.value.key, caught.value.why) == (key, why)


def test_asking_for_a_missing_key_does_not_make_it():
    found = example(a=([1], "int"))
    for _ in range(2):
        with pytest.raises(BadValue, match="is missing"):
            found.ints("b")


def test_bytes_that_are_no_example_are_said_to_be_none():
    with pytest.raises(BadValue, match=r"3 bytes are no tf\.train\.Example"):
        Example(b"\xff\xff\xff")
