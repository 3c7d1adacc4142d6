"""Measure predictions against references.

    kartoteka evaluate keyphrases predictions.jsonl --gold gold.jsonl.zst
    kartoteka evaluate keyphrases predictions.jsonl --gold gold.parquet --against baseline.jsonl --table
    kartoteka evaluate keyphrases --edition EDITION --convention chan --convention kpeval --json scores.json
    kartoteka evaluate keyphrases predictions.jsonl --gold gold.jsonl --bertscore-model bert-base-multilingual-cased
    kartoteka evaluate keyphrases all=EDITION --against bart=bart.parquet --gold acm.jsonl --gold theses.jsonl --table
    kartoteka evaluate costs EDITION RUN bart.run.json --prices prices.toml
    kartoteka evaluate sentiment RUN/model --gold RUN/data/validation.parquet --against BASE/model

Predictions: `id` and `keyphrases`, best first, as strings or as structs of `phrase` and `score`. Gold: `id`, `title`,
`abstract`, `keyphrases`, and where known `lang`, `collection`. Both as Parquet or JSON Lines (.gz, .zst), a file or a
folder; predictions also as an edition, or a folder of editions (one for each collection), and `NAME=` before the path
is how tables call them. Of several gold files each is a collection. `--edition` stands in for whichever of the two is
not given: its keyphrases, its annotated documents.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Annotated, get_args

import orjson
import pyarrow.dataset as ds
import typer

from jobs.evaluate_sentiment import sentiment
from jobs.tables import print_table
from kartoteka.display import scores_note
from kartoteka.edition import MANIFEST
from kartoteka.edition import open as edition_of
from kartoteka.evaluation import report
from kartoteka.evaluation.conventions import PRESETS, Matching, convention
from kartoteka.evaluation.costs import Cost, PriceSettings, cost_table, notes, read_costs
from kartoteka.evaluation.keyphrases import Evaluation, evaluate
from kartoteka.evaluation.tables import GoldDocument, Origin, Predictions, read_gold, read_predictions
from kartoteka.evaluation.text_overlap import BertScore, BertScoreSettings

app = typer.Typer(no_args_is_help=True, help="Measure predictions against references.")
app.command()(sentiment)


@app.callback()
def _commands() -> None:
    """Measure predictions against references."""


@app.command()
def keyphrases(
    predictions: Annotated[str | None, typer.Argument(help="Predictions; default: those of --edition.")] = None,
    gold: Annotated[
        list[str] | None, typer.Option(help="Gold documents, one or more files; default: those of --edition.")
    ] = None,
    edition: Annotated[str | None, typer.Option(help="An edition: its keyphrases, its annotated documents.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Other predictions, the ones to test against; several: in tables only.")
    ] = None,
    conventions: Annotated[
        list[str] | None, typer.Option("--convention", help=f"One or more of {', '.join(PRESETS)}, or all.")
    ] = None,
    matching: Annotated[
        str | None, typer.Option(help=f"Instead of the convention's: {', '.join(get_args(Matching))}.")
    ] = None,
    bertscore: Annotated[bool, typer.Option("--bertscore", help="Compute BERTScore with the default model.")] = False,
    bertscore_model: Annotated[str | None, typer.Option(help="BERTScore with this model: directory or hub id.")] = None,
    bertscore_layer: Annotated[int | None, typer.Option(help="Its layer; default: the package's choice.")] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap resamples and randomisations.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    bins: Annotated[int, typer.Option(min=1, help="Bins of the calibration error.")] = 15,
    table: Annotated[bool, typer.Option("--table", help="Print the tables as papers do.")] = False,
    costs: Annotated[
        list[str] | None, typer.Option(help="Also what an edition, a training or predictions cost: see `costs`.")
    ] = None,
    prices: Annotated[str | None, typer.Option(help="TOML file of the prices; default: stated assumptions.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the whole result here.")] = None,
) -> None:
    """F1@k, @M, @O; PRMU classes; ROUGE-1; BERTScore; intervals, a significance test, calibration."""
    try:
        chosen = list(PRESETS) if conventions == ["all"] else conventions or ["mean-f1"]
        rules = [convention(name) for name in chosen]
        if matching is not None:
            if matching not in get_args(Matching):
                raise ValueError(f"matching: unknown `{matching}`; one of {', '.join(get_args(Matching))}")
            rules = [replace(rule, matching=matching) for rule in rules]
        spent = [cost for path in costs or () for cost in read_costs(path)]
        charged = PriceSettings.from_toml(prices)
        systems, answers = _inputs(predictions, gold, edition, against)
        encoder = None
        if bertscore or bertscore_model is not None or bertscore_layer is not None:
            settings = BertScoreSettings() if bertscore_model is None else BertScoreSettings(model=bertscore_model)
            encoder = BertScore(replace(settings, layer=bertscore_layer))
        results = []
        for rule in rules:
            result = evaluate(
                _documents(answers), systems, rule, bertscore=encoder, resamples=resamples, seed=seed, bins=bins
            )
            _show(result, table)
            results.append(result)
        ranked = {} if edition is None or predictions else edition_of(edition).manifest.get("quality") or {}
        if note := scores_note(ranked):
            typer.echo(note)
        if spent:
            _show_costs(spent, charged)
        if edition is not None and not gold:
            typer.echo("The references are the edition's own annotations; no document is its own neighbour there.")
        if json is not None:
            json.write_bytes(orjson.dumps([r.as_dict() for r in results], option=orjson.OPT_INDENT_2) + b"\n")
    except BrokenPipeError:
        raise  # the reader of the pipe has gone: no fault of the arguments
    except (ValueError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None


@app.command("costs")
def show_costs(
    sources: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Editions, training runs, `.run.json` beside predictions.")
    ],
    prices: Annotated[str | None, typer.Option(help="TOML file of the prices; default: stated assumptions.")] = None,
) -> None:
    """Time, energy, CO2e and cost of each stage of the work."""
    try:
        _show_costs([cost for path in sources for cost in read_costs(path)], PriceSettings.from_toml(prices))
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None


def _inputs(
    predictions: str | None, gold: list[str] | None, edition: str | None, against: list[str] | None
) -> tuple[list[Predictions], list[Origin]]:
    """The predictions, those that are tested against first, and where the gold documents are."""
    opened = None if edition is None else edition_of(edition)
    if predictions is None and opened is None:
        raise ValueError("predictions: give a file, or --edition")
    if not gold and opened is None:
        raise ValueError("gold: give --gold, or --edition")
    answers = gold or [opened.table("documents")]
    found = [_predictions(path) for path in against or ()]
    if predictions is None:
        return [*found, read_predictions(opened.table("keyphrases"), name=edition)], answers
    return [*found, _predictions(predictions)], answers


def _predictions(given: str) -> Predictions:
    """`[NAME=]PATH` of a file, a folder of files, an edition or a folder of editions."""
    name, equals, path = given.partition("=")
    if not equals or os.path.exists(given):
        name = path = given
    editions = (
        [path] if os.path.exists(f"{path}/{MANIFEST}") else sorted(map(os.path.dirname, glob(f"{path}/*/{MANIFEST}")))
    )
    if not editions:
        return read_predictions(path, name=name)
    tables = [edition_of(folder).table("keyphrases") for folder in editions]
    return read_predictions(ds.dataset(tables), name=name)


def _documents(origins: list[Origin]) -> Iterator[GoldDocument]:
    """The gold documents of all `origins`; of several files, a document that names no collection is of its file's."""
    seen: dict[str, Origin] = {}
    for origin in origins:
        for document in read_gold(origin):
            if len(origins) > 1:
                if document.id in seen:
                    raise ValueError(f"gold: `id` {document.id!r} is in {seen[document.id]} and in {origin}")
                seen[document.id] = origin
                document = replace(document, collection=document.collection or Path(str(origin)).name.split(".")[0])
            yield document


def _show(result: Evaluation, papers: bool) -> None:
    for line in report.notes(result):
        typer.echo(line)
    for table in _tables(result, papers):
        print_table(table)


def _show_costs(costs: list[Cost], prices: PriceSettings) -> None:
    for line in notes(costs, prices):
        typer.echo(line)
    print_table(cost_table(costs, prices))


def _tables(result: Evaluation, papers: bool) -> Iterator[report.Table]:
    if papers:
        yield from report.paper_tables(result)
    elif result.comparison:
        yield report.comparison_table(result)
    else:
        yield report.metric_table(result)
    if not papers:
        for system in result.systems:
            if system.calibration is not None:
                yield report.calibration_table(system)


if __name__ == "__main__":
    app()
