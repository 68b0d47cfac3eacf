"""What of a root has to lie on a disk of this machine, wherever the root itself is."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sweep.settings import cache_folder
from sweep.store.places import is_local

__all__ = ["node_folder"]


def node_folder(root: Path) -> Path:
    """The root itself, or for a bucket `roots/<name>` in this node's cache; not made yet.

    Nothing there is needed by another machine, nor after the process that wrote it: datasets that are being
    made, compiled kernels, logs, locks between processes of this machine, and the embedded MLflow.
    """
    if is_local(root):
        return root
    text = str(root).rstrip("/")
    # The words are for people; two addresses may have the same ones.
    words = re.sub(r"[^a-z0-9]+", "-", text.partition("://")[2].lower()).strip("-")[-40:]
    return cache_folder() / "roots" / f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
