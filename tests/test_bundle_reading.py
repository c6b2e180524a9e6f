"""A bundle is read by pandas with pyarrow and by plain json, with no code of ours."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date

from sleevegraph.simulated_market import simulated_bars
from tests.homes import SHORT, TemporaryHome

AT = "2023-12-01"
MARKET = (("corroboration",), ("universe",), ("technical_ratings",))
OWN = ("candidates", "winners", "synthetic_returns", "solver_cells", "risk_weights", "track_record", "sleeve_metrics")
CHECKS = {
    "synthetic_returns": ["directional_sign_test"],
    "solver_cells": ["solver_failure_rate", "engine_agreement", "profile_convergence"],
    "risk_weights": ["directional_sign_test", "weight_sanity"],
    "track_record": ["ledger_identities"],
    "sleeve_metrics": ["extreme_metrics", "benchmark_beta"],
}

READER = r"""
import hashlib, json, pathlib, sys
import pandas as pd

run = pathlib.Path("runs/binance_spot_rating_all_short-20231201")
raw = pd.read_parquet(run / "data/returns_matrix.parquet", engine="pyarrow")
synthetic = pd.read_parquet(run / "data/synthetic_returns.parquet", engine="pyarrow")
assert raw.columns[0] == synthetic.columns[0] == "date"
assert (raw["date"] == synthetic["date"]).all() and str(raw["date"].iloc[-1])[:10] == "2023-11-30"
assert len(raw) == 252 and raw.shape == synthetic.shape
assert list(synthetic.columns[1:]) == [f"{symbol}_rating_all_SHORT" for symbol in raw.columns[1:]]
for symbol, atom in zip(raw.columns[1:], synthetic.columns[1:]):
    assert synthetic[atom].equals((-raw[symbol].clip(upper=1.0)).rename(atom))

def profiles(name):
    return json.loads((run / "data" / name).read_text())["profiles"]

solved, physical = profiles("portfolio_optimized_v2.json"), profiles("portfolio_flattened.json")
assert sorted(solved) == sorted(physical) and len(solved) == 8
keys = {"Symbol", "Weight", "Net_Weight", "Direction", "Cluster_ID"}
for name in solved:
    assets, images = (pd.DataFrame(found[name]["assets"]) for found in (solved, physical))
    assert set(assets.columns) == set(images.columns) == keys and len(assets) == len(images) > 0
    assert abs(assets["Weight"].sum() - 1.0) < 1e-9
    assert (assets["Direction"] == "LONG").all() and (assets["Net_Weight"] == assets["Weight"]).all()
    assert (images["Direction"] == "SHORT").all() and (images["Net_Weight"] == -images["Weight"]).all()
    assert set(assets["Symbol"]) == {f"{symbol}_rating_all_SHORT" for symbol in images["Symbol"]}
    assert (assets["Weight"].to_numpy() == images["Weight"].to_numpy()).all()

for name in ("directional_sign_test_pre_opt.json", "directional_sign_test.json"):
    assert json.loads((run / "data" / name).read_text()) == {"errors": 0, "warnings": 0, "findings": []}

manifest = json.loads((run / "config/resolved_manifest.json").read_text())
assert manifest["run_id"] == run.name and manifest["manifest"]["sleeves"][0]["selection"]["train_days"] == 252

before = "0" * 64
for line in (run / "audit.jsonl").read_text().splitlines():
    record = json.loads(line)
    claimed = record.pop("hash")
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    assert record["prev_hash"] == before and hashlib.sha256(text.encode()).hexdigest() == claimed
    before = claimed
    if record["event"] == "output":
        assert hashlib.sha256((run / record["file"]).read_bytes()).hexdigest() == record["sha256"]
assert record["event"] == "end" and record["standing"] in ("CERTIFIED", "DEGRADED")

page = (run / "reports/forensic_report.html").read_text()
assert "binance_spot_rating_all_short" in page and "2023-12-01" in page
assert not [name for name in sys.modules if name.partition(".")[0] in ("sleevegraph", "resources", "assets", "commands")]
print("read")
"""


def test_a_sleeves_bundle_is_read_by_pandas_and_json_alone(new_home: Callable[[], TemporaryHome]) -> None:
    home = new_home()
    assert home.ingest(simulated_bars(date(2023, 12, 5), symbols=24)).success
    made = home.run(
        AT,
        assets=[*MARKET, *((SHORT, asset) for asset in (*OWN, "audit_bundle"))],
        checks=[(("universe",), "bars_complete"), *(((SHORT, a), check) for a, cs in CHECKS.items() for check in cs)],
    )
    assert made.success
    # Isolated: neither the folder of the tests nor the environment is on the path.
    read = subprocess.run(
        [sys.executable, "-I", "-c", READER], cwd=home.root, capture_output=True, text=True, check=False
    )
    assert (read.stdout, read.stderr) == ("read\n", "")
