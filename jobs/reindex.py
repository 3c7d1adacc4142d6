"""Re-index an archive into an edition: the main job.

    kartoteka reindex CORPUS... --edition EDITION [--config FILE] [--encoder MODEL] [--ranker DIR]
                      [--classifier DIR] [--dry-run]

CORPUS: files, folders or patterns of JSON Lines (plain, .gz, .zst), CSV or Parquet, local or a URI. Kill it at any
moment and give the same command again: only what is missing is done, and the edition comes out the same.

    python -m jobs reindex samples --edition demo-edition                         on this machine
    ray job submit --working-dir . -- python -m jobs reindex ... --edition ...    on a cluster, the same arguments
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from jobs.cli import plain_errors
from jobs.config import ReindexConfig
from jobs.plan import print_plan, print_result


def reindex(
    corpus: Annotated[
        list[str], typer.Argument(metavar="CORPUS...", help="Files, folders or patterns; paths or URIs.")
    ],
    edition: Annotated[str, typer.Option(help="Where the edition comes to be: a new folder, or a URI.")],
    config: Annotated[str | None, typer.Option(help="TOML file with the settings that rarely change.")] = None,
    encoder: Annotated[str, typer.Option(help="Encoder: a directory or a hub id.")] = "all-MiniLM-L6-v2",
    revision: Annotated[str | None, typer.Option(help="Revision of an encoder from the hub.")] = None,
    ranker: Annotated[
        str | None, typer.Option(help="Trained ranker: `default` or a directory made by `kartoteka train`.")
    ] = None,
    classifier: Annotated[
        str | None, typer.Option(help="Sentiment classifier: `default`, a directory or a hub id.")
    ] = None,
    encoder_gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs one encoding worker holds; none: 1 where the cluster has any.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster; none: the job's own, or a local one.")
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of a local Ray; none: all.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what is done already; do nothing.")
    ] = False,
) -> None:
    """Re-index an archive into an edition."""
    with plain_errors():
        run(
            corpus,
            edition,
            ReindexConfig.from_toml(config),
            encoder=encoder,
            revision=revision,
            ranker=ranker,
            classifier=classifier,
            encoder_gpus=encoder_gpus,
            address=address,
            cpus=cpus,
            dry_run=dry_run,
        )


def run(
    corpus: list[str],
    edition: str,
    config: ReindexConfig,
    *,
    encoder: str,
    revision: str | None,
    ranker: str | None,
    classifier: str | None,
    encoder_gpus: float | None,
    address: str | None,
    cpus: int | None,
    dry_run: bool,
) -> None:
    """The pipeline. Raises `ValueError` for what is wrong with the arguments, before any work starts."""
    from kartoteka import cluster, sources, stages
    from kartoteka.encoding.models import resolve_model
    from kartoteka.energy import EnergyMeter
    from kartoteka.flow.build import Build, filled, rows_out
    from kartoteka.ranking.directory import open_ranker
    from kartoteka.sentiment.classify import identity_of
    from kartoteka.storage import Storage, absolute

    console = Console(highlight=False)
    splits = sources.plan(corpus, config.read)
    model = resolve_model(encoder, revision)
    inputs = [sources.fingerprint(file) for file in dict.fromkeys(split.file for split in splits)]
    identity = {"name": model.name, "revision": model.revision, "sha256": model.sha256}
    trained = open_ranker(ranker) if ranker else None
    plan = {"config": config.model_dump(), "inputs": inputs, "encoder": identity}
    plan |= {"ranker": trained.identity} if trained else {}
    plan |= {"classifier": identity_of(classifier)} if classifier else {}
    build = Build(Storage(edition), plan, console)
    if build.is_complete():
        stages.finish(build)
        console.print(f"{edition} is complete: nothing to do")
        return

    encoding = stages.Encoding(absolute(encoder), model.revision, config.encoding)
    origins = stages.Sources(build.storage.whole(), config.keyphrases, config.lexical, config.vectors)
    with cluster.connected(address, cpus):
        gpus = float(cluster.has_gpus()) if encoder_gpus is None else encoder_gpus
        embed = stages.Embed(encoding, config.embed, gpus)
        beside = [stages.EncodeTrained(trained, config.encoding, gpus)] if trained else []
        label = [stages.Label(classifier, config.labels, gpus)] if classifier else []
        words = stages.Words()
        shown = [stages.Read(config.read), embed, words, stages.Analyse(), *beside, stages.Suggest(origins, {}), *label]
        print_plan(build, splits, shown)
        if dry_run:
            return
        with build.locked():
            with EnergyMeter() as meter:
                read = rows_out(stages.read_archive(build, splits, config.read, config.flow.part_rows))
                config.clusters.candidates(sum(read.values()))  # too large a k is said before anything is embedded
                stages.identify(build, read)
                documents = filled(rows_out(build.run(embed, read)))
                annotated = rows_out(build.run(stages.Analyse(), documents))
                stages.index_lexically(build, annotated, config.lexical, config.flow.shard_documents)
                stages.index_words(build, documents, words, config.lexical, config.flow.shard_documents)
                stages.index_vectors(build, documents, config.vectors, config.flow.shard_documents)
                stages.build_vocabulary(build, annotated, encoding, gpus)
                for stage in beside:
                    stages.encode_trained(
                        build, documents, annotated, stage, config.trained, config.vectors, config.flow.shard_documents
                    )
                stages.fit_ranker(build, annotated, origins, trained)
                build.run(stages.Suggest(origins, stages.numbering(annotated)), documents)
                for stage in label:
                    build.run(stage, documents)
                left = stages.withdraw(build, documents, ["analyse", "words", "trained", "suggest", "label"])
                stages.write_catalogue(build, documents, annotated)
                stages.cluster_documents(build, left, config.clusters)
                if label:
                    stages.write_labels(build, left, config.labels)
            manifest = stages.commit(build, meter)
            stages.finish(build)
    print_result(build, manifest)
