"""Ray and Ray Tune: starting or joining a cluster, and running packs on it."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from search_spaces import DatasetRecipe
from sweep.cards import smallest_card, wait_for_card
from sweep.errors import StoppedError, SweepError, UsageError
from sweep.packing import PACKS_PER_CARD, memory_on_card
from sweep.plan import PackSpec
from sweep.reach import cluster_may_grow
from sweep.settings import quiet_environment
from sweep.store import SweepStore
from sweep.store.places import root_place, told_elsewhere
from sweep.supervisor import Supervisor

__all__ = ["TuneSession", "make_missing", "train_packs"]

logger = logging.getLogger(__name__)
_MEMORY_SHARE = 0.6
_OBJECT_STORE_BYTES = 128 * 2**20
_MAX_FAILURES = 3


class TuneSession:
    """A connection to Ray: to the cluster at `address`, or to a Ray of our own that ends with the block.

    Afterwards `device` ("cpu" or "cuda"), `workers` (packs at once, to plan for) and `memory_per_worker` (bytes)
    say what there is, `cards` how many cards Ray counts; `most_at_once` is the limit to keep to, None on a cluster
    that may grow and was given none. Raises UsageError where the cluster cannot be reached or has no such device.
    """

    def __init__(self, address: str | None, workers: int | None, device: str) -> None:
        self.address = address
        self._wanted_workers = workers
        self._wanted_device = device
        self.device, self.workers, self.memory_per_worker = "cpu", 1, 0.0
        self.cards = 0.0
        self.most_at_once: int | None = workers

    def __enter__(self) -> TuneSession:
        os.environ.update(quiet_environment())
        # Ray says at every start that its token authentication is on, which is as it should be.
        logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
        import ray

        if ray.is_initialized():
            self._ours = False
        else:
            self._ours = True
            self._connect(ray)
        resources = ray.cluster_resources()
        if self._lacks_a_card(resources):
            logger.warning("the cluster has no card now and may grow: asking for one, and waiting for it")
            if wait_for_card():
                resources = ray.cluster_resources()
        # The head of a cluster may have no cores to work with, and its workers may come only when asked for.
        cpus, gpus = max(int(resources.get("CPU", 0)), 1), float(resources.get("GPU", 0))
        self.cards = gpus
        self.device = _choose_device(self._wanted_device, gpus)
        at_once = cpus if self.device == "cpu" else min(cpus, int(gpus * PACKS_PER_CARD))
        if self._ours and self.address is None:
            # More than that on a card only where it is asked for, and if their shares fit.
            most = at_once if self.device == "cpu" else cpus
            self.workers = self.most_at_once = min(self._wanted_workers or at_once, most)
        else:
            # What the cluster has now: it may grow, so only what was asked for is a limit.
            self.workers = self._wanted_workers or at_once
        self.memory_per_worker = self._memory(
            resources, [node["Resources"] for node in ray.nodes() if node["Alive"]]
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End our Ray, or leave the cluster; what this process has running there ends with it."""
        import ray

        if self._ours:
            ray.shutdown()

    def _lacks_a_card(self, resources: Mapping[str, float]) -> bool:
        """Whether cards were asked for and only an autoscaler can bring one."""
        asked = self._wanted_device.startswith("cuda") and self.address is not None
        return asked and resources.get("GPU", 0) <= 0 and cluster_may_grow()

    def _connect(self, ray: Any) -> None:
        common: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.WARNING,
            "runtime_env": {"env_vars": quiet_environment()},
        }
        if self.address is not None:
            if self.address.startswith(("http://", "https://")):
                raise UsageError(
                    f"--address {self.address!r} is the URL of a cluster's dashboard: `sweep submit` takes that, and "
                    "tries what has failed again too. Here it must be host:port of the cluster, or auto, on a "
                    "machine that belongs to it."
                )
            try:
                ray.init(address=self.address, **common)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UsageError(
                    f"--address {self.address!r}: no Ray cluster answers there ({error}). Start one (`ray start "
                    "--head`), correct the address, or leave --address out to run here."
                ) from error
            return
        _stay_on_loopback()
        # A Ray of our own, even where RAY_ADDRESS points to a cluster: that one was not asked for.
        ray.init(
            address="local",
            num_cpus=self._wanted_workers or len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **common,
        )

    def _memory(self, resources: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> float:
        if self.device == "cuda":
            return memory_on_card(smallest_card().total_bytes)
        if self.address is not None and (least := _least_memory(nodes, self.workers)) is not None:
            return _MEMORY_SHARE * least
        import psutil

        memory = min(resources.get("memory", float("inf")), float(psutil.virtual_memory().available))
        return _MEMORY_SHARE * memory / self.workers


def _stay_on_loopback() -> None:
    """Have a Ray that starts here listen on 127.0.0.1 alone; on Linux it would listen on every network.

    Whoever reaches its ports can run code, and nobody but this machine has business there. Ray has a switch for
    this, made for the firewalls of desktops and named for them.
    """
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def make_missing(
    session: TuneSession, root: Path, recipes: Mapping[str, DatasetRecipe], supervisor: Supervisor
) -> None:
    """Make datasets by their recipes, side by side on the cluster.

    Raises the first error there was, and StoppedError where the run is to stop before they are made.
    """
    import ray

    from sweep.dataset_making import rounds

    remote = ray.remote(max_retries=2)(_make)
    for names in rounds(recipes):
        pending = {
            name: remote.remote(told_elsewhere(root), name, recipes[name].model_dump_json()) for name in names
        }
        for name, task in pending.items():
            try:
                while not ray.wait([task], timeout=1.0)[0]:
                    if supervisor.reason is not None:
                        raise StoppedError(supervisor.reason)
                ray.get(task)
            except ray.exceptions.RayTaskError as error:
                raise SweepError(f"dataset {name!r} could not be made: {error.cause}") from error
            except ray.exceptions.RayError as error:
                reason = next(iter(str(error).strip().splitlines()), "no reason was given")
                raise SweepError(
                    f"dataset {name!r} could not be made: its process died three times ({reason}). Often the "
                    "memory is too small: make less, or use a larger machine. Then give the same command again."
                ) from error


def train_packs(
    session: TuneSession, store: SweepStore, root: Path, packs: Sequence[PackSpec], supervisor: Supervisor
) -> dict[str, str]:
    """Run `packs` as Tune trials, the longest first, to the end of each; returns why packs have no result.

    A worker that dies is started again and goes on from its pack's last checkpoint, up to three times and what
    is forgiven it (`sweep.forgiving`). The reasons are in the store too, as failures, unless its disk was too
    full for that. Once the supervisor says that the run is to stop, those that train checkpoint and end, and no
    other begins: they have no result, and have not failed.
    """
    from ray import tune

    from sweep.forgiving import Forgiving
    from sweep.trainable import run_pack_trial
    from sweep.tune_watch import EndOfRun, PackProcesses

    # It warns that the files of loggers are missing, which are switched off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)

    def resources(config: dict[str, Any]) -> Any:
        cpus, gpus = shares[config["pack"]]
        return tune.PlacementGroupFactory([{"CPU": cpus, **({"GPU": gpus} if gpus else {})}])

    ordered = sorted(packs, key=lambda pack: (-pack.work, pack.pack_id))
    by_id = {pack.pack_id: pack for pack in ordered}
    # Of its own: what this function holds goes to every worker.
    shares = {pack.pack_id: (pack.cpus, pack.gpus) for pack in ordered}
    # Beside the configurations, which Tune writes out again and again: the plan of a large sweep is megabytes.
    specs = {pack.pack_id: pack.model_dump_json() for pack in ordered}
    end = EndOfRun(supervisor)
    with tempfile.TemporaryDirectory(prefix="rankscope-tune-", ignore_cleanup_errors=True) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(run_pack_trial, specs=specs), resources),
            param_space={
                "root": told_elsewhere(root),
                "sweep": store.name,
                "pack": tune.grid_search(list(by_id)),
            },
            tune_config=tune.TuneConfig(
                scheduler=_scheduler(packs),
                max_concurrent_trials=session.most_at_once,
                trial_name_creator=lambda trial: str(trial.config["pack"]),
                trial_dirname_creator=lambda trial: str(trial.config["pack"]),
            ),
            # Tune's own folder is scratch: nothing is ever restored from it, the store is the truth.
            run_config=tune.RunConfig(
                name=store.name,
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=_MAX_FAILURES),
                verbose=0,
                callbacks=[PackProcesses(supervisor, by_id), Forgiving(store, by_id)],
                stop=end,
            ),
        )
        with supervisor.training():
            outcome = tuner.fit()
    return _account(store, packs, outcome, supervisor, end.ended_packs)


