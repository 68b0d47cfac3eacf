"""What Ray Tune runs: one pack a Tune trial. The only module that trains under Ray."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.errors import AgentError
from sweep.errors import StoppedError, SupersededError, SweepError
from sweep.node_folder import node_folder
from sweep.outage import WAIT_SECONDS
from sweep.plan import PackSpec
from sweep.store import Store, SweepStore, files
from sweep.store.places import root_place

__all__ = ["prepare_worker", "run_pack_trial"]


def run_pack_trial(config: dict[str, Any], specs: Mapping[str, str]) -> None:
    """Train the pack that `config` names (`root`, `sweep`, `pack`); `specs` are all packs by id, each as JSON.

    A failure is recorded in the store before it reaches Tune. What trying again cannot mend (a full disk, a
    damaged dataset) ends the pack without raising, so that Tune does not try again.
    """
    from ray import tune

    spec = PackSpec.model_validate_json(specs[config["pack"]])
    root = root_place(config["root"])
    # Nothing is lost by waiting for a store that is away, and a try of Tune's by not doing so.
    with files.patience(WAIT_SECONDS):
        store = Store(root).sweep(config["sweep"])
    try:
        result = _train(spec, store, root)
    except SupersededError as error:
        tune.report({"outcome": "superseded", "reason": str(error)})
    except StoppedError as error:
        # Asked for, so no failure: the pack goes on with the next run of the sweep.
        tune.report({"outcome": "stopped", "reason": str(error)})
    except (SweepError, AgentError) as error:
        _record_failure(store, spec.pack_id, error)
        # Told to the driver as well: the disk may be too full for a record of the failure.
        tune.report({"outcome": "failed", "reason": _reason(error)})
    except Exception as error:
        _record_failure(store, spec.pack_id, error)
        raise
    else:
        tune.report({"outcome": "done", "step": result["steps"], "return_mean": result["return_mean"]})


def prepare_worker(spec: PackSpec, root: Path, *, limited: bool = True) -> None:
    """Settle how this process computes, and, if `limited`, how much of a card it may use, before it does anything."""
    from agents.compilation import use_compile_cache
    from agents.devices import prepare_process

    if spec.compile:
        # Kernels are compiled for one kind of processor, so the cache is the machine's and not the shared root's
        # business; under the root it is found again by the next run, and of a bucket it is the node's own.
        cache = node_folder(root) / "cache" / "compiled"
        files.make_folder(cache)
        use_compile_cache(cache)
    share = spec.gpus if limited else 0.0
    prepare_process(spec.threads, spec.precision, card_share=share, context_bytes=spec.gpu_context_bytes)


def _train(spec: PackSpec, store: SweepStore, root: Path) -> dict[str, Any]:
    from ray import tune

    prepare_worker(spec, root)

    from sweep.halving import train_within_memory
    from sweep.pack_loop import train_pack
    from sweep.pack_progress import write_progress
    from sweep.pack_report import Report

    def on_report(report: Report) -> None:
        write_progress(store, report)
        if report.evaluated and spec.scheduler != "fifo":
            tune.report({"return_mean": report.return_mean, "step": report.step})

    device, about = _device(spec), _about(spec)
    return train_within_memory(
        spec,
        store,
        device,
        lambda within, more: train_pack(within, store, root, device, {**about, **more}, on_report),
    )


def _device(spec: PackSpec) -> str:
    from agents.devices import resolve_device

    # Ray shows a worker only the cards it was given, so the first is the right one.
    return str(resolve_device("cuda" if spec.gpus else spec.device))


def _about(spec: PackSpec) -> dict[str, Any]:
    import ray
    import torch

    from agents.compilation import why_not_compile

    device = torch.device("cuda" if spec.gpus else spec.device)
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        # Several nodes can be on one host, and an address can be another machine's tomorrow.
        "node": ray.get_runtime_context().get_node_id(),
        "threads": spec.threads,
        "torch": torch.__version__,
        # Where compilation was switched off nobody needs to be told.
        "eager_because": why_not_compile(device) if spec.compile else None,
        "eager_by_choice": spec.eager_by_choice,
    }


def _record_failure(store: SweepStore, pack_id: str, error: BaseException) -> None:
    import contextlib

    me = (socket.gethostname(), os.getpid())
    failure = {
        "reason": _reason(error),
        "error": str(error),
        "traceback": traceback.format_exc()[-4000:],
        "host": socket.gethostname(),
    }
    # A full disk may not hold even this; the driver then says it.
    with contextlib.suppress(SweepError):
        mine = [one["attempt"] for one in store.attempts(pack_id) if (one["host"], one["pid"]) == me]
        # Failed before it had an attempt of its own: noted under the number that would have been its.
        store.fail_pack(pack_id, mine[-1] if mine else store.next_attempt(pack_id), failure)


def _reason(error: BaseException) -> str:
    return next(iter(f"{type(error).__name__}: {error}".splitlines()))
