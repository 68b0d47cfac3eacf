"""What Ray Tune runs: one pack a Tune trial. The only module that trains under Ray."""

from __future__ import annotations

import os
import socket
import traceback
from pathlib import Path
from typing import Any

from agents.errors import AgentError
from sweep.errors import SupersededError, SweepError
from sweep.plan import PackSpec
from sweep.store import Store, SweepStore

__all__ = ["run_pack_trial"]


def run_pack_trial(config: dict[str, Any]) -> None:
    """Train the pack that `config` describes (`root`, `sweep`, `pack`: a PackSpec as plain data).

    A failure is recorded in the store before it reaches Tune. What trying again cannot mend (a full disk, a
    damaged dataset) ends the pack without raising, so that Tune does not try again.
    """
    from ray import tune

    from agents.compilation import use_compile_cache
    from agents.devices import prepare_process

    spec = PackSpec.model_validate_json(config["pack"])
    root = Path(config["root"])
    # Kernels are compiled for one kind of processor, so the cache is the machine's and not the shared root's
    # business; under the root it is found again by the next run.
    use_compile_cache(root / "cache" / "compiled")
    prepare_process(spec.threads, spec.precision)

    from sweep.pack_loop import train_pack
    from sweep.pack_progress import write_progress
    from sweep.pack_report import Report

    store = Store(root).sweep(config["sweep"])

    def on_report(report: Report) -> None:
        write_progress(store, report)
        if report.evaluated and spec.scheduler != "fifo":
            tune.report({"return_mean": report.return_mean, "step": report.step})

    try:
        result = train_pack(spec, store, root, _device(spec), _about(spec), on_report)
    except SupersededError:
        tune.report({"outcome": "superseded"})
    except (SweepError, AgentError) as error:
        _record_failure(store, spec.pack_id, error)
        tune.report({"outcome": "failed"})
    except Exception as error:
        _record_failure(store, spec.pack_id, error)
        raise
    else:
        tune.report({"outcome": "done", "step": result["steps"], "return_mean": result["return_mean"]})


def _device(spec: PackSpec) -> str:
    from agents.devices import resolve_device

    # Ray shows a worker only the cards it was given, so the first is the right one.
    return str(resolve_device("cuda" if spec.gpus else spec.device))


def _about(spec: PackSpec) -> dict[str, Any]:
    import torch

    from agents.compilation import why_not_compile

    device = torch.device("cuda" if spec.gpus else spec.device)
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "threads": spec.threads,
        "torch": torch.__version__,
        "eager_because": (why_not_compile(device) if spec.compile else "compilation was switched off"),
    }


def _record_failure(store: SweepStore, pack_id: str, error: BaseException) -> None:
    import contextlib

    attempt = max(store.next_attempt(pack_id) - 1, 0)
    failure = {
        "reason": f"{type(error).__name__}: {error}".splitlines()[0],
        "error": str(error),
        "traceback": traceback.format_exc()[-4000:],
        "host": socket.gethostname(),
    }
    # A full disk may not hold even this; the driver then says that the pack ended without a result.
    with contextlib.suppress(SweepError):
        store.fail_pack(pack_id, attempt, failure)
