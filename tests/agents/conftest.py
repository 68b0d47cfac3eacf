import ctypes.util
import os

import pytest
import torch

# What imports dm_control first (d4rl does) settles its renderer for the whole process, and without a screen
# its own choice aborts.
for renderer, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
    if ctypes.util.find_library(library):
        os.environ.setdefault("MUJOCO_GL", renderer)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors are fastest on one thread, and other tests share the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory):
    """One folder of compiled kernels for the session; a folder that the caller names is kept and used again."""
    from agents.compilation import use_compile_cache

    before = {name: os.environ.get(name) for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
    if before["TORCHINDUCTOR_CACHE_DIR"] is None:
        use_compile_cache(tmp_path_factory.mktemp("compiled"))
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
