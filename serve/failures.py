"""What a failed call of a deployment means to the one who asked: whose fault it is.

Full queues and lost replicas have their answers in `serve.problems`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from serve.problems import Problem


@contextmanager
def as_problems() -> Iterator[None]:
    """Turn what a deployment says of a wrong request into a problem; a fault of our own stays what it is."""
    from kartoteka.online.query import UnknownDocuments

    try:
        yield
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, UnknownDocuments):
            ids = list(cause.ids)
            raise Problem(404, "the edition holds no such document", extensions={"ids": ids}) from None
        if isinstance(cause, ValueError):
            raise Problem(422, str(cause).splitlines()[0], slug="invalid-request") from None
        raise
