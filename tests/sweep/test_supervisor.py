"""What watches a run: its budget by its own clock, requests to stop, and packs that do not get on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_sweeps import begin, study

from sweep.budget import Budget
from sweep.pack_progress import progress_path, write_progress
from sweep.pack_report import Report
from sweep.plan import PackSpec
from sweep.store import SweepStore
from sweep.supervisor import Supervisor
from sweep.tune_watch import EndOfRun


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def planned(tiny_root: Path) -> tuple[SweepStore, PackSpec]:
    store, (pack,) = begin(tiny_root, study())
    return store, pack


def terminate_me() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)


def on_a_card(pack: PackSpec, gpus: float) -> PackSpec:
    return pack.model_copy(update={"gpus": gpus})


def progress(store: SweepStore, pack: PackSpec, step: int) -> None:
    write_progress(
        store,
        Report(
            pack_id=pack.pack_id,
            attempt=0,
            step=step,
            train_steps=60,
            members=2,
            active=2,
            steps_per_second=1.0,
            compiled=False,
            return_mean=float("nan"),
            evaluated=False,
        ),
    )


def test_hours_are_counted_from_its_start_and_become_a_request_in_the_store(
    planned: tuple[SweepStore, PackSpec],
) -> None:
    store, _ = planned
    clock = Clock()
    supervisor = Supervisor(store, Budget(max_hours=1), 1800, print, clock=clock)
    clock.now += 3599
    supervisor.tick()
    assert (supervisor.stopping, store.stop_request()) == (False, None)
    clock.now += 1
    supervisor.tick()
    assert supervisor.reason == "--max-hours 1 is used up"
    assert (store.stop_request() or {})["reason"] == supervisor.reason


def test_hours_of_cards_are_the_shares_that_processes_hold_over_all_runs(
    planned: tuple[SweepStore, PackSpec],
) -> None:
    store, pack = planned
    clock = Clock()
    supervisor = Supervisor(store, Budget(max_gpu_hours=1.5), 1800, print, clock=clock)
    clock.now += 3600
    supervisor.tick()
    assert supervisor.gpu_hours == 0.0, "nothing held a card"
    supervisor.began(on_a_card(pack, 0.25))
    clock.now += 2 * 3600
    supervisor.tick()
    supervisor.ended(pack.pack_id)
    clock.now += 3600
    supervisor.tick()
    assert supervisor.gpu_hours == pytest.approx(0.5)
    assert (store.spent() or {})["gpu_hours"] == pytest.approx(0.5)

    again = Supervisor(store, Budget(max_gpu_hours=1.5), 1800, print, clock=clock)
    again.began(on_a_card(pack, 1.0))
    clock.now += 3600
    again.tick()
    assert again.reason == "--max-gpu-hours 1.5 is used up (1.50 GPU-hours, all runs of this sweep together)"


def test_a_request_of_another_process_is_seen_and_the_first_reason_stays(
    planned: tuple[SweepStore, PackSpec],
) -> None:
    store, _ = planned
    clock = Clock()
    supervisor = Supervisor(store, Budget(max_hours=1), 1800, print, clock=clock)
    store.request_stop("sweep stop")
    clock.now += 6
    supervisor.tick()
    assert supervisor.reason == "sweep stop"
    clock.now += 7200
    supervisor.tick()
    assert supervisor.reason == "sweep stop"


def test_a_run_whose_sweep_another_process_has_ends_at_once_and_asks_nothing_of_its_packs(
    planned: tuple[SweepStore, PackSpec],
) -> None:
    store, pack = planned
    clock, lost = Clock(), threading.Event()
    supervisor = Supervisor(store, Budget(max_hours=1), 1800, print, lost, clock)
    supervisor.began(on_a_card(pack, 1.0))
    lost.set()
    clock.now += 7200
    supervisor.tick()
    assert "another process runs this sweep now" in (supervisor.reason or "")
    assert supervisor.out_of_patience
    assert (store.stop_request(), store.spent()) == (None, None)


def test_a_limit_that_is_reached_as_the_run_ends_leaves_no_request_behind(
    planned: tuple[SweepStore, PackSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.supervisor._TICK_SECONDS", 600.0)
    store, pack = planned
    clock = Clock()
    with Supervisor(store, Budget(max_hours=1), 1800, print, clock=clock) as supervisor:
        supervisor.began(on_a_card(pack, 0.5))
        clock.now += 7200
    assert (supervisor.reason, store.stop_request()) == (None, None)
    assert store.spent() == {"gpu_hours": pytest.approx(1.0)}, "but what was held is counted"


def test_packs_get_ten_minutes_to_stop(planned: tuple[SweepStore, PackSpec]) -> None:
    clock = Clock()
    supervisor = Supervisor(planned[0], Budget(), 1800, print, clock=clock)
    supervisor.stop("enough")
    clock.now += 599
    assert not supervisor.out_of_patience
    clock.now += 2
    assert supervisor.out_of_patience


def test_a_stall_is_told_once_and_again_only_after_progress(planned: tuple[SweepStore, PackSpec]) -> None:
    store, pack = planned
    clock, said = Clock(), list[str]()
    supervisor = Supervisor(store, Budget(), 1800, said.append, clock=clock)

    def minutes(count: int) -> None:
        for _ in range(count):
            clock.now += 60
            supervisor.tick()

    with supervisor.training():
        supervisor.began(pack)
        for step in range(1, 41):
            progress(store, pack, step)
            minutes(1)
        assert said == [], "a pack that gets on"
        minutes(28)
        assert said == []
        minutes(40)
        (sentence,) = said
        assert sentence == f"for 30 minutes none of 1 running packs has got on: {pack.pack_id}."
        progress(store, pack, 41)
        minutes(29)
        assert len(said) == 1
        minutes(10)
        assert len(said) == 2


def test_progress_that_cannot_be_read_is_neither_progress_nor_waited_for(
    planned: tuple[SweepStore, PackSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = planned
    clock, said = Clock(), list[str]()
    supervisor = Supervisor(store, Budget(), 600, said.append, clock=clock)
    with supervisor.training():
        supervisor.began(pack)
        progress(store, pack, 1)
        for minute in range(12):
            if minute == 6:
                progress_path(store, pack.pack_id).unlink()
            clock.now += 60
            supervisor.tick()
    assert len(said) == 1, "an absence in between counts as no step"


def test_packs_that_wait_for_machines_are_a_stall_too(planned: tuple[SweepStore, PackSpec]) -> None:
    clock, said = Clock(), list[str]()
    supervisor = Supervisor(planned[0], Budget(), 600, said.append, clock=clock)
    with supervisor.training():
        for _ in range(12):
            clock.now += 60
            supervisor.tick()
    assert said == [
        "for 10 minutes no pack has had a process: they wait for machines. `ray status` on the cluster says what is "
        "asked for and what is there."
    ]


def test_nothing_is_a_stall_while_no_training_is_to_be_seen(planned: tuple[SweepStore, PackSpec]) -> None:
    clock, said = Clock(), list[str]()
    supervisor = Supervisor(planned[0], Budget(), 600, said.append, clock=clock)
    for _ in range(60):
        clock.now += 60
        supervisor.tick()
    assert said == [], "datasets are being made"


def train_and_terminate_twice(supervisor: Supervisor) -> None:
    with supervisor.training():
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while not supervisor.stopping and time.monotonic() < deadline:
            time.sleep(0.05)
        assert supervisor.reason == "SIGTERM: the system asked the driver to end"
        assert supervisor.has_to_hurry()
        with pytest.raises(KeyboardInterrupt):
            terminate_me()
        # Swallowed here, as somewhere in Tune it may be, it is raised once more at the end of the block.


def test_the_first_sigterm_asks_and_the_second_interrupts(planned: tuple[SweepStore, PackSpec]) -> None:
    store, _ = planned
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor(store, Budget(), 1800, print) as supervisor, supervisor.minding_signals():
        with pytest.raises(KeyboardInterrupt):
            train_and_terminate_twice(supervisor)
        with pytest.raises(KeyboardInterrupt):
            terminate_me()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_ctrl_c_that_is_swallowed_on_its_way_ends_the_run_all_the_same(
    planned: tuple[SweepStore, PackSpec],
) -> None:
    store, pack = planned
    swallowed: list[object] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hook, sys.unraisablehook = sys.unraisablehook, lambda about: swallowed.append(about.exc_type)
    try:
        with Supervisor(store, Budget(), 1800, print) as supervisor, supervisor.minding_signals():
            with pytest.raises(KeyboardInterrupt):
                train_and_lose_a_ctrl_c(supervisor, pack)
            assert swallowed == [KeyboardInterrupt]
        assert not supervisor.stopping, "nobody asked the packs in the store: the same command goes on"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


def train_and_lose_a_ctrl_c(supervisor: Supervisor, pack: PackSpec) -> None:
    class Destroyed:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # here it is raised, and goes no further

    end = EndOfRun(supervisor)
    with supervisor.training():
        supervisor.began(pack)
        assert not end.stop_all()
        Destroyed()
        assert end.stop_all(), "a pack that runs is not waited for"


def test_a_ctrl_c_that_is_ignored_stays_ignored(planned: tuple[SweepStore, PackSpec]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Supervisor(planned[0], Budget(), 1800, print) as supervisor, supervisor.minding_signals():
            os.kill(os.getpid(), signal.SIGINT)
            assert not supervisor.interrupted
    finally:
        signal.signal(signal.SIGINT, before)
