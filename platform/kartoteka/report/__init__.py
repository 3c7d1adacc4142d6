"""`report.html`: what a person looks at first in an edition."""

from kartoteka.report.page import build

__all__ = ["build"]
