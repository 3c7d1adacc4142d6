"""A smaller model to start from: some layers of a BERT-like one, and the word pieces that the archive uses.

What is left is a plain sentence-transformers directory. Dropping layers is where distillation usually begins (Sanh et
al. 2019); half of a small model's weights are vectors of word pieces that one archive never meets.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from kartoteka.encoding.encoder import positions, unused_positions
from kartoteka.encoding.models import ModelFiles
from kartoteka.encoding.transformer import load_tokenizer, load_transformer
from kartoteka.ranking.settings import StudentSettings

#: The folder of a run's data that holds the model to start from.
STUDENT = "student"


def write_student(
    files: ModelFiles, folder: Path, settings: StudentSettings, max_tokens: int, uses: np.ndarray | None = None
) -> None:
    """Write what `settings` keep of the model `files` into `folder`, which exists.

    It reads `max_tokens` of a text, or as many as it has positions for, and as its tokeniser allows.

    `uses` int64 [vocabulary]: how often the archive has each piece, needed where the vocabulary is cut. Raises
    `ValueError` when the model is of a kind, or has too few layers, for what is asked.
    """
    if files.dense:
        raise ValueError(f"encoder: {files.name} has a Dense module; the ranker trains a transformer and its pooling")
    model = load_transformer(files)
    tokenizer, limit = load_tokenizer(files)
    config = model.config
    pad = config.pad_token_id or 0
    description = json.loads(tokenizer.to_str())
    description.update(truncation=None, padding=None)
    if settings.layers is not None:
        _keep_layers(model, settings.layers, files.name)
    if settings.vocabulary is not None:
        assert uses is not None
        words = model.embeddings.word_embeddings
        kept = _pieces(description, uses, settings.vocabulary, files.name)
        kept = kept[kept < words.num_embeddings]  # a tokeniser may know names for which the model has no vector
        description = _renumber(description, kept)
        words.weight = torch.nn.Parameter(words.weight[torch.from_numpy(kept)].clone(), requires_grad=False)
        config.vocab_size = words.num_embeddings = len(kept)
        pad = int(np.searchsorted(kept, pad))
        config.pad_token_id = words.padding_idx = pad
    if settings.positions is not None:
        _keep_positions(model, settings.positions)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = settings.dropout
    model.pooler = None
    model.save_pretrained(folder)
    max_tokens = min(filter(None, (max_tokens, limit, positions(model))))
    write_tokenizer(description, folder, files, pad, max_tokens)
    write_modules(folder, files, config.hidden_size, max_tokens)


def write_tokenizer(description: dict, folder: Path, files: ModelFiles, pad: int, max_tokens: int) -> None:
    """The tokeniser as transformers loads it: `tokenizer.json` and a config that names its special tokens."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    before = AutoTokenizer.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")
    special = {name: str(getattr(before, name)) for name in names if getattr(before, name, None)}
    tokenizer = Tokenizer.from_str(json.dumps(description))
    assert special.get("pad_token") is None or tokenizer.token_to_id(special["pad_token"]) == pad
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_tokens, **special).save_pretrained(folder)


def write_modules(folder: Path, files: ModelFiles, width: int, max_tokens: int) -> None:
    """The files of sentence-transformers: Transformer, Pooling as the model has it, Normalize."""
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": max_tokens, "do_lower_case": False})
    )
    for _, path in kinds[1:]:
        (folder / path).mkdir(exist_ok=True)
    pooling: dict[str, object] = {"word_embedding_dimension": width}
    pooling |= {
        f"pooling_mode_{name}": mode in files.poolings
        for name, mode in (
            ("cls_token", "cls"), ("mean_tokens", "mean"), ("max_tokens", "max"),
            ("mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        )
    }  # fmt: skip
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling, indent=2))
    if files.prompt:
        card = {"prompts": {"text": files.prompt}, "default_prompt_name": "text"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(card, indent=2))


def _keep_layers(model: torch.nn.Module, layers: list[int], name: str) -> None:
    held = getattr(getattr(model, "encoder", None), "layer", None)
    if held is None:
        raise ValueError(f"student.layers: {name} is not of the BERT family")
    if sorted(set(layers)) != layers or layers[0] < 0 or layers[-1] >= len(held):
        raise ValueError(f"student.layers: {layers} are not ascending numbers of {name}'s {len(held)} layers")
    model.encoder.layer = torch.nn.ModuleList([held[i] for i in layers])
    model.config.num_hidden_layers = len(layers)


def _keep_positions(model: torch.nn.Module, positions: int) -> None:
    """Cut the position vectors to those of `positions` tokens, and whatever the model skips at their beginning."""
    places = model.embeddings.position_embeddings
    room = min(positions + unused_positions(model), places.num_embeddings)
    places.weight = torch.nn.Parameter(places.weight[:room].clone(), requires_grad=False)
    model.config.max_position_embeddings = places.num_embeddings = room


def _pieces(description: dict, uses: np.ndarray, most: int, name: str) -> np.ndarray:
    """Ascending ids of the pieces to keep: special ones, single characters, and the `most` used of the others."""
    model = description["model"]
    if model.get("type") != "WordPiece":
        raise ValueError(f"student.vocabulary: {name} has no WordPiece tokeniser: its pieces cannot be dropped")
    vocabulary: dict[str, int] = model["vocab"]
    always = {token["id"] for token in description["added_tokens"]} | {vocabulary[model["unk_token"]]}
    prefix = model["continuing_subword_prefix"]
    always |= {i for piece, i in vocabulary.items() if len(piece.removeprefix(prefix)) == 1}
    used = [i for i in np.lexsort((np.arange(len(uses)), -uses)).tolist() if uses[i] and i not in always]
    return np.array(sorted(always | set(used[:most])), np.int64)


def _renumber(description: dict, kept: np.ndarray) -> dict:
    """The tokeniser with the pieces `kept` only, numbered in their order."""
    new = {int(old): i for i, old in enumerate(kept)}
    model = description["model"]
    vocabulary = {piece: new[i] for piece, i in model["vocab"].items() if i in new}
    added = [token | {"id": new[token["id"]]} for token in description["added_tokens"]]
    return description | {
        "model": model | {"vocab": vocabulary},
        "added_tokens": added,
        "post_processor": _renumber_template(description["post_processor"], new),
    }


def _renumber_template(processor: dict | None, new: dict[int, int]) -> dict | None:
    if processor is None:
        return None
    if "special_tokens" in processor:  # TemplateProcessing
        tokens = {
            name: token | {"ids": [new[i] for i in token["ids"]]} for name, token in processor["special_tokens"].items()
        }
        return processor | {"special_tokens": tokens}
    pairs = {side: [processor[side][0], new[processor[side][1]]] for side in ("sep", "cls") if side in processor}
    return processor | pairs  # BertProcessing
