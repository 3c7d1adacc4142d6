"""How a model is trained: section `[training]` decides the result, section `[workers]` only where the work is done."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from kartoteka.settings import Settings


class TrainingSettings(Settings):
    """What decides the weights, besides data and model. A run is resumed only under an equal section."""

    epochs: float = Field(default=1.0, gt=0)
    """Passes over the training examples; `steps` overrides it."""

    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps in all."""

    batch: int = Field(default=128, ge=1)
    """Examples of an optimizer step, over all workers and accumulated micro-batches."""

    accumulation: int = Field(default=1, ge=1)
    """Micro-batches of a step. A contrastive loss sees the negatives of one micro-batch: leave it at 1 there."""

    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the rate climbs from 0; then it decays."""

    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate goes to 0 after the warm-up."""

    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's, not of biases and norms."""

    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    epsilon: float = Field(default=1e-8, gt=0)
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient; 0: no clipping."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """bf16 and fp16 need ZeRO stage 1 or more, which keeps the weights in fp32 beside."""

    zero: Literal[0, 1, 2, 3] = 1
    """DeepSpeed's ZeRO stage: what is divided among the workers (1 optimizer, 2 gradients, 3 weights)."""

    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""

    validate_every: int = Field(default=100, ge=1)
    """Steps between validations on the real metric."""

    patience: int = Field(default=0, ge=0)
    """Validations without a better metric after which the run stops; 0: never."""

    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints: what a kill costs at most."""

    keep: int = Field(default=2, ge=1)
    """Checkpoints kept, the newest; the best weights are kept besides."""

    seed: int = Field(default=0, ge=0)

    def total_steps(self, examples: int) -> int:
        """Optimizer steps of the whole run over so many examples."""
        return self.steps or max(1, round(self.epochs * self.steps_of_epoch(examples)))

    def steps_of_epoch(self, examples: int) -> int:
        """Whole batches in one pass; at least one, of what there is."""
        return max(1, examples // self.batch)

    def rate(self, step: int, total: int) -> float:
        """The learning rate of step `step` (from 0) of `total`."""
        warm = round(self.warmup * total)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        left = (total - step) / max(1, total - warm)
        factor = {"linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left), "constant": 1.0}[self.decay]
        return self.learning_rate * factor


class WorkerSettings(Settings):
    """Where the work is done; may change when a run is resumed."""

    count: int = Field(default=1, ge=1)
    """Workers: processes with one device each."""

    gpu: bool = False
    """Each worker holds a GPU."""

    cpus: float = Field(default=1.0, gt=0)
    """CPUs that Ray reserves for a worker."""

    threads: int = Field(default=1, ge=1)
    """Threads of a worker on a CPU."""

    data_tasks: int = Field(default=1, ge=1)
    """Ray Data tasks that make batches for one worker at a time."""

    restarts: int = Field(default=3, ge=0)
    """How often the workers are started again after one has died."""
