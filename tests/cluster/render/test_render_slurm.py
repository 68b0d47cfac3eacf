"""The batch script: the shell takes it, Slurm's options are the description's, and it cleans up behind itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from rendered import VARIANTS, described, tool

from cluster.render import render
from search_spaces.errors import SpecificationError


def script(**changes: Any) -> str:
    return render(described(**changes), "slurm")["sweep.sbatch"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.sbatch"
    file.write_text(script())
    return file


@pytest.mark.parametrize("variant", VARIANTS)
def test_bash_and_shellcheck_take_it(variant: str, tmp_path: Path) -> None:
    file = tmp_path / "sweep.sbatch"
    file.write_text(script(**VARIANTS[variant]))
    assert tool("bash", "-n", file).stderr == ""
    checked = tool("shellcheck", "--shell=bash", file)
    assert checked.returncode == 0, checked.stdout


def parts(text: str) -> list[list[str]]:
    """The options of each part of the job; Slurm reads them up to the first command."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("#SBATCH hetjob"):
            found.append([])
        elif line.startswith("#SBATCH "):
            found[-1].append(line.removeprefix("#SBATCH "))
        elif line and not line.startswith("#"):
            break
    return found


def test_a_part_for_the_head_and_one_for_each_group() -> None:
    head, cpu, gpu, spot = parts(script(slurm={"partition": "batch", "partitions": {"gpu-spot": "preempt"}}))
    assert {"--nodes=1", "--cpus-per-task=4", "--mem=16G", "--requeue", "--signal=B:TERM@180"} <= set(head)
    assert {"--nodes=4", "--cpus-per-task=8", "--mem=16G", "--partition=batch"} <= set(cpu)
    assert not any("gpu" in option for option in cpu)
    assert {"--nodes=4", "--gpus-per-node=l4:1", "--partition=batch"} <= set(gpu)
    assert {"--nodes=8", "--gpus-per-node=l4:1", "--partition=preempt"} <= set(spot)


def test_values_with_spaces_or_quotes_stay_one_word_or_are_refused(tmp_path: Path) -> None:
    text = script(job={"study": "my study's.yaml", "name": "mine"})
    assert """sweep run 'my study'"'"'s.yaml'""" in text
    with pytest.raises(SpecificationError, match=r'slurm.environment.*without "'):
        script(slurm={"environment": 'x"; rm -rf "$HOME'})


# srun, scontrol, ray and sweep as far as the script can tell: they note what they were called with. `sweep run` goes
# on until `sweep stop` is asked for, as it does.
_STANDING_IN = """\
#!/usr/bin/env bash
me=$(basename "$0")
echo "$me $*" >>"$NOTES/calls"
case "$me $1" in
  srun*) while [ "${1#-}" != "$1" ]; do shift; done; exec "$@" ;;
  "ray start") stat -c %a "$(dirname "$RAY_AUTH_TOKEN_PATH")" "$RAY_AUTH_TOKEN_PATH" >>"$NOTES/modes"
    cat "$RAY_AUTH_TOKEN_PATH" >"$NOTES/token"; trap 'exit 0' TERM; while :; do sleep 0.05; done ;;
  "sweep run") for _ in $(seq 3000); do [ -e "$NOTES/asked" ] && exit 0; [ -e "$NOTES/done" ] && exit 0
    sleep 0.05; done; exit 9 ;;
  "sweep stop") touch "$NOTES/asked" ;;
esac
"""


def started(written: Path, tmp_path: Path) -> subprocess.Popen[bytes]:
    tools = tmp_path / "home" / "rankscope" / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("srun", "scontrol", "ray", "sweep"):
        (tools / name).write_text(_STANDING_IN)
        (tools / name).chmod(0o755)
    process = subprocess.Popen(
        ["bash", str(written)],
        env={**os.environ, "HOME": str(tmp_path / "home"), "NOTES": str(tmp_path), "SLURM_JOB_ID": "4711"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while "sweep run" not in calls(tmp_path) or calls(tmp_path).count("ray start") < 8:
        assert time.monotonic() < deadline, calls(tmp_path)
        assert process.poll() is None, calls(tmp_path)
        time.sleep(0.05)
    return process


def calls(tmp_path: Path) -> str:
    file = tmp_path / "calls"
    return file.read_text() if file.exists() else ""


def test_near_its_time_limit_it_asks_the_packs_to_stop_and_queues_itself_again(
    written: Path, tmp_path: Path
) -> None:
    process = started(written, tmp_path)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 0
    after = calls(tmp_path).split("sweep stop", 1)[1]
    assert after.startswith(" demo --root s3://example-bucket/sweeps")
    assert "scontrol requeue 4711" in after
    # A requeue ends the script where it stands: by then there is no token left.
    assert not list((tmp_path / "home" / ".rankscope").iterdir())


def test_a_sweep_that_ends_by_itself_is_not_queued_again_and_leaves_no_token(
    written: Path, tmp_path: Path
) -> None:
    process = started(written, tmp_path)
    (tmp_path / "done").touch()
    assert process.wait(60) == 0
    assert "scontrol" not in calls(tmp_path)
    # While it ran: a folder and a file of the user alone, and the token in no argument.
    assert set((tmp_path / "modes").read_text().split()) == {"700", "600"}
    token = (tmp_path / "token").read_text()
    assert len(token) == 64
    assert token not in calls(tmp_path)
    assert not list((tmp_path / "home" / ".rankscope").iterdir())
