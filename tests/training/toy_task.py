"""The smallest real task: a network of two layers learns a line, with figures, dropout, and ways to go wrong."""

from __future__ import annotations

import io
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist

from kartoteka.storage import Storage
from kartoteka.training.task import Batch, Part, Share, Task

WIDTH = 8


class Network(torch.nn.Module):
    """Mean squared error over the global batch."""

    def __init__(self, dropout: float, kill: str | None) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(WIDTH, 16), torch.nn.Linear(16, 1)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("shift", torch.zeros(1))
        self.dropout = torch.nn.Dropout(dropout)
        self.kill = kill

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.second(self.dropout(torch.tanh(self.first(x)))).squeeze(-1) + self.shift

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, Any]]:
        if self.kill:
            step, flag = self.kill.split(":")
            if int(batch["step"]) == int(step) and not os.path.exists(flag):
                Path(flag).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        world = dist.get_world_size() if dist.is_initialized() else 1
        error = (self.predict(batch["x"].to(self.scale.dtype)) - batch["y"].to(self.scale.dtype)) ** 2
        loss = error.sum() * world / batch["total"]
        figures = {"largest": error.detach().max() if error.numel() else 0.0}
        return loss, figures | {"jemalloc": float("libjemalloc" in Path("/proc/self/maps").read_text())}


@dataclass(frozen=True)
class Toy(Task):
    """`bad`: an example that is no number. `kill`: `step:file`, die there once, leaving the file."""

    rows: int = 64
    dropout: float = 0.0
    bad: int = -1
    kill: str | None = None

    name: ClassVar[str] = "toy"
    metric: ClassVar[str] = "fit"

    def prepare(self, run: Storage) -> dict[str, Any]:
        random = np.random.default_rng(3)
        x = random.normal(size=(self.rows, WIDTH)).astype(np.float32)
        if self.bad >= 0:
            x[self.bad] = np.nan
        sink = io.BytesIO()
        np.savez(sink, x=x, y=(x @ random.normal(size=WIDTH)).astype(np.float32))
        run.put("data/line.npz", sink.getvalue())
        return {"rows": self.rows}

    def _data(self, run: Storage) -> tuple[np.ndarray, np.ndarray]:
        with np.load(run.local("data/line.npz")) as stored:
            return stored["x"], stored["y"]

    def examples(self, run: Storage) -> int:
        return self.rows

    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        x, y = self._data(run)
        own = share.of(numbers)
        return {"x": x[own], "y": y[own], "total": np.array(numbers.size), "step": np.array(share.step)}

    def label(self, run: Storage, number: int) -> str:
        return f"row {number}"

    def build(self, run: Storage) -> torch.nn.Module:
        torch.manual_seed(5)
        return Network(self.dropout, self.kill)

    def validate(self, run: Storage, module: torch.nn.Module, share: Share) -> dict[str, Part]:
        x, y = self._data(run)
        own = share.of(np.arange(self.rows if self.bad < 0 else self.bad))
        error = (module.predict(torch.from_numpy(x[own]).to(module.scale.dtype)).float().numpy() - y[own]) ** 2
        return {"fit": (-float(error.sum()), float(own.size))}

    def export(self, run: Storage, module: torch.nn.Module, folder: Path) -> None:
        torch.save(module.state_dict(), folder / "weights.pt")

    def card(self, run: Storage) -> dict[str, Any]:
        return {
            "title": "A line",
            "base": "nothing",
            "data": ["made up"],
            "intended": "For tests.",
            "limits": "It knows one line.",
            "license": "apache-2.0",
            "languages": ["en"],
        }