def _scheduler(packs: Sequence[PackSpec]) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule

    kind = packs[0].scheduler
    if kind == "fifo":
        return FIFOScheduler()
    most, first = max(p.train_steps for p in packs), min(p.protocol.eval_every for p in packs)
    common: dict[str, Any] = {"time_attr": "step", "metric": "return_mean", "mode": "max"}
    if kind == "asha":
        return ASHAScheduler(max_t=most, grace_period=first, **common)
    return MedianStoppingRule(grace_period=first, min_samples_required=3, **common)


def _account(
    store: SweepStore, packs: Sequence[PackSpec], outcome: Any, supervisor: Supervisor, cut_off: set[str]
) -> dict[str, str]:
    """See to it that every pack has a result or a failure, or was stopped; returns the reasons of the failures."""
    # One listing: of a sweep that was stopped early thousands of packs may be left.
    standings, failures = store.standings(), store.failures()
    results = {result.config["pack"]: result for result in outcome if result.config}
    for result in results.values():
        # The packs look for the request too, and may all have ended before the supervisor looked again.
        if _outcome(result).get("outcome") == "stopped":
            supervisor.stop(str(_outcome(result)["reason"]))
    reasons: dict[str, str] = {}
    for pack in packs:
        standing = standings.get(pack.pack_id)
        if standing is not None and standing.done:
            continue
        result = results.get(pack.pack_id)
        begun = standing is not None and bool(standing.attempts)
        newest = standing.newest if standing is not None and begun else 0
        # What the newest attempt's process has recorded, or one that could not begin.
        said = [str(one["reason"]) for one in failures.get(pack.pack_id, []) if one["attempt"] >= newest]
        died = result is not None and result.error is not None
        early = result is not None and not died and begun and _stopped_early(pack, result)
        if early and pack.pack_id not in cut_off:
            step = store.last_step(pack.pack_id) or 0
            ended = {"status": "finished", "final_step": step}
            store.finish_pack(
                pack.pack_id,
                {
                    "attempt": newest,
                    "trials": dict.fromkeys(pack.trials, ended),
                    "stopped_early": True,
                },
            )
        elif said:
            reasons[pack.pack_id] = said[-1]
        elif not (
            supervisor.stopping and not died and _outcome(result).get("outcome", "stopped") == "stopped"
        ):
            reasons[pack.pack_id] = _note_failure(store, pack.pack_id, newest, result)
    return reasons


