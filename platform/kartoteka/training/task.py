"""What a model brings to the loop: its data, its module with its loss, its validation, its export. Nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kartoteka.storage import Storage

if TYPE_CHECKING:
    import torch

#: A batch as it travels: arrays by name. In the module they are tensors of the same shapes.
Batch = dict[str, np.ndarray]
#: A mean in the making: the sum of a figure over what a worker saw, and how much that was.
Part = tuple[float, float]


def data_of(run: Storage) -> Storage:
    """The folder of a run that holds the training data; by its whole path, for the workers run elsewhere."""
    return Storage(run.whole("data"))


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the work is one worker's: `rank` of `world`; `step` counts optimizer steps from 0."""

    rank: int
    world: int
    seed: int
    step: int = 0

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The worker's part of `numbers`: every `world`-th, so that the parts differ by one at most."""
        return numbers[self.rank :: self.world]

    def random(self, *salt: int) -> np.random.Generator:
        """A generator that depends on seed, step and salt, never on the worker: all workers draw the same."""
        return np.random.default_rng([self.seed, self.step, *salt])


class Task(ABC):
    """One model and how it is trained.

    A frozen dataclass of plain values (settings and paths), for it is pickled to every worker; what it opens, it opens
    lazily and keeps out of the pickle. Everything is a pure function of those values, of the data that `prepare` wrote
    and of the arguments: then equal runs are equal, whoever did the work.
    """

    name: ClassVar[str]
    #: The figure of `validate` that decides which weights are best. Larger is better.
    metric: ClassVar[str]

    @abstractmethod
    def prepare(self, run: Storage) -> dict[str, Any]:
        """Make the training data below `data/` of the run; called on the driver, with Ray at hand.

        Called again it does only what is missing. Returns what the model card and the config's hash should know of the
        data (counts, hashes).

        Raises `ValueError` for what is wrong with the user's input: no document to learn from.
        """

    @abstractmethod
    def examples(self, run: Storage) -> int:
        """How many training examples there are; an epoch visits each once."""

    @abstractmethod
    def collate(self, run: Storage, numbers: np.ndarray, share: Share) -> Batch:
        """One worker's part of the global batch made of the examples `numbers` int64 [batch].

        All workers are asked for the same `numbers`, so that each may know what the others hold. Runs in a Ray Data
        worker, without torch.
        """

    @abstractmethod
    def label(self, run: Storage, number: int) -> str:
        """The name of an example, for an error message."""

    @abstractmethod
    def build(self, run: Storage) -> torch.nn.Module:
        """The untrained module, equal in every process. `forward(batch)` takes the tensors of `collate` and gives
        (loss, figures): the loss a scalar, the figures a dict of name -> float or scalar tensor for the metrics.

        Its mean over all workers is the loss of the global batch, and with it the gradient (see `gather`).
        """

    @abstractmethod
    def validate(self, run: Storage, module: torch.nn.Module, share: Share) -> dict[str, Part]:
        """The real metrics on the validation documents: each a sum and a count over this worker's share.

        `module` is in evaluation mode. Every worker must call it the same number of times.
        """

    @abstractmethod
    def export(self, run: Storage, module: torch.nn.Module, folder: Path) -> None:
        """Write the module, holding the best weights, to `folder` as a plain directory that other programs load."""

    @abstractmethod
    def card(self, run: Storage) -> dict[str, Any]:
        """What the model card says beside figures: `title`, `base` (model it started from), `data` (a list of lines),
        `intended` and `limits` (text), `license`, `languages` (list).
        """
