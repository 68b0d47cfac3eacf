"""The view of a sweep that MLflow's pages open with: seeds averaged, one group a configuration.

MLflow keeps a shared view in a tag of the experiment: JSON, deflated, in base64 (its "Share view" button
writes the same). Without one a reader meets a single line, the parent run, with its trials folded away and
no curve to see.
"""

from __future__ import annotations

import base64
import json
import zlib

VIEW_TAG = "mlflow.sharedViewState.rankscope"

_COLUMNS = ("metrics.`return_mean`", "metrics.`srank`", "metrics.`dead_units`", "tags.`rankscope.status`")


def view_state() -> str:
    """The value of the tag `VIEW_TAG`."""
    state = {
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "rankscope.configuration"}],
        },
        "searchFilter": "tags.`rankscope.kind` = 'trial'",
        "selectedColumns": list(_COLUMNS),
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode()))
    return f"deflate;{packed.decode()}"


def view_url(mlflow_url: str, experiment_id: str, *, curves: bool) -> str:
    """The page of an experiment in that view: its curves, or the table of its runs."""
    mode = "CHART" if curves else "TABLE"
    return (
        f"{mlflow_url}/#/experiments/{experiment_id}/runs?viewStateShareKey=rankscope"
        f"&compareRunsMode={mode}&workflowType=machine_learning"
    )
