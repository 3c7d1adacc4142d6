"""Keyphrases written by a trained generator, as a table like that of an edition.

The score of a phrase is the probability of the sequence it was written in, normalised by its length: the exponential of
the beam search's own score (with `length_penalty` 1 the geometric mean of the probabilities of the sequence's tokens).
It orders the sequences of one document. It is NOT calibrated: it says little of how likely a cataloguer would assign
the phrase, and nothing across generators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import torch
from transformers import BartForConditionalGeneration, GenerationConfig, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from kartoteka.documents import KEYPHRASES_SCHEMA
from kartoteka.generation import targets
from kartoteka.generation.base import load_base, resolve_base
from kartoteka.generation.module import generation_config, padded, target_log_probabilities
from kartoteka.generation.settings import DecodingSettings
from kartoteka.generation.vocabulary import encode, open_tokenizer
from kartoteka.text.prmu import StemmedText
from kartoteka.text.words import phrase_key, stems

ORIGIN = "generated"
_OWN: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Writer:
    """A model with its tokeniser and how it is to search."""

    model: BartForConditionalGeneration
    tokenizer: PreTrainedTokenizerFast
    config: GenerationConfig

    @torch.no_grad()
    def write(
        self, sources: Sequence[list[int]], langs: Sequence[str], *, scored: bool = True, together: bool = False
    ) -> list[list[tuple[str, float]]]:
        """(phrase, score) of each document of one batch, the best sequence first; score 0 unless `scored`.

        `sources`: tokens of `<s> title <s> abstract </s>`. `together`: every process of torch.distributed decodes a
        batch at this time, and all go on until the last has ended, as sharded weights need it.
        """
        model, config = self.model, self.config
        lengths = torch.tensor([0, *map(len, sources)])
        flat = torch.tensor([token for row in sources for token in row])
        source, mask = padded(flat.to(model.device), lengths.cumsum(0).to(model.device), config.pad_token_id)
        encoded = model.model.encoder(input_ids=source, attention_mask=mask.long()).last_hidden_state
        written = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask.long(),
            generation_config=config,
            synced_gpus=together,
        )[:, 1:]
        many = config.num_return_sequences or 1
        scores = [0.0] * len(written)
        if scored:
            scores = self._scores(written, encoded.repeat_interleave(many, 0), mask.repeat_interleave(many, 0))
        texts = self._texts(written.tolist())
        found = []
        for i, lang in enumerate(langs):
            ranked = sorted(zip(scores[many * i :][:many], texts[many * i :][:many], strict=True), key=lambda s: -s[0])
            best: dict[str, tuple[str, float]] = {}
            for score, text in ranked:
                for phrase in targets.parse(text, lang):
                    best.setdefault(phrase_key(phrase, lang), (phrase, score))
            found.append(list(best.values()))
        return found

    def _texts(self, written: list[list[int]]) -> list[str]:
        separator = self.tokenizer.convert_tokens_to_ids(targets.SEPARATOR)
        left_out = {self.config.bos_token_id, self.config.pad_token_id}
        kept = [
            [token for token in targets.finished(row, separator, self.config.eos_token_id) if token not in left_out]
            for row in written
        ]
        return self.tokenizer.batch_decode(kept, clean_up_tokenization_spaces=False)

    def _scores(self, written: torch.Tensor, encoded: torch.Tensor, mask: torch.Tensor) -> list[float]:
        """exp(sum of log-probabilities / length ** length_penalty) of each sequence, its end mark included."""
        end = written.eq(self.config.eos_token_id).cumsum(1)
        real = (end - written.eq(self.config.eos_token_id).long()).eq(0) & written.ne(self.config.pad_token_id)
        log_probabilities = target_log_probabilities(self.model, None, mask, written, real, encoded)
        of_tokens = torch.zeros(real.shape, device=real.device)
        of_tokens[real] = log_probabilities.gather(1, written[real][:, None])[:, 0]
        lengths = real.sum(1).clamp(min=1).float()
        penalty = self.config.length_penalty if self.config.num_beams > 1 else 1.0
        return (of_tokens.sum(1) / lengths**penalty).exp().tolist()


@dataclass(frozen=True)
class Generator:
    """A trained generator. `search.batch` documents are decoded together, those of similar length."""

    writer: Writer
    search: DecodingSettings

    @staticmethod
    def open(directory: str, device: str = "auto", batch: int = 32, search: Mapping[str, Any] = _OWN) -> Generator:
        """Load what the training exported (or any BART that writes `<SEP>`), on `device`: auto, cpu, cuda, ...

        `search`: fields of `DecodingSettings` that are to differ from the model's own. Raises `ValueError` when it is
        no such model, or there is no such device.
        """
        base = resolve_base(directory)
        tokenizer = open_tokenizer(base.directory)
        if targets.SEPARATOR not in tokenizer.get_vocab():
            raise ValueError(
                f"generator: {directory} was not trained to write keyphrases: it knows no {targets.SEPARATOR}"
            )
        model = load_base(base)
        own = model.generation_config
        longest = own.max_new_tokens or model.config.max_position_embeddings
        decoding = DecodingSettings.parse(
            {
                "beam": own.num_beams or 1,
                "sequences": own.num_return_sequences or 1,
                "length_penalty": 1.0 if own.length_penalty is None else float(own.length_penalty),
                "batch": batch,
                **search,
            }
        )
        model.generation_config = generation_config(model.config, decoding, longest)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model.to(device)
        except RuntimeError as error:
            raise ValueError(f"device: cannot use {device}: {str(error).splitlines()[0]}") from None
        return Generator(Writer(model.eval(), tokenizer, model.generation_config), decoding)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.writer.model.device

    def suggest(self, documents: pa.Table) -> pa.Table:
        """The keyphrases of `documents` (id, title, abstract, lang) as a `KEYPHRASES_SCHEMA` table, in their order."""
        ids, titles, abstracts, langs = (documents[name].to_pylist() for name in ("id", "title", "abstract", "lang"))
        limit = min(self.writer.tokenizer.model_max_length, self.writer.model.config.max_position_embeddings)
        texts = [targets.source_text(*pair) for pair in zip(titles, abstracts, strict=True)]
        sources = [targets.fitted_source(tokens, limit) for tokens in encode(self.writer.tokenizer, texts)]
        order = sorted(range(len(ids)), key=lambda i: (-len(sources[i]), i))
        lists: list[list[dict[str, object]]] = [[] for _ in ids]
        for start in range(0, len(order), self.search.batch):
            rows = order[start : start + self.search.batch]
            written = self.writer.write([sources[i] for i in rows], [langs[i] for i in rows])
            for i, phrases in zip(rows, written, strict=True):
                text = StemmedText(stems(titles[i], langs[i]), stems(abstracts[i], langs[i]))
                lists[i] = [
                    _row(phrase, score, text.category(phrase_key(phrase, langs[i]))) for phrase, score in phrases
                ]
        return pa.table({"id": ids, "keyphrases": lists}, schema=KEYPHRASES_SCHEMA)


def _row(phrase: str, score: float, category: str) -> dict[str, object]:
    return {
        "phrase": phrase,
        "score": score,
        "category": category,
        "origins": [ORIGIN],
        "neighbours": [],
        "concept": None,
    }
