"""The rules of the house that a newcomer would break first."""

from __future__ import annotations

import ast
import platform
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "platform" / "kartoteka"
#: Where Ray may appear: the flow, the connection, the one line that makes the first dataset, and the training loop's
#: stream, worker and driver.
WITH_RAY = {"cluster.py", "stages/read.py", "training/order.py", "training/loop.py", "training/run.py"}
WITH_DEEPSPEED = {"training/engine.py"}
FILES = sorted(LIBRARY.rglob("*.py"))


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_our_folder_does_not_shadow_pythons_module() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert platform.system()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(LIBRARY).as_posix())
def test_arrows_run_one_way(file: Path) -> None:
    name = file.relative_to(LIBRARY).as_posix()
    used = imports(file)
    assert not used & {"jobs", "serve", "tests", "bench"}
    if not name.startswith("flow/") and name not in WITH_RAY:
        assert "ray" not in used
    if name not in WITH_DEEPSPEED:
        assert "deepspeed" not in used
