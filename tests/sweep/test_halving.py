"""A pack that runs out of memory: it goes on with half as many members at once, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_sweeps import begin, root_with, rows, study, train_all

from agents.pack import Pack
from sweep.halving import OutOfMemoryError, train_within_memory
from sweep.outage import WAIT_SECONDS
from sweep.pack_loop import train_pack
from sweep.plan import PackSpec
from sweep.store import SweepStore, faults

FOUR = study({"name": "rates", "axes": {"learning_rate": {"values": [1e-4, 1e-3, 3e-3, 1e-2]}}})


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Updates of more than `fit` members ask, from step `since` on, for more memory than any machine has."""

    def short(fit: int, since: int = 0) -> None:
        update = Pack._update_group

        def with_an_allocation(pack: Pack, work: Any) -> None:
            if pack.members_at_once > fit and pack.step >= since:
                try:
                    torch.empty(2**46, dtype=torch.float32)
                except RuntimeError as error:
                    # What the same costs on a card.
                    raise torch.OutOfMemoryError(str(error)) from error
            update(pack, work)

        monkeypatch.setattr(Pack, "_update_group", with_an_allocation)

    return short


def train(store: SweepStore, pack: PackSpec, root: Path) -> dict[str, Any]:
    return train_within_memory(
        pack, store, "cpu", lambda within, more: train_pack(within, store, root, "cpu", more)
    )


def halvings(store: SweepStore, pack: PackSpec) -> list[tuple[int | None, int]]:
    return [(one["members_at_once"], one["resume_step"]) for one in store.attempts(pack.pack_id)]


def test_it_goes_on_from_its_last_checkpoint_with_half_as_many_members(
    dataset_root: Path, tmp_path: Path, short_of_memory: Any
) -> None:
    whole = rows(train_all(root_with(dataset_root, tmp_path / "whole"), FOUR))
    root = root_with(dataset_root, tmp_path / "short")
    store, (pack,) = begin(root, FOUR)
    short_of_memory(fit=2, since=45)
    result = train(store, pack, root)
    assert result["steps"] == 60
    # Checkpoints are taken every 20 steps.
    assert halvings(store, pack) == [(None, -1), (2, 40)]
    first, second = store.attempts(pack.pack_id)
    assert first["halved_because"] is None
    assert second["halved_because"].startswith("out of memory with 4 members at once: ")
    pd.testing.assert_frame_equal(rows(store), whole, rtol=1e-4, atol=1e-5)
    assert store.failures() == {}


def test_it_is_halved_again_as_long_as_there_is_something_to_halve(
    tiny_root: Path, short_of_memory: Any
) -> None:
    store, (pack,) = begin(tiny_root, FOUR)
    short_of_memory(fit=1)
    assert train(store, pack, tiny_root)["steps"] == 60
    assert [at_once for at_once, _ in halvings(store, pack)] == [None, 2, 1]


def test_a_pack_that_was_halved_begins_so_when_it_is_tried_again(
    tiny_root: Path, short_of_memory: Any
) -> None:
    store, (pack,) = begin(tiny_root, FOUR)
    short_of_memory(fit=2)

    class Killed(Exception):
        """What ends the first try."""

    def killed(report: Any) -> None:
        if report.evaluated and report.step == 30:
            raise Killed

    with pytest.raises(Killed):
        train_within_memory(
            pack, store, "cpu", lambda within, more: train_pack(within, store, tiny_root, "cpu", more, killed)
        )
    train(store, pack, tiny_root)
    assert [at_once for at_once, _ in halvings(store, pack)] == [None, 2, 2]
    last = store.attempts(pack.pack_id)[-1]
    assert last["halved_because"].startswith("out of memory with 4 members at once")


def test_where_not_one_member_fits_it_is_said_what_to_change(tiny_root: Path, short_of_memory: Any) -> None:
    store, (pack,) = begin(tiny_root, FOUR)
    short_of_memory(fit=0)
    with pytest.raises(
        OutOfMemoryError,
        match=r"with one member at a time: network mlp with batch_size 32 on dataset random-catch does not fit into "
        r"this machine's memory \(.*can't allocate memory.*\)\. Take a smaller batch_size",
    ):
        train(store, pack, tiny_root)
    with pytest.raises(OutOfMemoryError, match=r"does not fit into a share of 0\.25 of a card"):
        train(store, pack.model_copy(update={"gpus": 0.25}), tiny_root)


def test_what_a_pack_was_halved_to_is_waited_for_where_the_store_is_away(
    tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (pack,) = begin(tiny_root, study())
    patient: list[float] = []
    monkeypatch.setattr(SweepStore, "attempts", lambda *_: patient.append(faults._patience.get()) or [])
    train_within_memory(pack, store, "cpu", lambda spec, about: {})
    assert patient == [WAIT_SECONDS]


def test_other_errors_are_not_answered_by_halving(tiny_root: Path) -> None:
    store, (pack,) = begin(tiny_root, FOUR)

    def wrong(within: PackSpec, more: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        train_within_memory(pack, store, "cpu", wrong)


LIMITED = """
import json, resource, sys
from pathlib import Path

root, room = Path(sys.argv[1]), int(sys.argv[2])
import torch
torch.set_num_threads(1)
from tiny_sweeps import begin, study
from sweep.halving import train_within_memory
from sweep.pack_loop import train_pack

rates = {"name": "rates", "axes": {"learning_rate": {"low": 1e-4, "high": 1e-2, "num": 8}}}
base = {"dataset": "random-catch", "train_steps": 2, "hidden_sizes": [1024], "batch_size": 2048}
protocol = {"log_every": 2, "probe_every": 2, "eval_every": 2, "eval_episodes": 1, "probe_batch_size": 8}
store, (pack,) = begin(root, study(rates, base=base, protocol=protocol))

def data_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))

limit = data_bytes() + room
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
result = train_within_memory(
    pack, store, "cpu", lambda within, more: train_pack(within, store, root, "cpu", more)
)
print(json.dumps({"steps": result["steps"], "attempts": store.attempts(pack.pack_id)}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process's memory are Linux's")
def test_a_process_that_may_not_have_the_memory_of_all_members_trains_them_in_groups(tiny_root: Path) -> None:
    # An update of 8 members takes 290 MiB, of 4 members 110 MiB.
    command = [sys.executable, "-c", LIMITED, str(tiny_root), str(240 * 2**20)]
    here = Path(__file__).parent
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{here}:{here.parent.parent}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["steps"] == 2
    first, *_, last = said["attempts"]
    assert first["members_at_once"] is None
    assert last["members_at_once"] in (4, 2, 1)
    assert "DefaultCPUAllocator: can't allocate memory" in last["halved_because"]
