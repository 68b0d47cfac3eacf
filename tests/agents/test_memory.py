"""What running out of memory looks like, what was held at most, and what a share of a card leaves to tensors."""

import numpy as np
import pytest
import torch

from agents.memory import PeakMemory, is_out_of_memory, limit_card, tensor_share

CPU = torch.device("cpu")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def failure_of(run):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        run()
    return caught.value


def test_allocations_that_really_fail_are_recognised():
    # A quarter of the address space of the processor: no machine has it.
    assert is_out_of_memory(failure_of(lambda: torch.empty(2**46, dtype=torch.float32)))
    assert is_out_of_memory(failure_of(lambda: np.empty(2**50, dtype=np.float64)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_what_pytorch_says_on_a_card_is_recognised_through_what_wraps_it(error):
    assert is_out_of_memory(error)
    for link in ("__cause__", "__context__"):
        outer = ValueError("the update failed")
        setattr(outer, link, error)
        assert is_out_of_memory(outer)


@pytest.mark.parametrize(
    "run", [lambda: torch.ones(2) @ torch.ones(3), lambda: torch.empty(-1), lambda: torch.ones(2)[5:].view(7)]
)
def test_other_errors_are_not_taken_for_it(run):
    assert not is_out_of_memory(failure_of(run))


def test_the_peak_counts_what_was_held_in_between_and_given_back():
    size = 200 * 2**20
    peak = PeakMemory(CPU)
    peak.begin()
    assert peak.bytes() < size / 10
    held = torch.zeros(size, dtype=torch.uint8)
    del held
    assert peak.bytes() == pytest.approx(size, rel=0.1)
    peak.begin()
    assert peak.bytes() < size / 10


def test_tensors_have_their_share_of_the_card_without_the_context():
    # 0.25 of 80 GiB is 20; a context of 0.5 leaves 19.5.
    assert tensor_share(0.25, 0.5 * 2**30, 80 * 2**30) == pytest.approx(19.5 / 80)
    assert tensor_share(1.0, 0.0, 80 * 2**30) == 1.0
    assert tensor_share(1 / 16, 10 * 2**30, 80 * 2**30) == 0.01


@on_cuda
def test_a_process_is_refused_more_than_its_share_of_the_card():
    device = torch.device("cuda", 0)
    try:
        allowed = limit_card(1 / 16, 0.0, device)
        held = torch.empty(int(allowed / 2), dtype=torch.uint8, device=device)
        error = failure_of(lambda: torch.empty(int(allowed), dtype=torch.uint8, device=device))
        assert is_out_of_memory(error)
        assert held.is_cuda
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
