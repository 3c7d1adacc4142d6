"""`cluster.yaml` passes Ray's own validator, offline."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_ray_accepts_the_cluster_file(config: dict) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config))
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}
    assert {"head", "cpu", "gpu"} == set(config["available_node_types"])


def test_ray_refuses_a_misspelt_key(config: dict) -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parents[1] / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config | {"max_worker": 3}, schema)


def test_what_the_nodes_install_is_in_the_checkout(config: dict) -> None:
    assert all((ROOT / local).exists() for local in config["file_mounts"].values())
