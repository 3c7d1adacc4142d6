"""The scores of spans as they are learned: the head on token states, its loss, and how well it ranks.

What the scores are, and how they are computed of a finished model, is in `encoding.spans`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kartoteka.encoding.spans import LONGEST, SpanHead

#: Scores before anything is learned: about one span in fifty is a keyphrase.
_PRIOR = -4.0
#: The weights are kept so many times smaller than they act. Adam moves each by the learning rate, whatever its
#: gradient: a head that begins at 0 needs a rate ten times that of the encoder below it.
_SCALE = 10.0


class Words(NamedTuple):
    """The words of n texts, m in all: text i has the rows `offsets[i]:offsets[i + 1]`.

    `first`, `last` int16 [m]: first and last token in the text. `labels` int8 [m, L]: see `labels.span_labels`;
    with a teacher float16, see `teacher.mixed`. `offsets` int64 [n + 1].
    """

    first: Tensor
    last: Tensor
    labels: Tensor
    offsets: Tensor

    @property
    def sizes(self) -> Tensor:
        """Words of each text, int64 [n]."""
        return self.offsets[1:] - self.offsets[:-1]

    def of(self, texts: Tensor) -> Self:
        """The words of the texts with these numbers, int64 [b]; a text of the number n is made up and has none."""
        starts = self.offsets[texts]
        sizes = self.offsets[(texts + 1).clamp(max=len(self.offsets) - 1)] - starts
        ends = sizes.cumsum(0)
        rows = torch.repeat_interleave(starts - ends + sizes, sizes)
        rows = rows + torch.arange(len(rows), device=rows.device)
        return Words(self.first[rows], self.last[rows], self.labels[rows], functional.pad(ends, (1, 0)))


#: (scores float32 [m, L], words of n texts) -> what is said of each text, float32 [n].
Judge = Callable[[Tensor, Words], Tensor]


class SpanScorer(torch.nn.Module):
    """The head: all that is learned of `encoding.spans.SpanHead`, for states of `width` numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2 * LONGEST, width))
        self.bias = torch.nn.Parameter(torch.full((LONGEST,), _PRIOR))

    def forward(self, states: Tensor, lengths: Tensor, words: Words) -> Tensor:
        """Scores float32 [m, L] of all spans that begin at the `words` of n texts.

        `states` [tokens, width], texts one after the other, `lengths` int64 [n] of each. What reaches beyond its text
        has a score without meaning: it is left out by its label.
        """
        projected = functional.linear(states.float(), _SCALE * self.weight.float())
        base = torch.repeat_interleave(lengths.cumsum(0) - lengths, words.sizes)
        first = projected[:, :LONGEST].index_select(0, base + words.first)
        last = projected[:, LONGEST:].index_select(0, base + words.last)
        # Window i of L rows begins at word i: on its diagonal are the spans of 1 to L words that begin there.
        windows = functional.pad(last, (0, 0, 0, LONGEST)).unfold(0, LONGEST, 1)
        return first + windows.diagonal(dim1=1, dim2=2)[: len(first)] + self.bias.float()

    def begin(self, head: SpanHead) -> None:
        """Go on from what a head has learned already."""
        weight = np.concatenate([head.first, head.last]) / _SCALE
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weight))
            self.bias.copy_(torch.from_numpy(head.bias))

    def head(self) -> SpanHead:
        """What has been learned."""
        weight = _SCALE * self.weight.detach().float().cpu()
        return SpanHead(weight[:LONGEST].numpy(), weight[LONGEST:].numpy(), self.bias.detach().float().cpu().numpy())


def span_losses(scores: Tensor, words: Words) -> Tensor:
    """Binary cross-entropy of the spans that are not left out, summed by text: float32 [n].

    Against the probabilities that a teacher and the keyphrases give together, where there is one.
    """
    each = functional.binary_cross_entropy_with_logits(scores, words.labels.float(), reduction="none")
    by_word = torch.where(words.labels >= 0, each, 0.0).sum(1)
    return torch.segment_reduce(by_word, "sum", lengths=words.sizes)


def span_precisions(scores: Tensor, words: Words) -> Tensor:
    """Average precision of each text's spans in the order of their scores, float32 [n]; 0 where none is right."""
    sizes = words.sizes.tolist()
    found = scores.new_zeros(len(sizes))
    for number, (some, labels) in enumerate(zip(scores.split(sizes), words.labels.split(sizes), strict=True)):
        kept = labels >= 0
        right = labels[kept][torch.argsort(some[kept], descending=True, stable=True)] > 0
        places = right.nonzero()[:, 0]
        if len(places):
            found[number] = (torch.arange(1, len(places) + 1, device=places.device) / (places + 1)).mean()
    return found
