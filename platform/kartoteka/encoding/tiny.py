"""The smallest real encoder: a BERT of random weights, for running a pipeline where the vectors do not matter."""

from __future__ import annotations

from pathlib import Path

#: Latin and Cyrillic letters, digits: whatever else a word holds makes it unknown.
_LETTERS = [chr(c) for c in [*range(97, 123), *range(0x430, 0x450), *range(48, 58), 0xE9, 0xE8, 0xFC, 0xDF]]


def write_tiny_encoder(folder: Path, dimension: int = 32, layers: int = 2, tokens: int = 128) -> Path:
    """Write weights, the same each time, and a tokeniser of letters into `folder` as transformers does; returns it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), names, strict=False))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=tokens, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=dimension,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * dimension,
        max_position_embeddings=tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        BertModel(config).save_pretrained(folder)
    return folder
