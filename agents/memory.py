"""Memory of a process that trains: how much it has used at most, its limit on a card, and running out of it."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

__all__ = ["OUT_OF_MEMORY", "PeakMemory", "is_out_of_memory", "limit_card", "release"]

OUT_OF_MEMORY = (
    "out of memory",  # CUDA's allocator and its driver
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What PyTorch's errors say where memory could not be had; only some of them have a class of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from or in the wake of, says that memory could not be had."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (torch.OutOfMemoryError, MemoryError)):
            return True
        if isinstance(seen, RuntimeError) and any(words in str(seen) for words in OUT_OF_MEMORY):
            return True
        # A graph that was being recorded when memory ran out complains of its own.
        seen = seen.__cause__ or seen.__context__
    return False


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more, so that the next to ask finds it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def limit_card(share: float, context_bytes: float, device: torch.device) -> float:
    """Let this process have ``share`` of the card, its CUDA context included; returns the bytes left to tensors.

    PyTorch's allocator refuses what would exceed them (torch.OutOfMemoryError), so that a neighbour on the card does
    not run out in its stead. The context, which the allocator does not see, is taken off first.
    """
    total = float(torch.cuda.get_device_properties(device).total_memory)
    left = tensor_share(share, context_bytes, total)
    torch.cuda.set_per_process_memory_fraction(left, device)
    return left * total


def tensor_share(share: float, context_bytes: float, total_bytes: float) -> float:
    """What is left of ``share`` of a card of ``total_bytes`` once a context is taken off; at least a hundredth."""
    return min(1.0, max(share - context_bytes / total_bytes, 0.01))


class PeakMemory:
    """The most bytes that this process has held at once since ``begin``, beyond what it held then.

    On a card what PyTorch's allocator has reserved (what it hands out and what it keeps for later); on a CPU the
    resident memory, as Linux counts it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._before = 0

    def begin(self) -> None:
        """Forget what was held before."""
        release(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_reserved(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
            self._before = _status_bytes("VmRSS")

    def bytes(self) -> int:
        """Of the most that was held since then."""
        on_card = self.device.type == "cuda"
        peak = torch.cuda.max_memory_reserved(self.device) if on_card else _status_bytes("VmHWM")
        return max(0, peak - self._before)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: the peak of memory is counted on Linux alone.")
