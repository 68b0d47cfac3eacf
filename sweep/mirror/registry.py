"""Which MLflow run belongs to which trial, read from MLflow itself, so that none is ever made twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sweep.mirror.errors import MirrorError
from sweep.mirror.view import VIEW_TAG, view_state

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

KIND = "rankscope.kind"
TRIAL_ID = "rankscope.trial_id"
STORE_ID = "rankscope.store_id"
REPLACED = "rankscope.replaced"
PARENT = "mlflow.parentRunId"

_PAGE = 1000
_NAMES_TRIED = 50


@dataclass
class MirroredRun:
    """A run as MLflow has it."""

    run_id: str
    name: str
    status: str
    end_time: int | None
    deleted: bool
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """Step of the newest point of each measure."""


class RunRegistry:
    """The runs of one sweep in one MLflow: a parent run, and one run a trial.

    MLflow is the only record of what it holds: after a kill, an outage or the loss of every local
    file the registry reads the runs back by their tags. A run that somebody deleted in MLflow stays
    deleted. Should two runs of one trial exist nevertheless (a request that was answered after the
    mirror had given it up), the one with more in it stays and the other is deleted.
    """

    def __init__(self, client: MlflowClient, experiment: Experiment) -> None:
        self.client = client
        self.experiment = experiment
        self.experiment_id: str = experiment.experiment_id
        self.parent: MirroredRun | None = None
        self.trials: dict[str, MirroredRun] = {}
        for run in _runs(client, self.experiment_id):
            self._take(run)

    def create_parent(self, name: str, start_time: int, tags: Mapping[str, str]) -> MirroredRun:
        """Make the parent run; `start_time` in milliseconds."""
        self.parent = self._create(name, start_time, {**tags, KIND: "sweep"})
        return self.parent

    def create_trial(self, trial_id: str, name: str, start_time: int, tags: Mapping[str, str]) -> MirroredRun:
        """Make the run of a trial that has none; `start_time` in milliseconds."""
        if self.parent is None:
            raise AssertionError("the parent run comes first")
        links = {KIND: "trial", TRIAL_ID: trial_id, PARENT: self.parent.run_id}
        self.trials[trial_id] = self._create(name, start_time, {**tags, **links})
        return self.trials[trial_id]

    def replace_all(self) -> int:
        """Delete every run of the sweep so that the mirror starts anew; how many there were."""
        runs = [run for run in (self.parent, *self.trials.values()) if run is not None]
        for run in runs:
            if run.deleted:
                self.client.restore_run(run.run_id)
            # The mark tells these from runs that a person deleted, which are left alone.
            self.client.set_tag(run.run_id, REPLACED, "true")
            self.client.delete_run(run.run_id)
        self.parent, self.trials = None, {}
        return len(runs)

    def _create(self, name: str, start_time: int, tags: Mapping[str, str]) -> MirroredRun:
        run = self.client.create_run(
            self.experiment_id, start_time=start_time, tags=dict(tags), run_name=name
        )
        return MirroredRun(run.info.run_id, name, "RUNNING", None, False, tags=dict(tags))

    def _take(self, run: Run) -> None:
        found = _mirrored(run)
        if REPLACED in found.tags:
            return
        kind = found.tags.get(KIND)
        if kind == "sweep":
            self.parent = self._one_of(self.parent, found)
        elif kind == "trial" and TRIAL_ID in found.tags:
            trial_id = found.tags[TRIAL_ID]
            self.trials[trial_id] = self._one_of(self.trials.get(trial_id), found)

    def _one_of(self, known: MirroredRun | None, found: MirroredRun) -> MirroredRun:
        if known is None:
            return found
        keep, drop = (found, known) if _content(found) > _content(known) else (known, found)
        if not drop.deleted:
            self.client.set_tag(drop.run_id, REPLACED, "true")
            self.client.delete_run(drop.run_id)
        return keep


def find_or_create_experiment(
    client: MlflowClient, name: str, store_id: str, artifact_location: str | None
) -> Experiment:
    """The experiment that mirrors the store `store_id`, made under `name` if there is none.

    A name that another experiment has (a sweep of the same name in another root, or something of
    the user's own) gets a number, so that two sweeps never mix.

    Raises:
        MirrorError: somebody deleted the sweep's experiment in MLflow.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    mine = client.search_experiments(
        view_type=ViewType.ALL, filter_string=f"tags.`{STORE_ID}` = '{store_id}'", max_results=10
    )
    for experiment in mine:
        if experiment.lifecycle_stage == "active":
            return experiment
    if mine:
        raise MirrorError(
            f"experiment {mine[0].name!r} (id {mine[0].experiment_id}), which mirrors sweep {name!r}, was "
            "deleted in MLflow. Bring it back with `mlflow experiments restore -x "
            f"{mine[0].experiment_id}`, or erase it for good with `mlflow gc --experiment-ids "
            f"{mine[0].experiment_id}`; then run `sweep sync {name}`."
        )
    for number in range(1, _NAMES_TRIED + 1):
        title = name if number == 1 else f"{name} ({number})"
        try:
            tags = {STORE_ID: store_id, VIEW_TAG: view_state()}
            experiment_id = client.create_experiment(title, artifact_location, tags)
        except MlflowException as error:
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                continue
            raise
        return client.get_experiment(experiment_id)
    raise MirrorError(
        f"experiments {name!r} to '{name} ({_NAMES_TRIED})' all exist in MLflow and none mirrors this "
        "store. Rename or erase some of them, or give the sweep another name."
    )


def _runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    from mlflow.entities import ViewType

    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], run_view_type=ViewType.ALL, max_results=_PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _mirrored(run: Run) -> MirroredRun:
    data, info = run.data, run.info
    return MirroredRun(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        end_time=info.end_time,
        deleted=info.lifecycle_stage != "active",
        params=dict(data.params),
        tags=dict(data.tags),
        # `data.metrics` has the latest values only; their steps are in the list it was built from.
        newest={metric.key: metric.step for metric in data._metric_objs},
    )


def _content(run: MirroredRun) -> tuple[bool, int, int]:
    return (not run.deleted, sum(run.newest.values()), len(run.params))
