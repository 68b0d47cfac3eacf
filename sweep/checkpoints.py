"""Checkpoints of packs: the state of training, and how far the store had got."""

from __future__ import annotations

import logging
import re
from io import BytesIO
from pathlib import Path
from typing import Any

from sweep.errors import UsageError
from sweep.store import files
from sweep.store.layout import checked_name

__all__ = ["Checkpoints"]

logger = logging.getLogger(__name__)
_NAME = re.compile(r"a(\d{3,5})-(\d{9})\.pt")
_KEEP = 2


class Checkpoints:
    """The checkpoints of one pack, `checkpoints/<sweep>/<pack>/a<attempt>-<step>.pt`, the last two kept.

    They are written whole or not at all, and read without unpickling objects (`weights_only`).
    """

    def __init__(self, root: Path, sweep: str, pack_id: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", pack_id):
            raise UsageError(f"pack id {pack_id!r}: only letters, digits, '.', '_' and '-' are allowed.")
        self.folder = root / "checkpoints" / checked_name(sweep) / pack_id

    def save(self, attempt: int, step: int, state: dict[str, Any]) -> None:
        """Commit `state` (tensors, numbers, strings, in dicts and lists). Raises StoreError, for a full disk too."""
        import torch

        buffer = BytesIO()
        torch.save(state, buffer)
        files.make_folder(self.folder)
        files.replace(self.folder / f"a{attempt:03}-{step:09}.pt", buffer.getvalue())
        for path in self._paths()[:-_KEEP]:
            files.remove(path)

    def latest(self) -> dict[str, Any] | None:
        """The newest state that can be read, None where there is none; damaged files are passed over."""
        import torch

        for path in reversed(self._paths()):
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                logger.warning("%s cannot be read (%s); going on from the one before it.", path, error)
                continue
            return state
        return None

    def _paths(self) -> list[Path]:
        """Oldest first: a later attempt's checkpoint counts more than an older attempt's later step."""
        found = [
            (int(match[1]), int(match[2]), name)
            for name in files.list_names(self.folder)
            if (match := _NAME.fullmatch(name))
        ]
        return [self.folder / name for _, _, name in sorted(found)]
