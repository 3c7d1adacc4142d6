"""`report.html` of an edition: one file without scripts, requests or fonts, for a desk, a phone and paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kartoteka import edition as editions
from kartoteka.display import clip, number, quantity
from kartoteka.report import clusters, content, measures
from kartoteka.report.frame import page, sections, tiles
from kartoteka.report.html import Markup, element, join


def build(edition_dir: str) -> str:
    """The report of the committed edition at `edition_dir` as one HTML page; what was not measured is said to be so.

    Raises `ValueError` when there is no edition there.
    """
    edition = editions.open(edition_dir)
    manifest = edition.manifest
    counts = manifest.get("counts") or {}
    name = clip(edition.path.rstrip("/").rpartition("/")[2] or edition.path, 80)
    parts = [
        ("documents", "Documents", content.documents(counts)),
        ("quality", "Quality", measures.quality(manifest.get("quality") or {})),
        ("run", "Time and energy", measures.run(manifest.get("stages") or [])),
        ("keyphrases", "Keyphrases", content.keyphrases(edition)),
        ("clusters", "Clusters", clusters.section(edition)),
        ("quarantine", "Quarantine", content.quarantine(edition, counts)),
        ("particulars", "Particulars", measures.particulars(manifest)),
    ]
    footer = element("p", "Made by Kartoteka ", (manifest.get("versions") or {}).get("kartoteka", ""), ".")
    masthead = element("header", _masthead(name, edition.path, manifest), _tiles(manifest), _balance(counts))
    return page(f"{name} – Kartoteka edition", [masthead, sections(parts), element("footer", footer)])


def _masthead(name: str, path: str, manifest: Mapping[str, Any]) -> Markup:
    created = str(manifest.get("created", "")).replace("T", " ")[:16]
    facts = [path, f"made {created}" if created else None]
    if manifest.get("config_hash"):
        facts.append(f"configuration {str(manifest['config_hash'])[:12]}")
    models = [
        f"{role}: {model['name']}"
        for role, model in (manifest.get("models") or {}).items()
        if (model or {}).get("name")
    ]
    return join(
        [
            element("p", "Kartoteka edition", class_="over"),
            element("h1", name),
            element("p", " · ".join(filter(None, facts)), class_="soft facts"),
            element("p", " · ".join(models), class_="soft facts") if models else None,
        ]
    )


def _tiles(manifest: Mapping[str, Any]) -> Markup:
    counts, stages = manifest.get("counts") or {}, manifest.get("stages") or []
    seconds = sum(s.get("seconds") or 0 for s in stages)
    spent = [s["energy_wh"] for s in stages if s.get("energy_wh") is not None]
    documents, languages = counts.get("documents"), counts.get("languages")
    return tiles(
        [
            ("documents", number(documents)),
            ("with keyphrases of their own", number(counts.get("annotated"))),
            ("languages", number(len(languages) if languages is not None else None)),
            ("quarantined", number(counts.get("quarantined"))),
            ("documents per second", quantity(documents / seconds if documents is not None and seconds else None)),
            ("energy, Wh", quantity(sum(spent) if spent else None)),
        ]
    )


def _balance(counts: Mapping[str, Any]) -> Markup:
    read, kept, refused = (counts.get(key) for key in ("read", "documents", "quarantined"))
    if read is None or kept is None or refused is None:
        return content.absent("The rows read were not counted.")
    missing = read - kept - refused
    text = f"{read:,} rows read = {kept:,} documents + {refused:,} quarantined"
    if missing:
        text += f"; {abs(missing):,} " + ("are missing" if missing > 0 else "too many")
    return element("p", text, class_="balance " + ("not" if missing else "ok"))
