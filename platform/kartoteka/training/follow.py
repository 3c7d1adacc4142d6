"""What a person sees of a run: a live line in a terminal, plain lines in a job's log."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from kartoteka.flow.progress import StageProgress
from kartoteka.storage import Storage
from kartoteka.training.loop import PROGRESS

#: Seconds between looks at what the workers say.
LOOK_EVERY = 1.0


@dataclass
class Follower:
    """Follows the progress file of `run`."""

    run: Storage
    console: Console

    def follow(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        shown: StageProgress | None = None
        first, told = 0, None
        while True:
            ended = stop.wait(LOOK_EVERY)
            said = self._said()
            if said:
                if shown is None:
                    first = said["step"]
                    shown = StageProgress(self.console, "training", said["steps"] - first, "steps").__enter__()
                shown.advance(said["step"] - first - shown.rows)
                told = self._tell(shown, said, told)
            if ended:
                break
        if shown:
            shown.__exit__(None, None, None)

    def _tell(self, shown: StageProgress, said: dict[str, Any], told: Any) -> Any:
        """A line for every new validation; returns the last one told."""
        validated = said.get("validated")
        if validated and validated != told:
            figures = " · ".join(f"{name} {value:.4f}" for name, value in validated["figures"].items())
            best = " (best)" if validated["best"] else ""
            shown.say(f"step {validated['step']:,}{best}: {figures}")
        return validated

    def _said(self) -> dict[str, Any] | None:
        try:
            return self.run.get_json(PROGRESS)
        except (OSError, ValueError):  # not there yet
            return None
