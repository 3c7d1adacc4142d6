"""Benches: every claim of speed beside its peer, ratios in one run. `python -m bench` runs them all."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import kartoteka  # noqa: F401
except ImportError:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).parents[1] / "platform"))
