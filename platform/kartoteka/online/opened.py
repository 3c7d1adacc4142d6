"""An edition as it is opened for service: known by a digest, new enough, and whole where that is asked for."""

from __future__ import annotations

import hashlib

from kartoteka import edition as editions
from kartoteka.edition import MANIFEST, Edition
from kartoteka.storage import Storage

#: Folders that editions of older versions lack.
_NEEDED = ("search", "catalogue")


def edition_digest(path: str) -> str:
    """SHA-256 of the manifest, in hexadecimal: what tells one edition from another.

    Raises `ValueError` when there is no edition.
    """
    try:
        return hashlib.sha256(Storage(path).get(MANIFEST)).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"edition: {path} is not an edition: it has no {MANIFEST}") from None


def open_edition_checked(path: str, whole: bool) -> Edition:
    """Open an edition that can be served; with `whole`, once every file was hashed against its manifest.

    Raises `ValueError`: no edition, one that an older version made, or one that is damaged (its first fault is named).
    """
    edition = editions.open(path)
    for folder in _NEEDED:
        if not any(name.startswith(f"{folder}/") for name in edition.manifest["files"]):
            raise ValueError(f"edition: {path} has no `{folder}`: it was made by an older version; re-index")
    if whole and (fault := next(editions.verify(edition), None)) is not None:
        raise ValueError(f"edition: {path} is damaged: {fault.file} is {fault.what}")
    return edition
