"""The small encoder that is made from the texts at hand, with any head of transformers.

A vocabulary learned from them, vectors from the company of its tokens, and layers drawn from the seed. It is of the
architecture of mmBERT (ModernBERT) and averages over a text, so that the vectors say something before the layers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kartoteka.encoding.tokens import TextTokeniser
from kartoteka.generation.targets import plain
from kartoteka.generation.vocabulary import learn_tokenizer
from kartoteka.sentiment.settings import SmallSettings
from kartoteka.sentiment.static import static_vectors

if TYPE_CHECKING:
    from transformers import ModernBertPreTrainedModel

#: Standard deviation of a fresh model's vectors, which the static ones are brought to.
_SCALE = 0.02


def make_small(
    kind: type[ModernBertPreTrainedModel],
    texts: Sequence[str],
    small: SmallSettings,
    max_tokens: int,
    seed: int,
    extra: dict[str, Any],
) -> tuple[ModernBertPreTrainedModel, Any]:
    """A model of `kind` that reads `max_tokens`, and its tokeniser. `extra`: what else its configuration says.

    The layers are drawn from torch's own generator, which the caller seeds; vocabulary and vectors from `seed`.
    """
    import torch
    from transformers import ModernBertConfig

    plain_texts = [plain(text) for text in texts]
    tokenizer = learn_tokenizer(plain_texts, small.vocabulary, max_tokens, lower_case=True)
    tokens = TextTokeniser(tokenizer.backend_tokenizer, max_tokens)(plain_texts)
    tokenizer.backend_tokenizer.no_truncation()
    vectors = static_vectors(tokens, len(tokenizer), small.width, small.window, seed)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=small.width,
        intermediate_size=2 * small.width,
        num_hidden_layers=small.layers,
        num_attention_heads=small.heads,
        max_position_embeddings=max_tokens,
        global_attn_every_n_layers=1,  # texts are short: no layer looks at a part of one
        classifier_pooling="mean",
        classifier_dropout=small.dropout,
        embedding_dropout=small.dropout,
        mlp_dropout=small.dropout,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        cls_token_id=tokenizer.bos_token_id,
        sep_token_id=tokenizer.eos_token_id,
        **extra,
    )
    model = kind(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.from_numpy(_SCALE * vectors))
    return model, tokenizer
