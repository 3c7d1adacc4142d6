"""A linear classifier over hashed n-grams: small, fast, and of nothing but arrays.

A text is two vectors, of its tokens and of its runs of characters (`grams`): each of sublinear tf x idf and of unit
length. Weights times both, plus a bias, are the logits of the classes, which the weights hold divided by the
temperature that calibrates them.

A directory holds `ngrams.safetensors` (weights and idf float16, bias float32), `ngrams.json` (shape, classes, hash of
the weights), and `README.md`, the card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from numba import njit

from kartoteka.sentiment.grams import Grams, Shape, count_grams
from kartoteka.sentiment.temperature import probabilities_of
from kartoteka.sentiment.texts import CLASSES

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DESCRIPTION, WEIGHTS = "ngrams.json", "ngrams.safetensors"
KIND, FORMAT = "kartoteka-ngrams", 1
#: Texts that are classified together: bounds the memory.
_BLOCK = 512
#: 1 + ln of how often a gram occurs in a text; after the thousandth time nothing is added.
_SUBLINEAR = np.append(0.0, 1 + np.log(np.arange(1, 1001)))


class Parameters(NamedTuple):
    """`weights` float32 [buckets, 3], `bias` float32 [3], `idf` float32 [buckets] (0: a gram too rare to count)."""

    weights: np.ndarray
    bias: np.ndarray
    idf: np.ndarray


class Described(NamedTuple):
    """What `ngrams.json` says: the shape of the features, and the SHA-256 of the weights' file."""

    shape: Shape
    sha256: str


@dataclass(frozen=True)
class NgramClassifier:
    """The arrays in memory. Make one with `open_ngrams`."""

    shape: Shape
    parameters: Parameters
    identity: dict[str, Any]

    def classify(self, texts: Sequence[str]) -> tuple[np.ndarray, None]:
        """Probabilities float32 [n, 3] in the order of `CLASSES`; it has no vectors.

        Equal texts give equal bits, whatever stands beside them.
        """
        blocks = [self.logits(texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK)]
        logits = np.concatenate(blocks) if blocks else np.empty((0, len(CLASSES)), np.float32)
        return probabilities_of(logits).astype(np.float32), None

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated logits float32 [n, 3]."""
        weights, bias, idf = self.parameters
        return features(count_grams(texts, self.shape), idf) @ weights + bias


def features(grams: Grams, idf: np.ndarray) -> csr_array:
    """Rows float32 [n, buckets]: (1 + ln count) x `idf` [buckets], each half of a row divided by its length."""
    from scipy.sparse import csr_array

    values = _weigh(*grams, idf, _SUBLINEAR)
    return csr_array((values, grams.buckets, grams.offsets), shape=(len(grams.offsets) - 1, len(idf)))


@njit(cache=True, nogil=True)
def _weigh(
    buckets: np.ndarray, counts: np.ndarray, offsets: np.ndarray, idf: np.ndarray, sublinear: np.ndarray
) -> np.ndarray:
    values, half = np.empty(buckets.size, np.float32), idf.size // 2
    lengths = np.empty(2)
    for i in range(offsets.size - 1):
        lengths[:] = 0
        for j in range(offsets[i], offsets[i + 1]):
            value = sublinear[min(counts[j], sublinear.size - 1)] * idf[buckets[j]]
            lengths[int(buckets[j] >= half)] += value * value
            values[j] = value
        for family in range(2):
            lengths[family] = np.sqrt(lengths[family]) if lengths[family] > 0 else 1.0
        for j in range(offsets[i], offsets[i + 1]):
            values[j] /= lengths[int(buckets[j] >= half)]
    return values


def write_ngrams(folder: Path, shape: Shape, parameters: Parameters, about: dict[str, Any]) -> None:
    """Write weights and description to `folder`. `about`: how they came to be, for a reader."""
    from safetensors.numpy import save

    weights = save(
        {
            "weights": parameters.weights.astype(np.float16),
            "bias": parameters.bias.astype(np.float32),
            "idf": parameters.idf.astype(np.float16),
        }
    )
    (folder / WEIGHTS).write_bytes(weights)
    values = {
        "kind": KIND,
        "format": FORMAT,
        "classes": CLASSES,
        **shape._asdict(),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "about": about,
    }
    (folder / DESCRIPTION).write_bytes(orjson.dumps(values, option=orjson.OPT_INDENT_2) + b"\n")


def open_ngrams(folder: Path, name: str) -> NgramClassifier:
    """Load the classifier in `folder`, which goes by `name`. Raises `ValueError` as `described` does."""
    from safetensors.numpy import load_file

    shape, sha256 = described(folder)
    arrays = load_file(folder / WEIGHTS)
    parameters = Parameters(*(np.ascontiguousarray(arrays[key], np.float32) for key in Parameters._fields))
    return NgramClassifier(shape, parameters, {"name": name, "sha256": sha256})


def described(folder: Path) -> Described:
    """What is in `folder`, its weights compared with their hash.

    Raises `ValueError` naming the file that is missing or torn, or is of another kind, format or set of classes.
    """
    path, weights = folder / DESCRIPTION, folder / WEIGHTS
    try:
        values = orjson.loads(path.read_bytes())
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"classifier: cannot read {error.filename}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"classifier: {path} is torn: {error}") from None
    if not isinstance(values, dict) or (values.get("kind"), values.get("format")) != (KIND, FORMAT):
        raise ValueError(f"classifier: {path} does not describe a {KIND} of format {FORMAT}")
    if tuple(values["classes"]) != CLASSES:
        raise ValueError(f"classifier: {path} tells {', '.join(values['classes'])} apart, not {', '.join(CLASSES)}")
    if values["sha256"] != digest:
        raise ValueError(f"classifier: {weights} is torn: it is not the file that {DESCRIPTION} describes")
    return Described(Shape(*(values[key] for key in Shape._fields)), digest)
