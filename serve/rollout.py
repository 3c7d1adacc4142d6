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
#: Seconds that replicas get to go back to the edition they hold.
_PATIENCE = 60.0
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

    Raises `ValueError` when the app refuses the edition, `TimeoutError`. Either way it goes on with the one it had, and
    so do replicas that start later.
    """
    before = _user_configs()
    try:
        _turn(ref, time.monotonic() + timeout_s)
    except Exception:
        _set_user_configs(before, _PATIENCE)
        raise


def _turn(ref: EditionRef, deadline: float) -> None:
    for names in (HOLDERS, ("Gateway",)):
        _set_user_configs(dict.fromkeys(names, ref.as_dict()), deadline - time.monotonic())
    gateway = serve.get_app_handle(APP)
    agreeing = 0
    while agreeing < _AGREEING:
        if time.monotonic() > deadline:
            raise TimeoutError(f"promote: the app did not take up {ref.name} in time")
        served, refused = gateway.standing.remote().result()
        if refused is not None and refused[0] == ref:
            raise ValueError(f"edition: the app refuses {refused[1]}; it goes on with {served.name}")
        agreeing = agreeing + 1 if served == ref else 0
        time.sleep(0 if agreeing else _POLL)


def _app_config() -> dict[str, Any]:
    configs: dict[str, ServeApplicationSchema] = ray.get(_get_global_client()._controller.get_app_configs.remote())
    return configs[APP].model_dump(exclude_unset=True)


def _user_configs() -> dict[str, dict[str, str] | None]:
    """What each deployment that knows of editions was told last; None: nothing since the app was built."""
    told = {one["name"]: one.get("user_config") for one in _app_config().get("deployments", [])}
    return {name: told.get(name) for name in (*HOLDERS, "Gateway")}


def _set_user_configs(wanted: dict[str, dict[str, str] | None], timeout_s: float) -> None:
    values = _app_config()
    deployments = {one["name"]: one for one in values.get("deployments", [])}
    for name, config in wanted.items():
        one = deployments.setdefault(name, {"name": name})
        one.pop("user_config", None)
        one |= {} if config is None else {"user_config": config}
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
