"""The training data of a run: who is learned from and who is held out, as flat token arrays.

Made once, on the driver, beside the model to start from; the workers map it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.evaluation.tables import files_of
from kartoteka.folders import describe, description, mapped_ids, open_arrays, whole_folder, write_arrays
from kartoteka.sentiment.mixture import Mixture, mix, of_gold
from kartoteka.sentiment.pseudolabels import read_pseudolabels
from kartoteka.sentiment.settings import SentimentSettings
from kartoteka.sentiment.split import REFUSED, VALIDATION, check_classes, gold_table, refused_table, validation_of
from kartoteka.sentiment.start import CLASSIFIER, write_start
from kartoteka.sentiment.texts import CLASSES, UNLABELLED, read_texts, without_copies
from kartoteka.storage import Storage

KIND = "sentiment examples"
EXAMPLES, START = "data/examples", "data/start"
#: What of the settings decides the loss only; a change of these leaves the data as they are.
_LOSS = {"class_weight", "metric_weight", "temperature", "balanced", "micro_tokens", "kept_tokens", "freeze_embeddings"}


class Examples(NamedTuple):
    """The n labelled texts. `tokens` int32 with `offsets` int64 [n + 1]; `label` int8 [n], a number of `CLASSES`.

    `validation` bool [n]; `pseudo` bool [n]: the label is a base model's. `cluster` int32 [n] (-1: none known) and
    `dominant` int8 [n], the class that dominates it (without a cluster: the text's own). `target` float32 [n, 3]: the
    shares of the classes that are learned.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    label: np.ndarray
    validation: np.ndarray
    pseudo: np.ndarray
    cluster: np.ndarray
    dominant: np.ndarray
    target: np.ndarray


@lru_cache(maxsize=2)
def open_examples(folder: str) -> Examples:
    """Map the examples in `folder`. Raises `ValueError` naming a file that is missing or torn."""
    return open_arrays(folder, KIND, Examples)


def examples_of(run: Storage) -> Examples:
    """The examples of a run that was prepared."""
    return open_examples(str(run.local(EXAMPLES)))


def facts_of(run: Storage) -> dict[str, Any]:
    """What `prepare` returned when it made the data of the run."""
    return description(run.local(EXAMPLES), KIND)["facts"]


def names_of(run: Storage) -> list[str]:
    """The ids of the examples."""
    return mapped_ids(run.local(EXAMPLES) / "ids.arrow").to_pylist()


def prepare(
    run: Storage, files: Sequence[str], encoder: str | None, pseudolabels: str | None, settings: SentimentSettings
) -> dict[str, Any]:
    """Make all below `data/` of the run, unless it is there already; returns counts, refusals by reason and a hash.

    `encoder`: the model to start from; None: a small one is made. `pseudolabels`: a table of them, or None. Raises
    `ValueError`: a file that is empty or cannot be read, all texts equal, a class without a text to learn from.
    """
    model = resolve_model(encoder) if encoder else None
    plan = {
        "files": {name: digest_of(name) for name in files},
        "encoder": model and model.sha256,
        "pseudolabels": pseudolabels and digest_of(pseudolabels),
        "settings": settings.model_dump(exclude=_LOSS),
    }
    if run.exists(EXAMPLES) and description(run.local(EXAMPLES), KIND)["plan"] == plan:
        return facts_of(run)
    given = without_copies(read_texts(files, settings.labels))
    labelled = np.array(given.labels) != UNLABELLED
    out = validation_of(given, settings.validation_share, settings.seed)
    check_classes(given, ~out)
    with run.folder(START, whole=True) as place, whole_folder(place) as folder:
        write_start(
            CLASSIFIER, model, given.take(np.flatnonzero(~out)).texts, settings, folder, dropout=settings.dropout
        )
    gold = given.take(np.flatnonzero(labelled))
    mixture = of_gold(gold, out[labelled])
    if pseudolabels:
        mixture = mix(mixture, read_pseudolabels(pseudolabels), settings.pseudolabel_share, soft=settings.soft)
    with run.folder(EXAMPLES, whole=True) as place, whole_folder(place) as folder:
        facts = _write(mixture, settings, run.local(START), folder)
        facts |= {"unlabelled": int((~labelled).sum()), "refused": given.reasons()}
        run.put_table(VALIDATION, gold_table(given.take(np.flatnonzero(labelled & out))))
        run.put_table(REFUSED, refused_table(given.refused))
        describe(folder, KIND, {"plan": plan, "facts": facts})
    return facts


def visits(examples: Examples, balanced: bool) -> np.ndarray:
    """Rows int64 of the training texts as an epoch visits them: once, or if `balanced` every class equally often."""
    training = np.flatnonzero(~examples.validation)
    if not balanced:
        return training
    groups = [training[examples.label[training] == number] for number in range(len(CLASSES))]
    return np.concatenate([np.resize(group, max(map(len, groups))) for group in groups])


def _write(mixture: Mixture, settings: SentimentSettings, start: Path, folder: Path) -> dict[str, Any]:
    """The arrays in `folder`; the facts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start).backend_tokenizer
    tokens = TextTokeniser(tokenizer, settings.max_tokens)(mixture.texts)
    arrays = Examples(tokens.ids, tokens.offsets, *(getattr(mixture, name) for name in Examples._fields[2:]))
    training = ~arrays.validation
    return {
        "training": int(training.sum()),
        "pseudolabelled": int(arrays.pseudo.sum()),
        "validation": int(arrays.validation.sum()),
        **{f"training_{name}": int((training & (arrays.label == i)).sum()) for i, name in enumerate(CLASSES)},
        "texts_cut": tokens.num_truncated,
        "sha256": write_arrays(folder, arrays, mixture.ids),
    }


def digest_of(path: str) -> str:
    """SHA-256 of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    for name in files_of(path):
        digest.update(name.read_bytes())
    return digest.hexdigest()
