"""The generator as a task of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kartoteka.generation import data, targets
from kartoteka.generation.settings import DecodingSettings, GeneratorSettings
from kartoteka.generation.vocabulary import encode
from kartoteka.ragged import pick
from kartoteka.storage import Storage, absolute
from kartoteka.training.task import Batch, Part, Share, Task, data_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GeneratorTask(Task):
    """BART-KP, One2Seq: title and abstract to keyphrases, learned from the annotated documents of an edition."""

    edition: str
    settings: GeneratorSettings

    name: ClassVar[str] = "generator"
    metric: ClassVar[str] = "f1_at_m"

    def __post_init__(self) -> None:
        object.__setattr__(self, "edition", absolute(self.edition))
        if self.settings.base is not None:
            base = self.settings.model_copy(update={"base": absolute(self.settings.base)})
            object.__setattr__(self, "settings", base)

    def prepare(self, run: Storage) -> dict[str, Any]:
        """See `data.prepare`; the facts are counts of documents and tokens, and a hash of the tokens."""
        return data.prepare(Storage(self.edition), run, self.settings)

    def examples(self, run: Storage) -> int:
        """Annotated documents that are not held out."""
        return len(_examples(run).source_offsets) - 1

    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        """The batch of `GeneratorModule`; a worker without a row of its own gets one that counts nothing."""
        examples = _examples(run)
        rows, scale = share.of(numbers), 0.0
        if len(rows):
            scale = share.world / (examples.target_offsets[numbers + 1] - examples.target_offsets[numbers]).sum()
        else:
            rows = np.zeros(1, np.int64)
        source_ids, source_offsets = pick(examples.sources, examples.source_offsets, rows)
        target_ids, target_offsets = pick(examples.targets, examples.target_offsets, rows)
        return {
            "source_ids": source_ids,
            "source_offsets": source_offsets,
            "target_ids": target_ids,
            "target_offsets": target_offsets,
            "scale": np.array([scale], np.float32),
        }

    def label(self, run: Storage, number: int) -> str:
        """The document's id."""
        return data.ids_of(run)[number].as_py()

    def build(self, run: Storage) -> torch.nn.Module:
        """The base, or a model drawn from the seed."""
        from kartoteka.generation.module import GeneratorModule, new_model

        return GeneratorModule(new_model(self.settings, data.open_run_tokenizer(run)), self.settings.label_smoothing)

    def validate(self, run: Storage, module: torch.nn.Module, share: Share) -> dict[str, Part]:
        """Figures of greedy decoding on this worker's share of the held-out documents (see `validation.FIGURES`).

        Every worker decodes as many batches, the last ones without a document of its own where there are too few.
        """
        import torch.distributed as dist

        from kartoteka.generation.generate import Writer
        from kartoteka.generation.module import generation_config
        from kartoteka.generation.validation import measure

        tokenizer, documents = data.open_run_tokenizer(run), data.held_out(run)
        size = self.settings.decoding.batch
        greedy = DecodingSettings(beam=1, batch=size)
        writer = Writer(
            module.model, tokenizer, generation_config(module.model.config, greedy, self.settings.max_target)
        )
        columns = (documents[name].to_pylist() for name in ("title", "abstract"))
        texts = [targets.source_text(*pair) for pair in zip(*columns, strict=True)]
        sources = [targets.fitted_source(tokens, self.settings.max_source) for tokens in encode(tokenizer, texts)]
        langs = documents["lang"].to_pylist()

        # By length, so that a batch is not mostly padding; all workers see the same order
        together = share.world > 1 and dist.is_initialized()
        own = share.of(np.array(sorted(range(len(sources)), key=lambda i: (-len(sources[i]), i)), np.int64))
        batches = -(-len(sources) // (share.world * size))
        found: list[list[str]] = []
        for start in range(0, batches * size, size):
            rows = own[start : start + size].tolist()
            asked = rows or [0]
            written = writer.write(
                [sources[i] for i in asked], [langs[i] for i in asked], scored=False, together=together
            )
            found += [[phrase for phrase, _ in phrases] for phrases in written[: len(rows)]]
        return measure(documents.take(own), found)

    def export(self, run: Storage, module: torch.nn.Module, folder: Path) -> None:
        """A plain transformers directory: config, weights in safetensors, tokeniser, how to search."""
        module.model.save_pretrained(folder)
        data.open_run_tokenizer(run).save_pretrained(folder)

    def card(self, run: Storage) -> dict[str, Any]:
        """See `Task.card`."""
        facts, s = data.facts_of(run), self.settings
        small = f"none: drawn at random, {s.layers}+{s.layers} layers of {s.width}, {facts['vocabulary']:,} tokens"
        return {
            "title": "Keyphrase generator (BART-KP, One2Seq)",
            "base": s.base or small,
            "data": [
                f"the annotated documents of {self.edition}: `training` of them learned from, `validation` of them "
                "held out by the hash of their ids",
                f"at most {s.max_source} tokens of title and abstract, {s.max_target} of keyphrases (whole ones)",
            ],
            "intended": (
                "Keyphrases of a scholarly document from `title<s>abstract`, joined by `<SEP>`, present before absent: "
                "a baseline to set beside retrieval, or a further source of candidates."
            ),
            "limits": (
                "It may write phrases that no one uses. Scores are length-normalised probabilities of whole sequences, "
                "not calibrated. It reads the beginning of long abstracts only. What may be done with it is for the "
                "licenses of its documents and of its base to say."
            ),
            "license": "other",
            "languages": list(facts["languages"]),
        }


def _examples(run: Storage) -> data.Examples:
    return data.open_examples(data_of(run).uri)