def _outcome(result: Any) -> dict[str, Any]:
    """What the pack's process has told Tune last."""
    return (result.metrics if result is not None else None) or {}


def _note_failure(store: SweepStore, pack_id: str, newest: int, result: Any) -> str:
    """Why the pack has no result, as Tune saw it, which is then put into the store."""
    metrics = _outcome(result)
    if metrics.get("outcome") == "superseded":
        # The newest attempt is another process's, which may well be at work.
        return str(metrics["reason"])
    error = "" if result is None or result.error is None else str(result.error).strip()
    if error:
        reason = f"its process died: {error.splitlines()[-1]}"
    else:
        reason = str(metrics.get("reason", "its process ended without a result and without saying why"))
    with contextlib.suppress(SweepError):
        store.fail_pack(pack_id, newest, {"reason": reason, "error": error[-4000:]})
    return reason


def _stopped_early(pack: PackSpec, result: Any) -> bool:
    metrics = _outcome(result)
    return pack.scheduler != "fifo" and "outcome" not in metrics and "step" in metrics


def _least_memory(nodes: Sequence[Mapping[str, float]], at_once: int) -> float | None:
    """Bytes for each pack on the node that is full with the least for each; None where no node that works says.

    Packs are spread over the nodes, so neither the driver's memory nor the cluster's as one is what they share.
    """
    shares = [
        node["memory"] / min(int(node["CPU"]), at_once)
        for node in nodes
        if node.get("CPU", 0) >= 1 and node.get("memory", 0) > 0
    ]
    return min(shares, default=None)


def _choose_device(wanted: str, gpus: float) -> str:
    kind = "cuda" if wanted == "auto" and gpus > 0 else "cpu" if wanted == "auto" else wanted.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"--device {wanted!r}: it must be auto, cpu or cuda.")
    if kind == "cuda" and gpus <= 0:
        raise UsageError(
            f"--device {wanted!r}: Ray sees no GPU. Use --device cpu, or check that the driver and a CUDA build of "
            "PyTorch are installed (`sweep doctor`)."
        )
    return kind


def _make(root: str, name: str, recipe: str) -> str:
    from sweep.dataset_making import make_dataset

    return make_dataset(root_place(root), name, DatasetRecipe.model_validate_json(recipe))
