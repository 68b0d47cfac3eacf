"""Where each trial is in MLflow, from files alone: no server is asked."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sweep.errors import UsageError
from sweep.mirror import embedded_tracking_uri, mirror_statuses
from sweep.mirror.registry import TRIAL_ID
from sweep.mirror.servers import is_server
from sweep.report.live import RunLinks

EMBEDDED = "http://127.0.0.1:5000"
"""Where `sweep ui` serves the root's own MLflow unless another program has the port."""


def run_links(root: str | Path, name: str, mlflow_url: str | None = None) -> RunLinks | None:
    """Links to the runs of the sweep ``name``, or None where no mirror has brought it to an MLflow.

    ``mlflow_url`` is where readers find that MLflow; by default the server that the sweep is mirrored to, or
    `EMBEDDED` for the root's own. Runs of the root's own have their page; for another MLflow, which would have to be
    asked for their names, a link is a search that finds the run. Raises `UsageError` for an address that is none.
    """
    if mlflow_url is not None and not is_server(mlflow_url):
        raise UsageError(
            f"--mlflow-url {mlflow_url}: not an address of a web page; give one such as {EMBEDDED}."
        )
    own = embedded_tracking_uri(root)
    for status in mirror_statuses(root, name):
        if not status.experiment_id:
            continue
        served = status.tracking_uri if is_server(status.tracking_uri) else None
        base = (mlflow_url or served or EMBEDDED).rstrip("/").removesuffix("/#").rstrip("/")
        page = f"{base}/#/experiments/{quote(status.experiment_id)}/runs"
        if status.tracking_uri == own:
            runs = _embedded_runs(Path(own.removeprefix("sqlite:///")), status.experiment_id)
            if runs:
                return RunLinks(f"{page}/", runs)
        else:
            return RunLinks(f"{page}?searchFilter=" + quote(f"tags.`{TRIAL_ID}` = '"), None, quote("'"))
    return None


def _embedded_runs(database: Path, experiment_id: str) -> dict[str, str]:
    """Trial id to run id, of the runs that nobody deleted; empty where the database cannot be read.

    Read here rather than by MLflow, which takes seconds to import and more to list thousands of runs.
    """
    query = (
        "select tags.value, runs.run_uuid from tags join runs on tags.run_uuid = runs.run_uuid "
        "where tags.key = ? and runs.experiment_id = ? and runs.lifecycle_stage = 'active' order by 1, 2"
    )
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return dict(connection.execute(query, (TRIAL_ID, int(experiment_id))))
    except (sqlite3.Error, ValueError):
        return {}
