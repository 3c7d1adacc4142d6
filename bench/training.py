"""Training throughput: the loop with the ranker's loss beside sentence-transformers' own trainer, on two CPU workers.

    python -m bench.training [--corpus PATH ...] [--documents N] [--steps N] [--memory-batch N]

Both train all-MiniLM-L6-v2 on the same machine, two processes of one thread, fp32, batches of 64 documents of at most
128 tokens with 13 phrases each. Theirs: MultipleNegativesRankingLoss over one positive and 12 negatives as columns.
Ours: masked MNR over all positives and 8 hard negatives, gathered over the workers. Rates are of the second half of the
steps, so that start-up is in neither. Then one contrastive step of 1,024 documents: its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import corpus
from bench.plain_script import demo_model
from bench.processes import ROOT, watch
from bench.tables import Check, Outcome
from kartoteka.training.run import worker_environment
from kartoteka.training.settings import WorkerSettings

REQUIRED, MEMORY_GB = 1.0, 8.0
BATCH, TOKENS, WORKERS = 64, 128, 2
NEGATIVES = 12


def theirs(documents: list[dict], steps: int) -> float:
    """Documents per second of sentence-transformers' trainer under torchrun."""
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        rows = Path(folder, "rows.jsonl")
        rows.write_text("\n".join(json.dumps(row) for row in documents), encoding="utf-8")
        command = ["-m", "torch.distributed.run", "--nproc_per_node", str(WORKERS), "-m", "bench.training"]
        command += ["--peer", str(rows), "--steps", str(steps)]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "TOKENIZERS_PARALLELISM": "false"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return float(done.stdout.strip().splitlines()[-1])


def peer(rows: str, steps: int) -> None:
    """One process of the peer; the first prints documents per second over the second half of the steps."""
    import random

    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    torch.set_num_threads(1)
    documents = [json.loads(line) for line in Path(rows).read_text(encoding="utf-8").splitlines()]
    phrases = sorted({phrase for document in documents for phrase in document["keyphrases"]})
    draw = random.Random(0)
    columns: dict[str, list[str]] = {"anchor": [], "positive": []} | {f"negative_{n}": [] for n in range(NEGATIVES)}
    for n in range(steps * BATCH):
        document = documents[n % len(documents)]
        columns["anchor"].append(f"{document['title']}. {document['abstract']}")
        columns["positive"].append(draw.choice(document["keyphrases"]))
        for number in range(NEGATIVES):
            columns[f"negative_{number}"].append(draw.choice(phrases))
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            times.append(time.perf_counter())

    model = SentenceTransformer(demo_model(), device="cpu")
    model.max_seq_length = TOKENS
    with tempfile.TemporaryDirectory() as out:
        trainer = SentenceTransformerTrainer(
            model=model,
            args=Arguments(
                output_dir=out,
                per_device_train_batch_size=BATCH // WORKERS,
                max_steps=steps,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                ddp_backend="gloo",
            ),
            train_dataset=Dataset.from_dict(columns),
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[Clock()],
        )
        trainer.train()
    if int(os.environ.get("RANK", "0")) == 0:
        half = len(times) // 2
        print(BATCH * (len(times) - 1 - half) / (times[-1] - times[half]))


