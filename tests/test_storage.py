"""What names a storage to a process that runs elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from kartoteka.storage import Storage


def test_a_folder_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Storage("run/")
    named = [run.whole(), run.whole("data")]
    monkeypatch.chdir("/")
    assert named == [str(tmp_path / "run"), str(tmp_path / "run/data")]
    assert Storage(named[1]).path("a") == run.path("data/a")


@pytest.mark.parametrize("end", ["", "/"])
def test_options_of_a_bucket_stay_behind_its_folders(end: str) -> None:
    options = "?region=none&scheme=http&endpoint_override=127.0.0.1:1"
    run = Storage(f"s3://bucket/run{end}{options}")
    assert run.whole() == run.uri
    assert Storage(run.whole("data")).path("a") == "bucket/run/data/a"
    assert run.whole("data").endswith(options)
