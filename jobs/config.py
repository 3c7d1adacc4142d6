"""The TOML files of the jobs: one typed section for each package, composed here."""

from __future__ import annotations

from pydantic import Field

from kartoteka.clustering.settings import ClusterSettings
from kartoteka.documents import ReadSettings
from kartoteka.encoding.settings import EncodingSettings
from kartoteka.generation.settings import GeneratorSettings
from kartoteka.keyphrases.settings import KeyphraseSettings
from kartoteka.lexical.settings import LexicalSettings
from kartoteka.pretraining.settings import MlmSettings
from kartoteka.ranking.settings import RankerSettings
from kartoteka.sentiment.pseudolabels import PseudolabelSettings
from kartoteka.sentiment.settings import NgramSettings, SentimentSettings
from kartoteka.settings import Settings
from kartoteka.stages.embed import EmbedSettings
from kartoteka.stages.labels import LabelSettings
from kartoteka.stages.trained import TrainedSettings
from kartoteka.training.settings import TrainingSettings, WorkerSettings
from kartoteka.vectors.settings import VectorSettings


class FlowSettings(Settings):
    """How the work is cut: section `[flow]`."""

    part_rows: int = Field(default=1000, ge=1, le=100_000)
    """Rows of a part: what is lost when a worker is killed, and what batches are formed from."""

    shard_documents: int = Field(default=500_000, ge=1)
    """Documents of an index shard: what one worker builds, and maps, at a time."""


class ReindexConfig(Settings):
    """Everything that decides an edition, besides its inputs."""

    flow: FlowSettings = FlowSettings()
    read: ReadSettings = ReadSettings()
    embed: EmbedSettings = EmbedSettings()
    encoding: EncodingSettings = EncodingSettings()
    lexical: LexicalSettings = LexicalSettings()
    vectors: VectorSettings = VectorSettings()
    keyphrases: KeyphraseSettings = KeyphraseSettings()
    trained: TrainedSettings = TrainedSettings()
    clusters: ClusterSettings = ClusterSettings()
    labels: LabelSettings = LabelSettings()


class TrainConfig(Settings):
    """What every training run sets."""

    training: TrainingSettings = TrainingSettings()
    workers: WorkerSettings = WorkerSettings()


class TrainRankerConfig(TrainConfig):
    """`kartoteka train ranker`: `[keyphrases]` and `[lexical]` as the edition has them."""

    ranker: RankerSettings = RankerSettings()
    keyphrases: KeyphraseSettings = KeyphraseSettings()
    lexical: LexicalSettings = LexicalSettings()


class TrainGeneratorConfig(TrainConfig):
    """`kartoteka train generator`."""

    generator: GeneratorSettings = GeneratorSettings()


class TrainMlmConfig(TrainConfig):
    """`kartoteka train mlm`."""

    mlm: MlmSettings = MlmSettings()


class SentimentConfig(TrainConfig):
    """All commands about sentiment: one file for the three steps, and for the n-grams beside them."""

    sentiment: SentimentSettings = SentimentSettings()
    ngrams: NgramSettings = NgramSettings()
    clusters: ClusterSettings = ClusterSettings()
    pseudolabels: PseudolabelSettings = PseudolabelSettings()
