"""Python, packages, compiler, Ray: what must be installed and work."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from sweep.doctor.finding import Finding
from sweep.doctor.questions import ask
from sweep.settings import compiler_names, quiet_environment

__all__ = [
    "compiler",
    "compiled_update",
    "environments",
    "packages",
    "python",
    "ray_works",
    "torch_works",
    "usage_statistics",
]

DISTRIBUTION = "rankscope"
_REINSTALL = "pip install --upgrade {}"
_APT = "Debian, Ubuntu: apt-get install g++ python3-dev; Fedora: dnf install gcc-c++ python3-devel"

_TORCH = """
import json, torch
cards = [[torch.cuda.get_device_name(i), torch.cuda.get_device_properties(i).total_memory,
          torch.cuda.mem_get_info(i)[0]] for i in range(torch.cuda.device_count())]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "cards": cards}))
"""

_COMPILE = """
import json, os, tempfile
with tempfile.TemporaryDirectory(prefix="sweep-doctor-") as folder:
    # A cache of its own: kernels of an earlier compilation would prove nothing.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    import torch
    torch.set_num_threads(1)
    def update(x, y):
        return (torch.tanh(x @ y) * 2).sum(1)
    x = torch.randn(8, 8)
    near = torch.allclose(torch.compile(update, fullgraph=True)(x, x), update(x, x), atol=1e-5)
print(json.dumps({"near": near}))
"""

_RAY = "import json, ray; print(json.dumps({'version': ray.__version__}))"
_RAY_DEEP = """
import json, logging, ray
ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=2**27, log_to_driver=False,
         logging_level=logging.ERROR)
three = ray.get(ray.remote(lambda: 1 + 2).remote())
ray.shutdown()
print(json.dumps({"version": ray.__version__, "three": three}))
"""


def python() -> Finding:
    """This interpreter against what the distribution asks for."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    found = f"{version} ({sys.executable})"
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return Finding("python", found)
    return Finding(
        "python", f"{found}, {wanted} is needed", "bad", f"install Python {wanted}, then reinstall"
    )


def packages(distribution: str = DISTRIBUTION) -> Iterator[Finding]:
    """Each package that the distribution requires, and whether its version is in the range it asks for."""
    yield from requirements(metadata.requires(distribution) or ())


def requirements(lines: Iterable[str]) -> Iterator[Finding]:
    """A finding for each requirement (`numpy>=2.0`) that holds here; those of extras are left out."""
    from packaging.requirements import Requirement

    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        what, asked = f"package {wanted.name}", str(wanted.specifier) or "any version"
        mend = _REINSTALL.format(f"'{wanted.name}{wanted.specifier}'")
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Finding(what, f"not installed, {asked} is needed", "bad", mend)
            continue
        if wanted.specifier.contains(version, prereleases=True):
            yield Finding(what, f"{version} ({asked})")
        else:
            yield Finding(what, f"{version}, outside {asked}", "bad", mend)


def environments() -> Iterator[Finding]:
    """Which families of environments can be made. A family that is missing is no fault: it is an extra."""
    from agents.environments import FAMILIES

    there = [family.name for family in FAMILIES if family.installed()]
    missing = [family.name for family in FAMILIES if not family.installed()]
    found = ", ".join(there)
    if missing:
        found += f"; not installed: {', '.join(missing)} (`sweep data envs` says how)"
    yield Finding("environments", found)
    for family in FAMILIES:
        if family.installed() and (others := family.other_versions()):
            mend = f"if it fails: {family.install_command}"
            yield Finding(
                f"environments {family.name}", f"not proven with {', '.join(others)}", "warning", mend
            )


