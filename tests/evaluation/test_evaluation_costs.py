"""Time, energy, CO2e and cost, by the arithmetic that the notes state."""

from __future__ import annotations

import orjson
import pytest
from typer.testing import CliRunner

from jobs.evaluate import app
from kartoteka.edition import FORMAT
from kartoteka.evaluation.costs import Cost, PriceSettings, carbon_intensity, cost_table, notes, read_costs
from kartoteka.storage import Storage

STAGES = [
    {"name": "read", "rows_in": 100, "seconds": 2.0, "cpu_seconds": 1.0, "energy_wh": 0.5, "energy_how": "measured"},
    {"name": "embed", "rows_in": 80, "seconds": 50.0, "cpu_seconds": 99.0, "energy_wh": 9.5, "energy_how": "measured"},
]
TRAINED = {
    "state": "finished", "task": {"name": "generator"}, "seconds": 7200.0, "cpu_seconds": 3600.0, "energy_wh": 250.0,
    "energy_how": "modelled", "workers": 2, "device": "gpu",
}  # fmt: skip
PRICES = PriceSettings(currency="XYZ", kwh=2.0, cpu_hour=3.0, gpu_hour=10.0, country="FRA")


@pytest.fixture
def sources(tmp_path) -> tuple[str, str, str]:
    """An edition, a training run, what predictions cost."""
    Storage(tmp_path / "edition").put_json("manifest.json", {"format": FORMAT, "stages": STAGES, "files": {}})
    Storage(tmp_path / "run").put_json("run.json", TRAINED)
    about = {"name": "generate", "documents": 50, "seconds": 5.0, "cpu_seconds": 4.0, "energy_wh": 1.0, "device": "cpu"}
    Storage(tmp_path).put_json("p.run.json", about)
    return str(tmp_path / "edition"), str(tmp_path / "run"), str(tmp_path / "p.run.json")


def test_what_each_source_says(sources):
    read, embed = read_costs(sources[0])
    assert read == Cost(sources[0], "read", 100, 2.0, 1.0, None, 0.5, "measured")
    assert (embed.stage, embed.rows) == ("embed", 80)
    (trained,) = read_costs(sources[1])
    assert (trained.stage, trained.rows, trained.gpu_seconds) == ("train generator", None, 14_400.0)
    (generated,) = read_costs(sources[2])
    assert (generated.stage, generated.rows, generated.gpu_seconds) == ("generate", 50, 0.0)


def test_the_arithmetic(sources):
    costs = [cost for source in sources for cost in read_costs(source)]
    table = cost_table(costs, PRICES)
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(rows) == ["read", "embed", "all stages", "train generator", "generate"]
    trained = rows["train generator"]
    assert trained["CPU h"] == "1.00"
    assert trained["GPU h"] == "4.00"
    assert trained["electricity, XYZ"] == "0.500"
    assert trained["rent, XYZ"] == "43.0"
    assert trained["CO2e, g"] == f"{carbon_intensity('FRA')[0] / 4:.1f}"
    assert trained["ms a row"] == "–"
    whole = rows["all stages"]
    assert (whole["rows"], whole["energy, Wh"], whole["mWh a row"], whole["time"]) == ("100", "10.0", "100", "52.0 s")
    assert whole["GPU h"] == "–"
    assert rows["generate"]["ms a row"] == "100"


def test_every_convention_is_stated(sources):
    costs = [cost for source in sources for cost in read_costs(source)]
    said = "\n".join(notes(costs, PRICES))
    assert "2 XYZ per kWh; to rent, 3 per CPU-hour and 10 per GPU-hour" in said
    assert f"{carbon_intensity('FRA')[0]:.0f} g per kWh (FRA" in said
    assert "energy: measured; processors only" in said
    assert "energy of accelerators is not in these figures" in said
    assert "some run side by side" in said
    alone = "\n".join(notes(read_costs(sources[2]), PriceSettings()))
    assert "475 g per kWh (world average" in alone
    assert "accelerators" not in alone


def test_the_command_prints_them(sources, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "CHF"\nkwh = 1.0\ncountry = "CHE"\n')
    result = CliRunner().invoke(app, ["costs", *sources, "--prices", str(prices)])
    assert result.exit_code == 0, result.output
    assert "stated prices: 1 CHF per kWh" in result.output
    assert "train generator" in result.output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", b"[1]", "does not say what work cost"),
        ("x.json", b"{", "not JSON"),
        ("x.json", orjson.dumps({"seconds": 1.0, "cpu_seconds": True, "energy_wh": 1.0}), "lacks `seconds`"),
        ("x.json", orjson.dumps({"stages": [{"name": "read"}]}), "lacks `seconds`"),
        ("x.json", orjson.dumps(TRAINED | {"state": "running"}), "has not ended"),
        ("y.json", b"{}", "x.json has no x.json"),
    ],
)
def test_files_that_say_nothing_of_cost(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    result = CliRunner().invoke(app, ["costs", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    assert message in result.stderr


def test_prices_that_cannot_be(sources, tmp_path):
    for text, message in (('country = "ATL"', "no figure for `ATL`"), ("kwh = -1.0", "`kwh`"), ("gas = 1", "`gas`")):
        (tmp_path / "prices.toml").write_text(text)
        result = CliRunner().invoke(app, ["costs", sources[0], "--prices", str(tmp_path / "prices.toml")])
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_folder_without_either(tmp_path):
    with pytest.raises(ValueError, match=r"has no manifest\.json and no run\.json"):
        read_costs(str(tmp_path))
