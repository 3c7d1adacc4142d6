"""What all tests share: one real Ray cluster for the session, and the smallest real encoder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kartoteka.sentiment.task import SentimentTask
    from kartoteka.storage import Storage

ROOT = Path(__file__).parents[1]
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """A cluster of two CPUs and one (logical) GPU in a folder of its own; gives its address."""
    import ray

    folder = tempfile.mkdtemp(prefix="kt-", dir="/tmp")
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT), str(ROOT / "tests")])
    context = ray.init(
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        object_store_memory=256 << 20,
        _temp_dir=folder,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield context.address_info["address"]
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and 32 dimensions with random weights, and a tokeniser of letters, in a directory."""
    from kartoteka.encoding.tiny import write_tiny_encoder

    return write_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@pytest.fixture(scope="session")
def small_edition(ray_session: str, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The edition of 200 documents in five parts of two files that `reindex` makes with the tiny encoder.

    By names relative to a folder in which no worker runs. Beside it, its `corpus`, and what the command said.
    """
    from reindexing import CONFIG, start_reindex, write_corpus

    folder: Path = tmp_path_factory.mktemp("small")
    (folder / "config.toml").write_text(CONFIG)
    write_corpus(folder / "corpus")
    arguments = ["corpus", "--edition", "edition", "--encoder", str(tiny_encoder), "--config", "config.toml"]
    process = start_reindex(ray_session, arguments, {}, folder)
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    (folder / "said.txt").write_text(said)
    return folder / "edition"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[SentimentTask, Storage]:
    """A base step of the classifier over 150 labelled texts, 30 without a label, and a run that it has prepared."""
    from sentiment.sentiment_worlds import SMALL, opinion, write

    from kartoteka.sentiment.task import SentimentTask
    from kartoteka.storage import Storage

    folder: Path = tmp_path_factory.mktemp("sentiment")
    rows = [opinion(n) for n in range(150)] + [opinion(n) | {"label": None} for n in range(150, 180)]
    task = SentimentTask((write(folder / "texts.jsonl", rows),), None, None, SMALL)
    run = Storage(folder / "run")
    task.prepare(run)
    return task, run


@pytest.fixture(scope="session")
def tiny_classifier(small_run: tuple[SentimentTask, Storage], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sentiment classifier that has learned a little, as training exports it."""
    from sentiment.sentiment_worlds import learn_alone

    task, run = small_run
    folder = tmp_path_factory.mktemp("classifier")
    task.export(run, learn_alone(task, run, 12), folder)
    return str(folder)
