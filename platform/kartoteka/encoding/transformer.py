"""Loading a transformer and its tokeniser with transformers, and the padded path that any model can take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kartoteka.encoding.eightbit import EIGHT_BITS, read_eight_bits
from kartoteka.encoding.models import DenseFiles, ModelFiles

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel


def load_transformer(files: ModelFiles) -> PreTrainedModel:
    """The transformer in float32 on the CPU, from safetensors, without remote code.

    Raises `ValueError`: an architecture transformers does not know, or weights that do not fill it.
    """
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    set_verbosity_error()  # what a file lacks is judged below
    eight_bits = files.directory / EIGHT_BITS
    try:
        model, lacking = _from_eight_bits(eight_bits) if eight_bits.is_file() else _from_pretrained(files.directory)
    except Exception as error:
        # transformers raises anything from KeyError to RuntimeError on a wrong config; the user needs one line.
        raise ValueError(f"encoder: {files.name} cannot be loaded: {_first_line(error)}") from None
    # transformers fills what the file lacks with random numbers. The pooler of BERT is not used here.
    missing = sorted(key for key in lacking if "pooler" not in key)
    if missing:
        raise ValueError(f"encoder: {files.name}: the weights lack {missing[0]} (and {len(missing) - 1} more)")
    return model.eval().requires_grad_(False)


def _from_pretrained(directory: Path) -> tuple[PreTrainedModel, Iterable[str]]:
    """A model by transformers, and the weights that its files lack."""
    from transformers import AutoModel

    model, report = AutoModel.from_pretrained(
        directory,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, report["missing_keys"]


def _from_eight_bits(path: Path) -> tuple[PreTrainedModel, Iterable[str]]:
    """The same, of weights that transformers does not read."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(path.parent, local_files_only=True, trust_remote_code=False)
    model = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    weights, own = read_eight_bits(path), model.state_dict()
    for name, value in weights.items():
        if name in own and own[name].shape != value.shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, the model's is {tuple(own[name].shape)}")
    return model, model.load_state_dict(weights, strict=False).missing_keys


def load_tokenizer(files: ModelFiles) -> tuple[Tokenizer, int]:
    """The fast tokeniser, and the number of tokens after which it truncates (huge when its files do not say)."""
    from tokenizers.normalizers import Lowercase, Sequence
    from transformers import AutoTokenizer

    try:
        wrapper = AutoTokenizer.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
        tokenizer = wrapper.backend_tokenizer
    except Exception as error:
        raise ValueError(f"encoder: {files.name} has no usable tokeniser: {_first_line(error)}") from None
    if files.lower_case:
        rest = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = Sequence([Lowercase(), *rest])
    return tokenizer, int(wrapper.model_max_length)


def load_dense(files: DenseFiles) -> torch.nn.Sequential:
    """A Dense module: linear layer and activation. Raises `ValueError`: no such activation, or weights amiss."""
    from safetensors.torch import load_file

    path: Path = next(iter(sorted(files.directory.glob("*.safetensors"))))
    weights = load_file(path)
    activation = getattr(torch.nn, files.activation, None)
    if activation is None or "linear.weight" not in weights:
        raise ValueError(f"encoder: cannot read the Dense module in {files.directory}")
    rows, columns = weights["linear.weight"].shape
    linear = torch.nn.Linear(columns, rows, bias="linear.bias" in weights)
    linear.load_state_dict({key.removeprefix("linear."): value.float() for key, value in weights.items()})
    return torch.nn.Sequential(linear, activation()).eval().requires_grad_(False)


class PaddedTransformer:
    """Token states of a batch by the model itself, texts padded to the longest."""

    padded, rows = True, 1

    def __init__(self, model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model.to(device=device, dtype=dtype)
        self._device = device
        self._pad = model.config.pad_token_id or 0

    def __call__(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """`ids` int64 [tokens] packed, `lengths` of the texts -> states [tokens, d], packed the same way."""
        width = max(lengths)
        real = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]
        grid = torch.full((len(lengths), width), self._pad, dtype=torch.int64)
        grid[real] = ids
        grid, real = grid.to(self._device), real.to(self._device)
        states = self._model(input_ids=grid, attention_mask=real.long()).last_hidden_state
        return states[real]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
