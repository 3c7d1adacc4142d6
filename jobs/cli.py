"""What every command does with an error: one clear line on stderr, and an exit code that says whose it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import typer


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the errors a user can cause or must know into one line.

    Exit code 2: something given is wrong. 1: the machine stopped the run (disk, memory, a lost cluster). 130: Ctrl-C.
    A fault of our own keeps its stack trace, and so does everything when KARTOTEKA_DEBUG is set.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on where it stopped", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        cause = root_cause(error)
        if os.environ.get("KARTOTEKA_DEBUG") or isinstance(cause, pa.ArrowException):
            raise
        if isinstance(cause, ValueError):
            raise stop(str(cause), 2) from None
        if isinstance(cause, OSError):
            full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
            where = f": {cause.filename}" if cause.filename else ""
            said = "the disk is full" if full else cause.strerror or str(cause)
            raise stop(f"{said}{where}; the same command goes on once that is mended", 1) from None
        if isinstance(cause, MemoryError) or type(cause) is RuntimeError:
            raise stop(str(cause), 1) from None
        raise


def stop(message: str, code: int) -> typer.Exit:
    """Say `message` as one line on stderr; the exit to raise."""
    typer.echo(" ".join(message.split()), err=True)
    return typer.Exit(code)


def root_cause(error: BaseException) -> BaseException:
    """The exception that was raised in a worker, out of what Ray wraps around it."""
    seen = {id(error)}
    while True:
        inner = getattr(error, "cause", None) or error.__cause__
        if not isinstance(inner, BaseException) or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner
