"""Points to MLflow in full requests, within MLflow's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from sweep.mirror.series import TrialSeries

BATCH = 1000
"""Metrics, params and tags that one request may hold together (mlflow.utils.validation)."""

_PARAMS_OR_TAGS = 100


def send(
    client: MlflowClient,
    run_id: str,
    series: TrialSeries | None,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    everything: bool,
) -> int:
    """Send params, tags and queued points of a run; how many points were sent.

    Only full requests go unless `everything` is asked for, since a request costs about as much as a
    hundred points. A point leaves the queue once MLflow has confirmed it. Sending again what MLflow
    has already does no harm: it skips points that are equal in key, timestamp, step and value.
    """
    from mlflow.entities import Metric, Param, RunTag

    sent = 0
    left_params = [Param(key, value) for key, value in params.items()]
    left_tags = [RunTag(key, value) for key, value in tags.items()]
    queue = series.queue if series is not None else None
    while True:
        some_params, left_params = left_params[:_PARAMS_OR_TAGS], left_params[_PARAMS_OR_TAGS:]
        some_tags, left_tags = left_tags[:_PARAMS_OR_TAGS], left_tags[_PARAMS_OR_TAGS:]
        room = BATCH - len(some_params) - len(some_tags)
        waiting = len(queue) if queue is not None else 0
        if not some_params and not some_tags and (not waiting or (waiting < room and not everything)):
            return sent
        points = list(islice(queue, room)) if queue and (everything or waiting >= room) else []
        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points]
        client.log_batch(run_id, metrics, some_params, some_tags)
        if queue is not None:
            for _ in points:
                queue.popleft()
        sent += len(points)


def side_by_side(
    call: Callable[[str], None], trial_ids: Iterable[str], at_once: int, stop: Callable[[], bool]
) -> bool:
    """`call` of each trial, so many at a time; False where `stop` came true, and the rest was left.

    No two calls concern one run. After the first error nothing more is begun; it is raised when all that was begun
    has been answered, so that nothing still happens in MLflow afterwards.
    """
    if at_once == 1:
        for trial_id in trial_ids:
            if stop():
                return False
            call(trial_id)
        return True

    def one(trial_id: str) -> None:
        if not stop():
            call(trial_id)

    pool = ThreadPoolExecutor(at_once)
    try:
        begun = [pool.submit(one, trial_id) for trial_id in trial_ids]
        wait(begun, return_when=FIRST_EXCEPTION)
    finally:
        pool.shutdown(cancel_futures=True)
    for future in begun:
        if not future.cancelled():
            future.result()
    return not stop()
