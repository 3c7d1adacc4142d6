"""The base of every settings section, and the one strict reader of a TOML file.

Each package declares its own section (`EncodingSettings`, `LexicalSettings`, ...) beside the code it sets;
`jobs` composes them. An unknown key, a wrong type or a value out of range is one `ValueError` naming the field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """An immutable settings section: no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate `values`; raise `ValueError` with one line that names each wrong field."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ValueError("; ".join(one_line(e) for e in error.errors())) from None

    @classmethod
    def from_toml(cls, path: str | Path | None) -> Self:
        """Read a TOML file (`None`: all defaults).

        Raises `ValueError`: the file is missing, is not TOML, or has a wrong field.
        """
        if path is None:
            return cls.parse({})
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"config: cannot read {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"config: {path} is not TOML: {error}") from None
        try:
            return cls.parse(values)
        except ValueError as error:
            raise ValueError(f"config: {path}: {error}") from None


def one_line(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, and of which field."""
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key `{field}`"
    message = error["msg"].removeprefix("Value error, ")  # of our own validators
    message = message[0].lower() + message[1:]
    return f"`{field}`: {message}" if field else message
