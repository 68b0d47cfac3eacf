"""Which OpenGL renders images without a screen: the one place that reads and sets ``MUJOCO_GL``."""

import os
import subprocess
import sys

from agents.errors import EnvironmentUnavailable

# EGL renders on a GPU, or through Mesa on the CPU; OSMesa always on the CPU.
HEADLESS = ("egl", "osmesa")
VARIABLE = "MUJOCO_GL"
SYSTEM_PACKAGES = (
    "EGL or OSMesa (on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6)"
)

_RENDER = """
from dm_control import suite
environment = suite.load("cartpole", "swingup")
environment.reset()
assert environment.physics.render(8, 8, camera_id=0).any(), "the image is black"
environment.close()
"""
_PROBE_SECONDS = 60


def choose() -> str:
    """The renderer that dm_control uses in this process, after which dm_control may be imported.

    That is ``MUJOCO_GL`` where it is set; else the first of EGL and OSMesa that renders an image in a process
    of its own (1 to 2 s each, once a process), which is then set for this process and those it starts:
    dm_control itself would take GLFW, which needs a screen and, without one, can abort the process. Raises
    EnvironmentUnavailable where neither works, or where dm_control was imported with another before.
    """
    loaded = getattr(sys.modules.get("dm_control._render"), "BACKEND", None)
    asked = os.environ.get(VARIABLE)
    if loaded is not None:
        if loaded in HEADLESS or asked:
            return str(loaded)
        raise EnvironmentUnavailable(
            f"dm_control was imported before with the renderer {loaded!r}, which needs a screen, and cannot be "
            f"given another one. Set {VARIABLE}=egl or {VARIABLE}=osmesa before that import, or before Python starts."
        )
    if asked:
        return asked
    complaints = []
    for renderer in HEADLESS:
        complaint = why_not(renderer)
        if complaint is None:
            os.environ[VARIABLE] = renderer
            return renderer
        complaints.append(f"{renderer}: {complaint}")
    raise EnvironmentUnavailable(
        f"images cannot be rendered on this machine ({'; '.join(complaints)}). Install {SYSTEM_PACKAGES}; "
        f"{VARIABLE} picks one by name."
    )


def why_not(renderer: str) -> str | None:
    """The last line of what goes wrong when ``renderer`` renders an image in a process of its own; None: it works."""
    environment = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    environment[VARIABLE] = renderer
    try:
        run = subprocess.run(
            [sys.executable, "-c", _RENDER],
            env=environment, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no image after {_PROBE_SECONDS} s"
    if run.returncode == 0:
        return None
    lines = run.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {run.returncode}"
