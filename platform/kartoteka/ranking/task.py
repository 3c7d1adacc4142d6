"""The ranker for the training loop."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kartoteka.encoding.spans import LONGEST
from kartoteka.keyphrases.dense import VectorArrays, open_vectors
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.ranking import data
from kartoteka.ranking.batches import collate
from kartoteka.ranking.directory import DEFAULT_RANKER, PLAIN_ENCODER
from kartoteka.ranking.settings import RankerSettings
from kartoteka.ranking.teacher import open_teacher
from kartoteka.storage import Storage, absolute
from kartoteka.training.task import Batch, Part, Share, Task, data_of

if TYPE_CHECKING:
    from kartoteka.ranking.module import RankerModule


@dataclass(frozen=True)
class RankerTask(Task):
    """Train `encoder`, which may be a ranker, on the annotated documents of `edition`.

    Where there is a `teacher`, what that other ranker says of their spans is learned too.

    Each may be relative to the driver's folder. `gpus`: what each worker that asks the teacher holds.
    """

    edition: str
    encoder: str
    settings: RankerSettings
    keyphrases: KeyphraseSettings
    lexical: LexicalSettings
    teacher: str | None = None
    gpus: float = field(default=0.0, compare=False)

    name = "ranker"
    metric = "quality"

    def __post_init__(self) -> None:
        for name in ("edition", "encoder", "teacher"):
            given = getattr(self, name)
            own = name != "edition" and given == DEFAULT_RANKER
            if given is not None and not own:
                object.__setattr__(self, name, absolute(given))

    def prepare(self, run: Storage) -> dict[str, Any]:
        """Find the pairs and make the model to start from.

        Raises `ValueError`: see `data.prepare` and `teacher.open_teacher`.
        """
        if self.teacher is not None and not self.settings.span_weight:
            raise ValueError("teacher: its scores of spans are not learned where `ranker.span_weight` is 0")
        teacher = open_teacher(self.teacher) if self.teacher is not None else None
        found = data.prepare(
            run, self.edition, self.encoder, self.settings, self.keyphrases, self.lexical, teacher, self.gpus
        )
        if self.settings.distil_weight:
            self._vectors(run)
        return found

    def examples(self, run: Storage) -> int:
        """Training documents."""
        return len(data.training_rows(_data(run)))

    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        """See `batches.collate`."""
        teacher = self._vectors(run) if self.settings.distil_weight else None
        rows = data.training_rows(_data(run))[numbers]
        return collate(data.open_arrays(_data(run)), teacher, rows, share, self.settings)

    def label(self, run: Storage, number: int) -> str:
        """The id of a training document."""
        row = data.training_rows(_data(run))[number]
        return data.open_archive(self.edition).ids[int(data.open_arrays(_data(run)).numbers[row])].as_py()

    def build(self, run: Storage) -> RankerModule:
        """The model to start from."""
        from kartoteka.ranking.module import RankerModule

        return RankerModule(data_of(run).local(data.STUDENT), self.settings)

    def validate(self, run: Storage, module: RankerModule, share: Share) -> dict[str, Part]:
        """See `validation.validate`."""
        from kartoteka.ranking.validation import validate

        return validate(data.open_arrays(_data(run)), module, share)

    def export(self, run: Storage, module: RankerModule, folder: Path) -> None:
        """Write the ranker's directory: see `directory.write_ranker`."""
        from kartoteka.ranking.directory import write_ranker

        about = {
            "settings": self.settings.model_dump(),
            "data": data_of(run).get_json(data.MANIFEST),
        }
        student = data_of(run).local(data.STUDENT)
        seen = data.open_arrays(_data(run)).seen
        head = module.scorer.head() if module.scorer is not None else None
        write_ranker(folder, module.transformer, student, self.settings, seen, about, head)

    def card(self, run: Storage) -> dict[str, Any]:
        """What a reader of the model card must know."""
        manifest = data_of(run).get_json(data.MANIFEST)
        facts, encoder = manifest["facts"], manifest["plan"]["encoder"]
        languages = data.open_archive(self.edition).languages
        return {
            "title": "Keyphrase ranker (SearchKeys)",
            "base": _named(encoder) + (f", which began as {_named(encoder['base'])}" if encoder.get("base") else ""),
            "data": [
                f"{facts['training']:,} annotated documents of one archive with {facts['all_positives']:,} keyphrases",
                f"{facts['validation']:,} others chose the best weights",
                f"{facts['fusion']:,} were left alone for the fusion of features, and {facts['aside']:,} set aside: "
                "not drawn, without a keyphrase that the archive keeps, or twins of a document that had to stay unseen",
                *self._spans(facts),
                *self._taught(manifest["plan"]),
                *self._begun(encoder),
            ],
            "intended": (
                "Ranking keyphrases of similar documents for a title and abstract of the same kind: the cosine of the "
                f"two vectors. `kartoteka reindex --ranker` takes the directory; {PLAIN_ENCODER}."
            ),
            "limits": (
                f"Texts are cut to {self.settings.max_document_tokens} tokens. It has learned one archive's habits; "
                "quality on archives of another kind must be measured. The vectors are not made for comparing "
                "documents with each other."
            ),
            "license": "that of the base model",
            "languages": languages,
        }

    def _spans(self, facts: dict[str, int]) -> list[str]:
        """What the card says of the scores of spans, in no line or one."""
        if not self.settings.span_weight:
            return []
        return [
            f"{facts['all_spans']:,} runs of words in these texts, of {facts['all_words']:,} words, are a keyphrase of "
            f"their document: by that `spans.safetensors` scores runs of up to {LONGEST} words"
        ]

    def _taught(self, plan: dict[str, Any]) -> list[str]:
        """What the card says of the teacher, in no line or one."""
        if "teacher" not in plan:
            return []
        teacher = plan["teacher"]
        return [
            f"of these spans what another ranker says (SHA-256 of its encoder {teacher['encoder']}), with a weight of "
            f"{teacher['weight']:g} beside the keyphrases; the documents it has seen count as seen"
        ]

    def _begun(self, encoder: dict[str, Any]) -> list[str]:
        """What the card says of the ranker that training began from, in no line or one."""
        if "spans" not in encoder:
            return []
        return ["it began as a ranker trained before; the documents that one had seen count as seen"]

    def _vectors(self, run: Storage) -> VectorArrays:
        """The edition's own vectors. Raises `ValueError` where it has none, or of another length than the model's."""
        return _vectors(self.edition, str(data_of(run).local(data.STUDENT)))


def _named(model: dict[str, Any]) -> str:
    return f"{model['name']} (SHA-256 of the weights {model['sha256']})"


def _data(run: Storage) -> str:
    return data_of(run).uri


@lru_cache(maxsize=2)
def _vectors(edition: str, student: str) -> VectorArrays:
    vectors = open_vectors(Storage(edition).local(data.ARCHIVE))
    if vectors is None:
        raise ValueError(f"ranker.distil_weight: edition {edition} has no vectors to learn from")
    width = json.loads((Path(student) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    if vectors.document_codes.shape[1] != width:
        raise ValueError(
            f"ranker.distil_weight: the edition's vectors have {vectors.document_codes.shape[1]} numbers, the model's "
            f"{width}"
        )
    return vectors
