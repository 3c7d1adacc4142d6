"""Masked-language modelling for the training loop: an encoder that has read the texts at hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kartoteka.pretraining import data
from kartoteka.pretraining.masking import IGNORED, hide
from kartoteka.pretraining.settings import MlmSettings
from kartoteka.ragged import pick
from kartoteka.storage import Storage
from kartoteka.training.task import Batch, Part, Share, Task

if TYPE_CHECKING:
    from kartoteka.pretraining.module import MlmModule

#: Salts of the masks: a batch's own, and those of the texts held out, which are the same at every validation.
_OF_BATCH, _OF_VALIDATION = 0, 1


@dataclass(frozen=True)
class MlmTask(Task):
    """Learn to tell hidden tokens of the texts of `files`, starting from `encoder` (None: a small one made of them)."""

    files: tuple[str, ...]
    encoder: str | None
    settings: MlmSettings

    name: ClassVar[str] = "mlm"
    metric: ClassVar[str] = "accuracy"

    def prepare(self, run: Storage) -> dict[str, Any]:
        """See `data.prepare`."""
        return data.prepare(run, self.files, self.encoder, self.settings)

    def examples(self, run: Storage) -> int:
        """Texts that are not held out."""
        return len(_rows(run, held=False))

    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        """`ids` int32, `offsets` int64, `targets` int64: this worker's texts as shown, and what is asked of them.

        `asked` int64 [1]: tokens asked for in the global batch.
        """
        random = share.random(_OF_BATCH)
        return self._batch(run, _rows(run, held=False)[numbers], share.of(np.arange(len(numbers))), random)

    def label(self, run: Storage, number: int) -> str:
        """The id of the text."""
        return data.name_of(run, int(_rows(run, held=False)[number]))

    def build(self, run: Storage) -> MlmModule:
        """The model to start from."""
        from kartoteka.pretraining.module import MlmModule

        return MlmModule(run.local(data.START), self.settings)

    def validate(self, run: Storage, module: MlmModule, share: Share) -> dict[str, Part]:
        """Share of the hidden tokens that are told, and the nats lost over one."""
        from kartoteka.training.loop import tensors

        rows = _rows(run, held=True)
        random = np.random.default_rng([self.settings.seed, _OF_VALIDATION])
        batch = tensors(
            self._batch(run, rows, share.of(np.arange(len(rows))), random), next(module.parameters()).device
        )
        asked = float((batch["targets"] != IGNORED).sum())
        lost, right = module.measure(batch["ids"], batch["offsets"], batch["targets"]).double().sum(0).tolist()
        return {"accuracy": (right, asked), "nll": (lost, asked)}

    def export(self, run: Storage, module: MlmModule, folder: Path) -> None:
        """A plain transformers directory in fp32, for it is there to be trained further."""
        from transformers import AutoTokenizer

        module.model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(run.local(data.START)).save_pretrained(folder)

    def card(self, run: Storage) -> dict[str, Any]:
        """See `Task.card`."""
        facts, settings = data.facts_of(run), self.settings
        return {
            "title": "Encoder of short texts (masked-language modelling)",
            "base": self.encoder or settings.small.described(),
            "data": [
                f"{', '.join(Path(name).name for name in self.files)}: {facts['training']:,} texts learned from, "
                f"{facts['validation']:,} held out; {facts['tokens']:,} tokens in all, no labels"
            ],
            "intended": (
                "A start for `kartoteka train sentiment --encoder`, or for any other training: "
                "`AutoModelForMaskedLM` and `AutoModel` load it. As it is, its vectors are of little use."
            ),
            "limits": (
                f"Texts are cut to {settings.max_tokens} tokens. What may be done with it is for the licences of its "
                "data and its base to say."
            ),
            "license": "other",
            "languages": ["ru"],
        }

    def _batch(self, run: Storage, rows: np.ndarray, own: np.ndarray, random: np.random.Generator) -> Batch:
        """The texts `rows`, of which `own` are this worker's; all workers hide the same tokens."""
        corpus = data.corpus_of(run)
        ids, offsets = pick(corpus.tokens, corpus.offsets, rows)
        shown, targets = hide(ids, corpus.vocabulary, self.settings.masked, random)
        mine, places = pick(shown, offsets, own)
        return {
            "ids": mine,
            "offsets": places,
            "targets": pick(targets, offsets, own)[0],
            "asked": np.array([(targets != IGNORED).sum()], np.int64),
        }


def _rows(run: Storage, held: bool) -> np.ndarray:
    return _rows_in(str(run.local(data.CORPUS)), held)


@lru_cache(maxsize=4)
def _rows_in(folder: str, held: bool) -> np.ndarray:
    return np.flatnonzero(data.open_corpus(folder).validation == held)
