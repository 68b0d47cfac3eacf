"""What goes wrong with an object store: what passes by itself and is tried again, and what somebody must mend.

Everything that an object store's client can raise is classified here and nowhere else.
"""

from __future__ import annotations

import contextlib
import contextvars
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sweep.errors import StoreError, StoreUnavailableError, SweepError, UsageError

__all__ = ["condition_refused", "condition_unknown", "explained", "patience", "persistently"]

_Result = TypeVar("_Result")

_PATIENCE_SECONDS = 20.0
_FIRST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.2, 5.0
_patience = contextvars.ContextVar("patience", default=_PATIENCE_SECONDS)

_PASSING_STATUSES = {408, 429}
_PASSING_CODES = {
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",  # two conditional writes of one key at the same moment: neither was refused
    "InternalError",
    "OperationAborted",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# By name, so that no client need be imported: botocore's, aiohttp's, requests' and the standard library's.
_CONNECTION = {
    "ChunkedEncodingError",
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionClosedError",
    "ConnectionError",
    "EndpointConnectionError",
    "FSTimeoutError",
    "HTTPClientError",
    "IncompleteRead",
    "IncompleteReadError",
    "ProxyError",
    "ResponseParserError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
    "TimeoutError",
    "Timeout",
    "TransportError",
}
_NO_CREDENTIALS = {
    "CredentialRetrievalError",
    "DefaultCredentialsError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}
_OLD_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}
_WRONG_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "401", "Unauthorized"}
_WRONG_CLOCK = {"RequestTimeTooSkewed", "RequestExpired"}
_REDIRECTED = {
    "PermanentRedirect",
    "301",
    "307",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """For how long calls in this block try again what passes by itself: 0 tries once."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def persistently(action: str, place: Path, call: Callable[[], _Result]) -> _Result:
    """The result of `call`, tried again with growing, random pauses while what is wrong may pass by itself.

    Raises FileNotFoundError and FileExistsError as they come, StoreUnavailableError once patience has run out,
    StoreError or UsageError at once for what trying again cannot mend.
    """
    began = time.monotonic()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except SweepError:
            raise
        except Exception as error:
            found = explained(error, action, place)
            if found is None:
                raise
            left = _patience.get() - (time.monotonic() - began)
            if not isinstance(found, StoreUnavailableError) or left <= 0:
                raise found from error
        # Random: many processes lose the store at the same moment and must not come back at the same moment.
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))
        pause = min(2 * pause, _MOST_PAUSE_SECONDS)


def explained(error: BaseException, action: str, place: Path) -> SweepError | None:
    """The error that a user is told; None for a file that is missing or there already, which callers expect.

    No text of the store itself is repeated: it can hold addresses and names of accounts.
    """
    names, status, code = _nature(error)
    bucket = place.parts[0].rstrip("/") if place.parts else str(place)
    where = f"{place}: cannot {action}"
    said = f" ({code})" if code else ""
    if code == "NoSuchBucket":
        return UsageError(
            f"{where}: the bucket {bucket!r} does not exist{said}; make it, or give another --root. Where the "
            "store is not the public one, its address belongs into AWS_ENDPOINT_URL."
        )
    if isinstance(error, (FileNotFoundError, FileExistsError, NotImplementedError)):
        return None
    if code in _PASSING_CODES or status in _PASSING_STATUSES or ((status or 0) >= 500 and status != 501):
        return StoreUnavailableError(
            f"{where}: the object store answers {status or 'with'} {code or 'an error'}: it is overloaded or "
            "disturbed. What was committed is whole; give the same command again when it is back."
        )
    if names & _NO_CREDENTIALS:
        return StoreError(
            f"{where}: no credentials were found or they cannot be renewed ({type(error).__name__}); set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE (s3://), or "
            "GOOGLE_APPLICATION_CREDENTIALS (gs://), where this process runs."
        )
    if code in _OLD_CREDENTIALS:
        return StoreError(
            f"{where}: the credentials have expired{said}; renew them and give the same command again."
        )
    if code in _WRONG_CLOCK:
        return StoreError(
            f"{where}: this machine's clock is too far from the store's{said}; set it (NTP) and give the same "
            "command again."
        )
    if code in _WRONG_CREDENTIALS or status == 401:
        return StoreError(
            f"{where}: the object store does not know these credentials{said}; check the access key and secret in "
            "the environment, and that AWS_ENDPOINT_URL, if set, is the store they belong to."
        )
    if code in _REDIRECTED:
        return StoreError(
            f"{where}: the bucket {bucket!r} is in another region{said}; set AWS_DEFAULT_REGION to it."
        )
    if isinstance(error, PermissionError) or status == 403 or str(error).startswith("Forbidden"):
        return StoreError(
            f"{where}: permission denied{said}; the credentials need to list, read, write and delete below "
            f"the root in the bucket {bucket!r}."
        )
    if names & _CONNECTION:
        return StoreUnavailableError(
            f"{where}: the object store cannot be reached ({_kind(error)}). What was committed is whole; check "
            "the network and AWS_ENDPOINT_URL, then give the same command again."
        )
    return StoreError(
        f"{where}: {_kind(error)}{said}; check that the root is right and what the store allows."
    )


def condition_refused(error: BaseException) -> bool:
    """Whether the name of a conditional write was taken."""
    _, status, code = _nature(error)
    return isinstance(error, FileExistsError) or status == 412 or code == "PreconditionFailed"


def condition_unknown(error: BaseException) -> bool:
    """Whether the store says that it has no conditional writes; others say nothing and overwrite."""
    _, status, code = _nature(error)
    return status == 501 or code in {"NotImplemented", "InvalidArgument", "InvalidRequest"}


def _nature(error: BaseException) -> tuple[set[str], int | None, str]:
    """Names of the error's classes and those of its causes, the HTTP status and the store's own code."""
    names: set[str] = set()
    status: int | None = None
    code = ""
    seen: BaseException | None = error
    for _ in range(5):
        if seen is None:
            break
        names |= {kind.__name__ for kind in type(seen).__mro__}
        response = getattr(seen, "response", None)
        if isinstance(response, dict):  # botocore's ClientError
            code = code or str(response.get("Error", {}).get("Code", ""))
            status = status or response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        for field in ("code", "status"):  # gcsfs' HttpError, aiohttp's ClientResponseError
            value = getattr(seen, field, None)
            if status is None and isinstance(value, (int, str)) and str(value).isdecimal():
                status = int(value)
        seen = seen.__cause__
    return names, status, code


def _kind(error: BaseException) -> str:
    return type(error).__name__
