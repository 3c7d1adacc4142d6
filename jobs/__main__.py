"""The command line: `kartoteka X` is `python -m jobs X`, here or under `ray job submit`."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import kartoteka  # noqa: F401
except ImportError:  # a checkout that is not installed: `ray job submit --working-dir .`
    sys.path.insert(0, str(Path(__file__).parents[1] / "platform"))

import typer

from jobs.evaluate import app as evaluate
from jobs.generate import generate
from jobs.inspect import inspect
from jobs.key import key
from jobs.pack import pack
from jobs.promote import promote
from jobs.pseudolabel import app as pseudolabel
from jobs.quantise import quantise
from jobs.reindex import reindex
from jobs.serve import serve
from jobs.train import app as train

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("reindex")(reindex)
app.command("inspect")(inspect)
app.command("generate")(generate)
app.command("pack")(pack)
app.command("quantise")(quantise)
app.command("serve")(serve)
app.command("promote")(promote)
app.command("key")(key)
app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")
app.add_typer(pseudolabel, name="pseudolabel")


def main() -> None:
    """The console script."""
    app(prog_name="kartoteka")


if __name__ == "__main__":
    main()
