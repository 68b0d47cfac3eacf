"""One owner at a time, and names that stay inside the root."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places_of_tests import anywhere

from sweep.errors import LockedError, SweepError, UsageError
from sweep.store import Store, SweepStore

OWN = """
import sys, time
from sweep.store import Store
with Store(sys.argv[1]).create("demo").lock():
    print("mine", flush=True)
    time.sleep(60)
"""

SECOND = """
import sys
from sweep.errors import LockedError
from sweep.store import Store
try:
    with Store(sys.argv[1]).create("demo").lock():
        print("mine")
except LockedError as error:
    print(error)
"""


def start_owner(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", OWN, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "mine\n"
    return process


def second_try(root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SECOND, str(root)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_second_owner_is_refused_with_host_process_and_since_when(tmp_path: Path) -> None:
    store = Store(tmp_path)
    owner = start_owner(tmp_path)
    try:
        told = second_try(tmp_path)
        assert "sweep 'demo' is owned by" in told
        assert f"process {owner.pid} on host {socket.gethostname()} since 20" in told
        assert "another --name" in told
        about = store.sweep("demo").owner()
        assert about
        assert (about["pid"], about["host"]) == (owner.pid, socket.gethostname())
        assert abs(about["since"] - time.time()) < 60
        with pytest.raises(LockedError), store.sweep("demo").lock():
            pass
    finally:
        owner.kill()
        owner.communicate()
    assert second_try(tmp_path) == "mine\n", "the lock goes with a killed owner"
    assert store.sweep("demo").owner() is None


@anywhere
def test_the_lock_is_free_again_after_the_block(sweep: SweepStore) -> None:
    with sweep.lock():
        assert sweep.owner() is not None
    assert sweep.owner() is None
    with sweep.lock():
        pass


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom sweep.store import Store\n"
        "with Store(sys.argv[1]).create('demo').lock():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n        time.sleep(30)\n        os._exit(0)\n"
        "    print(child, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        os.kill(child, 0)
        assert second_try(tmp_path) == "mine\n"
    finally:
        os.kill(child, 9)
        parent.communicate()


EVIL = [
    "..",
    ".",
    "",
    "/etc",
    "../x",
    "a/b",
    "a\\b/..",
    ".hidden",
    "a\n",
    "a b",
    "Ä",
    "A",
    "x" * 65,
    "a\0",
    "~",
    "-a",
]


@pytest.mark.parametrize("name", EVIL)
def test_sweep_names_cannot_leave_the_root(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "root")
    for use in (store.sweep, store.create, store.trials, store.metrics, store.spectra):
        with pytest.raises(
            UsageError, match=re.escape(f"sweep name {name!r}: it must be 1 to 64 of")
        ) as caught:
            use(name)
        assert caught.value.exit_code == 2
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("pack", ["..", "../p", "a/b", "", ".p", "p\n", "x" * 129])
def test_pack_ids_cannot_leave_the_sweep(sweep: SweepStore, pack: str) -> None:
    before = sorted(sweep.layout.folder.rglob("*"))
    for use in (
        lambda: sweep.start_attempt(pack, {"resume_step": -1}),
        lambda: sweep.attempts(pack),
        lambda: sweep.fail_pack(pack, 0, {"reason": "x"}),
        lambda: sweep.last_step(pack),
        lambda: sweep.write_plan({"packs": {pack: {"trials": ["t"]}}}),
    ):
        with pytest.raises(UsageError, match="pack id"):
            use()
    assert sorted(sweep.layout.folder.rglob("*")) == before


@anywhere
def test_a_sweep_that_is_not_there_is_said_with_those_that_are(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no sweep 'demo' under .*; there are: none yet"):
        store.metrics("demo")
    store.create("other")
    with pytest.raises(UsageError, match="there are: other"):
        store.sweep("demo")
    assert store.sweeps() == ["other"]


@pytest.mark.parametrize("root", ["abfs://container/z", "http://host/x", "s3://", "gs:///"])
def test_addresses_of_other_stores_are_refused_with_those_that_are_allowed(root: str) -> None:
    with pytest.raises(
        UsageError, match=rf"root '{root}': it must be a folder, a mounted one, or one of s3://bucket/folder"
    ):
        Store(root)


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        SweepError, match=r"cannot make the folder: Not a directory. Check the folder's owner"
    ):
        Store(tmp_path / "file").create("demo")
