"""What a forger changes in lake, ledger or files, and what `replay` has to name."""

from collections.abc import Callable

import polars as pl

from resources.lake import AssetPath
from tests.bundles import LEDGER, OPTIMISED, PHYSICAL, REPORT, SYNTHETIC, Bundle
from tests.homes import META, SHORT
from tests.planted_audits import moved_consistently
from tests.replays import stage_of, to

STAGES: dict[AssetPath, tuple[str, pl.Expr]] = {
    ("universe",): (SHORT, pl.col("value").fill_null(0.0) + 1.0),
    ("technical_ratings",): (SHORT, pl.col("recommend_all") * 0.5),
    (SHORT, "candidates"): (SHORT, ~pl.col("kept")),
    (SHORT, "winners"): (SHORT, pl.col("score") + 1e-12),
    (SHORT, "synthetic_returns"): (SHORT, pl.col("synthetic") * (1.0 + 2**-52)),
    (SHORT, "solver_cells"): (SHORT, pl.col("objective") * 2.0),
    (SHORT, "risk_weights"): (SHORT, pl.col("weight") * (1.0 + 1e-6)),
    (SHORT, "track_record"): (SHORT, pl.col("ret") + 1e-6),
    (SHORT, "sleeve_metrics"): (SHORT, pl.col("observations") + 1),
    (META, "meta_weights"): (META, pl.col("weight") * (1.0 + 1e-6)),
    (META, "meta_track_record"): (META, pl.col("ret") + 1e-6),
    (META, "flattened_weights"): (META, pl.col("net") * (1.0 + 1e-6)),
    (META, "meta_metrics"): (META, pl.col("observations") + 1),
}
"""By asset a portfolio whose bundle names it, and how a forger changes one column of it."""


def matrix(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Bundle], object]:
    return lambda bundle: bundle.frame(SYNTHETIC, change)


def without_an_asset(bundle: Bundle) -> None:
    bundle.profile(OPTIMISED, "hrp", lambda assets: assets.pop())


FORGED: dict[str, tuple[str, Callable[[Bundle], object], list[str]]] = {
    "a weight moved by a millionth": (SHORT, moved_consistently, [PHYSICAL, OPTIMISED, LEDGER]),
    "an asset left out": (SHORT, without_an_asset, [OPTIMISED]),
    "one return": (SHORT, matrix(lambda frame: frame.with_columns(pl.nth(1) * (1.0 + 2**-52))), [SYNTHETIC]),
    "a page that says something else": (
        SHORT,
        lambda bundle: bundle.files.update({REPORT: bundle.files[REPORT] + b"<p>all is well</p>"}),
        [REPORT],
    ),
    "a file that is missing": (SHORT, lambda bundle: bundle.files.pop(PHYSICAL), [PHYSICAL]),
    "a verdict": (
        SHORT,
        lambda bundle: bundle.ledger("check", to("state", "FAILED"), lambda check: check["check"] == "weight_sanity"),
        [f"check weight_sanity of {SHORT}/risk_weights"],
    ),
    "a verdict that is missing": (
        META,
        lambda bundle: bundle.drop("check", lambda check: check["check"] == "conservation"),
        [f"check conservation of {META}/flattened_weights"],
    ),
    "a symbol that was not dropped": (
        SHORT,
        lambda bundle: bundle.ledger("universe_drops", lambda event: event["drops"].pop()),
        [LEDGER],
    ),
    "a cell that was solved otherwise": (
        SHORT,
        lambda bundle: bundle.ledger("cell", to("status", "fallback")),
        [LEDGER],
    ),
    "a child that stands better": (META, lambda bundle: bundle.ledger("child", to("reasons", ["none"])), [LEDGER]),
    "a standing": (SHORT, lambda bundle: bundle.ledger("end", to("reasons", ["none"])), [LEDGER]),
    "a stage that nobody asked for": (
        META,
        lambda bundle: bundle.ledger("stage", to("asset", "meta_other/meta_weights"), stage_of((META, "meta_weights"))),
        ["meta_other/meta_weights", f"{META}/meta_weights"],
    ),
}
"""By what was forged in a bundle: whose, how, and all that has to be named."""
