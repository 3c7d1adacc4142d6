"""Deploying the app, and turning a running one to another edition without a dropped request.

Serve reconfigures replicas in place when nothing but their `user_config` changed in a declarative deployment; deployed
in any other way they are all replaced. So there is one way here: `ServeDeploySchema`, as `serve deploy` sends it.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ServeApplicationSchema, ServeDeploySchema

from serve.editions import EditionRef

APP = "kartoteka"
#: The deployments that hold something of an edition; the gateway turns to another when they do.
HOLDERS = ("Encoder", "Index", "Ranker")
_POLL = 0.2
#: Answers of the gateway that must agree, one after the other, before a roll-out counts as done.
_AGREEING = 8


def deploy(config: dict[str, Any], timeout_s: float = 300.0) -> None:
    """Start Serve where it does not run, deploy the app of a validated `config`, and wait until it answers.

    Raises `ValueError` with what Serve says when it cannot be deployed, `TimeoutError` when it takes too long.
    """
    schema = ServeDeploySchema.model_validate(config)
    serve.start(http_options=config.get("http_options"), proxy_location=config.get("proxy_location", "HeadOnly"))
    _apply(schema, timeout_s)
    _get_global_client().wait_for_proxies_serving(wait_for_applications_running=True)


def is_running() -> bool:
    """Whether the app is deployed on the cluster this process is connected to."""
    try:
        return APP in serve.status().applications
    except Exception:  # Serve was never started here
        return False


def turn_to(ref: EditionRef, timeout_s: float = 600.0) -> None:
    """Let the running app answer from `ref`: first every holder opens it, then the gateway turns to it.

    Raises `ValueError` when the app refuses the edition (it goes on with the one it had), `TimeoutError`.
    """
    deadline = time.monotonic() + timeout_s
    _set_user_config(HOLDERS, ref, timeout_s)
    _set_user_config(("Gateway",), ref, deadline - time.monotonic())
    gateway = serve.get_app_handle(APP)
    agreeing = 0
    while agreeing < _AGREEING:
        if time.monotonic() > deadline:
            raise TimeoutError(f"promote: the app did not take up {ref.name} in {timeout_s:.0f} s")
        said = gateway.version.remote().result()
        if said["refused"]:
            raise ValueError(f"edition: the app refuses {said['refused']}; it goes on with {said['edition']}")
        agreeing = agreeing + 1 if said["digest"] == ref.digest else 0
        time.sleep(0 if agreeing else _POLL)


def _set_user_config(names: tuple[str, ...], ref: EditionRef, timeout_s: float) -> None:
    client = _get_global_client()
    config: ServeApplicationSchema = ray.get(client._controller.get_app_configs.remote())[APP]
    values = config.model_dump(exclude_unset=True)
    deployments = {one["name"]: one for one in values.get("deployments", [])}
    for name in names:
        deployments.setdefault(name, {"name": name})["user_config"] = ref.as_dict()
    values["deployments"] = list(deployments.values())
    _apply(ServeDeploySchema.model_validate({"applications": [values]}), timeout_s)


def _apply(schema: ServeDeploySchema, timeout_s: float) -> None:
    _get_global_client().deploy_apps(schema)
    deadline = time.monotonic() + timeout_s
    while True:
        app = serve.status().applications.get(APP)
        status = app.status if app else ApplicationStatus.DEPLOYING
        if status == ApplicationStatus.RUNNING:
            return
        if status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            raise ValueError(f"serve: {_reason(app)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"serve: the app was not running after {timeout_s:.0f} s")
        time.sleep(_POLL)


def _reason(app: Any) -> str:
    """The last line of what Serve says of a failed deployment: the exception itself."""
    said = [app.message, *(one.message for one in app.deployments.values())]
    lines = [line.strip() for text in said for line in (text or "").splitlines() if "Error" in line]
    return lines[-1] if lines else app.message
