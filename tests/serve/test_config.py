"""Serve's YAML: right files pass, here and in Ray, and a wrong key is named before anything starts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve.config import checked, read_config
from serve.settings import AppSettings

SERVE = Path(__file__).parents[2] / "serve"
FILES = sorted(SERVE.glob("*.yaml"))
BASE = yaml.safe_load((SERVE / "cluster.yaml").read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_our_files_are_right_and_ray_takes_them(path: Path) -> None:
    values = read_config(path)
    (application,) = ServeDeploySchema.model_validate(copy.deepcopy(values)).applications
    assert application.deployment_names == ["Gateway", "Encoder", "Index", "Ranker", "Classifier"]
    settings = AppSettings.parse(application.args)
    gateway = application.deployments[0]
    assert gateway.max_ongoing_requests > settings.max_in_progress


def changed(*path: str | int, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(BASE)
    inside = values
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    return values


APP = ("applications", 0)
ENCODER = (*APP, "deployments", 1)
WRONG = [
    (("http_option",), {}, "unknown key `http_option`, did you mean `http_options`?"),
    (("http_options", "prot"), 1, "unknown key `http_options.prot`, did you mean `port`?"),
    (("http_options", "port"), "x", "`http_options.port`: "),
    ((*APP, "arg"), {}, "unknown key `arg`, did you mean `args`?"),
    ((*APP, "name"), "other", "`name`: "),
    ((*APP, "import_path"), "os:system", "`import_path`: "),
    ((*APP, "args", "max_text"), 3, "unknown key `args.max_text`, did you mean `max_texts`?"),
    ((*APP, "args", "max_texts"), "3", "`args.max_texts`: "),
    ((*APP, "args", "timeout_s"), 500, "more than `max_timeout_s`"),
    ((*APP, "args", "keys"), None, "`keys`: a service on 0.0.0.0 needs a key file"),
    ((*APP, "runtime_env", "env_var"), {}, "`runtime_env`: unknown key `env_var`, did you mean `env_vars`?"),
    ((*APP, "deployments", 1, "name"), "Gateway", "`deployments.Gateway` is set twice"),
    ((*APP, "deployments", 1, "name"), "Encodr", "`deployments.Encodr.name`: "),
    (
        (*ENCODER, "max_ongoing_request"),
        5,
        "unknown key `deployments.Encoder.max_ongoing_request`, did you mean `max_ongoing_requests`?",
    ),
    ((*ENCODER, "max_ongoing_requests"), -5, "`deployments.Encoder.max_ongoing_requests`: "),
    (
        (*ENCODER, "autoscaling_config", "max_replica"),
        5,
        "unknown key `deployments.Encoder.autoscaling_config.max_replica`, did you mean `max_replicas`?",
    ),
    ((*ENCODER, "autoscaling_config", "max_replicas"), 1, "`deployments.Encoder.autoscaling_config`: "),
    ((*ENCODER, "ray_actor_options", "num_cpu"), 1, "`deployments.Encoder.ray_actor_options.num_cpu`, did you mean"),
    ((*ENCODER, "ray_actor_options", "runtime_env"), {"pips": []}, "unknown key `pips`, did you mean `pip`?"),
    (
        (*APP, "deployments", 0, "backpressure_config", "retry_after"),
        5,
        "unknown key `deployments.Gateway.backpressure_config.retry_after`, did you mean `retry_after_s`?",
    ),
    ((*ENCODER, "num_replicas"), 2, "`deployments.Encoder`: "),
    (("applications",), [], "`applications`: "),
    (("applications",), [3], "`applications.0`: "),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_named_in_one_line(path: tuple[str | int, ...], value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        checked(changed(*path, value=value))
    assert said in str(error.value)


def places(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def answer(values: Any) -> str:
    try:
        checked(values)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", [None, -1, "x", [], [None], {1: 2}, {"a": 1}, True], ids=str)
def test_whatever_stands_anywhere_the_answer_is_one_line(value: Any) -> None:
    answers = [answer(changed(*path, value=value)) for path in places(BASE)]
    assert any(answers)
    assert not [line for line in answers if "\n" in line]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("applications: [", "is not YAML"),
        ("http_options: {port: 1, port: 2}", "`port` is set twice"),
        ("", "valid dictionary"),
        ("- 1", "valid dictionary"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "serve.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"^config: [^\n]+$") as error:
        read_config(tmp_path / "serve.yaml")
    assert said in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        read_config(tmp_path / "none.yaml")
