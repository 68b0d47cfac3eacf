"""Minibatches prepared in a thread while the step before them trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import torch

Prepared = TypeVar("Prepared")
Buffers = TypeVar("Buffers", bound=tuple[Any, ...])


class Lookahead:
    """Runs what prepares a step in one thread, up to ``depth`` steps before the step is asked for.

    The numbers of coming minibatches are known before, because they are functions of the seed and the step. So
    only the time at which a batch is prepared changes, never what is in it.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")

    def run(self, prepare: Callable[[int], Prepared], count: int) -> Iterator[Prepared]:
        """``prepare(0)`` … ``prepare(count - 1)``, in order; an error is raised where its step is asked for."""
        pending: deque[Future[Prepared]] = deque()
        begun = 0
        try:
            for step in range(count):
                while begun < min(step + self.depth + 1, count):
                    pending.append(self._thread.submit(prepare, begun))
                    begun += 1
                yield pending.popleft().result()
        finally:
            for one in pending:
                one.cancel()
            # What is running writes to buffers that the caller may use again.
            for one in pending:
                if not one.cancelled():
                    one.exception()


class HostGather(Generic[Buffers]):
    """A ring of buffers through which minibatches of a dataset on the host reach the device.

    Filled by a thread, in pinned memory, and copied on a stream of their own, so that copies run beside the
    arithmetic of the steps before. On the CPU the buffers are handed out as they are.
    """

    def __init__(self, room: Callable[[bool], Buffers], device: torch.device, depth: int) -> None:
        """``room(pin_memory)`` makes the buffers of one step, a named tuple of tensors on the host."""
        self.lookahead = Lookahead(depth)
        # One more than are prepared: the one that trains.
        self.slots = [_Slot(room, device) for _ in range(depth + 1)]

    def batches(self, fill: Callable[[int, Buffers], None], count: int) -> Iterator[Buffers]:
        """The steps 0 … ``count - 1``, each written by ``fill(step, buffers)``; good until the next is asked for."""

        def prepare(step: int) -> _Slot[Buffers]:
            slot = self.slots[step % len(self.slots)]
            slot.fill(lambda buffers: fill(step, buffers))
            return slot

        for slot in self.lookahead.run(prepare, count):
            yield slot.take()
            slot.give_back()


class _Slot(Generic[Buffers]):
    """One place of the ring: on the host and, for a card, on the card too."""

    def __init__(self, room: Callable[[bool], Buffers], device: torch.device) -> None:
        self.device = device
        self.on_card = device.type == "cuda"
        self.host = room(self.on_card)
        if self.on_card:
            self.card = type(self.host)(*(torch.empty_like(part, device=device) for part in self.host))
            self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self.copied, self.used = (torch.cuda.Event() for _ in range(2))  # type: ignore[no-untyped-call]

    def fill(self, write: Callable[[Buffers], None]) -> None:
        """Write the host's buffers and begin to copy them; in the thread."""
        if not self.on_card:
            write(self.host)
            return
        # What is copied from must stay until then. An event that was never recorded counts as done.
        self.copied.synchronize()
        write(self.host)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.used)
            for source, target in zip(self.host, self.card, strict=True):
                target.copy_(source, non_blocking=True)
            self.copied.record(self.stream)

    def take(self) -> Buffers:
        """What was written, on the device, for work that is queued from now on."""
        if not self.on_card:
            return self.host
        torch.cuda.current_stream(self.device).wait_event(self.copied)
        return self.card

    def give_back(self) -> None:
        """Let the buffers be filled again when the work queued so far is done."""
        if self.on_card:
            self.used.record(torch.cuda.current_stream(self.device))