def ours(edition: Path, folder: Path, steps: int) -> float:
    """Documents per second of `kartoteka train ranker`, from the times that its metrics hold."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    config = folder / "config.toml"
    config.write_text(
        f"[training]\nbatch = {BATCH}\nsteps = {steps}\nvalidate_every = {steps}\ncheckpoint_every = {steps}\n"
        f"[workers]\ncount = {WORKERS}\n"
        f"[ranker]\nmax_document_tokens = {TOKENS}\nvalidation_documents = 20\nfusion_share = 0.0\nspan_weight = 0.0\n"
    )
    run = folder / "run"
    watch(["-m", "jobs", "train", "ranker", "--edition", str(edition), "--out", str(run), "--config", str(config)])
    table = pq.read_table(run / "metrics.parquet")
    seconds = table.filter(pc.equal(table["name"], "loss"))["seconds"].to_pylist()
    half = len(seconds) // 2
    return BATCH * (len(seconds) - 1 - half) / (seconds[-1] - seconds[half])


def peak_gb(documents: list[dict], batch: int) -> float:
    """Peak memory in GB of a process that takes one contrastive step of `batch` documents."""
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as folder:
        rows = Path(folder, "rows.jsonl")
        rows.write_text("\n".join(json.dumps(row) for row in documents[:batch]), encoding="utf-8")
        environment = os.environ | worker_environment(WorkerSettings(threads=2))
        done = subprocess.run(
            [sys.executable, "-m", "bench.training", "--step", str(rows)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return float(done.stdout.strip().splitlines()[-1])


def one_step(rows: str) -> None:
    """A process's only step; prints its peak memory in GB."""
    import numpy as np
    import torch

    from kartoteka.encoding.models import resolve_model
    from kartoteka.encoding.tokens import TextTokeniser
    from kartoteka.encoding.transformer import load_tokenizer
    from kartoteka.ranking.module import RankerModule
    from kartoteka.ranking.settings import RankerSettings

    documents = [json.loads(line) for line in Path(rows).read_text(encoding="utf-8").splitlines()]
    texts = [f"{d['title']}. {d['abstract']}" for d in documents]
    phrases = sorted({phrase for d in documents for phrase in d["keyphrases"]})
    place = {phrase: number for number, phrase in enumerate(phrases)}
    files = resolve_model(demo_model())
    tokens = TextTokeniser(load_tokenizer(files)[0], TOKENS)(texts + phrases)
    right = [sorted({place[p] for p in d["keyphrases"]}) for d in documents]
    batch = {
        "ids": np.asarray(tokens.ids),
        "offsets": np.asarray(tokens.offsets),
        "documents": np.array([len(texts)]),
        "positives": np.concatenate(right).astype(np.int64),
        "positive_offsets": np.cumsum([0, *map(len, right)]),
        "total": np.array([len(texts), len(phrases), sum(map(len, right))]),
        "teacher": np.zeros((0, 0), np.float32),
        "distil": np.zeros(1, np.float32),
    }
    module = RankerModule(Path(demo_model()), RankerSettings(span_weight=0.0))
    adam = torch.optim.AdamW(module.parameters())
    loss, _ = module({name: torch.from_numpy(array) for name, array in batch.items()})
    loss.backward()
    adam.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", default=[])
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--memory-batch", type=int, default=1024)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.peer, options.steps)
    if options.step:
        return one_step(options.step)

    documents = [d for d in corpus.documents(options.corpus, options.documents) if len(d["keyphrases"]) > 1]
    with tempfile.TemporaryDirectory(prefix="kartoteka-bench-") as name:
        folder = Path(name)
        about = corpus.write(options.corpus, options.documents, folder / "corpus.jsonl")
        edition = folder / "edition"
        watch(["-m", "jobs", "reindex", str(folder / "corpus.jsonl"), "--edition", str(edition)])
        their_rate = theirs(documents, options.steps)
        our_rate = ours(edition, folder, options.steps)
    gigabytes = peak_gb(documents, options.memory_batch)
    outcome = Outcome("training", "Training the ranker")
    outcome.notes += [about, f"{options.steps} steps of {BATCH} documents each; rates of the second half"]
    outcome.table(
        "Two workers of one thread",
        ["", "documents/s", "ratio"],
        [
            ["sentence-transformers' trainer, 13 phrases a document", f"{their_rate:.2f}", "1.00"],
            [
                "kartoteka train ranker, all positives and 8 negatives",
                f"{our_rate:.2f}",
                f"{our_rate / their_rate:.2f}",
            ],
        ],
    )
    ratio = our_rate / their_rate
    outcome.checks += [
        Check("training throughput beside sentence-transformers", f">= {REQUIRED:g} x", f"{ratio:.2f} x", ratio >= 1),
        Check(
            f"a contrastive batch of {min(options.memory_batch, len(documents)):,}, one process",
            f"<= {MEMORY_GB:g} GB",
            f"{gigabytes:.2f} GB",
            gigabytes <= MEMORY_GB,
        ),
    ]
    outcome.values = {"theirs": their_rate, "ours": our_rate, "peak_gb": gigabytes}
    outcome.publish()


if __name__ == "__main__":
    main()
