"""`python train_here.py ROOT SPEC`: train one pack as a worker does, without Ray. 3: it was superseded."""

from __future__ import annotations

import sys
from pathlib import Path

from agents.devices import prepare_process
from sweep.errors import SupersededError
from sweep.pack_loop import train_pack
from sweep.plan import PackSpec
from sweep.store import Store

if __name__ == "__main__":
    root, spec = Path(sys.argv[1]), PackSpec.model_validate_json(sys.argv[2])
    prepare_process(1, "float32")
    try:
        train_pack(spec, Store(root).sweep("tiny"), root, "cpu")
    except SupersededError:
        sys.exit(3)
