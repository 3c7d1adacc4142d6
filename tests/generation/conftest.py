from __future__ import annotations

from pathlib import Path

import pytest
from generation.generation_worlds import SMALL, make_edition, record

from kartoteka.generation.task import GeneratorTask
from kartoteka.storage import Storage


@pytest.fixture(scope="session")
def small_run(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[GeneratorTask, Storage]:
    """A task over 120 documents, 96 of them annotated, and a run that it has prepared."""
    folder: Path = tmp_path_factory.mktemp("generation")
    task = GeneratorTask(make_edition(folder / "edition", [record(n) for n in range(120)]), SMALL)
    run = Storage(folder / "run")
    task.prepare(run)
    return task, run
