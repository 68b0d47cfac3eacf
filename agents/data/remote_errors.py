"""What went wrong with a remote file, in words that say what to do. Knows the clients' exceptions by shape."""

from __future__ import annotations

from agents.errors import DatasetError

__all__ = ["explain", "is_refusal", "is_transient", "status_of"]

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_CLIENTS = ("aiohttp", "aiobotocore", "asyncio", "botocore", "fsspec", "google", "requests", "urllib3")
_CREDENTIALS = {
    "gs": "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
    "s3": "`aws configure`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
_SHUT = {
    "atari-replay-datasets": (
        "This bucket, DQN Replay's, has refused everyone since 2025. The same data are in RL Unplugged "
        "(gs://rl_unplugged/atari, format rlu-atari); with a copy of your own, give its folder as the source."
    )
}


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an exception of aiohttp, gcsfs, s3fs or botocore; None where there was no answer."""
    if type(error).__name__ == "ClientPayloadError":
        return None  # an answer that broke off; aiohttp hangs a 400 of its own on it
    response = getattr(error, "response", None)
    said = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    status = said or getattr(error, "status", None) or getattr(error, "code", None)
    if str(status).isdigit() and int(str(status)) >= 300:
        return int(str(status))
    # fsspec makes "not found" of whatever stood between it and a web server.
    cause = error.__cause__
    if cause is not None and (status_of(cause) is not None or is_transient(cause)):
        return status_of(cause)
    if isinstance(error, FileNotFoundError):
        return 404
    return 403 if isinstance(error, PermissionError) or str(error).startswith("Forbidden") else None


def is_refusal(error: BaseException) -> bool:
    """Whether the server knows the file and does not give it to this user."""
    return status_of(error) in (401, 403) or type(error).__name__ == "NoCredentialsError"


def is_transient(error: BaseException) -> bool:
    """Whether the same request may well succeed later: no answer, a broken one, or a server in trouble."""
    status = status_of(error)
    if status is not None:
        return status in _TRANSIENT
    if type(error).__name__ in ("NoCredentialsError", "InvalidURL", "NonHttpUrlClientError"):
        return False
    client = type(error).__module__.split(".")[0] in _CLIENTS
    return client or isinstance(error, (OSError, TimeoutError, EOFError))


def explain(error: BaseException, url: str, scheme: str, had_credentials: bool = False) -> DatasetError:
    """The error to raise for what a request to ``url`` ended with."""
    status, said = status_of(error), _said(error)
    if is_refusal(error):
        bucket = url.partition("://")[2].partition("/")[0]
        if bucket in _SHUT:
            remedy = _SHUT[bucket]
        elif scheme in _CREDENTIALS and had_credentials:
            remedy = "Neither anonymous requests nor your credentials may read it: ask its owner."
        elif scheme in _CREDENTIALS:
            remedy = (
                f"Anonymous requests may not read it and no credentials were found: set some "
                f"({_CREDENTIALS[scheme]}), or correct the address."
            )
        else:
            remedy = "Correct the address, or download the file yourself and give its folder as the source."
        return DatasetError(f"{url} is refused by its server (HTTP {status or 'no credentials'}). {remedy}")
    if status == 404:
        return DatasetError(f"{url} does not exist on its server (HTTP 404). Correct the address.")
    if status is not None:
        return DatasetError(
            f"{url} could not be read: its server answers HTTP {status} ({said}). Give the same command again later."
        )
    return DatasetError(
        f"{url} cannot be reached: {said}. Check the address and the network, then give the same command again; "
        "what was fetched is kept."
    )


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
