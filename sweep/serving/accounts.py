"""MLflow's accounts, for pages beside MLflow's: whoever it lets in, they let in."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import urllib.error
import urllib.request

from sweep.direct import open_directly

__all__ = ["Accounts"]

_CURRENT_USER = "/api/2.0/mlflow/users/current"
_BELIEVED_SECONDS = 60.0
_MOST_BELIEVED = 1000


class Accounts:
    """Asks the MLflow at `url` who somebody is, and believes a yes for a minute. May be used by many threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._salt = secrets.token_bytes(16)
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def knows(self, authorization: str) -> bool:
        """Whether MLflow has the account of an `Authorization` header. Raises OSError if it does not answer."""
        if not authorization:
            return False
        # Not the header itself, which holds a password.
        key = hashlib.blake2b(authorization.encode(), key=self._salt).digest()
        with self._lock:
            if self._until.get(key, 0.0) > time.monotonic():
                return True
        request = urllib.request.Request(self._url + _CURRENT_USER, headers={"Authorization": authorization})
        try:
            with open_directly(request, 20.0):
                pass
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                return False
            raise
        with self._lock:
            if len(self._until) >= _MOST_BELIEVED:
                self._until.clear()
            self._until[key] = time.monotonic() + _BELIEVED_SECONDS
        return True
