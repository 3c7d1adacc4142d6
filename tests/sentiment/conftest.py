from __future__ import annotations

from pathlib import Path

import pytest
from sentiment.sentiment_worlds import SMALL, opinion, write

from kartoteka.sentiment.task import SentimentTask
from kartoteka.storage import Storage


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[SentimentTask, Storage]:
    """A base step over 150 labelled texts, 30 without a label, and a run that it has prepared."""
    folder: Path = tmp_path_factory.mktemp("sentiment")
    rows = [opinion(n) for n in range(150)] + [opinion(n) | {"label": None} for n in range(150, 180)]
    task = SentimentTask((write(folder / "texts.jsonl", rows),), None, None, SMALL)
    run = Storage(folder / "run")
    task.prepare(run)
    return task, run
