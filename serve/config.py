"""Serve's YAML, read strictly before it is deployed: Serve itself takes a misspelt key in silence, and goes without it.

The models are Ray's own, which know what a value may be, and forbid what they do not know.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ray.runtime_env import RuntimeEnv
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, ControllerOptions, RequestRouterConfig
from ray.serve.schema import (
    DeploymentSchema,
    HTTPOptionsSchema,
    LoggingConfig,
    RayActorOptionsSchema,
    ServeApplicationSchema,
    ServeDeploySchema,
)

from kartoteka.settings import one_line
from serve.access import check_exposure
from serve.settings import AppSettings

APPLICATION = "kartoteka"
_STRICT = ConfigDict(extra="forbid")


def _known_runtime(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if key not in RuntimeEnv.known_fields:
            raise ValueError(f"unknown key `{key}`{_meant(key, RuntimeEnv.known_fields)}")
    return value


_Runtime = Annotated[dict[str, Any], AfterValidator(_known_runtime)]


class _Policy(AutoscalingPolicy):
    model_config = _STRICT


class _Autoscaling(AutoscalingConfig):
    model_config = _STRICT
    policy: _Policy = Field(default_factory=_Policy)


class _ActorOptions(RayActorOptionsSchema):
    model_config = _STRICT
    runtime_env: _Runtime = Field(default={})


class _Logging(LoggingConfig):
    model_config = _STRICT


class _Router(RequestRouterConfig):
    model_config = _STRICT


class _Deployment(DeploymentSchema):
    model_config = _STRICT
    name: Literal["Gateway", "Encoder", "Index", "Ranker", "Classifier"]
    autoscaling_config: _Autoscaling | None = None
    ray_actor_options: _ActorOptions = Field(default_factory=_ActorOptions)
    logging_config: _Logging | None = None
    request_router_config: _Router | None = None
    # None of our deployments is made for these.
    gang_scheduling_config: None = None
    deployment_actors: None = None

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, values: Any) -> dict[str, Any]:
        if not isinstance(values, dict):  # Ray's own validators, which run after this one, take that for granted.
            raise ValueError("must be a mapping")
        return values


class _Application(ServeApplicationSchema):
    model_config = _STRICT
    name: Literal["kartoteka"]
    import_path: Literal["serve.app:build"]
    route_prefix: Literal["/"] = "/"
    runtime_env: _Runtime = Field(default={})
    args: AppSettings = AppSettings()
    deployments: list[_Deployment] = Field(default=[])
    logging_config: _Logging | None = None
    autoscaling_policy: None = None

    @model_validator(mode="after")
    def _deployments_are_distinct(self) -> Self:
        names = [deployment.name for deployment in self.deployments]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`deployments.{name}` is set twice")
        return self


class _Http(HTTPOptionsSchema):
    model_config = _STRICT


class _Controller(ControllerOptions):
    model_config = _STRICT


class _File(ServeDeploySchema):
    model_config = _STRICT
    http_options: _Http = Field(default_factory=_Http)
    controller_options: _Controller | None = None
    logging_config: _Logging | None = None
    grpc_options: None = None
    applications: list[_Application] = Field(min_length=1, max_length=1)

    @model_validator(mode="after")
    def _exposure_is_wanted(self) -> Self:
        check_exposure(self.http_options.host, self.applications[0].args.keys)
        return self


def read_config(
    path: str | Path, args: Mapping[str, Any] | None = None, http: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the file says, as `ServeDeploySchema` takes it; `args` of the application and `http` options come before it.

    Raises `ValueError`: the file is missing, is not YAML, sets a key twice, or has a wrong field, which is named.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ValueError(f"config: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return checked(_with(values, args or {}, http or {}))
    except ValueError as error:
        raise ValueError(f"config: {path}: {error}") from None


def _with(values: Any, args: Mapping[str, Any], http: Mapping[str, Any]) -> Any:
    """`values` with what was given beside the file; where they have no place for it, the check will say so."""
    match values:
        case {"applications": [dict(application), *_]}:
            for place, name, given in ((application, "args", args), (values, "http_options", http)):
                if isinstance(place.setdefault(name, {}), dict):
                    place[name] |= given
    return values


def checked(values: Any) -> dict[str, Any]:
    """`values`, once they are known to be right. Raises `ValueError` with one line that names each wrong field."""
    try:
        _File.model_validate(values)
    except ValidationError as error:
        raise ValueError("; ".join(_told(dict(e), values) for e in error.errors())) from None
    return values


class _Loader(yaml.SafeLoader):
    """YAML in which a key may be set once: the last of two would win, in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` is set twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _told(error: dict[str, Any], values: Any) -> str:
    """One line about one of pydantic's errors: `unknown key `deployments.Encoder.max_ongoing_request``."""
    model: type[BaseModel] | None = _File
    path: list[str] = []
    meant = ""
    for part in error["loc"]:
        if isinstance(part, int):
            values = values[part]
            if path == ["applications"] and len(error["loc"]) > 2:
                path = []  # There is only one.
            else:
                path.append(str(values.get("name", part) if isinstance(values, dict) else part))
            continue
        path.append(part)
        if model is None or part not in model.model_fields:
            meant = _meant(part, model.model_fields) if model else ""
            break
        values = values.get(part) if isinstance(values, dict) else None
        model = _model(model.model_fields[part].annotation)
        if model is None:
            break
    return one_line({**error, "loc": path}) + (meant if error["type"] == "extra_forbidden" else "")


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `list[Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model(inner))), None)


def _meant(key: str, known: Any) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f", did you mean `{close[0]}`?" if close else ""
