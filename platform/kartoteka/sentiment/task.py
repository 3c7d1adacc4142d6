"""The sentiment classifier for the training loop: the base step, and with pseudo-labels the final one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kartoteka.ragged import pick
from kartoteka.sentiment import data
from kartoteka.sentiment.settings import SentimentSettings
from kartoteka.storage import Storage
from kartoteka.training.task import Batch, Part, Share, Task

if TYPE_CHECKING:
    from kartoteka.sentiment.module import SentimentModule


@dataclass(frozen=True)
class SentimentTask(Task):
    """Learn from the labelled texts of `files`, starting from `encoder` (None: a small one made of the texts).

    `pseudolabels`, a file that `pseudolabel clusters` wrote, makes it the final step: its texts are learned from too,
    and a supervised contrastive loss stands beside the cross-entropy.
    """

    files: tuple[str, ...]
    encoder: str | None
    pseudolabels: str | None
    settings: SentimentSettings

    name: ClassVar[str] = "sentiment"
    metric: ClassVar[str] = "macro_f1"

    def prepare(self, run: Storage) -> dict[str, Any]:
        """See `data.prepare`."""
        return data.prepare(run, self.files, self.encoder, self.pseudolabels, self.settings)

    def examples(self, run: Storage) -> int:
        """Training texts, those of rarer classes counted as often as an epoch visits them."""
        return len(self._visits(run))

    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        """`ids` int32, `offsets` int64: this worker's texts; `rows` int64: which of the global batch they are.

        `targets` float32 [rows, 3]: the shares of the classes that they are to be given.

        `labels`, `clusters`, `dominant` int64 [batch]: of the global batch.
        """
        examples, rows = data.examples_of(run), self._visits(run)[numbers]
        own = share.of(rows)
        ids, offsets = pick(examples.tokens, examples.offsets, own)
        return {
            "ids": ids,
            "offsets": offsets,
            "labels": examples.label[rows].astype(np.int64),
            "clusters": examples.cluster[rows].astype(np.int64),
            "dominant": examples.dominant[rows].astype(np.int64),
            "rows": share.of(np.arange(len(rows))),
            "targets": examples.target[own],
        }

    def label(self, run: Storage, number: int) -> str:
        """The id of the text."""
        return data.names_of(run)[self._visits(run)[number]]

    def build(self, run: Storage) -> SentimentModule:
        """The model to start from."""
        from kartoteka.sentiment.module import SentimentModule

        return SentimentModule(run.local(data.START), self.settings, metric=self.pseudolabels is not None)

    def validate(self, run: Storage, module: SentimentModule, share: Share) -> dict[str, Part]:
        """See `validation.validate`."""
        from kartoteka.sentiment.validation import validate

        return validate(data.examples_of(run), module, share)

    def export(self, run: Storage, module: SentimentModule, folder: Path) -> None:
        """A plain transformers directory in fp16, its probabilities calibrated on the validation texts."""
        import torch
        from transformers import AutoTokenizer

        from kartoteka.sentiment.temperature import fit_temperature
        from kartoteka.sentiment.validation import logits_of

        examples = data.examples_of(run)
        rows = np.flatnonzero(examples.validation)
        with torch.no_grad():
            logits = logits_of(examples, module, rows).numpy()
        temperature = fit_temperature(logits, examples.label[rows].astype(np.int64))
        module.classifier.cool(temperature)
        model = module.classifier.model
        model.config.fitted_temperature = round(temperature, 4)  # for a reader: the weights are cooled already
        model.half().save_pretrained(folder)
        AutoTokenizer.from_pretrained(run.local(data.START)).save_pretrained(folder)

    def card(self, run: Storage) -> dict[str, Any]:
        """See `Task.card`."""
        facts = data.facts_of(run)
        step = "final: cross-entropy and supervised contrastive loss" if self.pseudolabels else "base: cross-entropy"
        return {
            "title": f"Sentiment of short texts, three classes ({step})",
            "base": self.encoder or self.settings.small.described(),
            "data": [
                f"{', '.join(Path(name).name for name in self.files)}: {facts['training']:,} texts learned from, "
                f"{facts['pseudolabelled']:,} of them with pseudo-labels; {facts['validation']:,} held out",
                f"{facts['unlabelled']:,} texts without a label of the three classes",
            ],
            "intended": (
                "negative, neutral or positive, with a probability, for a short text of the kinds it was trained on. "
                "A plain transformers model: `AutoModelForSequenceClassification` loads it."
            ),
            "limits": (
                f"Texts are cut to {self.settings.max_tokens} tokens. Irony, mixed feelings and sentiment toward one "
                "of several things named are beyond it. Probabilities are calibrated on validation texts of the "
                "same sources; on texts of another kind they are too sure. What may be done with it is for the "
                "licences of its data and its base to say."
            ),
            "license": "other",
            "languages": ["ru"],
        }

    def _visits(self, run: Storage) -> np.ndarray:
        return _visits(str(run.local(data.EXAMPLES)), self.settings.balanced)


@lru_cache(maxsize=2)
def _visits(folder: str, balanced: bool) -> np.ndarray:
    return data.visits(data.open_examples(folder), balanced)
