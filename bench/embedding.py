"""Embedding on this CPU: SentenceTransformer.encode and OpenVINO beside ours, ratios of interleaved rounds in one run.

PYTHONPATH=platform python bench/embedding.py [ARCHIVE...] [--documents N] [--rounds N] [--model MODEL] [--precision P]

ARCHIVE: what `kartoteka reindex` reads (default: samples/papers.parquet). OpenVINO is measured where it is installed
(pip install openvino). Every contestant tokenises, encodes and returns unit vectors; each has its own process.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).parents[1] / "samples" / "papers.parquet"
CORES = len(os.sched_getaffinity(0))
MOST_TOKENS = 4096  # of an OpenVINO batch, padding included

Encode = Callable[[list[str]], np.ndarray]


def sentence_transformer(model: str, precision: str) -> Encode:
    from sentence_transformers import SentenceTransformer

    from kartoteka.encoding.models import resolve_model

    encoder = SentenceTransformer(str(resolve_model(model).directory), device="cpu")
    return lambda texts: encoder.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)


def ours(model: str, precision: str) -> Encode:
    from kartoteka.encoding.encoder import load_encoder

    return load_encoder(model, device="cpu", precision=precision).encode


def compiled(model: str, precision: str) -> Encode:
    from kartoteka.encoding.encoder import load_encoder
    from kartoteka.encoding.settings import EncodingSettings

    return load_encoder(model, device="cpu", precision=precision, settings=EncodingSettings(compile=True)).encode


def openvino(model: str, precision: str) -> Encode:
    """Mean pooling inside the graph, bf16 where the CPU has it, batches sorted by length, one stream per thread."""
    import openvino as ov
    import torch

    from kartoteka.encoding.batches import plan_batches
    from kartoteka.encoding.models import resolve_model
    from kartoteka.encoding.tokens import TextTokeniser
    from kartoteka.encoding.transformer import load_tokenizer, load_transformer

    files = resolve_model(model)
    transformer = load_transformer(files)

    class Graph(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(states.dtype)
            return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=1)

    tokenise = TextTokeniser(load_tokenizer(files)[0], files.max_tokens or 512)
    example = torch.ones(2, 16, dtype=torch.int64)
    core, streams = ov.Core(), int(os.environ["OMP_NUM_THREADS"])
    bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {"INFERENCE_NUM_THREADS": streams, "NUM_STREAMS": streams}
    settings["INFERENCE_PRECISION_HINT"] = "bf16" if bf16 else "f32"
    graph = core.compile_model(ov.convert_model(Graph().eval(), example_input=(example, example)), "CPU", settings)

    def encode(texts: list[str]) -> np.ndarray:
        tokens = tokenise(texts)
        vectors = np.zeros((len(texts), transformer.config.hidden_size), np.float32)
        queue = ov.AsyncInferQueue(graph, streams)
        queue.set_callback(lambda request, batch: vectors.__setitem__(batch, request.get_output_tensor().data))
        for batch in plan_batches(tokens.lengths, MOST_TOKENS, padded=True):
            lengths = tokens.lengths[batch]
            mask = (np.arange(lengths.max())[None, :] < lengths[:, None]).astype(np.int64)
            ids = np.zeros_like(mask)
            ids[mask.astype(bool)] = np.concatenate(
                [tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]] for i in batch]
            )
            queue.start_async([ids, mask], batch)
        queue.wait_all()
        return vectors

    return encode


def work(make: Callable[[str, str], Encode], model: str, precision: str, pipe: object) -> None:
    """A contestant's process: load, then answer each list of texts with its vectors and CPU seconds."""
    warnings.simplefilter("ignore")  # of tracing a model for OpenVINO
    encode = make(model, precision)
    pipe.send(None)
    while texts := pipe.recv():
        start = time.process_time()
        vectors = encode(texts)
        pipe.send((vectors, time.process_time() - start))


class Contestant:
    """`processes` processes of `threads` threads, each with every n-th text."""

    def __init__(self, make: Callable, processes: int, threads: int | None, model: str, precision: str) -> None:
        context = multiprocessing.get_context("spawn")
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.pop(name, None)
            if threads:
                os.environ[name] = str(threads)
        os.environ["TOKENIZERS_PARALLELISM"] = "false" if threads else "true"
        self.pipes = []
        for _ in range(processes):
            here, there = context.Pipe()
            context.Process(target=work, args=(make, model, precision, there), daemon=True).start()
            self.pipes.append(here)
        for pipe in self.pipes:
            pipe.recv()
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.vectors = np.zeros(0)

    def round(self, texts: list[str], *, keep: bool = True) -> None:
        step = len(self.pipes)
        start = time.perf_counter()
        for i, pipe in enumerate(self.pipes):
            pipe.send(texts[i::step])
        answers = [pipe.recv() for pipe in self.pipes]
        wall = time.perf_counter() - start
        if keep:
            self.wall.append(wall)
            self.cpu.append(sum(cpu for _, cpu in answers))
            self.vectors = np.zeros((len(texts), answers[0][0].shape[1]), np.float32)
            for i, (vectors, _) in enumerate(answers):
                self.vectors[i::step] = vectors

    def end(self) -> None:
        for pipe in self.pipes:
            pipe.send([])


