"""What a failed call of a deployment means to the one who asked: whose fault it is.

Full queues and lost replicas have their answers in `serve.problems`. The library names the field that is wrong at the
beginning of its message; a `ValueError` that names no field of a request is a fault of our own, and none of it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayTaskError

from serve import schemas
from serve.problems import Problem

#: What a request's fields are called.
_FIELDS = {
    name
    for model in (
        schemas.KeyphrasesRequest,
        schemas.DocumentIn,
        schemas.SimilarRequest,
        schemas.FiltersIn,
        schemas.SearchQuery,
    )
    for name in model.model_fields
}


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
        message = (str(cause).splitlines() or [""])[0]
        if isinstance(cause, ValueError) and re.split(r"[.:]", message, maxsplit=1)[0] in _FIELDS:
            raise Problem(422, message, slug="invalid-request") from None
        raise
