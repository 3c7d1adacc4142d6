"""ROUGE-1 and BERTScore of two lists of keyphrases written as text.

Google's `rouge_score` drops every character outside `a-z0-9`: two identical Russian strings score 0.0 with it. It is
given a tokenizer for any script here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

_WORD = re.compile(r"[^\W_]+")


class WordTokenizer(Tokenizer):
    """Lower-cased runs of letters and digits of any script: what `rouge_score` has for Latin ones, without stemming."""

    def tokenize(self, text: str) -> list[str]:
        """The tokens of `text`."""
        return _WORD.findall(text.lower())


_scorer = RougeScorer(["rouge1"], tokenizer=WordTokenizer())


def rouge1(prediction: str, reference: str) -> float:
    """ROUGE-1 F1 (Lin 2004): overlap of the unigrams, repeated ones counted as often as both have them."""
    return _scorer.score(reference, prediction)["rouge1"].fmeasure


@dataclass(frozen=True, slots=True)
class BertScoreSettings:
    """Which BERTScore: a model by directory or hub id, and its layer (`None`: the package's choice for that model)."""

    model: str = "bert-base-multilingual-cased"
    layer: int | None = None
    batch_size: int = 64


class BertScore:
    """BERTScore F1 (Zhang et al. 2020) by the package `bert_score`: no IDF weights, no baseline rescaling.

    Raises `ValueError`: the model cannot be loaded, or has fewer layers.
    """

    def __init__(self, settings: BertScoreSettings) -> None:
        from bert_score import BERTScorer
        from bert_score.utils import model2layers
        from transformers import AutoConfig

        try:
            depth = AutoConfig.from_pretrained(settings.model).num_hidden_layers
        except (OSError, ValueError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"bertscore model: cannot load {settings.model}: {reason}") from None
        known = model2layers.get(settings.model.rstrip("/").rsplit("/", 1)[-1], depth)
        layer = known if settings.layer is None else settings.layer
        if not 0 < layer <= depth:
            raise ValueError(f"bertscore layer: {settings.model} has layers 1 to {depth}, not {layer}")
        self._settings = settings
        self._scorer = BERTScorer(model_type=settings.model, num_layers=layer, batch_size=settings.batch_size)
        #: What must be printed with the number.
        self.description = f"{settings.model}, layer {layer} of {depth}, no IDF, no baseline"

    def f1(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """F1 [n] of texts pair by pair; 0 where either is empty."""
        scores = np.zeros(len(predictions))
        filled = [i for i, pair in enumerate(zip(predictions, references, strict=True)) if all(pair)]
        if filled:
            f1 = self._scorer.score([predictions[i] for i in filled], [references[i] for i in filled])[2]
            scores[filled] = f1.numpy()
        return scores
