"""The generator's tokeniser: that of its base, or a byte-level BPE learned from the training documents.

Byte-level (Radford et al. 2019), so that no script and no symbol is unknown; its marks have the numbers that BART gives
them, and `<SEP>` is a mark too. A word is the same token wherever it stands, at the start of a phrase or inside a text:
every piece between marks begins with a space.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kartoteka.generation.targets import MARKS, SEPARATOR

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Longer tokens would be addresses and rows of dashes.
_LONGEST = 32


def learn_tokenizer(
    texts: Iterable[str], size: int, max_tokens: int, *, lower_case: bool = False
) -> PreTrainedTokenizerFast:
    """A tokeniser of at most `size` tokens, the 256 bytes and the marks among them; equal texts give equal ones.

    `texts` hold no marks (see `targets.plain`). `lower_case`: upper case is read as lower case.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    if lower_case:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=_LONGEST,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=max_tokens,
    )


def base_tokenizer(directory: Path, max_tokens: int) -> PreTrainedTokenizerFast:
    """The tokeniser of a base model with `<SEP>` added. Raises `ValueError` when it is not one of BART's kind."""
    from tokenizers import AddedToken

    tokenizer = open_tokenizer(directory)
    if not tokenizer.is_fast or (tokenizer.bos_token, tokenizer.eos_token) != ("<s>", "</s>"):
        raise ValueError(f"generator: the tokeniser of {directory} has not BART's marks <s> and </s>")
    tokenizer.add_tokens([AddedToken(SEPARATOR, special=True, normalized=False)], special_tokens=True)
    tokenizer.model_max_length = max_tokens
    return tokenizer


def open_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """The tokeniser of a directory. Raises `ValueError` when there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"generator: no tokeniser in {directory}: {str(error).splitlines()[0]}") from None


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token numbers of each text, whole, with its marks."""
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts)]
