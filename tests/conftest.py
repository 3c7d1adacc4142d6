"""What all tests share: one real Ray cluster for the session, and the smallest real encoder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentiment classifier that has learned nothing, in a directory."""
    from kartoteka.sentiment.settings import SentimentSettings, SmallSettings
    from kartoteka.sentiment.start import write_start

    words = ["хорошо", "плохо", "таблица", "reactor", "network"]
    small = SmallSettings(vocabulary=400, width=16, layers=1, heads=2)
    folder = tmp_path_factory.mktemp("tiny-classifier")
    write_start(None, [" ".join(words), *words], SentimentSettings(max_tokens=16, small=small), folder)
    return folder
