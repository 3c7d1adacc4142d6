"""The DeepSpeed engine: one configuration for CPU and GPU, and its state as plain tensors.

DeepSpeed's own checkpoints are cut for one number of workers and one ZeRO stage. Here weights and Adam's moments are
gathered parameter by parameter, through DeepSpeed's own accessors, into plain fp32 tensors by name: a run goes on with
any number of workers, under any stage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist

from kartoteka.training.attention import use_products
from kartoteka.training.settings import TrainingSettings

#: Adam's moments, as torch and DeepSpeed both name them.
MOMENTS = ("exp_avg", "exp_avg_sq")
#: Where the flat fp32 tensors that the optimizer steps on are kept: ZeRO 3, ZeRO 1 and 2, ZeRO 1 with bf16.
_FLAT = ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition")


def configuration(settings: TrainingSettings, world: int) -> dict[str, Any]:
    """DeepSpeed's JSON. Raises `ValueError` for a combination it cannot train.

    torch's own AdamW: DeepSpeed's would be compiled on every node for a minute, and is not the hot path.
    """
    if settings.precision != "fp32" and settings.zero == 0:
        raise ValueError("precision: bf16 and fp16 need zero = 1, 2 or 3, which keep the weights in fp32 beside")
    adam = {"lr": settings.learning_rate, "betas": list(settings.betas), "eps": settings.epsilon, "torch_adam": True}
    buckets = {"reduce_bucket_size": 50_000_000, "allgather_bucket_size": 50_000_000}
    chosen = {
        "train_micro_batch_size_per_gpu": max(1, settings.batch // (settings.accumulation * world)),
        "gradient_accumulation_steps": settings.accumulation,
        "gradient_clipping": settings.clip,
        "steps_per_print": 1 << 60,
        "zero_optimization": {"stage": settings.zero, "overlap_comm": False, "contiguous_gradients": True, **buckets},
        "zero_allow_untested_optimizer": True,
        "optimizer": {"type": "AdamW", "params": adam},
    }
    if settings.precision != "fp32":
        chosen[settings.precision] = {"enabled": True}
    return chosen


class Engine:
    """A module under training. All workers call every method, in the same order."""

    def __init__(self, module: torch.nn.Module, settings: TrainingSettings, world: int) -> None:
        import deepspeed

        logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
        self.settings, self.first = settings, world == 1 or dist.get_rank() == 0
        use_products(module)
        self.names = {name: p for name, p in module.named_parameters() if p.requires_grad}
        groups = _groups(self.names.values(), settings.weight_decay)
        self.engine, *_ = deepspeed.initialize(
            model=module, model_parameters=groups, config=configuration(settings, world)
        )

    @property
    def module(self) -> torch.nn.Module:
        """The engine's module, to be called as the module is."""
        return self.engine

    def learn(self, loss: torch.Tensor) -> None:
        """The backward pass of one micro-batch; at the last of a step the weights move."""
        self.engine.backward(loss)
        self.engine.step()

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps to come."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    @property
    def gradient_norm(self) -> float:
        """Of the last step's gradient, before clipping."""
        norm = self.engine.get_global_grad_norm()
        return float(norm) if norm is not None else float("nan")

    def weights(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers by name, whole, fp32 on the CPU; the first worker has them, the others nothing."""
        return self._kept(
            (name, self._whole(tensor) if name in self.names else self._frozen(tensor))
            for name, tensor in tensors_of(self.engine.module).items()
        )

    def moments(self) -> dict[str, torch.Tensor]:
        """Adam's moments by `moment/name`, as `weights`; empty before the first step."""
        if not self.engine.basic_optimizer.state:
            return {}
        self._link_moments()
        return self._kept((f"{m}/{name}", self._whole(p, m)) for m in MOMENTS for name, p in self.names.items())

    def _kept(self, gathered: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """What all workers gather, one tensor after the other, for the first to keep."""
        return {name: tensor for name, tensor in gathered if self.first}

    def load(self, weights: dict[str, torch.Tensor], moments: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from `weights` and the `moments` after so many steps, both whole on every worker.

        The module must hold `weights` already: the engine casts and cuts what the module held when it was made; here
        the fp32 copies are set to the very values.
        """
        basic = self.engine.basic_optimizer
        if moments:
            for flat in self._flat():
                basic.state[flat] = {
                    "step": torch.tensor(float(steps)),
                    **{moment: torch.zeros_like(flat) for moment in MOMENTS},
                }
            self._link_moments()
        for name, parameter in self.names.items():
            if self.settings.zero:
                self._set(parameter, weights[name])
            for moment in MOMENTS if moments else ():
                self._set(parameter, moments[f"{moment}/{name}"], moment)

    def _flat(self) -> list[torch.Tensor]:
        if self.settings.zero == 0:
            return list(self.names.values())
        for name in _FLAT:
            if hasattr(self.engine.optimizer, name):
                return list(getattr(self.engine.optimizer, name))
        raise AssertionError(f"no fp32 tensors in {type(self.engine.optimizer).__name__}")

    def _link_moments(self) -> None:
        """Let ZeRO 1 and 2 know where each parameter's moments lie.

        They look once, after the first group of parameters has made its first step: then the moments of the second
        group are not there yet, and before a run goes on none has made any.
        """
        optimizer = self.engine.optimizer
        if hasattr(optimizer, "_lazy_init_hp_params_optimizer_state"):
            optimizer._hp_optimizer_states_linked = False
            optimizer._lazy_init_hp_params_optimizer_state()

    def _set(self, parameter: torch.nn.Parameter, value: torch.Tensor, moment: str | None = None) -> None:
        """Set the fp32 copy of a parameter, or a moment, to its whole `value`."""
        from deepspeed import utils

        value = value.to(self.engine.device)
        if self.settings.zero == 0:
            self.engine.basic_optimizer.state[parameter][moment].copy_(value)
        elif hasattr(parameter, "ds_id"):
            local = _local(parameter, value)
            if moment:
                utils.safe_set_local_optimizer_state(parameter, local, moment)
            else:
                utils.safe_set_local_fp32_param(parameter, local)
        elif moment:
            utils.safe_set_full_optimizer_state(parameter, value, moment)
        else:
            utils.safe_set_full_fp32_param(parameter, value)

    def _frozen(self, tensor: torch.Tensor) -> torch.Tensor:
        import deepspeed

        with deepspeed.zero.GatheredParameters([tensor] if hasattr(tensor, "ds_id") else []):
            return tensor.detach().float().cpu().clone()

    def _whole(self, parameter: torch.nn.Parameter, moment: str | None = None) -> torch.Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if self.settings.zero == 0:
            found = self.engine.basic_optimizer.state[parameter][moment] if moment else parameter
        elif moment:
            found = safe_get_full_optimizer_state(parameter, moment)
        else:
            found = safe_get_full_fp32_param(parameter)
        return found.detach().float().cpu().clone()


def _local(parameter: torch.nn.Parameter, value: torch.Tensor) -> torch.Tensor:
    """A worker's part of the whole `value` of a parameter that ZeRO 3 has cut: parts are equal, the last one padded.

    DeepSpeed's own setter of whole values fails where a parameter's size is no multiple of the workers.
    """
    size = parameter.ds_tensor.numel()
    start = dist.get_rank() * size
    own = value.flatten()[start : start + size]
    return torch.nn.functional.pad(own, (0, size - own.numel()))


def tensors_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and the buffers that are kept, by name; one that goes by two names (tied weights) by its first."""
    kept = module.state_dict(keep_vars=True).keys()
    return dict(module.named_parameters()) | {name: b for name, b in module.named_buffers() if name in kept}


def restore(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy `weights`, as `Engine.weights` gave them, into a module that no engine holds.

    Raises `ValueError` when they are another module's.
    """
    own = tensors_of(module)
    if odd := sorted(set(own) ^ set(weights)):
        raise ValueError(f"checkpoint: does not fit the model: {odd[0]} is in only one of them ({len(odd)} such)")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise ValueError(
                f"checkpoint: does not fit the model: {name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _groups(parameters: Iterable[torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors (biases, norms) do not."""
    decayed, free = [], []
    for parameter in parameters:
        (decayed if parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
