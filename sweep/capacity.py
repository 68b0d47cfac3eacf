"""Whether a plan can run on a cluster, in how many waves, and for how long: arithmetic alone."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import UsageError

__all__ = ["Ask", "Capacity", "Node", "capacity", "spoken"]

_EPSILON = 1e-9


@dataclass(frozen=True)
class Node:
    """What a node offers; a head that does no work offers nothing."""

    name: str
    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Ask:
    """What a pack asks for, and the seconds that it is expected to take, None where that is not known."""

    pack_id: str
    cpus: float
    gpus: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Capacity:
    """How a plan fits: `at_once` packs of it run at the beginning, and all of them in `waves`.

    `seconds` is the time of all waves, None where it is not known.
    """

    packs: int
    kinds: tuple[tuple[float, float, int], ...]
    """CPUs and GPUs that packs ask for, and how many ask for that."""
    cpus: float
    gpus: float
    at_once: int
    waves: int
    seconds: float | None
    limit: int | None = None
    may_grow: bool = False

    def __str__(self) -> str:
        """One line: `64 packs × 0.25 GPU; the cluster has 8 GPUs: 2 waves, about 3 h 10 min`."""
        asks = " + ".join(_asked(*kind) for kind in self.kinds)
        on_cards = any(gpus for _, gpus, _ in self.kinds)
        there = [_count(self.gpus, "GPU")] if on_cards else [_count(self.cpus, "CPU")]
        if on_cards and self.at_once < sum(self.gpus / gpus for _, gpus, _ in self.kinds[:1] if gpus):
            # Else a reader would divide and find another number of waves.
            there.append(_count(self.cpus, "CPU"))
        limit = f", {self.limit} at once as asked" if self.limit and self.limit <= self.at_once else ""
        grows = " now and may grow" if self.may_grow else ""
        if not self.waves:
            when = "waits for the nodes that the cluster adds"
        else:
            length = f"about {spoken(self.seconds)}" if self.seconds is not None else "time unknown"
            when = f"{_count(self.waves, 'wave')}, {length}"
        return f"{asks}; the cluster has {' and '.join(there)}{grows}{limit}: {when}"


def capacity(
    asks: Sequence[Ask], nodes: Sequence[Node], limit: int | None = None, *, may_grow: bool = False
) -> Capacity:
    """How `asks` fit onto `nodes`, longest first, at most `limit` of them at once.

    A pack takes of the cluster what one of as many as would fit of its kind takes; exact where all ask for the same.
    Raises UsageError for a pack that no node can ever hold, unless the cluster `may_grow`.
    """
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    kinds = Counter((ask.cpus, ask.gpus) for ask in asks)
    room = {kind: sum(_fits(kind, node) for node in nodes) for kind in kinds}
    for ask in asks:
        if not room[ask.cpus, ask.gpus] and not may_grow:
            raise UsageError(_impossible(ask, nodes))
    known = [ask.seconds for ask in asks if ask.seconds is not None]
    waiting = any(not slots for slots in room.values())
    at_once = waves = 0
    seconds = None
    if not waiting:
        most = len(asks) if limit is None else limit
        shares = [1 / room[ask.cpus, ask.gpus] for ask in asks]
        at_once = _at_once(shares, most)
        waves = round(_span([(1.0, share) for share in shares], most))
        if len(known) == len(asks):
            order = sorted(zip(known, shares, strict=True), reverse=True)
            seconds = _span(order, most)
    return Capacity(
        packs=len(asks),
        kinds=tuple((*kind, count) for kind, count in sorted(kinds.items(), key=lambda one: -one[1])),
        cpus=cpus,
        gpus=gpus,
        at_once=at_once,
        waves=waves,
        seconds=seconds,
        limit=limit,
        may_grow=may_grow,
    )


def spoken(seconds: float) -> str:
    """A time as one says it: `40 s`, `12 min`, `3 h 10 min`, `2 d 4 h`."""
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes >= 30), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _fits(kind: tuple[float, float], node: Node) -> int:
    """Packs of a kind that a node holds at once. A fraction of a card is always of one card."""
    cpus, gpus = kind
    by_cpu = math.floor(node.cpus / cpus + _EPSILON) if cpus else math.inf
    if not gpus:
        by_gpu: float = math.inf
    elif gpus < 1:
        by_gpu = math.floor(node.gpus) * math.floor(1 / gpus + _EPSILON)
    else:
        by_gpu = math.floor(node.gpus / gpus + _EPSILON)
    fits = min(by_cpu, by_gpu)
    return 1 if math.isinf(fits) else int(fits)


def _at_once(shares: Sequence[float], most: int) -> int:
    free, count = 1.0, 0
    for share in shares:
        if share > free + _EPSILON or count == most:
            break
        free, count = free - share, count + 1
    return count


def _span(jobs: Sequence[tuple[float, float]], most: int) -> float:
    """From start to end of jobs (seconds, share of the cluster) that start in this order as soon as there is room."""
    running: list[tuple[float, float]] = []
    now, free = 0.0, 1.0
    for seconds, share in jobs:
        while share > free + _EPSILON or len(running) >= most:
            now, back = heapq.heappop(running)
            free += back
        heapq.heappush(running, (now + seconds, share))
        free -= share
    return max((end for end, _ in running), default=0.0)


def _impossible(ask: Ask, nodes: Sequence[Node]) -> str:
    wanted = " and ".join(
        one for one in (_count(ask.cpus, "CPU"), _count(ask.gpus, "GPU") if ask.gpus else "") if one
    )
    most_gpus, most_cpus = max((n.gpus for n in nodes), default=0), max((n.cpus for n in nodes), default=0)
    if ask.gpus and not most_gpus:
        there = "the cluster has no GPU"
        mend = "Add nodes with cards, or give --device cpu."
    else:
        offer = f"{_count(most_cpus, 'CPU')}{' and ' + _count(most_gpus, 'GPU') if most_gpus else ''}"
        there = f"no node has that much at once (at most {offer}, on {_count(len(nodes), 'node')})"
        mend = "Add a larger node."
    return f"pack {ask.pack_id} asks for {wanted}, and {there}: it could never run. {mend}"


def _asked(cpus: float, gpus: float, count: int) -> str:
    what = f"{gpus:g} GPU" if gpus else f"{cpus:g} CPU"
    return f"{_count(count, 'pack')} × {what}"


def _count(number: float, what: str) -> str:
    return f"{number:,g} {what}{'' if number == 1 else 's'}"
