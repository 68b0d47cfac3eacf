"""The image of head, workers and MLflow: pinned packages with hashes, no root."""

from __future__ import annotations

from cluster.description import Cluster
from cluster.render.pods import USER
from cluster.render.starting import made_from
from cluster.render.templates import fill
from cluster.render.yaml_text import commented

__all__ = ["render"]

_IGNORED = """\
# Nothing but what the image is made of: no results, environments, histories or secrets.
*
!agents
!cluster
!search_spaces
!sweep
!pyproject.toml
!README.md
!LICENSE
**/__pycache__
**/.*
"""


def render(cluster: Cluster) -> dict[str, str]:
    """`Dockerfile` and what it leaves out; the lock of its packages is the checkout's, `cluster/render/lock.py`."""
    return {
        "Dockerfile": fill(
            "Dockerfile.j2",
            comment=commented(made_from(cluster, "docker")),
            image=cluster.image,
            base=cluster.images.python,
            user=USER,
        ),
        "Dockerfile.dockerignore": _IGNORED,
    }
