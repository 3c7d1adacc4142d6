"""A trained ranker at half its size: the weights of its encoder in eight bits (`encoding.eightbit`)."""

from __future__ import annotations

import shutil
from pathlib import Path

from kartoteka.encoding.eightbit import EIGHT_BITS, write_eight_bits
from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.transformer import load_transformer
from kartoteka.folders import whole_folder
from kartoteka.ranking.directory import CARD, ENCODER, PLAIN_ENCODER, RankerFiles, describe_anew

_ENCODER = "its `encoder` has weights in eight bits"
_FORM = f"""
## Form

The encoder's weights are kept in eight bits (`{ENCODER}/{EIGHT_BITS}`: each row of a matrix as int8 with a scale),
which Kartoteka reads and sentence-transformers does not.
"""


def quantise(ranker: RankerFiles, folder: Path) -> None:
    """Write `ranker` into `folder`, a new directory, with the weights of its encoder in eight bits.

    A fusion that it has stays behind: it was fitted with other readings. Raises `ValueError`: the folder exists or
    would lie in the ranker's own; the weights are in eight bits already.
    """
    if folder.exists():
        raise ValueError(f"out: {folder} exists")
    if folder.absolute().is_relative_to(ranker.folder.absolute()):
        raise ValueError(f"out: {folder} lies in the ranker's own directory")
    if (ranker.encoder / EIGHT_BITS).exists():
        raise ValueError(f"ranker: the weights in {ranker.encoder} are in eight bits already")
    left = ["model*.safetensors"] + ([ranker.fusion.name] if ranker.fusion is not None else [])
    model = load_transformer(resolve_model(str(ranker.encoder)))
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("pooler.")}
    with whole_folder(folder) as new:
        shutil.copytree(ranker.folder, new, ignore=shutil.ignore_patterns(*left), dirs_exist_ok=True)
        write_eight_bits(weights, new / ENCODER / EIGHT_BITS)
        card = new / CARD
        if card.is_file():
            text = card.read_text(encoding="utf-8").replace(PLAIN_ENCODER, _ENCODER)
            card.write_text(text.rstrip("\n") + "\n" + _FORM, encoding="utf-8")
        describe_anew(new)
