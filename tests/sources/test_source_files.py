"""Which files a path names, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kartoteka.sources.files import SourceError, SourceFile, beginning, find, opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    good = ("b.jsonl", "a.csv", "sub/c.ndjson.gz", "sub/deep/d.parquet")
    for name in (*good, "sub/notes.txt", ".hidden/e.csv", "x.json"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "archive"


def names(*paths: object) -> list[str]:
    return [file.name for file in find([str(path) for path in paths])]


def test_a_folder_gives_known_files_sorted(tree: Path) -> None:
    expected = ["archive/a.csv", "archive/b.jsonl", "archive/sub/c.ndjson.gz", "archive/sub/deep/d.parquet"]
    assert names(tree) == expected
    assert names(f"{tree}/") == expected
    assert names(f"file://{tree}") == expected


def test_a_relative_folder_has_the_same_names(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    assert names("archive") == names(tree)
    assert find(["archive"]) == find([str(tree)])
    assert names("archive/b.jsonl") == names("./archive/b.jsonl") == ["b.jsonl"]


def test_patterns(tree: Path) -> None:
    assert names(tree / "*.jsonl") == ["b.jsonl"]
    assert names(tree / "?.*") == ["a.csv", "b.jsonl"]
    assert names(tree / "**/*.parquet") == ["sub/deep/d.parquet"]
    assert names(tree / "*/*.gz") == ["sub/c.ndjson.gz"]
    assert names(f"file://{tree}/*.csv") == ["a.csv"]


def test_a_file_whose_name_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a*.csv").write_bytes(b"x")
    (tmp_path / "ab.csv").write_bytes(b"x")
    assert names(tmp_path / "a*.csv") == ["a*.csv"]


def test_a_file_named_twice_is_read_once(tree: Path) -> None:
    assert names(tree / "b.jsonl", tree, f"file://{tree}/b.jsonl")[0] == "b.jsonl"
    assert len(find([str(tree / "b.jsonl"), str(tree)])) == 4


def test_equal_names_get_their_folders(tmp_path: Path) -> None:
    for folder in ("2019", "2020", "2021/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.csv").write_bytes(b"x")
    (tmp_path / "2021/x/b.csv").write_bytes(b"x")
    paths = [tmp_path / "2019/a.csv", tmp_path / "2020/a.csv", tmp_path / "2021/x/a.csv", tmp_path / "2021/x/b.csv"]
    assert names(*paths) == ["2019/a.csv", "2020/a.csv", "x/a.csv", "b.csv"]


def test_paths_that_name_nothing(tree: Path) -> None:
    for path, said in [
        (tree / "none.csv", "no such file"),
        (tree / "x.json", r"x\.json: unknown suffix"),
        (tree / "sub/notes.txt", "unknown suffix"),
        (tree / "*.tsv", "no .* file there"),
        ("nowhere://a/b.csv", "nowhere://a/b.csv: "),
    ]:
        with pytest.raises(ValueError, match=said) as error:
            find([str(path)])
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    (tree / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no .* file there"):
        find([str(tree / "empty")])
    with pytest.raises(ValueError, match="no path"):
        find([])


def test_compressed_parquet_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.parquet.gz").write_bytes(b"x")
    with pytest.raises(ValueError, match="unknown suffix"):
        find([str(tmp_path / "a.parquet.gz")])


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
def test_files_without_rows(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.jsonl: the file is empty"):
        beginning(find([str(tmp_path)])[0])


def test_utf16_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,title\n".encode("utf-16"))
    with pytest.raises(SourceError, match=r"a\.csv: the text is UTF-16"):
        beginning(find([str(tmp_path)])[0])


def test_what_is_not_compressed(tmp_path: Path) -> None:
    for suffix in ("gz", "zst"):
        path = tmp_path / f"a.jsonl.{suffix}"
        path.write_bytes(b'{"id": 1}\n' * 10)
        with pytest.raises(SourceError, match=rf"a\.jsonl\.{suffix}: cannot be uncompressed"):
            beginning(find([str(path)])[0])


def test_a_file_that_changed_or_went(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"xx")
    file = find([str(path)])[0]
    path.write_bytes(b"xxx")
    with pytest.raises(SourceError, match="changed"), opened(file):
        pass
    path.unlink()
    with pytest.raises(SourceError, match="gone"), opened(file):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_must_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"xx")
    path.chmod(0)
    with pytest.raises(SourceError, match=r"a\.jsonl: cannot be opened"), opened(SourceFile(str(path), "a", 2)):
        pass
