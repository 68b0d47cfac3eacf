"""What a node of a cluster says of itself, and what is made of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.capacity import Node
from sweep.errors import UsageError
from sweep.node_report import node_report, token_name
from sweep.reach import ClusterReport, requirements

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def asked(root: Path, **changed: Any) -> dict[str, Any]:
    base = {"root": str(root), "tokens": "tokens", "me": "n1", "theirs": {"driver.token": "abc"}, "gpus": 0}
    room = {"least_disk": 1, "least_shared": 1}
    return {**base, **room, "requirements": requirements(), "python": PYTHON, **changed}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "driver.token").write_text("abc")
    return tmp_path


def only_problem(root: Path, **changed: Any) -> str:
    (problem,) = node_report(asked(root, **changed))["problems"]
    return str(problem)


def test_a_node_that_sees_the_root_leaves_its_own_file_there(root: Path) -> None:
    report = node_report(asked(root))
    assert report["problems"] == []
    assert (root / "tokens" / token_name("n1")).read_text() == "n1"


def test_a_root_that_is_not_there_is_named(root: Path) -> None:
    assert f"{root}/away does not exist there; put the root where" in only_problem(root / "away")


def test_a_folder_of_the_same_name_that_is_not_shared_is_named(root: Path) -> None:
    (root / "tokens" / "driver.token").unlink()
    assert "is not shared: what others write there is not seen" in only_problem(root)


def test_another_machines_file_of_the_same_name_is_not_taken_for_the_drivers(root: Path) -> None:
    (root / "tokens" / "driver.token").write_text("of yesterday")
    assert "another file than the driver's" in only_problem(root)


def test_too_little_disk_is_named_with_what_is_free_and_what_is_needed(root: Path) -> None:
    problems = node_report(asked(root, least_disk=10**18))["problems"]
    assert problems
    assert all("too little disk" in one and "at least 1e+09 GB" in one for one in problems)
    assert any(f"free at {root}" in one for one in problems)
    assert not (root / "tokens" / token_name("n1")).exists()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no /dev/shm")
def test_too_little_shared_memory_is_named_with_its_remedy(root: Path) -> None:
    problem = only_problem(root, least_shared=2**60)
    assert "too little shared memory" in problem
    assert "--shm-size" in problem


def test_missing_and_old_dependencies_are_named_together(root: Path) -> None:
    wanted = ["there-is-no-such-package>=1", "numpy>=99", "pyarrow>=1", 'absent>=1; python_version < "3"']
    problem = only_problem(root, requirements=wanted)
    assert "there-is-no-such-package (not installed)" in problem
    assert "needs >=99" in problem
    assert "pyarrow" not in problem
    assert "absent" not in problem


def test_another_python_than_the_drivers_is_named(root: Path) -> None:
    assert (
        only_problem(root, python="3.9")
        == f"Python {PYTHON} is there, 3.9 at the driver; use one image or environment"
    )


def test_what_this_installation_needs_is_met_by_it(root: Path) -> None:
    assert any(one.startswith("ray") for one in requirements())
    assert node_report(asked(root))["problems"] == []


def test_a_refusal_names_ten_nodes_and_counts_the_others() -> None:
    report = ClusterReport((), problems=tuple(f"node n{number}: full" for number in range(13)))
    with pytest.raises(UsageError, match="Nothing was started") as error:
        report.check("/mnt/sweeps")
    lines = str(error.value).splitlines()
    assert "'/mnt/sweeps'" in lines[0]
    assert lines[1:] == [*(f"  node n{number}: full" for number in range(10)), "  and 3 more"]


def test_a_report_comes_out_of_a_jobs_output_as_it_went_in() -> None:
    report = ClusterReport(
        (Node("a", 4, 1),), ({"name": "H200", "memory": 1.0},), True, ("p",), ("w",), False
    )
    import json

    printed = f"a line of Ray's\nrankscope-nodes: {json.dumps(report.as_json())}\nanother"
    assert ClusterReport.parse(printed) == report
    assert ClusterReport.parse("nothing of it") is None


def test_a_cluster_that_may_add_cards_says_how_to_have_them_added() -> None:
    head, card = Node("head", 0), Node("worker", 8, 1)
    said = ClusterReport((head, Node("worker", 8)), may_grow=True).about_cards("auto") or ""
    assert "packs are planned for processors" in said
    assert "give --device cuda" in said
    assert ClusterReport((head,), may_grow=True).about_cards("cuda") is None
    assert ClusterReport((head,)).about_cards("auto") is None
    assert ClusterReport((head, card), may_grow=True).about_cards("auto") is None
