"""What tests know of the cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dashboard:
    """`url` of a cluster of one node with one processor; `token`: what its clients' environment needs."""

    url: str
    token: dict[str, str]
