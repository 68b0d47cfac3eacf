"""Work done ahead of time: its order, its bound, its errors; and pages that are in memory when they are wanted."""

import ctypes
import mmap
import os
import threading
import time

import numpy as np
import psutil
import pytest

from agents.data.paging import FrameFile, page_budget
from agents.prefetch import Lookahead

F = 400


def test_steps_come_in_order_and_are_prepared_in_another_thread():
    threads = set()

    def prepare(step):
        threads.add(threading.get_ident())
        return step * step

    assert list(Lookahead(3).run(prepare, 10)) == [step * step for step in range(10)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_no_more_than_depth_steps_are_prepared_before_one_is_asked_for():
    begun = []
    steps = Lookahead(2).run(begun.append, 10)
    next(steps)
    time.sleep(0.05)
    assert begun == [0, 1, 2]
    next(steps)
    time.sleep(0.05)
    assert begun == [0, 1, 2, 3]
    steps.close()


def test_the_next_step_is_prepared_while_one_is_used():
    second = threading.Event()
    steps = Lookahead(1).run(lambda step: second.set() if step == 1 else None, 2)
    next(steps)
    assert second.wait(5)


def test_an_error_is_raised_at_its_own_step():
    def prepare(step):
        if step == 2:
            raise IndexError("step 2")
        return step

    steps = Lookahead(3).run(prepare, 5)
    assert [next(steps), next(steps)] == [0, 1]
    with pytest.raises(IndexError, match="step 2"):
        next(steps)


def test_whoever_stops_early_finds_nothing_still_running():
    running = threading.Event()
    finished = []

    def prepare(step):
        if step:
            running.set()
            time.sleep(0.1)
        finished.append(step)

    steps = Lookahead(3).run(prepare, 10)
    next(steps)
    assert running.wait(5)
    steps.close()
    count = len(finished)
    time.sleep(0.15)
    assert len(finished) == count <= 3


@pytest.fixture
def frames(tmp_path):
    """A file of 400 rows of two pages each, none of which is in memory."""
    path = tmp_path / "frames.npy"
    np.save(path, np.arange(F * 8192, dtype=np.uint32).view(np.uint8).reshape(F, 4, 8192))
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    array = np.load(path, mmap_mode="c")
    if in_memory(array, 300):
        pytest.skip("files of the temporary folder cannot be evicted from memory here")
    return array


def in_memory(array, row):
    """Whether the page in the middle of a row lies in the page cache; asking does not bring it there."""
    page = mmap.PAGESIZE
    address = array.ctypes.data + int(row) * array.strides[0] + array.strides[0] // 2
    answer = ctypes.create_string_buffer(1)
    libc = ctypes.CDLL(None, use_errno=True)
    code = libc.mincore(ctypes.c_void_p(address // page * page), ctypes.c_size_t(page), answer)
    assert code == 0, os.strerror(ctypes.get_errno())
    return bool(answer[0][0] & 1)


def wait_for(array, rows):
    """Wait until ``rows`` are in memory, for ten seconds at most; whether they are."""
    until = time.monotonic() + 10
    while not all(in_memory(array, row) for row in rows) and time.monotonic() < until:
        time.sleep(0.01)
    return all(in_memory(array, row) for row in rows)


def test_rows_asked_for_are_read_from_disk_and_others_are_not(frames):
    wanted = np.array([[5, 6, 7], [100, 101, 5]])
    FrameFile(frames, budget=1).read_ahead(wanted)
    assert wait_for(frames, wanted.flat)
    assert not any(in_memory(frames, row) for row in (3, 50, 99, 200, 300, F - 1))


def test_a_long_run_of_rows_is_read_to_its_end(frames):
    rows = np.arange(100, 400)
    FrameFile(frames, budget=1).read_ahead(rows)
    assert wait_for(frames, rows)


def test_what_fits_into_memory_is_left_to_the_system(frames):
    fits = FrameFile(frames)
    assert not fits.exceeds_memory
    fits.read_ahead(np.arange(F))
    time.sleep(0.1)
    assert not any(in_memory(frames, row) for row in range(F))


@pytest.mark.parametrize(("budget", "exceeds"), [(2 * F * 4 * 8192 - 1, True), (2 * F * 4 * 8192, False)])
def test_half_of_the_memory_for_pages_is_the_bound(frames, budget, exceeds):
    assert FrameFile(frames, budget).exceeds_memory is exceeds


def test_arrays_without_a_file_have_nothing_to_read():
    file = FrameFile(np.zeros((4, 4)), budget=1)
    assert not file.exceeds_memory
    file.read_ahead(np.array([1]))


def test_a_frame_file_gives_its_descriptor_back(frames):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        FrameFile(frames, budget=1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_page_budget_is_memory_that_the_machine_has():
    assert 0 < page_budget() <= psutil.virtual_memory().total
