"""What work cost: time, energy, CO2 equivalent and money of each stage, every figure with its convention.

Sources: the manifest of an edition (its stages), the `run.json` of a training, the `.run.json` beside predictions.
Energy is what these say (see `kartoteka.energy`: busy CPU time at the processor's power, accelerators and memory not
counted). CO2e is energy times the carbon intensity of a country's electricity, from the table that codecarbon carries
(offline). Money is stated twice, and the two are not to be added: the price of that electricity, for those who own the
machine, and the rent of its processors for the busy time, for those who do not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import Field

from kartoteka.display import duration, quantity
from kartoteka.edition import MANIFEST
from kartoteka.evaluation.report import Table
from kartoteka.settings import Settings
from kartoteka.storage import Storage

RUN = "run.json"


class PriceSettings(Settings):
    """What is charged. The defaults are assumptions, stated with every table; put your own in their place."""

    currency: str = "EUR"
    kwh: float = Field(default=0.20, ge=0)
    """A kilowatt-hour of electricity."""

    cpu_hour: float = Field(default=0.04, ge=0)
    """An hour of one hardware thread, rented."""

    gpu_hour: float = Field(default=2.50, ge=0)
    """An hour of one accelerator, rented."""

    country: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    """Whose electricity: an ISO 3166-1 alpha-3 code, as codecarbon's table has them; none: the world's average."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One stage of one `source`: `seconds` by the clock, busy `cpu_seconds`, `gpu_seconds` held, `energy_wh`.

    `rows` went in (documents; phrases in some stages of an edition) and `gpu_seconds` were held by workers; None where
    the source does not say. `how` the energy was got.
    """

    source: str
    stage: str
    rows: int | None
    seconds: float
    cpu_seconds: float
    gpu_seconds: float | None
    energy_wh: float
    how: str


def read_costs(path: str) -> list[Cost]:
    """The stages of an edition, of a training run, or of predictions: a folder or its JSON file, local or a URI.

    Raises `ValueError`: there is no such file, or it does not say what work cost.
    """
    if path.endswith(".json"):
        folder, _, file = path.rpartition("/")
        storage, names = Storage(folder or "."), [file]
    else:
        storage, names = Storage(path), [MANIFEST, RUN]
    found = next((name for name in names if storage.exists(name)), None)
    if found is None:
        raise ValueError(f"costs: {path} has no {' and no '.join(names)}")
    try:
        about = storage.get_json(found)
    except ValueError as error:
        raise ValueError(f"costs: {path}: not JSON: {error}") from None
    if not isinstance(about, dict):
        raise ValueError(f"costs: {path} does not say what work cost")
    if isinstance(about.get("stages"), list):
        return [_of_stage(path, stage) for stage in about["stages"]]
    if about.get("state") == "running":
        raise ValueError(f"costs: the run in {path} has not ended")
    return [_of_run(path, about)]


def _of_stage(path: str, stage: dict[str, Any]) -> Cost:
    seconds, cpu, energy = _numbers(path, stage)
    how = str(stage.get("energy_how", ""))
    return Cost(path, str(stage.get("name", "?")), stage.get("rows_in"), seconds, cpu, None, energy, how)


def _of_run(path: str, about: dict[str, Any]) -> Cost:
    seconds, cpu, energy = _numbers(path, about)
    task = about.get("task")
    name = f"train {task['name']}" if isinstance(task, dict) and "name" in task else about.get("name", "run")
    gpus = 0 if about.get("device", "cpu") == "cpu" else int(about.get("workers", 1))
    how = str(about.get("energy_how", ""))
    return Cost(path, str(name), about.get("documents"), seconds, cpu, gpus * seconds, energy, how)


def _numbers(path: str, values: Any) -> tuple[float, ...]:
    found = [values.get(name) if isinstance(values, dict) else None for name in ("seconds", "cpu_seconds", "energy_wh")]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in found):
        raise ValueError(f"costs: {path} lacks `seconds`, `cpu_seconds` or `energy_wh`")
    return tuple(map(float, found))


@cache
def carbon_intensity(country: str | None) -> tuple[float, str]:
    """Grams of CO2e per kWh of a country's electricity, and where the figure is from.

    Raises `ValueError` when codecarbon's table lacks the country.
    """
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    table = DataSource()
    if country is None:
        return float(table.get_carbon_intensity_per_source_data()["world_average"]), "world average, codecarbon"
    if country not in table.get_global_energy_mix_data():
        raise ValueError(f"country: codecarbon has no figure for `{country}`")
    logger = logging.getLogger("codecarbon")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        kilograms = Emissions(table).get_country_emissions(Energy(kWh=1.0), GeoMetadata(country))
    finally:
        logger.setLevel(level)
    return 1000 * kilograms, f"{country}, codecarbon"


def notes(costs: Sequence[Cost], prices: PriceSettings) -> Iterator[str]:
    """The conventions of `cost_table`, one line each."""
    grams, source = carbon_intensity(prices.country)
    p = prices
    yield (
        f"stated prices: {p.kwh:g} {p.currency} per kWh; to rent, {p.cpu_hour:g} per CPU-hour and {p.gpu_hour:g} per "
        "GPU-hour; electricity and rent are alternatives, not a sum"
    )
    yield f"CO2e: {grams:.0f} g per kWh ({source})"
    for how in sorted({cost.how for cost in costs if cost.how}):
        yield f"energy: {how}; processors only"
    if any(cost.gpu_seconds for cost in costs):
        yield "energy of accelerators is not in these figures; GPU time is that of the workers that held one"
    yield "time: by the clock, while at least one part of the stage was worked on; CPU: busy time of its processes"
    if any(cost.gpu_seconds is None for cost in costs):
        yield "GPU time of an edition's stages is not recorded, and not in their rent"
    if len({cost.source for cost in costs}) < len(costs):
        yield "all stages: times are added as if one stage came after the other; some run side by side"


def cost_table(costs: Sequence[Cost], prices: PriceSettings) -> Table:
    """A row for each stage; one for the sum of an edition's stages, per row of the first of them, which read them."""
    money = [f"electricity, {prices.currency}", f"rent, {prices.currency}"]
    header = ["stage", "rows", "time", "CPU h", "GPU h", "energy, Wh", "CO2e, g", *money, "ms a row", "mWh a row", "of"]
    rows = []
    for source in dict.fromkeys(cost.source for cost in costs):
        stages = [cost for cost in costs if cost.source == source]
        rows += [_row(cost, prices) for cost in stages]
        if len(stages) > 1:
            sums = (sum(getattr(s, name) for s in stages) for name in ("seconds", "cpu_seconds"))
            energy = sum(s.energy_wh for s in stages)
            rows.append(_row(Cost(source, "all stages", stages[0].rows, *sums, None, energy, ""), prices))
    return Table("Time, energy, CO2e and cost", header, rows)


def _row(cost: Cost, prices: PriceSettings) -> list[str]:
    cpu, kwh, n = cost.cpu_seconds / 3600, cost.energy_wh / 1000, cost.rows
    gpu = None if cost.gpu_seconds is None else cost.gpu_seconds / 3600
    figures = [
        cpu,
        gpu,
        cost.energy_wh,
        kwh * carbon_intensity(prices.country)[0],
        kwh * prices.kwh,
        cpu * prices.cpu_hour + (gpu or 0.0) * prices.gpu_hour,
        1000 * cost.seconds / n if n else None,
        1000 * cost.energy_wh / n if n else None,
    ]
    count = "–" if n is None else f"{n:,}"
    return [cost.stage, count, duration(cost.seconds), *map(quantity, figures), cost.source]