def torch_works() -> Iterator[Finding]:
    """Whether PyTorch loads, and the CUDA devices it sees."""
    answer = ask(_TORCH)
    if isinstance(answer, str):
        mend = "reinstall PyTorch: " + _REINSTALL.format("--force-reinstall torch")
        yield Finding("PyTorch", f"does not load: {answer}", "bad", mend)
        return
    build = f"CUDA {answer['cuda']}" if answer["cuda"] else "no CUDA"
    yield Finding("PyTorch", f"{answer['version']} loads, built for {build}")
    for number, (name, total, free) in enumerate(answer["cards"]):
        found = f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        if free < 0.2 * total:
            mend = "see `nvidia-smi` for the processes that fill it, or run with --device cpu"
            yield Finding(f"card {number}", found, "warning", mend)
        else:
            yield Finding(f"card {number}", found)
    if not answer["cards"]:
        yield _no_cards(answer["cuda"])


def _no_cards(built_for: str | None) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("cards", "none: packs train on the processor")
    if built_for is None:
        mend = "install a CUDA build of PyTorch (https://pytorch.org/get-started/locally)"
        return Finding("cards", "a driver is installed, but this PyTorch has no CUDA", "warning", mend)
    mend = "see whether `nvidia-smi` works and its driver is new enough for this CUDA"
    return Finding("cards", f"PyTorch for CUDA {built_for} sees none", "warning", mend)


def compiler() -> Finding:
    """Whether a C++ compiler makes a library with Python's headers and OpenMP, as compiled updates need."""
    name = next((path for one in compiler_names() if (path := shutil.which(one))), None)
    if name is None:
        return Finding("C++ compiler", "none: packs train eagerly, about 4 times slower", "warning", _APT)
    source = "#include <Python.h>\n#include <omp.h>\nint threads() { return omp_get_max_threads(); }\n"
    headers = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory(prefix="sweep-doctor-") as folder:
        library = Path(folder, "probe.so")
        command = [
            name,
            *["-shared", "-fPIC", "-fopenmp", "-x", "c++", "-"],
            f"-I{headers}",
            "-o",
            str(library),
        ]
        made = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60)
    if made.returncode == 0:
        return Finding("C++ compiler", f"{name} makes libraries with Python's headers and OpenMP")
    errors = (
        re.findall(r"(?:fatal error|error|ld): .*", made.stderr) or made.stderr.splitlines() or ["no reason"]
    )
    return Finding("C++ compiler", f"{name} fails: {errors[0]}", "warning", _APT)


def compiled_update() -> Finding:
    """A tiny `torch.compile`, really run and compared with eager."""
    answer = ask(_COMPILE, 180)
    if isinstance(answer, str):
        return Finding(
            "torch.compile", f"fails: {answer}", "warning", f"run with --eager, or mend it. {_APT}"
        )
    if not answer["near"]:
        return Finding("torch.compile", "gives other numbers than eager", "bad", "run with --eager")
    return Finding("torch.compile", "works, and agrees with eager")


def ray_works(*, deep: bool) -> Finding:
    """Whether Ray loads; `deep` starts one, gives it a task and ends it."""
    answer = ask(_RAY_DEEP, 120) if deep else ask(_RAY)
    if isinstance(answer, str):
        mend = "reinstall Ray: " + _REINSTALL.format("--force-reinstall 'ray[default,tune]'")
        return Finding("Ray", f"{'does not start' if deep else 'does not load'}: {answer}", "bad", mend)
    return Finding("Ray", f"{answer['version']} {'starts and runs a task' if deep else 'loads'}")


def usage_statistics() -> Finding:
    """Whether processes that Rankscope starts send usage statistics to the makers of Ray and MLflow."""
    settings = quiet_environment()
    loud = []
    if settings["RAY_USAGE_STATS_ENABLED"] != "0":
        loud.append("RAY_USAGE_STATS_ENABLED")
    if settings["MLFLOW_DISABLE_TELEMETRY"].lower() != "true" and settings["DO_NOT_TRACK"].lower() != "true":
        loud.append("MLFLOW_DISABLE_TELEMETRY")
    if loud:
        variables = " and ".join(f"{name}={settings[name]}" for name in loud)
        found = f"ON, because the environment has {variables}"
        return Finding("usage statistics", found, "warning", f"to switch them off: unset {' '.join(loud)}")
    found = (
        "off: Ray and MLflow send nothing from here (a cluster joined by --address has a setting of its own)"
    )
    return Finding("usage statistics", found)
