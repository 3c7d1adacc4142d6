"""The app: the deployments bound to each other. Serve's YAML names `serve.app:build`."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from kartoteka.pointer import resolve
from serve.classifier import Classifier
from serve.editions import EditionRef
from serve.encoder import Encoder
from serve.gateway import Gateway
from serve.index import Index
from serve.ranker import Ranker
from serve.settings import AppSettings


def build(args: dict[str, Any]) -> Application:
    """Bind the deployments for the `args` of the YAML. Raises `ValueError`: a wrong setting, or no edition."""
    settings = AppSettings.parse(args)
    if settings.edition is None:
        raise ValueError("`edition`: which one is to be served")
    first = EditionRef.of(resolve(settings.edition)).as_dict()
    values = settings.model_dump()
    encoder = Encoder.options(user_config=first).bind(values)
    index = Index.options(user_config=first).bind(values, encoder)
    ranker = Ranker.options(user_config=first).bind(values, encoder)
    return Gateway.options(user_config=first).bind(values, encoder, index, ranker, Classifier.bind(values))
