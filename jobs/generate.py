"""Write keyphrases for documents with a trained generator, for `kartoteka evaluate keyphrases` to read.

    kartoteka generate EDITION --generator RUN/model --out predictions.parquet
    kartoteka generate documents.jsonl.zst --generator RUN/model --out predictions.parquet --beam 20 --sequences 20

Documents: those of an edition, or `id`, `title`, `abstract` and where known `lang` as Parquet or JSON Lines (.gz,
.zst).
Beside the predictions, `predictions.run.json` says what they cost; `kartoteka evaluate costs` makes a table of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from jobs.cli import plain_errors

if TYPE_CHECKING:
    import pyarrow as pa

#: Documents that are sorted by length, decoded and written together.
_TOGETHER = 1024
_COLUMNS = ("id", "title", "abstract", "lang")


def generate(
    source: Annotated[str, typer.Argument(metavar="EDITION|FILE", help="Documents to write keyphrases for.")],
    generator: Annotated[str, typer.Option(help="Directory of a trained generator.")],
    out: Annotated[Path, typer.Option(help="Parquet file of the predictions.")],
    beam: Annotated[int | None, typer.Option(min=1, help="Width of the search; default: the generator's own.")] = None,
    sequences: Annotated[
        int | None, typer.Option(min=1, help="Sequences whose phrases are joined; default: the generator's own.")
    ] = None,
    length_penalty: Annotated[float | None, typer.Option(min=0, help="Default: the generator's own.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Documents decoded together.")] = 32,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many documents.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads on a CPU.")] = 1,
) -> None:
    """Write keyphrases for documents with a trained generator."""
    with plain_errors():
        run(source, generator, out, (beam, sequences, length_penalty), batch, limit, device, threads)


def run(
    source: str,
    directory: str,
    out: Path,
    search: tuple[int | None, int | None, float | None],
    batch: int,
    limit: int | None,
    device: str,
    threads: int,
) -> None:
    """The job. Raises `ValueError` for what is wrong with the arguments."""
    import orjson
    import pyarrow.parquet as pq
    import torch

    from kartoteka.documents import KEYPHRASES_SCHEMA
    from kartoteka.energy import EnergyMeter
    from kartoteka.generation.generate import Generator

    if not out.name.endswith(".parquet"):
        raise ValueError(f"out: {out} does not end in .parquet")
    if not out.parent.is_dir():
        raise ValueError(f"out: there is no folder {out.parent}")
    torch.set_num_threads(threads)
    beam, sequences, length_penalty = search
    given = {"beam": beam, "sequences": sequences, "length_penalty": length_penalty}
    generator = Generator.open(directory, device, batch, {name: v for name, v in given.items() if v is not None})
    console = Console(highlight=False)
    done = phrases = 0
    beside = out.with_name(f".{out.name}.tmp")
    wall, cpu = time.monotonic(), time.process_time()
    try:
        with EnergyMeter() as meter, pq.ParquetWriter(beside, KEYPHRASES_SCHEMA, compression="zstd") as writer:
            for documents in _documents(source, limit):
                written = generator.suggest(documents)
                writer.write_table(written)
                done += written.num_rows
                phrases += sum(map(len, written["keyphrases"].to_pylist()))
                rate = done / (time.monotonic() - wall)
                console.print(f"{done:,} documents, {phrases:,} keyphrases, {rate:.1f} documents/s", soft_wrap=True)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    seconds, cpu_seconds = time.monotonic() - wall, time.process_time() - cpu
    energy = meter.energy(cpu_seconds)
    about = {
        "name": "generate",
        "documents": done,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "energy_wh": round(energy.wh, 6),
        "energy_how": energy.how,
        "workers": 1,
        "device": "cpu" if generator.device.type == "cpu" else "gpu",
        "generator": directory,
        "search": generator.search.model_dump(),
    }
    out.with_suffix(".run.json").write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(f"{out}: {done:,} documents in {seconds:,.1f} s, {cpu_seconds:,.1f} CPU-seconds", soft_wrap=True)


def _documents(source: str, limit: int | None) -> Iterator[pa.Table]:
    """The documents of an edition or a file, `_TOGETHER` at a time. Raises `ValueError` when there are none."""
    import pyarrow as pa

    from kartoteka.edition import read_documents
    from kartoteka.storage import Storage

    storage = Storage(source)
    tables = read_documents(storage, _COLUMNS, _TOGETHER) if storage.exists("documents") else _tables(source)
    left = limit
    for table in tables:
        table = table if left is None else table.slice(0, left)
        if table.num_rows:
            yield pa.table({name: table[name] for name in _COLUMNS})
        if left is not None and (left := left - table.num_rows) <= 0:
            return


def _tables(source: str) -> Iterator[pa.Table]:
    import pyarrow as pa

    from kartoteka.evaluation.tables import read_gold
    from kartoteka.text.language import detect

    rows = ((d.id, d.title, d.abstract, d.lang or detect(f"{d.title}\n{d.abstract}")) for d in read_gold(source))
    found = False
    while some := list(islice(rows, _TOGETHER)):
        found = True
        yield pa.table(dict(zip(_COLUMNS, map(list, zip(*some, strict=True)), strict=True)))
    if not found:
        raise ValueError(f"{source}: no document in it")
