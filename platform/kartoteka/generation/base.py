"""The BART that a generator starts from: found, checked, fingerprinted."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BartForConditionalGeneration

_FILES = ["*.json", "*.txt", "*.safetensors"]


@dataclass(frozen=True, slots=True)
class Base:
    """A model directory: `sha256` is that of its weights, file after file by name."""

    directory: Path
    revision: str | None
    sha256: str


def resolve_base(model: str, revision: str | None = None) -> Base:
    """Find a BART by directory or hub id; the network is touched for a hub id only.

    Raises `ValueError` when there is none, it is no BART, or its weights are not in safetensors.
    """
    directory = Path(model).expanduser()
    if directory.is_dir():
        if revision is not None:
            raise ValueError(f"generator: a revision goes with a hub id, and {model} is a directory")
    else:
        directory = _download(model, revision)
        revision = directory.name
    try:
        kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        raise ValueError(f"generator: {model} is no model directory: it has no readable config.json") from None
    if kind != "bart":
        raise ValueError(f"generator: {model} is a model of type {kind}, not bart")
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        raise ValueError(f"generator: {model} has no weights in safetensors")
    digest = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return Base(directory, revision, digest.hexdigest())


def load_base(base: Base) -> BartForConditionalGeneration:
    """The model in fp32, from safetensors alone. Raises `ValueError` when its weights do not fill it."""
    import torch
    from transformers import BartForConditionalGeneration
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # what a file lacks is judged below
    try:
        model, report = BartForConditionalGeneration.from_pretrained(
            base.directory, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:
        # transformers raises anything from KeyError to RuntimeError on a wrong config; the user needs one line.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"generator: {base.directory} cannot be loaded: {reason}") from None
    if missing := sorted(key for key in report["missing_keys"] if key != "final_logits_bias"):
        raise ValueError(f"generator: the weights in {base.directory} lack {missing[0]} (and {len(missing) - 1} more)")
    return model


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=_FILES))
    except Exception as error:
        # The hub client raises many kinds (HTTP, cache, naming), each with a page of text; the user needs the line.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"generator: {model} is neither a directory nor a model the hub gives: {reason}") from None
