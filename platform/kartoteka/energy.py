"""Energy of a stage of work: watts per busy core times the CPU-seconds the stage used.

On a shared machine a meter for the whole package also counts the neighbours, and stages that run side by side share it,
so a stage is charged by what can be attributed to it: the CPU time of its own processes. Only the price of a
core-second differs with what the machine lets us see, best first:

1. RAPL, where its counters are readable: joules of the packages over the interval, divided by the CPU-seconds that the
   whole machine was busy (idle power is thereby shared out among those who worked);
2. the CPU's thermal design power as codecarbon's offline registry knows it, divided by the hardware threads;
3. codecarbon's constant for a CPU it does not know: 4 W per thread.

codecarbon's own tracker is not run: in a container without RAPL it multiplies the same design power by a sampled
utilisation, of one process (Ray's workers are others) or of the machine (so are the neighbours). Processors only:
neither memory nor accelerators are counted. On a cluster, the price of a core-second is that of the meter's own node.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import psutil

POWERCAP = Path("/sys/class/powercap")
UNKNOWN_CPU_WATTS = (
    4.0  # codecarbon.core.cpu.DEFAULT_POWER_PER_CORE, repeated so that importing this module stays light
)
#: Design power per hardware thread is 2-16 W on CPUs sold as such; more means that we see a slice of a bigger package.
PLAUSIBLE_CPU_WATTS = 20.0


@dataclass(frozen=True, slots=True)
class Energy:
    """`wh` watt-hours, and in words how they were got."""

    wh: float
    how: str


class EnergyMeter:
    """Prices CPU time. `with EnergyMeter() as meter: work()`, then `meter.energy(cpu_seconds)`."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._powercap = powercap
        self._start: tuple[dict[Path, int], float] | None = None
        self._measured: float | None = None

    def __enter__(self) -> Self:
        self._start = _package_counters(self._powercap), _busy_seconds()
        self._measured = None
        return self

    def __exit__(self, *_: object) -> None:
        assert self._start is not None, "left before it was entered"
        before, busy_before = self._start
        after, busy = _package_counters(self._powercap), _busy_seconds() - busy_before
        if before and before.keys() == after.keys() and busy > 0:
            joules = sum(_counted(zone, before[zone], after[zone]) for zone in before) / 1e6
            self._measured = joules / busy

    def energy(self, cpu_seconds: float) -> Energy:
        """Energy of `cpu_seconds` of work, at the rate measured between enter and exit, else at the modelled rate."""
        if self._measured is not None:
            watts, how = self._measured, "RAPL package energy per busy CPU-second"
        else:
            watts, how = watts_per_core()
        return Energy(watts * cpu_seconds / 3600, f"CPU-seconds x {watts:.1f} W ({how})")


@cache
def watts_per_core() -> tuple[float, str]:
    """Modelled watts of one busy hardware thread on this machine, and where the figure is from."""
    import codecarbon.core.cpu  # late: it imports pandas and reads its registry

    logger = logging.getLogger("codecarbon")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns several lines about a CPU that it does not know; `how` says the same
    try:
        cpu = codecarbon.core.cpu.TDP()
    finally:
        logger.setLevel(level)
    threads = psutil.cpu_count() or 1
    model = cpu.model or "unknown CPU"
    watts = (cpu.tdp or 0) / threads
    if watts == UNKNOWN_CPU_WATTS or not 0 < watts <= PLAUSIBLE_CPU_WATTS:
        return UNKNOWN_CPU_WATTS, f"codecarbon's constant for a CPU of unknown power, {model}"
    return watts, f"design power of {model} over {threads} threads, from codecarbon"


def _package_counters(powercap: Path) -> dict[Path, int]:
    """Microjoules counted so far by each CPU package; empty where RAPL is absent or not ours to read."""
    try:
        return {
            zone: int((zone / "energy_uj").read_text())
            for zone in sorted(powercap.glob("intel-rapl:*"))
            if (zone / "name").read_text().startswith("package")
        }
    except OSError:
        return {}


def _counted(zone: Path, before: int, after: int) -> int:
    """Microjoules between two readings; the counter wraps at its stated range (once per hour or so at full power)."""
    if after >= before:
        return after - before
    return after - before + int((zone / "max_energy_range_uj").read_text())


def _busy_seconds() -> float:
    """CPU-seconds this machine's processors have been busy since it started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
