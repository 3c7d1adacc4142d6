"""Serve an edition: keyphrases, similar documents, search, sentiment and vectors over HTTP.

    kartoteka serve --edition EDITION [--host HOST] [--port PORT] [--keys FILE] [--config YAML]

EDITION: a folder that `kartoteka reindex` made, or the pointer (`current.json`) that `kartoteka promote` moves; the app
then follows the pointer. On a cluster that runs for good, give `--address`, or `serve deploy` the YAML.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jobs.cli import plain_errors

LOCAL = str(Path(__file__).parents[1] / "serve" / "local.yaml")
#: Seconds between two looks at the pointer.
_LOOK = 1.0


def serve(
    edition: Annotated[str, typer.Option(help="An edition, or a pointer to one (`current.json`).")],
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, other than loopback only with --keys; none: the YAML's.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="None: the YAML's.")] = None,
    keys: Annotated[str | None, typer.Option(help="TOML file of API keys; see `kartoteka key`.")] = None,
    config: Annotated[str, typer.Option(help="Serve's YAML: replicas, autoscaling, limits.")] = LOCAL,
    encoder: Annotated[str | None, typer.Option(help="Where the edition's encoder is now, if it moved.")] = None,
    ranker: Annotated[str | None, typer.Option(help="Where the edition's trained ranker is now.")] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Sentiment classifier; none: the one that comes along.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster; none: a local one.")] = None,
) -> None:
    """Serve an edition over HTTP."""
    with plain_errors():
        given = {"encoder": encoder, "ranker": ranker, "classifier": classifier, "keys": keys}
        args = {"edition": _absolute(edition)} | {name: _absolute(v) for name, v in given.items() if v}
        http = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
        run(read_config(config, args, http), address)


def read_config(path: str, args: dict[str, Any], http: dict[str, Any]) -> dict[str, Any]:
    """The validated YAML with what the flags say. Raises `ValueError` naming what is wrong in it or in `args`."""
    from kartoteka import pointer
    from kartoteka.online.opened import open_edition_checked
    from serve import config
    from serve.access import Keys

    values = config.read_config(path, args, http)
    given = values["applications"][0]["args"]
    Keys.open(given.get("keys"))
    open_edition_checked(pointer.resolve(given["edition"]), whole=False)
    return values


def run(config: dict[str, Any], address: str | None) -> None:
    """Deploy the app, follow the pointer where there is one, and end with Ctrl-C."""
    import ray
    from ray import serve as ray_serve

    from kartoteka import cluster
    from serve import rollout

    console = Console(highlight=False)
    app, http = config["applications"][0], config["http_options"]
    with cluster.connected(address):
        app["runtime_env"] = cluster.source_root() | app.get("runtime_env", {})
        try:
            rollout.deploy(config)
            where = f"http://{http['host']}:{http['port']}"
            console.print(f"serving {app['args']['edition']} at {where}  ·  {where}/docs")
            console.print(f"Ray: {ray.get_runtime_context().gcs_address}  ·  Ctrl-C ends it")
            _follow(app["args"]["edition"], console)
        finally:
            ray_serve.shutdown()


def _follow(edition: str, console: Console) -> None:
    """Wait; turn the app to what the pointer says whenever it says something else."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    from kartoteka import pointer
    from serve.editions import EditionRef
    from serve.rollout import turn_to

    def says() -> tuple[EditionRef, str | None]:
        """The edition, and when it was promoted: what was refused is tried again when it is promoted again."""
        values = pointer.read(edition) if edition.endswith(".json") else {"edition": edition}
        return EditionRef.of(values["edition"]), values.get("promoted")

    last, said = says(), ""
    served = last[0]
    while True:
        time.sleep(_LOOK)
        try:
            now = says()
            if now == last:
                continue
            last = now
            if now[0] != served:
                turn_to(now[0])
                served, said = now[0], ""
                console.print(f"serving {served.name}")
        except (ValueError, OSError, TimeoutError, RayError, RayServeException) as error:
            if str(error) != said:  # once, not every second
                said = str(error)
                console.print(f"{said}; serving {served.name}")


def _absolute(path: str) -> str:
    """A local path for processes that work elsewhere; a URI, or the id of a model on a hub, as it is."""
    local = Path(path)
    return str(local.resolve()) if "://" not in path and local.exists() else path
