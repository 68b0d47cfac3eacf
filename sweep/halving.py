"""What a pack does that runs out of memory: its members are trained in halves, from the last checkpoint on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sweep.errors import SweepError
from sweep.outage import WAIT_SECONDS
from sweep.plan import PackSpec
from sweep.store import SweepStore, files

__all__ = ["OutOfMemoryError", "train_within_memory"]

logger = logging.getLogger(__name__)


class OutOfMemoryError(SweepError):
    """Not even one member at a time fits into memory."""


def train_within_memory(
    spec: PackSpec,
    store: SweepStore,
    device: str,
    train: Callable[[PackSpec, dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """What `train(spec, about)` returns, called again with half as many members at once whenever memory runs out.

    `about` goes into the attempt's record: `members_at_once` (None: all) and `halved_because`. A pack that was
    halved once is halved from the start when it is tried again. The plan and the results are the same, to rounding.
    Raises OutOfMemoryError at one member.
    """
    import torch

    from agents.groups import fewer_at_once
    from agents.memory import is_out_of_memory, release

    spec, because = _as_tried_last(spec, store)
    while True:
        at_once = spec.members_at_once or spec.size
        try:
            return train(spec, {"members_at_once": spec.members_at_once, "halved_because": because})
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        # Here the error is gone, and with it what its frames held.
        release(torch.device(device))
        if at_once == 1:
            raise OutOfMemoryError(_nothing_fits(spec, said))
        because = f"out of memory with {at_once} members at once: {said[:300]}"
        spec = spec.model_copy(update={"members_at_once": fewer_at_once(spec.size, at_once)})
        logger.warning("pack %s: %s; going on with %d", spec.pack_id, because, spec.members_at_once)


def _as_tried_last(spec: PackSpec, store: SweepStore) -> tuple[PackSpec, str | None]:
    # A pack that begins waits for its store, as its first reads do in `sweep.pack_loop`.
    with files.patience(WAIT_SECONDS):
        last: dict[str, Any] = next(reversed(store.attempts(spec.pack_id)), {})
    at_once = last.get("members_at_once")
    if at_once is None or not 0 < at_once < spec.size or spec.size % at_once:
        return spec, None
    return spec.model_copy(update={"members_at_once": at_once}), last.get("halved_because")


def _nothing_fits(spec: PackSpec, said: str) -> str:
    config = spec.config
    if spec.gpus:
        where = f"a share of {spec.gpus:g} of a card"
        larger = "a card with more memory (after which give the sweep another --name, so that shares are measured anew)"
    else:
        where, larger = "this machine's memory", "a machine with more memory, or fewer --workers on this one"
    return (
        f"out of memory with one member at a time: network {config.network} with batch_size {config.batch_size} on "
        f"dataset {spec.dataset} does not fit into {where} ({said[:300]}). Take a smaller batch_size, network or "
        f"probe_batch_size, or {larger}; then `sweep retry`."
    )
