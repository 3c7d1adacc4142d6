"""The ranker's directory: what training gives, and `reindex --ranker` and the services load.

`encoder/`: the trained model, a plain sentence-transformers directory with float16 weights; `ranking.quantise` halves
them. `fusion-HASH.npz`: the fusion of features fitted with it (`keyphrases.ranker.Ranker`), where one has been fitted.
`seen.npy`: hashes of the ids of the documents that the encoder has seen, sorted. `spans.safetensors`: what scores spans
of words from the encoder's token states (`encoding.spans.SpanHead`), where that was learned. `ranker.json`: what all
this is, with hashes. `README.md`: the card.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from kartoteka.encoding.models import resolve_model
from kartoteka.encoding.spans import SpanHead, read_head, write_head
from kartoteka.keyphrases.hashing import hash_words
from kartoteka.keyphrases.ranker import Ranker

if TYPE_CHECKING:
    import torch

    from kartoteka.ranking.settings import RankerSettings

FORMAT = 1
KIND = "kartoteka-ranker"
DESCRIPTION = "ranker.json"
ENCODER = "encoder"
SEEN = "seen.npy"
CARD = "README.md"
#: How the card of a trained ranker says what its encoder is; `ranking.quantise` takes it back.
PLAIN_ENCODER = "its `encoder` is a plain sentence-transformers model"
#: The small ranker that comes with Kartoteka, by this name wherever one is asked for.
#: A folder of the same name is `./default`.
DEFAULT_RANKER = "default"
SPANS = "spans.safetensors"


@dataclass(frozen=True)
class RankerFiles:
    """A ranker's directory, checked.

    `encoder` is its model; as in training, `separator` stands between title and abstract, and phrases are cut to
    `phrase_tokens`. `spans`: the head that scores spans (`encoding.spans.read_head`), if it has one. `base`: name and
    `sha256` of the model that its training began from, as far as it is known.
    """

    folder: Path
    encoder: Path
    encoder_sha256: str
    separator: str
    phrase_tokens: int
    fusion: Path | None
    fusion_sha256: str | None
    spans: Path | None = None
    spans_sha256: str | None = None
    base: dict[str, str] | None = None

    @property
    def identity(self) -> dict[str, str | None]:
        """What decides an edition made with it; `spans` only where it has a head."""
        own = {"name": self.folder.name, "encoder": self.encoder_sha256, "fusion": self.fusion_sha256}
        return own | ({"spans": self.spans_sha256} if self.spans_sha256 else {})

    @property
    def seen(self) -> np.ndarray:
        """Hashes uint64 of the ids of the documents that the encoder was trained on or chosen by, sorted."""
        return np.load(self.folder / SEEN, mmap_mode="r")

    def has_seen(self, ids: list[str]) -> np.ndarray:
        """Which documents the encoder was trained on or chosen by, bool [n]."""
        seen = self.seen
        wanted = hash_words(ids)
        if not len(seen):
            return np.zeros(len(ids), bool)
        return seen[np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)] == wanted


def write_ranker(
    folder: Path,
    transformer: torch.nn.Module,
    model: Path,
    settings: RankerSettings,
    seen: np.ndarray,
    about: dict[str, Any],
    head: SpanHead | None = None,
) -> None:
    """Write the directory of a `transformer` trained under `settings`; tokeniser and modules are those of `model`.

    `seen` uint64, sorted; `about`: what it was trained on, for a reader.
    """
    import torch
    from safetensors.torch import save_file

    encoder = folder / ENCODER
    shutil.copytree(model, encoder, ignore=shutil.ignore_patterns("*.safetensors", "shard.json"), dirs_exist_ok=True)
    weights = {
        name: value.detach().to("cpu", torch.float16).contiguous() for name, value in transformer.state_dict().items()
    }
    save_file(weights, encoder / "model.safetensors", metadata={"format": "pt"})
    np.save(folder / SEEN, np.asarray(seen, np.uint64))
    if head is not None:
        write_head(folder / SPANS, head)
    values = {
        "separator": settings.separator, "phrase_tokens": settings.max_phrase_tokens,
        "spans": SPANS if head is not None else None,
    }  # fmt: skip
    _describe(folder, values | {"about": about, "fusion": None, "files": _files(folder)})


def describe_anew(folder: Path) -> None:
    """Describe the files that the directory has now; a fusion among them does not count any more."""
    values = orjson.loads((folder / DESCRIPTION).read_bytes())
    _describe(folder, values | {"fusion": None, "files": _files(folder)})


def add_fusion(folder: Path, fusion: bytes) -> None:
    """Put a fusion that was fitted with the encoder (`Ranker.to_bytes`) into the directory, in place of any other.

    Whole or not at all: its file bears its hash, and counts only once the description names it.
    """
    values = orjson.loads((folder / DESCRIPTION).read_bytes())
    digest, before = hashlib.sha256(fusion).hexdigest(), values["fusion"]
    name = f"fusion-{digest[:16]}.npz"
    (folder / name).write_bytes(fusion)
    files = {file: sha256 for file, sha256 in values["files"].items() if file != before}
    _describe(folder, values | {"fusion": name, "files": files | {name: digest}})
    if before not in (None, name):
        (folder / before).unlink()


def open_ranker(path: str) -> RankerFiles:
    """Check the directory `path`; `default` is the ranker that comes with Kartoteka.

    Raises `ValueError`, one line naming the file: no such directory, not a ranker's, another format, or files that are
    not those it was written with.
    """
    own = path == DEFAULT_RANKER
    folder = Path(__file__).with_name("default") if own else Path(path).expanduser().absolute()  # workers run elsewhere
    if not folder.is_dir():
        raise ValueError(f"ranker: there is no directory {path}")
    try:
        values = orjson.loads((folder / DESCRIPTION).read_bytes())
    except OSError:
        raise ValueError(f"ranker: {path} has no {DESCRIPTION}: it is no ranker's directory") from None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"ranker: {path}/{DESCRIPTION} is not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise ValueError(f"ranker: {path}/{DESCRIPTION} does not describe a ranker")
    if values.get("format") != FORMAT:
        raise ValueError(f"ranker: {path} has format {values.get('format')!r}; this version reads {FORMAT}")
    for name, digest in values["files"].items():
        if not (folder / name).is_file():
            raise ValueError(f"ranker: {folder / name} is missing")
        if _sha256(folder / name) != digest:
            raise ValueError(f"ranker: {folder / name} is not the file that the ranker was written with")
    encoder = resolve_model(str(folder / ENCODER))
    fusion = folder / values["fusion"] if values["fusion"] else None
    if fusion is not None:
        Ranker.open(fusion)
    spans = values.get("spans")  # a ranker of an earlier version does not say
    if spans is not None:
        read_head(folder / spans)
    return RankerFiles(
        folder,
        folder / ENCODER,
        encoder.sha256,
        values["separator"],
        values["phrase_tokens"],
        fusion,
        values["files"].get(values["fusion"]),
        folder / spans if spans is not None else None,
        values["files"].get(spans),
        _base(values.get("about", {})),
    )


def _base(about: dict[str, Any]) -> dict[str, str] | None:
    """The model at the beginning of it all, by what the training wrote of its data (`ranking.data`)."""
    began = about.get("data", {}).get("plan", {}).get("encoder", {})
    if "spans" in began:  # a ranker, which may not say what it began from itself
        return began.get("base")
    return began or None


def _describe(folder: Path, values: dict[str, Any]) -> None:
    described = values | {"kind": KIND, "format": FORMAT}
    beside = folder / f".{DESCRIPTION}.tmp"
    beside.write_bytes(orjson.dumps(described, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    beside.replace(folder / DESCRIPTION)


def _files(folder: Path) -> dict[str, str]:
    """Hash of every file but the description and the card, which a person may edit."""
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    return {name: _sha256(folder / name) for name in sorted(names - {DESCRIPTION, CARD})}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
