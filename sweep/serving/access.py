"""Who may come in: accounts wherever a server listens beyond this machine, and the names it answers to."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import ip_address

from sweep.errors import UsageError
from sweep.settings import value_of

__all__ = ["Access", "beyond_this_machine"]

ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
SECRET_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
_SHORTEST_PASSWORD = 12
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Access:
    """What a server asks of those who come to it.

    `names` are the host names, without a port, under which it may be asked. A browser sends the name it was told to
    go to: a page elsewhere that points its own name at this address ("DNS rebinding") is thus refused.
    """

    auth: bool
    names: tuple[str, ...]

    @classmethod
    def of(cls, host: str, allowed_hosts: Sequence[str] = (), auth: bool | None = None) -> Access:
        """Access to what listens on `host`; without a word on `auth`, by accounts if that is beyond this machine.

        Raises:
            UsageError: the secrets or the package that accounts need are missing.
        """
        beyond = beyond_this_machine(host)
        wanted = beyond if auth is None else auth
        if wanted:
            _check_secrets(host, beyond)
        given = [name.strip() for text in allowed_hosts for name in text.split(",") if name.strip()]
        names = [*given, *(_own_names(host) if beyond else ()), *_LOOPBACK]
        return cls(wanted, tuple(dict.fromkeys(names)))

    def hosts(self) -> list[str]:
        """Patterns of the Host headers to let in: each name, and each with any port.

        Any, as a tunnel or proxy may have another port than the server. MLflow's own list for a server without one
        has patterns such as `10.*`, which the name `10.example.org` fits too.
        """
        return [pattern for name in self.names for pattern in _with_any_port(name)]

    def lets_in(self, host: str) -> bool:
        """Whether a request with this Host header may come in."""
        return any(fnmatchcase(host, pattern) or host == pattern for pattern in self.hosts())

    def origins(self) -> list[str]:
        """Patterns of the pages that may change something: MLflow's own, under each of the names.

        MLflow refuses its own page's requests, searches among them, unless its origin is local or on this list.
        """
        return [
            f"{scheme}://{pattern}"
            for name in self.names
            if name not in _LOOPBACK
            for pattern in _with_any_port(name)
            for scheme in ("http", "https")
        ]


def beyond_this_machine(host: str) -> bool:
    """Whether what listens on `host` can be reached from other machines."""
    try:
        return not ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = {str(address[4][0]) for address in socket.getaddrinfo(host, None)}
    except OSError:
        # Nobody can listen there; what tries to says so.
        return True
    return not all(ip_address(address.split("%")[0]).is_loopback for address in found)


def _with_any_port(name: str) -> tuple[str, ...]:
    if _has_port(name) or name == "*":
        return (name,)
    # fnmatch would read [::1] as a set of characters.
    return (name, f"{name.replace('[', '?', 1)}:*")


def _has_port(name: str) -> bool:
    return ":" in name.rpartition("]")[2]


def _own_names(host: str) -> Iterable[str]:
    """Under what others may ask for what listens on `host`, as far as this machine knows."""
    if host not in ("0.0.0.0", "::", "[::]"):
        return [_bracketed(host)]
    import psutil

    found = [socket.gethostname(), socket.getfqdn()]
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6) and "%" not in one.address:
                found.append(_bracketed(one.address))
    return found


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _check_secrets(host: str, beyond: bool) -> None:
    password, key = value_of(ADMIN_PASSWORD) or "", value_of(SECRET_KEY) or ""
    wrong = []
    if len(password) < _SHORTEST_PASSWORD:
        wrong.append(
            f"{ADMIN_PASSWORD}, of at least {_SHORTEST_PASSWORD} characters, for the account `admin`"
            f"{' (it is shorter)' if password else ''}"
        )
    if not key:
        wrong.append(
            f"{SECRET_KEY}, the same at every start "
            "(make one with: python -c 'import secrets; print(secrets.token_hex(32))')"
        )
    if wrong:
        why = (
            f"--host {host}: MLflow would listen beyond this machine, where whoever reaches the port may read, "
            "change and delete every run; so it asks for accounts"
            if beyond
            else "--auth: MLflow asks for accounts"
        )
        raise UsageError(
            f"{why}. Set in the environment: {'; and '.join(wrong)}. "
            "Or listen on 127.0.0.1 and come through `ssh -L`; --no-auth is for where a proxy asks who comes."
        )
    if find_spec("flask_wtf") is None:
        raise UsageError("MLflow's accounts need the package flask-wtf: pip install 'rankscope[server]'.")
