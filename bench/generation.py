"""What a keyphrase costs: BART-KP writing them beside Kartoteka ranking them, CPU-seconds per document of one thread.

    python -m bench.generation --edition EDITION --generator DIR --documents FILE [--count N] [--beam B]

Asked for are documents of FILE, their keyphrases known. Two generators: the one in DIR (`kartoteka train generator`),
and one of BART-base's size, as the paper's is, with random weights: what a step costs does not depend on the weights.
How many steps there are does, so both write exactly as many tokens as the document's own keyphrases have, by the
tokeniser of DIR. A tokeniser of BART's 50,265 pieces would make of them fewer by a few in a hundred. Where the CPU
multiplies bf16 by itself (AMX) the generators write in it too, and the cheaper counts.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
import torch
from transformers import BartConfig, BartForConditionalGeneration

from bench import corpus
from bench.processes import cpu
from bench.tables import Check, Outcome
from kartoteka import edition as editions
from kartoteka.encoding.precision import cpu_abilities
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.generation import targets
from kartoteka.generation.generate import Generator, Writer
from kartoteka.generation.module import generation_config
from kartoteka.generation.vocabulary import encode
from kartoteka.ranking.directory import open_ranker
from kartoteka.stages.embed import Encode, Encoding
from kartoteka.stages.suggest import Sources, trained_of
from kartoteka.stages.trained import EncodeTrained
from kartoteka.stages.vectors import matrix_of

REQUIRED = 20.0
BASE = "BART-KP of BART-base's size, 139 M weights"
#: BART-base: 139 million weights (Lewis et al. 2020).
_BASE = {
    "vocab_size": 50_265, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 12,
    "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072, "max_position_embeddings": 1024,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", required=True)
    parser.add_argument("--ranker", help="the one that EDITION was made with")
    parser.add_argument("--generator", required=True)
    parser.add_argument("--documents", required=True)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--beam", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = [{"lang": "en", **document} for document in corpus.documents([options.documents], options.count)]
    rows = pa.Table.from_pylist([{name: d[name] for name in ("id", "title", "abstract", "lang")} for d in asked])
    small = Generator.open(options.generator, "cpu", search={"beam": options.beam})
    longest = lengths(small, asked)
    size = sum(weight.numel() for weight in small.writer.model.parameters()) / 1e6
    taken = {"Kartoteka": ours(options.edition, options.ranker, rows)}
    base = of_base_size(small)
    for kind in (torch.float32, torch.bfloat16) if cpu_abilities()["amx"] else (torch.float32,):
        precision = str(kind).removeprefix("torch.")
        for name, one in ((f"BART-KP of DIR, {size:.0f} M weights", small), (BASE, base)):
            one.writer.model.to(kind)
            taken[f"{name}, {precision}"] = writing(one, rows, longest)
    outcome = Outcome("generation", "SearchKeys beside BART-KP: what a document costs")
    first = taken["Kartoteka"]
    outcome.notes += [
        f"{len(asked)} documents, one thread; beam {options.beam}; {longest.mean():.1f} tokens written for each",
        f"Kartoteka: embedding, {'reading by the trained ranker, ' if options.ranker else ''}candidates, ranking",
    ]
    outcome.table(
        "CPU-seconds per document",
        ["", "CPU-s", "of Kartoteka's"],
        [[name, f"{seconds:.3f}", f"{seconds / first:.1f}"] for name, seconds in taken.items()],
    )
    ratio = min(seconds for name, seconds in taken.items() if name.startswith(BASE)) / first
    outcome.checks = [
        Check("BART-KP of the paper's size / Kartoteka", f">= {REQUIRED:g}", f"{ratio:.1f}", ratio >= REQUIRED)
    ]
    outcome.values = {"cpu_seconds": taken, "tokens": float(longest.mean())}
    outcome.publish()


def lengths(generator: Generator, documents: list[dict]) -> np.ndarray:
    """Tokens of each document's keyphrases as they are written, the end mark among them, int64 [n]."""
    texts = [
        targets.target_text(targets.ordered(d["title"], d["abstract"], d["keyphrases"], d["lang"])) for d in documents
    ]
    return np.array([len(tokens) - 1 for tokens in encode(generator.writer.tokenizer, texts)])


def of_base_size(like: Generator) -> Generator:
    """A generator of BART-base's size with random weights that searches as `like` does."""
    torch.manual_seed(0)
    own = like.writer.model.config
    marks = {name: getattr(own, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = BartConfig(**_BASE, **marks, decoder_start_token_id=own.decoder_start_token_id, forced_eos_token_id=None)
    model = BartForConditionalGeneration(config).eval()
    model.generation_config = generation_config(config, like.search, 64)
    return Generator(Writer(model, like.writer.tokenizer, model.generation_config), like.search)


def writing(generator: Generator, rows: pa.Table, longest: np.ndarray) -> float:
    """CPU-seconds per document, documents of equal length written together."""

    def write() -> None:
        for length in np.unique(longest).tolist():
            generator.writer.config.update(max_new_tokens=length, min_new_tokens=length)
            generator.suggest(rows.filter(pa.array(longest == length)))

    return cpu(write)[0] / rows.num_rows


def ours(path: str, ranker: str | None, rows: pa.Table) -> float:
    """CPU-seconds per document of what the re-index does for the documents of an edition."""
    edition = editions.open(path)
    config = edition.manifest["config"]
    suggester = Sources.of(edition).open()
    settings, model = EncodingSettings.parse(config["encoding"]), edition.manifest["models"]["encoder"]
    encode = Encode(Encoding(model["name"], model["revision"], settings), config["embed"]["separator"])
    encode.open()
    trained = EncodeTrained(open_ranker(ranker), settings).steps if ranker else []
    for step in trained:
        step.open()
    nobody = np.full(rows.num_rows, -1)

    def rank() -> None:
        own, read = encode.apply(rows), rows
        for step in trained:
            read = step.apply(read)
        if trained:
            read = read.rename_columns(["trained" if name == "vector" else name for name in read.column_names])
        suggester.suggest(rows, matrix_of(own["vector"]), nobody, trained_of(read))

    return cpu(rank)[0] / rows.num_rows


if __name__ == "__main__":
    main()
