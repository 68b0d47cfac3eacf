"""A description of a cluster is refused with the thing, the value and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rendered import described

from cluster.description import default_cluster, example_text, load_cluster
from search_spaces.errors import SpecificationError

GROUP = {"name": "cpu", "cpus": 4, "memory_gib": 8}


def test_the_example_is_what_is_rendered_without_a_description(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(example_text())
    assert load_cluster(file) == load_cluster() == default_cluster()


def test_versions_are_those_of_the_images_lock() -> None:
    import ray

    # The client of the Jobs API and the cluster have to be of one version.
    assert default_cluster().versions.ray == ray.__version__


@pytest.mark.parametrize(
    ("changes", "place", "says"),
    [
        ({"name": "My_Cluster"}, "name", "a-z 0-9 -"),
        ({"image": "rankscope"}, "image", "has no version"),
        ({"image": "rankscope:latest"}, "image", "tag other than latest"),
        ({"image": "rank scope:1"}, "image", "registry.example.org/rankscope:0.1.0"),
        ({"root": "sweeps"}, "root", "must be absolute"),
        ({"root": "ftp://host/x"}, "root", "s3://bucket/folder, gs://bucket/folder"),
        ({"root": "s3://Bucket/x y"}, "root", "a bucket and folders"),
        ({"workers": []}, "workers", "at least 1"),
        ({"workers": [GROUP, GROUP]}, "workers", "'cpu' is taken"),
        ({"workers": [{**GROUP, "min_workers": 3}]}, "min_workers", "more than max_workers (1)"),
        ({"workers": [{**GROUP, "shared_memory_gib": 8}]}, "shared_memory_gib", "part of memory_gib (8)"),
        ({"workers": [{**GROUP, "gpu_type": "a100"}]}, "gpu_type", "the group has no GPU"),
        ({"workers": [{**GROUP, "gpu": 1}]}, "gpu", "did you mean 'gpus'?"),
        ({"aws": {"instance_types": {"gpus": "m5.large"}}}, "aws.instance_types.gpus", "Groups: cpu, gpu"),
        ({"versions": {"ray": "2.9.0"}}, "versions.ray", "the images' lock has"),
        ({"secrets": [{"variable": "lower", "kubernetes_secret": "s"}]}, "variable", "environment variable"),
        ({"security": {"token": False, "network_policy": False}}, "security", "Leave one of them on"),
        ({"slurm": {"time_limit": "a day"}}, "slurm.time_limit", "DAYS-HH:MM:SS"),
        ({"slurm": {"partition": "x\n#SBATCH --uid=0"}}, "slurm.partition", "letters, digits"),
        ({"onprem": {"head": "ten.0.0/8"}}, "onprem.head", "IP address or a host name"),
        (
            {"compose": {"listen": "0.0.0.0"}, "security": {"token": False}},
            "compose.listen",
            "runs the code of whoever reaches it",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(changes: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(SpecificationError) as refused:
        described(**changes)
    lines = [line for line in str(refused.value).splitlines() if place in line]
    assert any(says in line for line in lines), str(refused.value)


def test_a_secret_in_a_description_is_refused_and_not_repeated() -> None:
    with pytest.raises(SpecificationError, match="a description holds no secret") as refused:
        described(secrets=[{"variable": "TOKEN", "kubernetes_secret": "s", "value": "hunter2"}])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"mlflow": {"uri": "http://me:hunter2@mlflow:5000"}},
        {"mlflow": {"database": "postgresql://me:hunter2@db/x"}},
        {"mlflow": {"artifacts": "s3://me:hunter2@bucket"}},
        {"root": "s3://me:hunter2@bucket/sweeps"},
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecificationError, match="a description holds none") as refused:
        described(**changes)
    assert "hunter2" not in str(refused.value)


def test_all_problems_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("name: X\nimage: rankscope\nroot: here\nworkers: [{name: cpu}]\n")
    with pytest.raises(SpecificationError) as refused:
        load_cluster(file)
    text = str(refused.value)
    for place in ("name", "image", "root", "workers[0].cpus", "workers[0].memory_gib"):
        assert f"{file}: {place}: " in text


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"sweep cluster example > cluster.yaml"):
        load_cluster(tmp_path / "none.yaml")
