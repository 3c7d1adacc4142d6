"""The service's OpenAPI document, kept in docs/openapi.json, and what of a new one would break a client of the old.

    python -m serve.openapi docs/openapi.json [--accept-breaks]

writes it anew, unless that would break a client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from serve.settings import AppSettings

Json = dict[str, Any]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def document() -> Json:
    """The document of the application, as `/openapi.json` serves it."""
    from serve.api import build_api

    nobody: Any = None  # To describe the endpoints no service is asked.
    return json.loads(json.dumps(build_api(nobody, AppSettings()).openapi()))


def text_of(document: Json) -> str:
    """The document as the file holds it: lines that a diff can show."""
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def breaks(old: Json, new: Json) -> list[str]:
    """What works with `old` and would not with `new`, a line each.

    What is asked must still be understood: no path, method, parameter, field, type or value may go, and nothing that
    could be left out may become needed. What is answered must hold no surprise: no status or field may go, no field
    that is always there may be missing, and no type or value may come.
    """
    return list(_Comparison(old, new).paths())


class _Comparison:
    """Two documents, side by side."""

    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def paths(self) -> Iterator[str]:
        for path, old in self._old["paths"].items():
            new = self._new["paths"].get(path, {})
            for method in _METHODS:
                if method in old:
                    where = f"{method.upper()} {path}"
                    if method in new:
                        yield from self._operation(old[method], new[method], where)
                    else:
                        yield f"{where}: removed"

    def _operation(self, old: Json, new: Json, where: str) -> Iterator[str]:
        yield from self._parameters(old, new, where)
        asked, understood = old.get("requestBody"), new.get("requestBody")
        if understood and understood.get("required") and not (asked or {}).get("required"):
            yield f"{where}: a body is now needed"
        if asked:
            yield from self._content(asked, understood or {}, f"{where} body", asked=True)
        for status, answer in old.get("responses", {}).items():
            if status in new.get("responses", {}):
                yield from self._content(answer, new["responses"][status], f"{where} {status}", asked=False)
            else:
                yield f"{where}: status {status} removed"

    def _parameters(self, old: Json, new: Json, where: str) -> Iterator[str]:
        before, after = _by_name(old), _by_name(new)
        for name, parameter in before.items():
            if name in after:
                yield from self._schema(parameter["schema"], after[name]["schema"], f"{where} {name}", asked=True)
            else:
                yield f"{where}: parameter {name} removed"
        for name, parameter in after.items():
            if parameter.get("required") and not before.get(name, {}).get("required"):
                yield f"{where}: parameter {name} is now needed"

    def _content(self, old: Json, new: Json, where: str, *, asked: bool) -> Iterator[str]:
        for media, shape in old.get("content", {}).items():
            if media not in new.get("content", {}):
                yield f"{where}: {media} removed"
            elif "schema" in shape:
                yield from self._schema(shape["schema"], new["content"][media]["schema"], where, asked=asked)

    def _schema(self, old: Json, new: Json, where: str, *, asked: bool) -> Iterator[str]:
        """Compare two schemas; one that refers to itself, and one in many places, is gone through once."""
        pair = (json.dumps(old), json.dumps(new), asked)
        if pair in self._seen:
            return
        if "$ref" in old or "$ref" in new:
            self._seen.add(pair)
        before, after = _alternatives(old, self._old), _alternatives(new, self._new)
        yield from self._values(before, after, where, asked=asked)
        for kind, compare in (("object", self._object), ("array", self._array)):
            of_old, of_new = ([a for a in all_of if _kind(a) == kind] for all_of in (before, after))
            # Of a union's shapes those are compared that have the same place; its discriminators keep their order.
            for one, other in zip(of_old, of_new, strict=False):
                yield from compare(one, other, where, asked=asked)

    def _values(self, before: list[Json], after: list[Json], where: str, *, asked: bool) -> Iterator[str]:
        """Types and listed values: one that may be sent must still be taken, one that is sent must be known."""
        sent, taken = (before, after) if asked else (after, before)
        for kind in sorted({_kind(a) for a in sent}):
            if not any(_holds(_kind(a), kind) for a in taken):
                yield f"{where}: {'no longer takes' if asked else 'may now be'} {kind}"
                continue
            values = [_enum(a) for a in sent if _kind(a) == kind]
            known = [_enum(a) for a in taken if _holds(_kind(a), kind)]
            if any(v is None for v in known):
                continue
            listed = {v for some in known for v in some or ()}
            for value in sorted({v for some in values for v in some or ["any value"]} - listed):
                yield f"{where}: {'no longer takes' if asked else 'may now be'} {value}"

    def _object(self, old: Json, new: Json, where: str, *, asked: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, given = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in after:
                yield f"{where}.{name}: removed"
            else:
                yield from self._schema(before[name], after[name], f"{where}.{name}", asked=asked)
        if asked:
            yield from (f"{where}.{name}: now needed" for name in sorted(given - needed))
        else:
            yield from (f"{where}.{name}: may now be missing" for name in sorted((needed - given) & set(after)))
        inner = [shape.get("additionalProperties") for shape in (old, new)]
        if all(isinstance(shape, dict) for shape in inner):
            yield from self._schema(*inner, f"{where}.*", asked=asked)

    def _array(self, old: Json, new: Json, where: str, *, asked: bool) -> Iterator[str]:
        yield from self._schema(old.get("items", {}), new.get("items", {}), f"{where}[]", asked=asked)


def _by_name(operation: Json) -> dict[str, Json]:
    return {f"{p['in']} {p['name']}": p for p in operation.get("parameters", ())}


def _alternatives(schema: Json, document: Json) -> list[Json]:
    """The schemas without `$ref` and `anyOf` any of which a value may follow."""
    if "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _alternatives(target, document)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [inner for one in schema[union] for inner in _alternatives(one, document)]
    return [schema]


def _kind(schema: Json) -> str:
    return schema.get("type", "anything")


def _holds(kind: str, other: str) -> bool:
    """Whether every value of type `other` is one of type `kind`."""
    return kind in (other, "anything") or (kind, other) == ("number", "integer")


def _enum(schema: Json) -> list[str] | None:
    """The values that a schema lists, as JSON; None: it lists none."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if listed is None else [json.dumps(value, ensure_ascii=False) for value in listed]


def main(
    path: Annotated[Path, typer.Argument(help="The file that holds the document.")],
    accept_breaks: Annotated[bool, typer.Option(help="Write it even when clients of the old one break.")] = False,
) -> None:
    """Write the OpenAPI document of the service, unless clients of the one that is there would break."""
    new = document()
    found = breaks(json.loads(path.read_text(encoding="utf-8")), new) if path.exists() else []
    for line in found:
        typer.echo(line, err=True)
    if found and not accept_breaks:
        raise typer.Exit(1)
    path.write_text(text_of(new), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
