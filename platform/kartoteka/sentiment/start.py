"""The model that training starts from: a directory of transformers with a head, the same for all workers.

A given encoder gets a new head where it has not that one. Without one a small encoder is made from the texts at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kartoteka.sentiment.settings import SmallSettings
from kartoteka.sentiment.small import make_small
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from kartoteka.encoding.models import ModelFiles


@dataclass(frozen=True)
class Head:
    """A head of transformers: `task` as it names its classes, what a model with it is `called`, its configuration.

    `section`: what a user sets of it.
    """

    task: str
    called: str
    section: str
    config: dict[str, Any] = field(default_factory=dict)


class StartSettings(Protocol):
    """What of a model's settings decides its start."""

    max_tokens: int
    small: SmallSettings
    seed: int


#: What configurations of transformers call the dropout of layers, and of the head on them; each reads its own.
_DROPOUTS = ("hidden_dropout_prob", "embedding_dropout", "mlp_dropout", "classifier_dropout", "dropout")
#: The three classes.
CLASSIFIER = Head(
    "SequenceClassification",
    "classifier",
    "sentiment",
    {
        "num_labels": len(CLASSES),
        "id2label": dict(enumerate(CLASSES)),
        "label2id": {name: number for number, name in enumerate(CLASSES)},
    },
)


def write_start(
    head: Head,
    encoder: ModelFiles | None,
    texts: Sequence[str],
    settings: StartSettings,
    folder: Path,
    *,
    dropout: float | None = None,
) -> None:
    """Write model and tokeniser to `folder`. `texts`: what a small encoder is made from where `encoder` is None.

    `dropout`: of a given encoder, in place of its own.

    Raises `ValueError`: `encoder` cannot be loaded with the head, or reads fewer tokens than the settings ask for.
    """
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # of a new head, which is what is wanted
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if encoder is None:
            kind = getattr(transformers, f"ModernBertFor{head.task}")
            made = make_small(kind, texts, settings.small, settings.max_tokens, settings.seed, head.config)
        else:
            made = _given(head, encoder, settings, dropout)
    for part in made:
        part.save_pretrained(folder)


def _given(
    head: Head, encoder: ModelFiles, settings: StartSettings, dropout: float | None
) -> tuple[PreTrainedModel, Any]:
    import torch
    import transformers

    from kartoteka.encoding.encoder import positions

    try:
        config = transformers.AutoConfig.from_pretrained(encoder.directory, local_files_only=True, **head.config)
        for name in _DROPOUTS:
            if dropout is not None and hasattr(config, name):
                setattr(config, name, dropout)
        model = getattr(transformers, f"AutoModelFor{head.task}").from_pretrained(
            encoder.directory, dtype=torch.float32, use_safetensors=True, local_files_only=True,
            trust_remote_code=False, ignore_mismatched_sizes=True, config=config,
        )  # fmt: skip
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            encoder.directory, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        # transformers raises anything from KeyError to RuntimeError on a wrong config; the user needs one line.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"encoder: {encoder.name} makes no {head.called}: {reason}") from None
    reads = min(filter(None, [positions(model), tokenizer.model_max_length]))
    if reads < settings.max_tokens:
        raise ValueError(f"{head.section}.max_tokens: {encoder.name} reads {reads} tokens at most")
    return model, tokenizer
