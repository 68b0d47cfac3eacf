"""Where an MLflow server keeps artifacts: a folder, or a bucket that only the server needs keys for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from sweep.errors import UsageError

__all__ = ["artifact_place"]

# What MLflow imports for a scheme.
_CLIENTS = {"s3": "boto3", "gs": "google.cloud.storage"}


def artifact_place(text: str) -> str:
    """An absolute folder or the URL of a bucket, for `mlflow server --artifacts-destination`.

    Raises UsageError for another kind of place, one with keys in it, or a client library that is missing.
    """
    if "://" not in text:
        return str(Path(text).expanduser().absolute())
    parts = urlsplit(text)
    if parts.scheme not in _CLIENTS or not parts.netloc:
        raise UsageError(
            f"--artifacts: {parts.scheme}:// is not supported; give a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."
        )
    if "@" in parts.netloc:
        raise UsageError(
            "--artifacts: it holds a key, which `ps` would show. Leave it out, and set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS, in the environment."
        )
    client = _CLIENTS[parts.scheme]
    try:
        found = find_spec(client)
    except ModuleNotFoundError:
        found = None
    if found is None:
        remedy = "'rankscope[server]'" if parts.scheme == "s3" else "google-cloud-storage"
        raise UsageError(
            f"--artifacts {parts.scheme}://…: MLflow needs the package {client}: pip install {remedy}."
        )
    return text
