"""The one door to MLflow: settings, and its exceptions told apart into "later" and "never"."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sweep.mirror.errors import MirrorError, TrackingUnavailable
from sweep.mirror.servers import is_server, remedy
from sweep.node_folder import node_folder
from sweep.store.places import is_local, root_place

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET: dict[str, str] = {
    # Usage statistics: the variable MLflow reads, and the convention that others read too.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
"""Environment of every MLflow process that Rankscope starts."""

_CLIENT: dict[str, str] = {
    **QUIET,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    # MLflow's own retries would repeat a create-run whose answer was lost, and so make two runs;
    # they also hide an outage for minutes. The mirror looks again before it creates.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}

# Codes by which MLflow says that the same request will never succeed.
_PERMANENT = frozenset(
    {
        "BAD_REQUEST",
        "CUSTOMER_UNAUTHORIZED",
        "ENDPOINT_NOT_FOUND",
        "FEATURE_DISABLED",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "MALFORMED_REQUEST",
        "NOT_FOUND",
        "NOT_IMPLEMENTED",
        "PERMISSION_DENIED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
        "UNAUTHENTICATED",
    }
)


@contextmanager
def client_settings() -> Iterator[None]:
    """MLflow's settings for the time of the block, as they were afterwards."""
    before = {name: os.environ.get(name) for name in _CLIENT}
    os.environ.update(_CLIENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def embedded_tracking_uri(root: str | Path) -> str:
    """The MLflow that lives in a root, `sqlite:///ROOT/mlflow.db`; of a bucket's, in this node's own folder."""
    return f"sqlite:///{node_folder(root_place(root)).resolve() / 'mlflow.db'}"


def why_no_mirror(root: Path, tracking_uri: str | None, sweep: str) -> str | None:
    """Why a run copies nothing into MLflow, with the remedy; None where it can."""
    if tracking_uri is not None or is_local(root):
        return None
    return (
        "MLflow: nothing is copied while training, for the root is a bucket, which holds no database. Give "
        "--mlflow-uri of a server (`sweep ui --backend postgresql://…` starts one), or copy later: "
        f"`sweep sync {sweep} --root {root}`, into an MLflow of this machine or, with --mlflow-uri, a server."
    )


def artifact_location(tracking_uri: str, root: Path, sweep: str, store_id: str) -> str | None:
    """Where the artifacts of a new experiment go; None leaves it to the server.

    A client that writes to a database without a server has to say it; the embedded MLflow serves
    `ROOT/mlartifacts`.
    """
    if is_server(tracking_uri):
        return None
    return (node_folder(root) / "mlartifacts" / f"{sweep}-{store_id[:6]}").as_uri()


def shown(tracking_uri: str) -> str:
    """The URI without a password, for messages and files."""
    parts = urlsplit(tracking_uri)
    if "@" not in parts.netloc:
        return tracking_uri
    return parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}").geturl()


def connect(tracking_uri: str) -> MlflowClient:
    """A client whose server or database has just answered.

    Raises:
        TrackingUnavailable: nothing answers there now.
        MirrorError: it answers, but cannot be used.
    """
    with translated(tracking_uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri)
        client.search_experiments(max_results=1)
        return client


@contextmanager
def translated(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow raises inside the block into MirrorError or TrackingUnavailable."""
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = _first_line(error, tracking_uri)
        if "out-of-date database schema" in str(error):
            raise MirrorError(
                f"MLflow database {shown(tracking_uri)} was made by another MLflow version ({reason}). "
                f"Back it up, then run: mlflow db upgrade {shown(tracking_uri)}"
            ) from error
        if error.error_code in _PERMANENT:
            raise MirrorError(
                f"MLflow at {shown(tracking_uri)} refuses the mirror's request: {reason}{remedy(str(error))}"
            ) from error
        raise TrackingUnavailable(_down(tracking_uri, reason)) from error
    except sqlalchemy.exc.OperationalError as error:
        raise TrackingUnavailable(_down(tracking_uri, _first_line(error, tracking_uri))) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = _first_line(error, tracking_uri)
        raise MirrorError(
            f"MLflow at {shown(tracking_uri)} cannot be used: {reason}. Is --mlflow-uri right?"
        ) from error
    except OSError as error:
        # Artifacts go to a folder or through a plain HTTP request, neither of which MLflow wraps.
        raise TrackingUnavailable(_down(tracking_uri, _first_line(error, tracking_uri))) from error


def _down(tracking_uri: str, reason: str) -> str:
    return (
        f"MLflow at {shown(tracking_uri)} does not answer: {reason}. The store has every row; start MLflow "
        "(`sweep ui` for the one of this root), then run `sweep sync`."
    )


def _first_line(error: BaseException, tracking_uri: str, limit: int = 300) -> str:
    """What MLflow says, in one line, without the password that is in the URI."""
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    userinfo, _, _ = urlsplit(tracking_uri).netloc.rpartition("@")
    if userinfo:
        line = line.replace(f"{userinfo}@", "***@")
    return line if len(line) <= limit else line[: limit - 3] + "..."
