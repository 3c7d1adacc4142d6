"""What a search may be narrowed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kartoteka.catalogue import Catalogue


@dataclass(frozen=True)
class Filters:
    """Documents that pass all of these; a document without a year, or a date, passes none of the years, or dates.

    `langs`: codes or names; `not_in`: of no id that this catalogue, of another edition, holds; `exclude`: ids, known or
    not. For `not_in` hashes of 64 bits are compared, not the ids: beside 10 million others, about one in two trillion
    new documents passes for a known one. Raises `ValueError` for years in the wrong order.
    """

    year_from: int | None = None
    year_to: int | None = None
    langs: tuple[str, ...] = ()
    added_since: date | None = None
    not_in: Catalogue | None = None
    exclude: tuple[str, ...] = ()

    @property
    def only_exclude(self) -> bool:
        """Whether nothing is left out but by its id."""
        return self == Filters(exclude=self.exclude)

    def __post_init__(self) -> None:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise ValueError(f"year_from: {self.year_from} is after year_to, {self.year_to}")
