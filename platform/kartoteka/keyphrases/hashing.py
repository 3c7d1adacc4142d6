"""Words and phrases as 64-bit hashes, and a hash table that is a plain array: it can be memory-mapped.

A word is the FNV-1a hash of its UTF-8 bytes; a phrase folds the hashes of its words in order. With 64 bits, ten million
distinct phrases collide with a chance of about 3e-6, so equality of hashes stands for equality of strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numba import njit

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_S32, _S29 = np.uint64(32), np.uint64(29)
#: The empty slot of a table; a word that hashes to it is moved to 1.
EMPTY = np.uint64(0)


@njit(cache=True)
def fold(state: np.uint64, word: np.uint64) -> np.uint64:
    """The phrase hash of `state`'s words followed by `word`; start from `EMPTY`."""
    h = (state ^ word) * _MIX
    h ^= h >> _S32
    h = h * _MIX + np.uint64(1)
    h ^= h >> _S29
    return h if h != np.uint64(0) else np.uint64(1)


@njit(cache=True)
def _hash_bytes(data: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        h = _FNV_OFFSET
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[j])) * _FNV_PRIME
        out[i] = h if h != np.uint64(0) else np.uint64(1)


def hash_words(words: Sequence[str]) -> np.ndarray:
    """Hashes of `words`, uint64 [n]; never `EMPTY`."""
    array = pa.array(words, pa.large_string())
    out = np.empty(len(array), np.uint64)
    if len(array):
        _, offsets, data = array.buffers()
        bytes_ = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
        _hash_bytes(bytes_, np.frombuffer(offsets, np.int64, len(array) + 1), out)
    return out


def spread(names: Sequence[str]) -> np.ndarray:
    """Hashes of `names` spread evenly over uint64 [n]: an order as good as random, decided of each name alone."""
    return mixed(hash_words(names))


def mixed(hashes: np.ndarray) -> np.ndarray:
    """Hashes uint64 [n] whose high bits depend on all of theirs: what their order is to be taken from."""
    return hashes * _MIX


def within(names: Sequence[str], share: float) -> np.ndarray:
    """Whether each of `names` falls into a `share` of all that could be, bool [n]; decided of each name alone."""
    return (spread(names) >> np.uint64(11)).astype(np.float64) < share * 2.0**53


@njit(cache=True)
def fold_rows(words: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Phrase hashes, uint64 [n], of the word hashes in rows `offsets` [n + 1]; an empty row hashes to `EMPTY`."""
    out = np.zeros(offsets.size - 1, np.uint64)
    for i in range(out.size):
        h = np.uint64(0)
        for j in range(offsets[i], offsets[i + 1]):
            h = fold(h, words[j])
        out[i] = h
    return out


@njit(cache=True)
def table_build(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An open-addressing table (keys uint64 [2^m], values int32 [2^m]); of equal keys the first one stays."""
    size = 8
    while size < keys.size * 2:
        size *= 2
    mask = np.uint64(size - 1)
    table_keys = np.zeros(size, np.uint64)
    table_values = np.full(size, -1, np.int32)
    for i in range(keys.size):
        key = keys[i]
        if key == np.uint64(0):
            continue
        slot = (key * _MIX >> _S29) & mask
        while table_keys[slot] != np.uint64(0) and table_keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if table_keys[slot] == np.uint64(0):
            table_keys[slot] = key
            table_values[slot] = values[i]
    return table_keys, table_values


@njit(cache=True)
def table_get(table_keys: np.ndarray, table_values: np.ndarray, key: np.uint64) -> np.int32:
    """The value of `key`, or -1."""
    if key == np.uint64(0):
        return np.int32(-1)
    mask = np.uint64(table_keys.size - 1)
    slot = (key * _MIX >> _S29) & mask
    while table_keys[slot] != np.uint64(0):
        if table_keys[slot] == key:
            return table_values[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.int32(-1)


@njit(cache=True)
def table_get_all(table_keys: np.ndarray, table_values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Values of `keys`, int32 [n], -1 where a key is absent."""
    out = np.empty(keys.size, np.int32)
    for i in range(keys.size):
        out[i] = table_get(table_keys, table_values, keys[i])
    return out
