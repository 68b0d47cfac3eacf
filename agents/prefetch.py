"""Minibatches prepared in a thread while the step before them trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from agents.data import Transitions
from agents.data.transitions import TransitionBatch

Prepared = TypeVar("Prepared")


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


class HostGather:
    """A ring of buffers through which minibatches of a dataset on the host reach the device.

    Gathered by a thread into pinned memory and copied on a stream of their own, so that copies run beside the
    arithmetic of the steps before. On the CPU the buffers are handed out as they are.
    """

    def __init__(self, data: Transitions, device: torch.device, shape: tuple[int, ...], depth: int) -> None:
        """``shape`` is that of a step's transition numbers."""
        self.data, self.shape = data, shape
        self.lookahead = Lookahead(depth)
        # One more than are prepared: the one that trains.
        self.slots = [_Slot(data, device, shape) for _ in range(depth + 1)]

    def batches(self, chosen: torch.Tensor) -> Iterator[TransitionBatch]:
        """The batch of each row of ``chosen`` int64 ``[K, *shape]``; good until the next is asked for."""

        def prepare(step: int) -> _Slot:
            slot = self.slots[step % len(self.slots)]
            ahead = step + len(self.slots)
            if step == 0:
                self.data.read_ahead(chosen[:ahead])
            if ahead < len(chosen):
                self.data.read_ahead(chosen[ahead])
            slot.fill(chosen[step])
            return slot

        for slot in self.lookahead.run(prepare, len(chosen)):
            yield slot.take()
            slot.give_back()


class _Slot:
    """One buffer of the ring: on the host and, for a card, on the card too."""

    def __init__(self, data: Transitions, device: torch.device, shape: tuple[int, ...]) -> None:
        self.data, self.device = data, device
        self.on_card = device.type == "cuda"
        self.host = data.empty_batch(shape, pin_memory=self.on_card)
        if self.on_card:
            self.card = TransitionBatch(*(torch.empty_like(part, device=device) for part in self.host))
            self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self.copied, self.used = (torch.cuda.Event() for _ in range(2))  # type: ignore[no-untyped-call]

    def fill(self, chosen: torch.Tensor) -> None:
        """Gather ``chosen`` and begin to copy it; in the thread."""
        if not self.on_card:
            self.data.gather(chosen, out=self.host)
            return
        # An event that was never recorded counts as done.
        self.copied.synchronize()
        self.data.gather(chosen, out=self.host)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.used)
            for source, target in zip(self.host, self.card, strict=True):
                target.copy_(source, non_blocking=True)
            self.copied.record(self.stream)

    def take(self) -> TransitionBatch:
        """What was gathered, on the device, for work that is queued from now on."""
        if not self.on_card:
            return self.host
        torch.cuda.current_stream(self.device).wait_event(self.copied)
        return self.card

    def give_back(self) -> None:
        """Let the buffer be filled again when the work queued so far is done."""
        if self.on_card:
            self.used.record(torch.cuda.current_stream(self.device))
