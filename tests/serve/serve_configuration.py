"""The app as tests deploy it, and the documents they ask about."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from kartoteka import edition as editions
from serve.config import checked, read_config

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def configuration(edition: Path, port: int, **args: Any) -> dict[str, Any]:
    """`serve/local.yaml` without reserved CPUs, of which a test has two, and without autoscaling."""
    config = read_config(
        ROOT / "serve" / "local.yaml", {"edition": str(edition)} | args, {"host": "127.0.0.1", "port": port}
    )
    for deployment in config["applications"][0]["deployments"]:
        deployment["ray_actor_options"] = {"num_cpus": 0}
        if deployment.pop("autoscaling_config", None):
            deployment["num_replicas"] = 1
    return checked(config)


def documents_of(edition: Path) -> list[dict[str, Any]]:
    columns = ["id", "title", "abstract", "lang"]
    return editions.open(edition).table("documents").to_table(columns=columns).to_pylist()
