"""Tiny models with random weights in the layout of sentence-transformers, and texts in several scripts."""

from __future__ import annotations

import json

import pytest

LATIN = "the a cat dog sat on mat runs fast slow graph neural network library archive"
WORDS = (LATIN + " книга архив поиск livre café").split()
LETTERS = "abcdefghijk"


def _tokenizer(directory, *, roberta):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, start, end, unknown = ("<pad>", "<s>", "</s>", "<unk>") if roberta else ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    pieces = [start, pad, end, unknown] if roberta else [pad, unknown, start, end]
    vocabulary = {
        word: i for i, word in enumerate([*pieces, *WORDS, *(f"##{c}" for c in "abcdefghijk"), *"abcdefghijk"])
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        model_max_length=64,
    )
    wrapped.save_pretrained(directory)
    return len(vocabulary), vocabulary[pad]


def make_model(root, kind="bert", *, pooling="mean", dense=False, activation="gelu", hidden=40, heads=2, **card):
    """Save a tiny random model under `root` and return the path. Width 40 is no multiple of 16, on purpose."""
    import torch
    from safetensors.torch import save_file
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        MPNetConfig,
        MPNetModel,
        RobertaConfig,
        RobertaModel,
    )

    torch.manual_seed(7)
    after_padding = kind in ("roberta", "mpnet")  # positions count from behind the padding id on
    size, pad = _tokenizer(root, roberta=after_padding)
    common = {"vocab_size": size, "pad_token_id": pad}
    if kind == "distilbert":
        config = DistilBertConfig(
            dim=hidden, n_heads=heads, n_layers=2, hidden_dim=72, max_position_embeddings=64, **common
        )
        model = DistilBertModel(config)
    else:
        settings, cls = {
            "bert": (BertConfig, BertModel),
            "roberta": (RobertaConfig, RobertaModel),
            "mpnet": (MPNetConfig, MPNetModel),
        }[kind]
        config = settings(
            hidden_size=hidden,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=1040,  # more than one chunk of an integer sum, and no multiple of 32
            max_position_embeddings=64 + (pad + 1 if after_padding else 0),
            hidden_act=activation,
            initializer_range=0.3,
            **common,
        )
        model = cls(config)
    for parameter in model.parameters():  # biases and norms are constants at first: give them something to get wrong
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(root)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "3_Normalize")]
    (root / "1_Pooling").mkdir()
    (root / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": hidden, "pooling_mode": pooling})
    )
    if dense:
        modules.insert(2, ("Dense", "2_Dense"))
        (root / "2_Dense").mkdir()
        (root / "2_Dense" / "config.json").write_text(
            json.dumps(
                {
                    "in_features": hidden,
                    "out_features": 24,
                    "bias": True,
                    "activation_function": "torch.nn.modules.activation.Tanh",
                }
            )
        )
        weights = {"linear.weight": torch.randn(24, hidden), "linear.bias": torch.randn(24)}
        save_file(weights, root / "2_Dense" / "model.safetensors")
    (root / "3_Normalize").mkdir()
    (root / "modules.json").write_text(
        json.dumps(
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (kind, path) in enumerate(modules)
            ]
        )
    )
    (root / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48, "do_lower_case": False}))
    if card:
        (root / "config_sentence_transformers.json").write_text(json.dumps(card))
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A function `tiny(kind, **options)` -> directory of a tiny model, made once for each set of options."""
    made = {}

    def make(kind="bert", **options):
        key = json.dumps([kind, options], sort_keys=True)
        if key not in made:
            made[key] = make_model(tmp_path_factory.mktemp(kind), kind, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def texts():
    """Short and long texts, an empty one, one far beyond every limit, several scripts."""
    import random

    chance = random.Random(3)
    made = [" ".join(chance.choices(WORDS, k=k)) for k in (1, 2, 3, 5, 7, 8, 8, 8, 13, 17, 31, 44, 45, 46, 47, 60, 200)]
    return [*made, "", "   ", "кафе 漢字 zzz", "abcdef ghijk " * 20, "cat [PAD] <pad> dog", made[3]]
