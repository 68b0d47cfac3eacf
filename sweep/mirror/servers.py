"""What a tracking URI may be, and what to do about a server that does not let the mirror in."""

from __future__ import annotations

from urllib.parse import urlsplit

from sweep.errors import UsageError

__all__ = ["checked_tracking_uri", "given_tracking_uri", "is_server", "remedy"]

_DATABASES = ("postgresql", "postgres", "mysql", "mssql", "oracle")


def is_server(tracking_uri: str) -> bool:
    """Whether it is the address of a server, and not of a database in a file."""
    return urlsplit(tracking_uri).scheme in ("http", "https")


def checked_tracking_uri(uri: str) -> str:
    """The URI of an MLflow server, or of the SQLite file of a root's own.

    Raises UsageError for the database of a server: every sweep's mirror would need its password, and open
    connections of its own beside the server's; accounts and permissions are the server's too.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in _DATABASES:
        # Not the URI itself: it may hold a password.
        raise UsageError(
            f"MLflow's address begins with {scheme}://: the mirror talks to MLflow's server, never to its database. "
            "Start the server with `sweep ui --backend postgresql://USER@HOST/DATABASE`, and give its address: "
            "--mlflow-uri http://HOST:5000."
        )
    return uri


def given_tracking_uri(text: str) -> str:
    """As `checked_tracking_uri`, for one on a command line, where it must hold no account, password or token."""
    if urlsplit(text).username is not None:
        raise UsageError(
            "--mlflow-uri: it holds an account, a password or a token, which `ps` and the shell's history would show. "
            "Leave it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
            "in the environment."
        )
    return checked_tracking_uri(text)


def remedy(reason: str) -> str:
    """A sentence on what to do about a refusal that MLflow words as `reason`, empty where there is none to give."""
    if "Invalid Host header" in reason:
        return (
            " The server is not asked under this name: start it with `sweep ui --allowed-hosts NAME`, or use another "
            "of its names."
        )
    if "not authenticated" in reason.lower() or "UNAUTHENTICATED" in reason or "error code 401" in reason:
        return (
            " The server asks for an account: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD where the "
            "sweep runs."
        )
    if "Permission denied" in reason or "PERMISSION_DENIED" in reason or "error code 403" in reason:
        return (
            " The account may not write there: an administrator of MLflow can grant it MANAGE on the experiment, or "
            "let the account that made it go on."
        )
    return ""
