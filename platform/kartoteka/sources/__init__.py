"""Archives to raw records: JSON Lines, CSV and Parquet files, found, cut into splits, and streamed."""

from kartoteka.sources.files import SourceError
from kartoteka.sources.fingerprint import fingerprint
from kartoteka.sources.splits import Row, Split, plan, read

__all__ = ["Row", "SourceError", "Split", "fingerprint", "plan", "read"]
