"""The texts of a run as flat token arrays, and the model to start from: made once, on the driver; workers map them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.folders import describe, description, mapped_ids, open_arrays, whole_folder, write_arrays
from kartoteka.pretraining.masking import Vocabulary
from kartoteka.pretraining.settings import MlmSettings
from kartoteka.sentiment.data import digest_of
from kartoteka.sentiment.start import Head, write_start
from kartoteka.sentiment.texts import UNLABELLED, Texts, held_out, read_texts, side_keys, without_copies
from kartoteka.storage import Storage

KIND = "texts to learn from"
CORPUS, START = "data/corpus", "data/start"
MASKED = Head("MaskedLM", "masked-language model", "mlm")
#: What of the settings decides the loss only; a change of these leaves the data as they are.
_LOSS = {"masked", "micro_tokens", "kept_tokens"}


class Corpus(NamedTuple):
    """Of n texts: `tokens` int32 with `offsets` int64 [n + 1]; `validation` bool [n]; `marks` as `Vocabulary` has them.

    `numbers` int64 [2]: size of the vocabulary, and the mask's number.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    validation: np.ndarray
    marks: np.ndarray
    numbers: np.ndarray

    @property
    def vocabulary(self) -> Vocabulary:
        """What tokens are hidden behind."""
        return Vocabulary(*self.numbers.tolist(), self.marks)


@lru_cache(maxsize=2)
def open_corpus(folder: str) -> Corpus:
    """Map the texts in `folder`. Raises `ValueError` naming a file that is missing or torn."""
    return open_arrays(folder, KIND, Corpus)


def corpus_of(run: Storage) -> Corpus:
    """The texts of a run that was prepared."""
    return open_corpus(str(run.local(CORPUS)))


def facts_of(run: Storage) -> dict[str, Any]:
    """What `prepare` returned when it made the data of the run."""
    return description(run.local(CORPUS), KIND)["facts"]


def name_of(run: Storage, row: int) -> str:
    """The id of a text."""
    return mapped_ids(run.local(CORPUS) / "ids.arrow")[row].as_py()


def prepare(run: Storage, files: Sequence[str], encoder: str | None, settings: MlmSettings) -> dict[str, Any]:
    """Make all below `data/` of the run, unless it is there already; returns counts and a hash.

    `encoder`: the model to go on from; None: a small one is made. Raises `ValueError`: a file that is empty or cannot
    be read, all texts equal, no text to learn from; `encoder` cannot be loaded or has no mask.
    """
    model = resolve_model(encoder) if encoder else None
    plan = {
        "files": {name: digest_of(name) for name in files},
        "encoder": model and model.sha256,
        "settings": settings.model_dump(exclude=_LOSS),
    }
    if run.exists(CORPUS) and description(run.local(CORPUS), KIND)["plan"] == plan:
        return facts_of(run)
    rows, texts = _read(files)
    out = held_out(side_keys(texts.texts), settings.validation_share, f"mlm:{settings.seed}")
    if out.all():
        raise ValueError("data: the texts all begin alike: none is left to learn from beside those held out")
    with run.folder(START, whole=True) as place, whole_folder(place) as folder:
        write_start(MASKED, model, texts.take(np.flatnonzero(~out)).texts, settings, folder)
    with run.folder(CORPUS, whole=True) as place, whole_folder(place) as folder:
        facts = {"rows": rows, **_write(texts, out, settings, run.local(START), folder)}
        describe(folder, KIND, {"plan": plan, "facts": facts})
    return facts


def _read(files: Sequence[str]) -> tuple[int, Texts]:
    """How many rows have a text, and the texts without copies. Labels say nothing here: copies may differ in them."""
    given = read_texts(files, {})
    given.labels = [UNLABELLED] * len(given)
    if not len(given):
        raise ValueError(f"data: no text in {', '.join(files)}")
    return len(given), without_copies(given)


def _write(texts: Texts, out: np.ndarray, settings: MlmSettings, start: Path, folder: Path) -> dict[str, Any]:
    """The arrays in `folder`; the facts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start)
    if tokenizer.mask_token_id is None:
        raise ValueError("encoder: its tokeniser has no mask: nothing can be hidden from it")
    marks = np.array(sorted(tokenizer.all_special_ids), np.int64)
    tokens = TextTokeniser(tokenizer.backend_tokenizer, settings.max_tokens)(texts.texts)
    numbers = np.array([len(tokenizer), tokenizer.mask_token_id], np.int64)
    arrays = Corpus(tokens.ids, tokens.offsets, out, marks, numbers)
    return {
        "training": int((~out).sum()),
        "validation": int(out.sum()),
        "tokens": len(tokens.ids),
        "texts_cut": tokens.num_truncated,
        "sha256": write_arrays(folder, arrays, texts.ids),
    }
