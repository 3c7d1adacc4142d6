"""Conventions: what a published keyphrase score leaves unsaid, written down and named.

The same predictions score several points apart under different conventions, so every number this package gives
carries the `Convention` it was computed under.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: What makes two words equal; see `matching`.
Matching = Literal["auto", "porter", "lemma", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How matches become a score. Y = references of a class, Yhat = ordered predictions of that class."""

    name: str
    #: Where the choices come from.
    origin: str
    #: `flexible`: P@k = m(k) / min(k, |Yhat|). `padded`: m(k) / k, missing predictions count as wrong.
    precision: Literal["flexible", "padded"] = "flexible"
    #: `mean-f1`: mean of per-document F1. `harmonic`: F1 of the means of P and R. `micro`: F1 of the summed counts.
    average: Literal["mean-f1", "harmonic", "micro"] = "mean-f1"
    #: Documents without a reference of the class: counted as `zero`, or `skip`ped.
    empty: Literal["zero", "skip"] = "skip"
    #: `references`: R@k = m(k) / |Y|. `choi`: m(k) / min(k, |Y|) (SimCKP's `choi_recall`).
    recall: Literal["references", "choi"] = "references"
    #: Order of splitting predictions by class and cutting at k: `split-cut` cuts each class's own list, `cut-split`
    #: cuts the whole list (@O: to the number of all references) and then splits, `unsplit` cuts the whole list (@O: to
    #: the number of references of the class) and matches it against the references of the class.
    split: Literal["split-cut", "cut-split", "unsplit"] = "split-cut"
    #: References equal after normalisation: one (`unique`), or as many as are `given` (recall can stay below 1).
    references: Literal["unique", "given"] = "unique"
    #: Phrases that count: `words` have a letter or digit; `no-stops` have neither a `,` nor a `.` token (predictions
    #: only: the validity filter of Chan et al.); `any` is every phrase that is not empty.
    phrases: Literal["words", "no-stops", "any"] = "words"
    #: Title and abstract searched `separate`ly (Boudin & Gallina), or `joined` into one sequence of words.
    source: Literal["separate", "joined"] = "separate"
    matching: Matching = "auto"
    #: Length of the lists that ROUGE-1 and BERTScore compare.
    text_cut: int = 10
    #: Whether the source reports present/absent F1@5, F1@M and absent recall@10, @50.
    present_absent: bool = False

    def describe(self) -> str:
        """One line that fixes every choice: it is printed beside the numbers."""
        return (
            f"{self.name}: {self.precision} precision, {self.average}, documents without references of a class: "
            f"{self.empty}, recall over {self.recall}, {self.split}, references {self.references}, phrases "
            f"{self.phrases}, title and abstract {self.source}, matching {self.matching}"
        )


_CHAN = Convention(
    name="chan",
    origin="Chan et al. 2019 and its heirs: kg_one2set, DeepKPG (evaluate_prediction.py, meng_rui_precision off)",
    precision="padded",
    average="harmonic",
    empty="zero",
    phrases="no-stops",
    source="joined",
    matching="porter",
    present_absent=True,
)

#: The named conventions.
PRESETS: dict[str, Convention] = {
    c.name: c
    for c in (
        Convention(name="mean-f1", origin="house default: mean of per-document F1, flexible precision"),
        replace(_CHAN, name="meng", origin="the same scripts with meng_rui_precision on", precision="flexible"),
        _CHAN,
        replace(_CHAN, name="kg_one2set", origin="Ye et al. 2021, evaluate_prediction.py; the same as chan"),
        replace(
            _CHAN, name="kpeval", origin="Wu et al. 2023, exact_matching_metric.py (its filter is off)", phrases="any"
        ),
        replace(
            _CHAN,
            name="opennmt",
            origin="OpenNMT-kpg, onmt/keyphrase/eval.py: `f_score@k`, averaged over all documents",
            precision="flexible",
            average="mean-f1",
            references="given",
        ),
        replace(
            _CHAN,
            name="simckp",
            origin="SimCKP with choi_recall: documents without references of the class are skipped",
            empty="skip",
            recall="choi",
        ),
        Convention(
            name="searchkeys",
            origin="SearchKeys: per PRMU class, split first, then cut to |Y_class|; Porter stems",
            matching="porter",
        ),
        Convention(
            name="russian",
            origin="F1@10 of lemmatised exact match; ROUGE-1@10 of lists joined by spaces; BERTScore@10 by commas",
            empty="zero",
            matching="lemma",
        ),
    )
}


def convention(name: str) -> Convention:
    """The preset `name`, in any case. Raises `ValueError` naming the known ones."""
    try:
        return PRESETS[name.lower()]
    except KeyError:
        raise ValueError(f"convention: unknown `{name}`; one of {', '.join(PRESETS)}") from None
