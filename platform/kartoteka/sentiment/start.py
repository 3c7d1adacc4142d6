"""The model that training starts from: a directory of transformers with a head of three classes, the same for all.

A given encoder gets a new head (a classifier of three classes keeps its own). Without one a small encoder is made from
the texts at hand: a vocabulary learned from them, vectors from the company of its tokens, and layers drawn from the
seed. It is of the architecture of mmBERT (ModernBERT) and averages over a text, so that the vectors say something
before the layers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.generation.targets import plain
from kartoteka.generation.vocabulary import learn_tokenizer
from kartoteka.sentiment.settings import SentimentSettings
from kartoteka.sentiment.static import static_vectors
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from kartoteka.encoding.models import ModelFiles

#: What every model says of its classes.
LABELS: dict[str, Any] = {
    "num_labels": len(CLASSES),
    "id2label": dict(enumerate(CLASSES)),
    "label2id": {name: number for number, name in enumerate(CLASSES)},
}
#: Standard deviation of a fresh model's vectors, which the static ones are brought to.
_SCALE = 0.02


def write_start(encoder: ModelFiles | None, texts: Sequence[str], settings: SentimentSettings, folder: Path) -> None:
    """Write model and tokeniser to `folder`. `texts`: what a small encoder is made from where `encoder` is None.

    Raises `ValueError`: `encoder` cannot be loaded with a head, or reads fewer tokens than the settings ask for.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # of a new head, which is what is wanted
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model, tokenizer = _small(texts, settings) if encoder is None else _given(encoder, settings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _given(encoder: ModelFiles, settings: SentimentSettings) -> tuple[PreTrainedModel, Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from kartoteka.encoding.encoder import positions

    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            encoder.directory, dtype=torch.float32, use_safetensors=True, local_files_only=True,
            trust_remote_code=False, ignore_mismatched_sizes=True, **LABELS,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(encoder.directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # transformers raises anything from KeyError to RuntimeError on a wrong config; the user needs one line.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"encoder: {encoder.name} makes no classifier: {reason}") from None
    reads = min(filter(None, [positions(model), tokenizer.model_max_length]))
    if reads < settings.max_tokens:
        raise ValueError(f"sentiment.max_tokens: {encoder.name} reads {reads} tokens at most")
    return model, tokenizer


def _small(texts: Sequence[str], settings: SentimentSettings) -> tuple[PreTrainedModel, Any]:
    import torch
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    small = settings.small
    plain_texts = [plain(text) for text in texts]
    tokenizer = learn_tokenizer(plain_texts, small.vocabulary, settings.max_tokens, lower_case=True)
    tokens = TextTokeniser(tokenizer.backend_tokenizer, settings.max_tokens)(plain_texts)
    tokenizer.backend_tokenizer.no_truncation()
    vectors = static_vectors(tokens, len(tokenizer), small.width, small.window, settings.seed)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=small.width,
        intermediate_size=2 * small.width,
        num_hidden_layers=small.layers,
        num_attention_heads=small.heads,
        max_position_embeddings=settings.max_tokens,
        global_attn_every_n_layers=1,  # texts are short: no layer looks at a part of one
        classifier_pooling="mean",
        classifier_dropout=small.dropout,
        embedding_dropout=small.dropout,
        mlp_dropout=small.dropout,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        cls_token_id=tokenizer.bos_token_id,
        sep_token_id=tokenizer.eos_token_id,
        **LABELS,
    )
    model = ModernBertForSequenceClassification(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.from_numpy(_SCALE * vectors))
    return model, tokenizer