def ceiling(precision: str, rows: int = 480, inputs: int = 384, outputs: int = 1536) -> float:
    """Best of many matrix products on one thread, in the shape of MiniLM's inner layer: 10^9 operations a second."""
    import torch

    from kartoteka.encoding import native

    torch.set_num_threads(1)
    if precision == "int16":
        library, rng = native.kernels(), np.random.default_rng(0)
        levels, weights = (rng.integers(-2000, 2000, n).astype(np.int16) for n in (rows * inputs, inputs * outputs))
        ones, out = np.ones(max(rows, outputs), np.float32), np.zeros(rows * outputs, np.float32)
        pointer = lambda array: ctypes.c_void_p(array.ctypes.data)  # noqa: E731
        linear = native.Linear(pointer(weights), pointer(ones), pointer(ones), inputs, outputs)
        product = lambda: library.product(  # noqa: E731
            ctypes.byref(linear), pointer(levels), pointer(ones), ctypes.c_long(rows), ctypes.c_int(-1), pointer(out)
        )
    else:
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = torch.randn(rows, inputs, dtype=kind), torch.randn(outputs, inputs, dtype=kind)
        product = lambda: torch.nn.functional.linear(a, b)  # noqa: E731
    best = float("inf")
    with torch.inference_mode():
        for _ in range(100):
            start = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - start)
    return 2 * rows * inputs * outputs / best / 1e9


def work_per_text(model: str, texts: list[str]) -> tuple[float, float]:
    """10^9 operations of the linear layers and of attention, for a text on average."""
    from transformers import AutoConfig

    from kartoteka.encoding.encoder import load_encoder
    from kartoteka.encoding.models import resolve_model

    lengths = load_encoder(model, device="cpu", precision="fp32").tokenise(texts).lengths
    config = AutoConfig.from_pretrained(resolve_model(model).directory)
    width, layers = config.hidden_size, config.num_hidden_layers
    linear = 2 * lengths.mean() * layers * (4 * width**2 + 2 * width * config.intermediate_size)
    attention = 4 * (lengths.astype(float) ** 2).mean() * layers * width
    print(f"{len(texts)} texts, {lengths.mean():.0f} tokens on average")
    return linear / 1e9, attention / 1e9


def read_texts(paths: list[str], count: int) -> list[str]:
    from kartoteka.sources.splits import plan, read

    rows = (record for split in plan(paths) for _, record, _ in read(split) if isinstance(record, dict))
    return [f"{r.get('title') or ''}. {r['abstract']}" for r in islice((r for r in rows if r.get("abstract")), count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="*", default=[str(SAMPLES)])
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--precision", default="auto", help="of ours: auto, int16, bf16, fp32")
    options = parser.parse_args()

    from kartoteka.encoding.encoder import load_encoder
    from kartoteka.encoding.precision import cpu_abilities

    texts = read_texts(options.archive, options.documents)
    linear, attention = work_per_text(options.model, texts)
    precision = load_encoder(options.model, device="cpu", precision=options.precision).identity["precision"]
    top = ceiling(precision)
    print(f"CPU: {cpu_abilities()}, {CORES} cores; ours computes in {precision}")
    print(f"products on one thread: fp32 {ceiling('fp32'):.0f}, {precision} {top:.0f} GOP/s")
    print(f"a text is {linear:.2f} GOP in linear layers and {attention:.2f} in attention")

    plans = [("SentenceTransformer.encode, fp32, batch 32, all threads", sentence_transformer, 1, None, "")]
    if importlib.util.find_spec("openvino"):
        plans += [("OpenVINO, sorted, 1 stream", openvino, 1, 1, "")]
        plans += [(f"OpenVINO, sorted, {CORES} streams", openvino, 1, CORES, "")]
    else:
        print("OpenVINO is not installed: left out")
    plans += [
        ("ours, fp32, 1 process", ours, 1, 1, "fp32"),
        (f"ours, {precision}, 1 process", ours, 1, 1, options.precision),
        (f"ours, {precision}, {CORES} processes", ours, CORES, 1, options.precision),
    ]
    if precision != "int16":  # those kernels are compiled already
        plans += [(f"ours, {precision}, torch.compile, 1 process", compiled, 1, 1, options.precision)]
    contestants = {name: Contestant(make, n, threads, options.model, p) for name, make, n, threads, p in plans}
    for contestant in contestants.values():
        contestant.round(texts[: 8 * CORES], keep=False)
    for _ in range(options.rounds):
        for contestant in contestants.values():
            contestant.round(texts)

    for contestant in contestants.values():
        contestant.end()

    first = next(iter(contestants.values()))
    print(f"\n{'':58} docs/s      x  docs/CPU-s      x  cosine mean / min  of ceiling")
    for name, contestant in contestants.items():
        wall, cpu = statistics.median(contestant.wall), statistics.median(contestant.cpu)
        cosine = (contestant.vectors * first.vectors).sum(1)
        print(
            f"{name:58} {len(texts) / wall:6.1f} {statistics.median(first.wall) / wall:6.2f} {len(texts) / cpu:11.1f} "
            f"{statistics.median(first.cpu) / cpu:6.2f}  {cosine.mean():.6f} / {cosine.min():.6f}"
            + (f"{linear * len(texts) / cpu / top:8.0%}" if name.startswith(f"ours, {precision}") else "")
        )


if __name__ == "__main__":
    main()
