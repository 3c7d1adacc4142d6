"""Energy is attributable: watts per core times CPU-seconds, measured where RAPL can be read, modelled elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from kartoteka import energy
from kartoteka.energy import EnergyMeter, watts_per_core


def _package(powercap: Path, number: int, microjoules: int, name: str = "package") -> Path:
    zone = powercap / f"intel-rapl:{number}"
    zone.mkdir(exist_ok=True)
    (zone / "name").write_text(f"{name}-{number}\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text("1000000000\n")
    return zone


def _work() -> None:
    """Keep a core busy until the machine's own clock of busy time has moved."""
    start = psutil.cpu_times().user
    while psutil.cpu_times().user < start + 0.02:
        sum(range(10_000))


def test_without_rapl_the_cpu_model_prices_a_core_second(tmp_path: Path) -> None:
    with EnergyMeter(tmp_path) as meter:
        pass
    watts, how = watts_per_core()
    assert 0 < watts <= energy.PLAUSIBLE_CPU_WATTS
    spent = meter.energy(cpu_seconds=7200)
    assert spent.wh == pytest.approx(2 * watts)
    assert how in spent.how
    assert "codecarbon" in spent.how


def test_rapl_joules_are_shared_out_by_cpu_time(tmp_path: Path) -> None:
    _package(tmp_path, 0, 5_000_000)
    _package(tmp_path, 1, 7_000_000, name="psys")  # the whole platform holds the package already
    with EnergyMeter(tmp_path) as meter:
        before = energy._busy_seconds()
        _work()
        _package(tmp_path, 0, 11_000_000)
        _package(tmp_path, 1, 99_000_000, name="psys")
        busy = energy._busy_seconds() - before
    spent = meter.energy(cpu_seconds=10)
    assert "RAPL" in spent.how
    assert 0 < spent.wh <= 6 / busy * 10 / 3600  # 6 J over at least the CPU time between the two readings inside
    assert meter.energy(cpu_seconds=20).wh == pytest.approx(2 * spent.wh)


def test_a_wrapped_counter_still_counts_forward(tmp_path: Path) -> None:
    zone = _package(tmp_path, 0, 0)
    assert energy._counted(zone, before=999_000_000, after=4_000_000) == 5_000_000


def test_unreadable_rapl_is_no_rapl(tmp_path: Path) -> None:
    zone = _package(tmp_path, 0, 1)
    (zone / "energy_uj").unlink()
    assert energy._package_counters(tmp_path) == {}


def test_metering_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    watts_per_core.cache_clear()
    with EnergyMeter() as meter:
        pass
    meter.energy(1.0)
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")
