"""The cluster launcher's files: Ray's own checks take them, and nothing is open that need not be."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from rendered import VARIANTS, described, documents

from cluster.render import render
from search_spaces.errors import SpecificationError


def launched(kind: str, **changes: Any) -> dict[str, Any]:
    (config,) = documents(render(described(**changes), kind)["cluster.yaml"])
    return config


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["aws", "gcp", "onprem"])
def test_rays_own_validation_of_ray_up_takes_it(kind: str, variant: str) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = launched(kind, **VARIANTS[variant])
    prepared = prepare_config(config)
    validate_config(prepared)
    # What Ray would fill in must not come back: its defaults install another Ray on every node.
    assert prepared["head_setup_commands"] == prepared["worker_setup_commands"] == []
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepared, "headnode": {}})


@pytest.mark.parametrize("kind", ["aws", "gcp", "onprem"])
def test_the_dashboard_listens_on_loopback_and_every_call_needs_the_token(kind: str) -> None:
    config = launched(kind)
    (head,) = [one for one in config["head_start_ray_commands"] if "ray start" in one]
    (worker,) = [one for one in config["worker_start_ray_commands"] if "ray start" in one]
    assert "--dashboard-host=127.0.0.1" in shlex.split(head)
    assert "0.0.0.0" not in str(config)
    for command in (head, worker):
        assert "RAY_AUTH_MODE=token" in command
        assert "RAY_AUTH_TOKEN_PATH=/home/ray/private/auth_token" in command
    assert "--num-cpus=0" in shlex.split(head)


@pytest.mark.parametrize("kind", ["aws", "gcp", "onprem"])
def test_containers_have_no_rights_and_nodes_get_secrets_as_files(kind: str) -> None:
    config = launched(kind)
    options = config["docker"]["run_options"]
    assert {"--cap-drop=ALL", "--security-opt=no-new-privileges"} <= set(options)
    assert not any("privileged" in one and "no-new" not in one for one in options)
    assert config["file_mounts"] == {"/home/ray/private": "~/.config/rankscope/rankscope"}


def test_preemptible_machines_and_sizes_are_the_descriptions() -> None:
    aws, gcp = launched("aws"), launched("gcp")
    types = aws["available_node_types"]
    assert types["gpu-spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["gpu"]["node_config"]
    assert types["gpu"]["resources"] == {"CPU": 8, "GPU": 1}
    assert types["head"]["resources"] == {"CPU": 0}
    assert aws["max_workers"] == 4 + 4 + 8
    scheduling = gcp["available_node_types"]["gpu-spot"]["node_config"]["scheduling"]
    assert {"preemptible": True} in scheduling
    assert {"onHostMaintenance": "TERMINATE"} in scheduling


def test_instances_answer_only_version_2_of_the_metadata_service() -> None:
    for one in launched("aws")["available_node_types"].values():
        assert one["node_config"]["MetadataOptions"]["HttpTokens"] == "required"


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("aws", {"aws": {"instance_types": {"cpu": "m5.large"}}}, "aws.instance_types.gpu: is missing"),
        ("gcp", {"gcp": {"machine_types": {}}}, "gcp.machine_types.cpu: is missing"),
        ("gcp", {"gcp": {"accelerators": {}}}, "gcp.accelerators.gpu: is missing"),
        ("gcp", {"gcp": {"gpu_source_image": None}}, "gcp.gpu_source_image: is missing: gpu has GPUs"),
    ],
)
def test_what_a_cloud_needs_to_know_is_asked_for(kind: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecificationError) as refused:
        render(described(**changes), kind)
    assert says in str(refused.value)
