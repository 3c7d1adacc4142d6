"""The module that the loop trains: a BART and the loss of its keyphrases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

from kartoteka.generation.base import load_base, resolve_base
from kartoteka.generation.settings import DecodingSettings, GeneratorSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class GeneratorModule(torch.nn.Module):
    """`forward(batch)` -> (loss, figures); `model` is the BART.

    A batch holds the rows of one worker, flat: `source_ids` int [s] with `source_offsets` int64 [rows + 1],
    `target_ids` int [t] with `target_offsets`, and `scale` float32 [1]: workers over the tokens of all targets of the
    global batch, so that the mean of the workers' losses is the mean over its tokens.
    """

    def __init__(self, model: BartForConditionalGeneration, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy with label smoothing (Szegedy et al. 2016), and the plain one as `nll`; nats per token."""
        pad_id = self.model.config.pad_token_id
        source, mask = padded(batch["source_ids"], batch["source_offsets"], pad_id)
        labels, real = padded(batch["target_ids"], batch["target_offsets"], pad_id)
        log_probabilities = target_log_probabilities(self.model, source, mask, labels, real)
        nll = -log_probabilities.gather(1, labels[real][:, None]).sum()
        even = -log_probabilities.mean(1).sum()
        scale = batch["scale"].to(nll.dtype)[0]
        loss = scale * ((1 - self.label_smoothing) * nll + self.label_smoothing * even)
        return loss, {"nll": (scale * nll).detach()}


def padded(flat: torch.Tensor, offsets: torch.Tensor, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [rows, longest] int64 from flat ones, filled up with `pad_id`; and which places are real, bool."""
    lengths = offsets[1:] - offsets[:-1]
    real = torch.arange(int(lengths.max()), device=flat.device)[None, :] < lengths[:, None]
    rows = torch.full(real.shape, pad_id, dtype=torch.int64, device=flat.device)
    rows[real] = flat.long()
    return rows, real


def target_log_probabilities(
    model: BartForConditionalGeneration,
    source: torch.Tensor | None,
    mask: torch.Tensor,
    labels: torch.Tensor,
    real: torch.Tensor,
    encoded: torch.Tensor | None = None,
) -> torch.Tensor:
    """Log-probabilities float32 [tokens, vocabulary] at the `real` places of `labels` [rows, longest], row by row.

    Each place is conditioned on the labels before it and on `source` [rows, n], real where `mask` is; `encoded`
    [rows, n, width] is the encoder's output where it is known. Only real places go through the output layer.
    """
    inputs = torch.full_like(labels, model.config.decoder_start_token_id)
    inputs[:, 1:] = labels[:, :-1]
    hidden = model.model(
        input_ids=source,
        attention_mask=mask.long(),
        decoder_input_ids=inputs,
        encoder_outputs=None if encoded is None else (encoded,),
        use_cache=False,
    ).last_hidden_state
    logits = model.lm_head(hidden[real]) + model.final_logits_bias
    return functional.log_softmax(logits.float(), dim=1)


def new_model(settings: GeneratorSettings, tokenizer: PreTrainedTokenizerFast) -> BartForConditionalGeneration:
    """The untrained model, the same in every process: the base with a row for `<SEP>`, or one drawn from the seed.

    Raises `ValueError`: the base is no BART, or reads less than the settings ask for.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if settings.base is None:
            model = BartForConditionalGeneration(_config(settings, tokenizer))
        else:
            model = load_base(resolve_base(settings.base, settings.revision))
            reads = model.config.max_position_embeddings
            if reads < max(settings.max_source, settings.max_target):
                raise ValueError(f"generator: {settings.base} reads and writes {reads} tokens at most")
            model.resize_token_embeddings(max(len(tokenizer), model.config.vocab_size))
    # A forced end would hide that a sequence was stopped amid a phrase
    model.config.forced_eos_token_id = None
    model.generation_config = generation_config(model.config, settings.decoding, settings.max_target)
    return model


def _config(settings: GeneratorSettings, tokenizer: PreTrainedTokenizerFast) -> BartConfig:
    return BartConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=max(settings.max_source, settings.max_target),
        encoder_layers=settings.layers,
        decoder_layers=settings.layers,
        encoder_attention_heads=settings.heads,
        decoder_attention_heads=settings.heads,
        encoder_ffn_dim=4 * settings.width,
        decoder_ffn_dim=4 * settings.width,
        d_model=settings.width,
        dropout=settings.dropout,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
    )


def generation_config(config: BartConfig, decoding: DecodingSettings, max_target: int) -> GenerationConfig:
    """`decoding` as transformers says it; sequences are of `max_target` tokens at most.

    A greedy search says so in full: what is unset, transformers takes from the model's own settings.
    """
    return GenerationConfig(
        max_new_tokens=max_target,
        num_beams=decoding.beam,
        num_return_sequences=decoding.sequences,
        do_sample=False,
        pad_token_id=config.pad_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        early_stopping=decoding.beam > 1,
        length_penalty=decoding.length_penalty if decoding.beam > 1 else 1.0,
    )
