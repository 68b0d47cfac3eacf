"""Checkpoints of packs: the state of training, and how far the store had got."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from sweep.errors import StoreUnavailableError, UsageError
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

    def latest(self, resume_steps: Mapping[int, int]) -> dict[str, Any] | None:
        """The newest state that can be read and whose rows all count; None where there is none.

        `resume_steps` maps each attempt so far to the step that it went on from. A later attempt that went on
        from an earlier step than a checkpoint's has taken back the rows in between, so that checkpoint (of a
        process that was given up for dead, or one that could not be read at the time) is not gone on from.
        """
        import torch

        for path in reversed(self._paths()):
            attempt, step = _numbers(path.name)
            if any(later > attempt and resumed < step for later, resumed in resume_steps.items()):
                continue
            try:
                state = torch.load(BytesIO(files.read_bytes(path)), map_location="cpu", weights_only=True)
                if not (isinstance(state, dict) and state.keys() >= {"pack", "seconds"}):
                    raise ValueError("it is not the state of a pack")
            except StoreUnavailableError:
                raise  # it may be sound
            except Exception as error:
                logger.warning("%s cannot be read (%s); going on from the one before it.", path, error)
                continue
            return state
        return None

    def newest_step(self) -> int:
        """The step of the newest checkpoint, readable or not; -1 where there is none."""
        paths = self._paths()
        return _numbers(paths[-1].name)[1] if paths else -1

    def _paths(self) -> list[Path]:
        """Oldest first: a later attempt's checkpoint counts more than an older attempt's later step."""
        names = [name for name in files.list_names(self.folder) if _NAME.fullmatch(name)]
        return [self.folder / name for name in sorted(names, key=_numbers)]


def _numbers(name: str) -> tuple[int, int]:
    """Attempt and step of a checkpoint, from its file's name."""
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2])
