"""Vectors of tokens from their company alone: what a small encoder starts from when there is no trained one."""

from __future__ import annotations

import numpy as np

from kartoteka.encoding.tokens import Tokens

#: Context frequencies to this power: rare company says less than it seems (Levy, Goldberg and Dagan 2015).
_SMOOTHING = 0.75


def static_vectors(tokens: Tokens, vocabulary: int, width: int, window: int, seed: int) -> np.ndarray:
    """Vectors float32 [`vocabulary`, `width`] with mean square 1: U √S of the truncated SVD of positive PMI.

    Positive pointwise mutual information of tokens and their company factorises to what skip-gram learns (Levy and
    Goldberg 2014). A vocabulary smaller than `width` has zeros behind its own dimensions.
    """
    from sklearn.utils.extmath import randomized_svd

    positive = positive_pmi(tokens, vocabulary, window)
    rank = min(width, vocabulary - 1)
    left, values, _ = randomized_svd(positive, rank, random_state=seed)
    vectors = np.zeros((vocabulary, width), np.float32)
    vectors[:, :rank] = left * np.sqrt(values)
    return vectors / max(np.sqrt(np.mean(vectors**2)), np.finfo(np.float32).tiny)


def positive_pmi(tokens: Tokens, vocabulary: int, window: int) -> object:
    """max(0, log P(t, c) / (P(t) P(c))), a sparse scipy matrix [`vocabulary`, `vocabulary`].

    Counted over pairs of tokens of one text at most `window` apart, each with weight 1 / distance.
    """
    from scipy import sparse

    text = np.repeat(np.arange(len(tokens)), tokens.lengths)
    counts = sparse.csr_matrix((vocabulary, vocabulary))
    for distance in range(1, window + 1):
        together = text[:-distance] == text[distance:]
        pairs = (tokens.ids[:-distance][together], tokens.ids[distance:][together])
        counts = counts + sparse.csr_matrix((np.full(len(pairs[0]), 1 / distance), pairs), shape=counts.shape)
    counts = (counts + counts.T).tocoo()
    of_token = np.asarray(counts.sum(axis=1)).ravel()
    of_context = of_token**_SMOOTHING
    of_context /= max(of_context.sum(), np.finfo(float).tiny)
    information = np.log(counts.data / (of_token[counts.row] * of_context[counts.col]))
    kept = information > 0
    return sparse.csr_matrix((information[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape)
