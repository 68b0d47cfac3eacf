"""Sources: local folders, web servers with mishaps, S3 (moto), Cloud Storage (an emulator); all on loopback."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from file_servers import Mishaps, closed_port, guarded, served

from agents.data import remote_files, remote_stream
from agents.data.importers.checksums import parse_checksums, read_checksums
from agents.data.importers.source import Shard, Source
from agents.errors import DatasetError

BLOCK = 64 * 1024
BIG = np.random.default_rng(7).bytes(5 * BLOCK + 123)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stream, "BLOCK", BLOCK)
    monkeypatch.setattr(remote_files, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(remote_files, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files named as shards are, one of them in a folder below and one larger than what is read at once."""
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    for number in (1, 2, 10):
        (folder / f"run-{number}-of-10").write_bytes(f"shard {number}".encode() * 100)
    (folder / "below" / "run-3-of-10").write_bytes(b"three")
    (folder / "big.bin").write_bytes(BIG)
    return folder


@pytest.fixture
def web(folder: Path) -> Iterator[tuple[str, Mishaps]]:
    with served(folder) as (url, mishaps):
        yield url, mishaps


def source(url: str, cache: Path, **checksums: str) -> Source:
    return Source(url, cache=cache / "cache", checksums=checksums)


def error(call: object, *arguments: object) -> str:
    with pytest.raises(DatasetError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def starts(mishaps: Mishaps) -> list[int]:
    """Where the parts of big.bin begin that were asked for."""
    asked = [part for _, path, part in mishaps.asked if path == "/big.bin" and part]
    return [int(part.removeprefix("bytes=").split("-")[0]) for part in asked]


# local


def test_names_are_sorted_with_numbers_as_numbers_and_matched_by_glob(folder: Path, tmp_path: Path) -> None:
    for url in (str(folder), f"file://{folder}"):
        local = source(url, tmp_path)
        names = [shard.name for shard in local.list("run-*")]
        assert names == ["below/run-3-of-10", "run-1-of-10", "run-2-of-10", "run-10-of-10"]
        assert [shard.name for shard in local.list("below/*")] == ["below/run-3-of-10"]
        assert local.list("*.tfrecord") == []
        assert local.list("big*") == [Shard("big.bin", len(BIG))]
    (one,) = source(str(folder / "big.bin"), tmp_path).list("*")
    assert one == Shard("big.bin", len(BIG))


def test_local_files_are_streamed_and_stay_where_they_are(folder: Path, tmp_path: Path) -> None:
    local = source(str(folder), tmp_path)
    (shard,) = local.list("big.bin")
    with local.open(shard) as stream:
        assert stream.read(10) + stream.read() == BIG
    assert local.localise(shard) == folder / "big.bin"
    assert not (tmp_path / "cache").exists()
    assert local.verified == {"big.bin": "its size only"}


def test_checksums_beside_the_data_are_compared(folder: Path, tmp_path: Path) -> None:
    ran = subprocess.run(["sha256sum", "big.bin", "run-1-of-10"], cwd=folder, capture_output=True, check=True)
    (folder / "SHA256SUMS").write_bytes(ran.stdout)
    local = source(str(folder), tmp_path)
    (shard,) = local.list("big.bin")
    assert shard.sha256 == sha(BIG)
    assert local.open(shard).read() == BIG
    assert local.verified == {"big.bin": "SHA-256 from SHA256SUMS"}
    (folder / "big.bin").write_bytes(b"!" + BIG[1:])
    for reading in (lambda: local.open(shard).read(), lambda: source(str(folder), tmp_path).localise(shard)):
        said = error(reading)
        assert sha(BIG) in said
        assert str(folder / "big.bin") in said


def test_a_file_that_lost_its_end_is_no_short_stream(folder: Path, tmp_path: Path) -> None:
    local = source(str(folder), tmp_path)
    (shard,) = local.list("big.bin")
    os.truncate(folder / "big.bin", 1000)
    said = error(lambda: local.open(shard).read())
    assert f"ended after 1,000 bytes, it should have {len(BIG):,}" in said


def test_a_source_that_is_not_there_or_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in error(source, str(tmp_path / "nowhere"), tmp_path)
    said = error(source, "ftp://example.org/data", tmp_path)
    assert "ftp:// is not known" in said
    assert "gs://, s3://, https://" in said


def test_checksum_files_are_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    one, other = sha(b"1"), sha(b"2")
    text = f"# sums\n\n{one}  a/b.bin\n{other.upper()} *./c d.bin\n"
    assert parse_checksums(text, "here") == {"a/b.bin": one, "c d.bin": other}
    assert "here, line 2: 'abc  name' is not a SHA-256" in error(
        parse_checksums, f"{one}  x\nabc  name", "here"
    )
    assert str(tmp_path / "sums") in error(read_checksums, tmp_path / "sums")


# a web server


def test_an_index_page_lists_files_and_folders_below(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    remote = source(web[0] + "/", tmp_path)
    names = [shard.name for shard in remote.list("run-*")]
    assert names == ["below/run-3-of-10", "run-1-of-10", "run-2-of-10", "run-10-of-10"]
    assert remote.open(remote.list("run-2-*")[0]).read() == b"shard 2" * 100


def test_a_single_address_is_a_source_of_one_file(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    remote = source(f"{web[0]}/big.bin?token=1", tmp_path)
    (shard,) = remote.list("*.bin")
    assert shard.name == "big.bin"
    assert remote.open(shard).read() == BIG


def test_a_gzipped_file_is_given_as_it_is_stored(
    web: tuple[str, Mishaps], folder: Path, tmp_path: Path
) -> None:
    content = gzip.compress(BIG)
    (folder / "big.npy.gz").write_bytes(content)
    remote = source(f"{web[0]}/big.npy.gz", tmp_path)
    assert remote.open(remote.list("*")[0]).read() == content


def test_checksums_name_the_files_of_a_server_that_lists_nothing(
    web: tuple[str, Mishaps], folder: Path, tmp_path: Path
) -> None:
    (folder / "index.html").write_text("<html>no list</html>")
    assert "holds no file" in error(lambda: source(web[0] + "/", tmp_path).list("*"))
    given = {"big.bin": sha(BIG), "below/run-3-of-10": sha(b"three")}
    for url in (web[0], f"{web[0]}/"):
        remote = source(url, tmp_path, **given)
        assert [shard.name for shard in remote.list("*")] == ["below/run-3-of-10", "big.bin"]
    (folder / "SHA256SUMS").write_text(f"{sha(BIG)}  big.bin\n")
    remote = source(web[0] + "/", tmp_path)
    (shard,) = remote.list("*")
    assert remote.open(shard).read() == BIG
    assert remote.verified == {"big.bin": "SHA-256 from SHA256SUMS"}


def test_a_dropped_connection_is_resumed_at_its_block_and_not_from_the_beginning(
    web: tuple[str, Mishaps], tmp_path: Path
) -> None:
    url, mishaps = web
    mishaps.drop_after, mishaps.drops, mishaps.busy = BLOCK // 2, 3, 2
    remote = source(f"{url}/big.bin", tmp_path)
    assert remote.open(remote.list("*")[0]).read() == BIG
    assert mishaps.drops == 0
    assert mishaps.busy == 0
    blocks = [start for start in starts(mishaps) if start % BLOCK == 0]
    assert len(blocks) >= 6 + 3
    assert blocks.count(0) <= 3


def test_a_slow_reader_has_few_blocks_ahead(web: tuple[str, Mishaps], folder: Path, tmp_path: Path) -> None:
    (folder / "long.bin").write_bytes(bytes(40 * BLOCK))
    remote = source(f"{web[0]}/long.bin", tmp_path)
    stream = remote.open(remote.list("*")[0])
    assert stream.read(1) == b"\0"
    time.sleep(0.3)
    asked = {part for _, path, part in web[1].asked if path == "/long.bin" and part not in ("", "bytes=1-1")}
    # A buffer of 1 MiB is 16 of these blocks; three more may be under way.
    assert len(asked) <= 16 + 3 + 1
    stream.close()


def test_a_server_without_ranges_is_read_and_skipped_to_where_it_broke(
    web: tuple[str, Mishaps], tmp_path: Path
) -> None:
    url, mishaps = web
    mishaps.ranges, mishaps.drop_after, mishaps.drops = False, 3 * BLOCK, 2
    remote = source(f"{url}/big.bin", tmp_path)
    assert remote.open(remote.list("*")[0]).read() == BIG
    assert remote.localise(remote.list("*")[0]).read_bytes() == BIG


def test_a_server_that_keeps_dropping_is_an_error_with_address_and_byte(
    web: tuple[str, Mishaps], tmp_path: Path
) -> None:
    url, mishaps = web
    remote = source(f"{url}/big.bin", tmp_path)
    (shard,) = remote.list("*")
    stream = remote.open(shard)
    first = stream.read(10)
    mishaps.drop_after, mishaps.drops = 10, 10**6
    said = error(lambda: stream.read())
    assert first == BIG[:10]
    assert f"{url}/big.bin at byte " in said
    assert "cannot be reached" in said
    asked = [int(place.replace(",", "")) for place in [said.split(" at byte ")[1].split(" ")[0]]]
    assert asked[0] % BLOCK == 0
    assert asked[0] > 0


def test_a_download_is_kept_once_and_reported(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    url, mishaps = web
    told: list[tuple[int, int | None]] = []
    remote = source(url + "/", tmp_path, **{"big.bin": sha(BIG)})
    path = remote.localise(remote.list("*")[0], lambda done, total: told.append((done, total)))
    assert path.read_bytes() == BIG
    assert tmp_path / "cache" / "downloads" in path.parents
    assert told[-1] == (len(BIG), len(BIG))
    assert remote.verified == {"big.bin": "SHA-256 from the checksums given"}
    bodies = mishaps.count("/big.bin")
    again = source(url + "/", tmp_path, **{"big.bin": sha(BIG)})
    assert again.localise(again.list("*")[0]) == path
    assert mishaps.count("/big.bin") == bodies, "nothing is fetched twice"


def test_a_download_of_other_bytes_is_refused_and_deleted(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    remote = source(web[0] + "/", tmp_path, **{"big.bin": sha(b"other")})
    said = error(lambda: remote.localise(remote.list("*")[0]))
    assert sha(BIG) in said
    assert sha(b"other") in said
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".part"]


def test_a_file_that_changed_on_its_server_is_fetched_again(
    web: tuple[str, Mishaps], folder: Path, tmp_path: Path
) -> None:
    def fetched() -> bytes:
        remote = source(f"{web[0]}/run-1-of-10", tmp_path)
        return remote.localise(remote.list("*")[0]).read_bytes()

    assert fetched() == b"shard 1" * 100
    (folder / "run-1-of-10").write_bytes(b"SHARD 1" * 100)
    assert fetched() == b"SHARD 1" * 100


FETCH = """
import sys
from pathlib import Path
from agents.data import remote_stream
remote_stream.BLOCK = int(sys.argv[3])
from agents.data.importers.source import Source
source = Source(sys.argv[1], cache=Path(sys.argv[2]))
print(source.localise(source.list("*")[0]))
"""


def fetching(url: str, cache: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", FETCH, url, str(cache), str(BLOCK)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_goes_on_where_it_was(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    url, mishaps = web
    cache = tmp_path / "cache"
    mishaps.pace = lambda: time.sleep(0.4)
    first = fetching(f"{url}/big.bin", cache)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in cache.rglob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (part,) = cache.rglob("*.part")
    had = part.stat().st_size
    assert 0 < had < len(BIG), "killed in the middle"
    mishaps.pace = lambda: None
    time.sleep(0.5)
    mishaps.asked.clear()
    remote = Source(f"{url}/big.bin", cache=cache)
    assert remote.localise(remote.list("*")[0]).read_bytes() == BIG
    assert min(start for start in starts(mishaps) if start != 1) == had, (
        "what was there is not asked for again"
    )


@pytest.mark.parametrize(("status", "words"), [(403, "refused"), (401, "refused"), (404, "does not exist")])
def test_what_a_web_server_refuses_is_told(
    web: tuple[str, Mishaps], tmp_path: Path, status: int, words: str
) -> None:
    web[1].refuse = status
    said = error(source, f"{web[0]}/big.bin", tmp_path)
    assert words in said
    assert str(status) in said
    assert f"{web[0]}/big.bin" in said


def test_a_host_that_does_not_answer_is_told(tmp_path: Path) -> None:
    said = error(source, f"http://127.0.0.1:{closed_port()}/data.bin", tmp_path)
    assert "cannot be reached" in said
    assert "network" in said


def test_names_that_would_leave_the_folder_are_refused(web: tuple[str, Mishaps], tmp_path: Path) -> None:
    remote = source(web[0] + "/", tmp_path, **{"../up.bin": sha(b"")})
    assert "outside its folder" in error(remote.list, "*")


@pytest.mark.parametrize(
    ("url", "client"), [("gs://b/x", "gcsfs"), ("s3://b/x", "s3fs"), ("https://h/x", "aiohttp")]
)
def test_a_missing_client_gives_the_command_that_installs_it(
    url: str, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    said = error(source, url, tmp_path)
    assert f"pip install '{client}>=" in said
    assert "rankscope[remote]" in said


# S3, through moto


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client(
        "s3", endpoint_url=s3_server, aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    client.create_bucket(Bucket="open", ACL="public-read")
    for name, content in (("d/run-10", b"ten"), ("d/run-2", b"two"), ("d/big.bin", BIG)):
        client.put_object(Bucket="open", Key=name, Body=content, ACL="public-read")
    client.create_bucket(Bucket="closed")
    client.put_object(Bucket="closed", Key="d/run-1", Body=b"secret")
    return client


def test_a_public_bucket_of_s3_is_read_without_credentials(s3: object, tmp_path: Path) -> None:
    remote = source("s3://open/d", tmp_path)
    assert [shard.name for shard in remote.list("run-*")] == ["run-2", "run-10"]
    (shard,) = remote.list("big.bin")
    assert shard.size == len(BIG)
    assert remote.open(shard).read() == BIG
    assert remote.verified == {"big.bin": "MD5 from the server of s3://"}
    assert remote.localise(shard).read_bytes() == BIG
    single = source("s3://open/d/run-2", tmp_path)
    assert single.open(single.list("*")[0]).read() == b"two"


def test_an_object_put_up_in_parts_has_no_sum_and_that_is_said(s3: object, tmp_path: Path) -> None:
    begun = s3.create_multipart_upload(Bucket="open", Key="p/parts", ACL="public-read")  # type: ignore[attr-defined]
    common = {"Bucket": "open", "Key": "p/parts", "UploadId": begun["UploadId"]}
    body = b"x" * (5 * 2**20)
    parts = []
    for number, piece in ((1, body), (2, b"end")):
        made = s3.upload_part(**common, PartNumber=number, Body=piece)  # type: ignore[attr-defined]
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    s3.complete_multipart_upload(**common, MultipartUpload={"Parts": parts})  # type: ignore[attr-defined]
    remote = source("s3://open/p", tmp_path)
    assert remote.open(remote.list("*")[0]).read() == body + b"end"
    assert remote.verified == {"parts": "its size only"}


def test_a_closed_bucket_of_s3_asks_for_credentials_and_takes_them(
    s3: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = error(source, "s3://closed/d/run-1", tmp_path)
    assert "refused" in said
    assert "AWS_ACCESS_KEY_ID" in said
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    remote = source("s3://closed/d/run-1", tmp_path)
    assert remote.open(remote.list("*")[0]).read() == b"secret"


def test_a_bucket_or_key_that_is_not_there_is_told(s3: object, tmp_path: Path) -> None:
    assert "s3://no-such-bucket/d does not exist" in error(source, "s3://no-such-bucket/d", tmp_path)
    assert "s3://open/nothing does not exist" in error(source, "s3://open/nothing", tmp_path)


def test_an_s3_that_does_not_answer_is_told(
    s3: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port()}")
    assert "s3://open/d cannot be reached" in error(source, "s3://open/d", tmp_path)


# Cloud Storage, through gcp-storage-emulator


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    from gcp_storage_emulator.server import create_server
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    port = closed_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    client = storage.Client(credentials=AnonymousCredentials(), project="test")
    bucket = client.create_bucket("rl")
    for name, content in (("a/run-10", b"ten"), ("a/run-2", b"two"), ("a/big.bin", BIG)):
        bucket.blob(name).upload_from_string(content)
    yield bucket
    server.stop()


def test_a_public_bucket_of_cloud_storage_is_read_without_credentials(gs: object, tmp_path: Path) -> None:
    remote = source("gs://rl/a", tmp_path)
    assert [shard.name for shard in remote.list("run-*")] == ["run-2", "run-10"]
    (shard,) = remote.list("big.bin")
    assert shard.size == len(BIG)
    assert remote.open(shard).read() == BIG
    assert remote.verified == {"big.bin": "CRC-32C from the server of gs://"}
    assert remote.localise(shard).read_bytes() == BIG


def test_a_cloud_storage_address_that_is_not_there_is_told(gs: object, tmp_path: Path) -> None:
    assert "gs://rl/b does not exist" in error(source, "gs://rl/b", tmp_path)
    assert "gs://other/a does not exist" in error(source, "gs://other/a", tmp_path)


def test_a_closed_bucket_of_cloud_storage_takes_the_users_credentials(
    gs: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with guarded(os.environ["STORAGE_EMULATOR_HOST"]) as url:
        account = {
            "type": "service_account",
            "project_id": "test",
            "private_key": key.decode(),
            "client_email": "reader@test.example",
            "token_uri": f"{url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        remote = source("gs://rl/a", tmp_path)
        (shard,) = remote.list("big.bin")
        assert remote.open(shard).read() == BIG


@pytest.mark.parametrize("status", [401, 403])
def test_the_shut_bucket_of_dqn_replay_is_told_with_where_else_the_data_are(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "_has_credentials", lambda scheme: False)
    with served(tmp_path) as (url, mishaps):
        mishaps.refuse = status
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        said = error(source, "gs://atari-replay-datasets/dqn/Pong", tmp_path)
        other = error(source, "gs://somebody-elses/data", tmp_path)
    assert f"HTTP {status}" in said
    assert "gs://rl_unplugged/atari" in said
    assert "gcloud auth application-default login" in other
