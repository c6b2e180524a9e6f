"""The manifest, typed: every number that a profile file may set, with its default.

Section numbers are those of the domain rules (docs/domain.md). Unknown keys are refused.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sleevegraph.atoms import Direction
from sleevegraph.bars import KNOWN_QUOTES
from sleevegraph.calendar import STEP_DAYS

RISK_PROFILES = ("hrp", "min_variance", "max_sharpe", "risk_parity", "equal_weight", "barbell", "market", "benchmark")
"""The eight recipes, in the order in which they are stored and shown."""

Covariance = Literal["sample", "ledoit_wolf"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")]
Owner = Annotated[str, Field(pattern=r"\S")]
"""A team; Dagster takes none without a name."""
Asset = Annotated[str, Field(pattern=r"^[\p{L}\p{N}][\p{L}\p{M}\p{N}]{0,19}$")]
QuoteAsset = Annotated[str, Field(pattern=r"^[\p{L}\p{N}][\p{L}\p{M}\p{N}]{1,19}$")]
"""Of one letter it would end half of all tickers: such a quote holds only where the exchange names the pair."""

DEFAULT_FEATURE_WEIGHTS = {
    "momentum": 1.75,
    "efficiency": 1.53,
    "adx": 1.0,
    "rating": 1.0,
    "cvar": 1.0,
    "antifragility": 0.63,
    "skew": 0.5,
    "kurtosis": 0.5,
    "hurst": 0.35,
    "liquidity": 0.29,
    "stability": 0.05,
    "entropy": 0.03,
}


class Rules(BaseModel):
    """Frozen, and strict about unknown keys: a misspelt key must not become a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UniverseRules(Rules):
    """Section 3: who may be held at all."""

    min_days_floor: int = Field(252, ge=2)
    lookback_days: int = Field(500, ge=2)
    train_days: int = Field(252, ge=30)
    liquidity_days: int = Field(30, ge=1)
    liquidity_floor: float = Field(1_000_000.0, ge=0)
    quotes: tuple[str, ...] = Field(("USDT",), min_length=1)
    max_return: float = Field(5.0, gt=0)
    max_missing_share: Share = 0.10
    min_annual_volatility: float = Field(0.02, ge=0)
    """Below it a symbol is pegged, whatever its name says."""
    excluded_bases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Category (stable, fiat, wrapped, leveraged …) to base assets."""


class CompletenessRules(Rules):
    """What `bars_complete` asks of the market as a whole."""

    min_fresh_share: Share = 0.80
    """Of the symbols that traded in the ten days before P, how many must have a bar on P-1."""
    max_defect_share: Share = 0.05
    """Of the symbols of the window that ends at P-1, how many may lack a file, or have bars that another source
    contradicts: one symbol never blocks, a source gone wrong does."""


class AutomationRules(Rules):
    """When the daemon goes on by itself; no part of what is decided."""

    bars_deadline_hours: float = Field(48.0, ge=0)
    """After a rebalance date is over, and bars up to P-1 are there, how long to wait for those that are missing or broken.
    Then the rebalance runs all the same: its gate judges, blocks it, and what was certified last stays in force."""


class Rename(Rules):
    """One coin's change of name: `old` until the day before `since`, the first day of bars as `new`."""

    old: Asset
    new: Asset
    since: date


class SymbolRules(Rules):
    """How a ticker is read: quote assets, and who was called what when."""

    quotes: tuple[QuoteAsset, ...] = Field(KNOWN_QUOTES, min_length=1)
    """Beside those that the exchange itself names."""
    renames: tuple[Rename, ...] = ()
    """Each name leaves once and arrives once, and the dates along a chain ascend: a ticker that another coin took
    over (LUNA) is no rename, a merger (AGIX and OCEAN into FET) is none either."""

    @model_validator(mode="after")
    def _one_history_per_coin(self) -> "SymbolRules":
        _require_distinct("quotes", self.quotes)
        _require_distinct("renames.old", (rename.old for rename in self.renames))
        _require_distinct("renames.new", (rename.new for rename in self.renames))
        arrived = {rename.new: rename for rename in self.renames}
        for rename in self.renames:
            before = arrived.get(rename.old)
            if rename.old == rename.new or (before is not None and before.since >= rename.since):
                since = rename.since if before is None else before.since
                raise ValueError(
                    f"renames: expected {rename.old} to become {rename.new} after it got its own name, found {since} "
                    f"and {rename.since}; a coin does not return to a name"
                )
        return self


def _require_distinct(key: str, names: Iterable[str]) -> None:
    listed = list(names)
    repeated = sorted({name for name in listed if listed.count(name) > 1})
    if repeated:
        raise ValueError(f"{key}: expected each name once, found {repeated} more than once")


class SelectionRules(Rules):
    """Section 5: from candidates to winners."""

    train_days: int = Field(252, ge=30)
    limit: int = Field(100, ge=1)
    feature_weights: dict[str, float] = Field(default_factory=lambda: dict(DEFAULT_FEATURE_WEIGHTS))
    """Overrides by key: what a file leaves out keeps its default."""
    entropy_max_threshold: float = Field(0.999, gt=0, le=1)
    efficiency_min_threshold: float = Field(0.05, ge=0)
    kurtosis_max_threshold: float = 20.0
    volatility_max_threshold: float = Field(2.5, gt=0)
    hurst_centre: float = Field(0.58, gt=0, lt=1)
    """Mean R/S Hurst exponent of white noise over `train_days` bars (0.57 at 500, 0.59 at 120)."""
    cluster_lookbacks: tuple[int, ...] = Field((60, 120, 200), min_length=1)
    cluster_threshold: float = Field(0.45, gt=0)
    max_clusters: int = Field(25, ge=1)
    top_n: int = Field(15, ge=1)
    min_winners: int = Field(15, ge=1)
    max_winners: int = Field(25, ge=1)
    sparse_below: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _known_features(self) -> "SelectionRules":
        unknown = sorted(set(self.feature_weights) - set(DEFAULT_FEATURE_WEIGHTS))
        if unknown:
            raise ValueError(f"feature_weights: expected keys among {sorted(DEFAULT_FEATURE_WEIGHTS)}, found {unknown}")
        if self.min_winners > self.max_winners:
            raise ValueError(f"min_winners: expected at most max_winners {self.max_winners}, found {self.min_winners}")
        for key, value in DEFAULT_FEATURE_WEIGHTS.items():
            self.feature_weights.setdefault(key, value)
        return self


class RiskRules(Rules):
    """Section 7: how weights are solved."""

    engines: tuple[Name, ...] = Field(("native", "skfolio", "riskfolio"), min_length=1)
    engine_of_record: Name = "native"
    """Whose weights are traded."""
    covariance: Covariance = "ledoit_wolf"
    cluster_cap: float = Field(0.25, gt=0, le=1)
    """Per-asset cap; max(cluster_cap, 1/n) is applied."""
    max_cluster_weight: float | None = Field(None, gt=0, le=1)
    """Cap on the winners of one correlation cluster together; none by default."""
    turnover_limit: float | None = Field(None, gt=0, le=2)
    """Largest sum of |weight - previous weight| over the assets at one rebalance; none by default."""
    time_limit_seconds: float = Field(30.0, gt=0)
    """Of one solve; one that takes longer has failed."""
    max_failure_share: Share = 0.25
    """Of the cells of the last `failure_windows` rebalances; more blocks the sleeve."""
    failure_windows: int = Field(24, ge=1)

    @model_validator(mode="after")
    def _engine_of_record_solves(self) -> "RiskRules":
        repeated = sorted({engine for engine in self.engines if self.engines.count(engine) > 1})
        if repeated:
            raise ValueError(f"engines: expected each engine once, found {repeated} more than once")
        if self.engine_of_record not in self.engines:
            raise ValueError(
                f"engine_of_record: expected one of engines {list(self.engines)}, found {self.engine_of_record!r}"
            )
        return self


class LedgerRules(Rules):
    """Section 8: what trading costs."""

    slippage: float = Field(0.001, ge=0)
    commission: float = Field(0.0004, ge=0)
    borrow: float = Field(0.02, ge=0)

    @property
    def cost(self) -> float:
        """Cost of one unit of turnover."""
        return self.slippage + self.commission


class SignalRules(Rules):
    """Scores of a logic's own in place of a rating: what computes them, or where they stand."""

    function: str | None = Field(None, min_length=1)
    """`package.module:function`, `file.py:function` beside the profile, or an entry point of group `sleevegraph.signals`."""
    scores: str | None = Field(None, min_length=1)
    """A Parquet or CSV file of (date, symbol, score), absolute or beside the profile."""
    parameters: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Keyword arguments of the function."""
    max_age_days: int = Field(STEP_DAYS, ge=1)
    """Scores of a file that are older than so many days before P are no scores for P."""

    @model_validator(mode="after")
    def _one_source(self) -> "SignalRules":
        given = [key for key in ("function", "scores") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of function and scores, found {given or 'neither'}")
        if self.scores is not None and self.parameters:
            raise ValueError("parameters: expected none beside scores, whose file has no use for them")
        return self


class SleeveProfile(Rules):
    """One logic in one direction: one file, or one of a family's."""

    name: Name
    logic: Name
    """Names the atoms; the four rating sleeves use `rating_all` and `rating_ma`."""
    rating: Literal["recommend_all", "recommend_ma", "recommend_other"] | None = None
    signal: SignalRules | None = None
    """In place of a rating. Sleeves of one logic share one signal."""
    direction: Direction
    owner: Owner = "portfolio"
    quotes: tuple[QuoteAsset, ...] = ()
    """Only symbols quoted in these; those of the market when empty."""
    selection: SelectionRules = Field(default_factory=SelectionRules)
    risk: RiskRules = Field(default_factory=RiskRules)
    ledger: LedgerRules = Field(default_factory=LedgerRules)

    @model_validator(mode="after")
    def _one_score(self) -> "SleeveProfile":
        if (self.rating is None) == (self.signal is None):
            found = "neither" if self.rating is None else "both"
            raise ValueError(f"rating: expected either a rating or a signal, found {found}")
        return self

    @property
    def scored_by(self) -> str:
        """What says who speaks for or against a symbol, in words."""
        return self.rating or f"signal {self.logic}"


class TradingRules(Rules):
    """From target weights to a trade list."""

    equity: float = Field(100_000.0, gt=0)
    """Of the book that the stored trade list is for, in the market's `currency`."""
    short_policy: Literal["margin", "perpetual", "drop"] = "margin"
    """Spot cannot be short: borrow on margin, sell the perpetual, or leave the short out."""
    participation_warn: Share = 0.01
    """Of a symbol's median daily quote volume of 30 days; a trade above it is named."""
    participation_cap: Share = 0.05
    """A trade is clipped to it."""
    quantity_step: float = Field(1e-8, gt=0)
    """Where the exchange's own step is not known."""
    min_notional: float = Field(5.0, ge=0)
    """Where the exchange's own is not known; in the market's `currency`."""

    @model_validator(mode="after")
    def _warns_before_it_clips(self) -> "TradingRules":
        if self.participation_warn > self.participation_cap:
            raise ValueError(
                f"participation_warn: expected at most participation_cap {self.participation_cap:g}, "
                f"found {self.participation_warn:g}"
            )
        return self


class MetaProfile(Rules):
    """A portfolio whose assets are sleeves or other metas: one file."""

    name: Name
    children: tuple[Name, ...] = Field(min_length=2)
    weight_min: float = Field(ge=0, le=1)
    weight_max: float = Field(gt=0, le=1)
    owner: Owner = "portfolio"
    covariance: Covariance = "ledoit_wolf"
    lookback_windows: int = Field(24, ge=1)
    min_history_windows: int = Field(3, ge=1)
    max_rows_lost: Share = 0.20
    concentration_warn: Share = 0.25
    concentration_block: Share = 0.40
    ledger: LedgerRules = Field(default_factory=LedgerRules)
    parity_exceptions: dict[str, str] = Field(default_factory=dict)
    """Dotted key of a parameter in which the children may differ, and why."""
    trading: TradingRules = Field(default_factory=TradingRules)


class MarketProfile(Rules):
    """What all sleeves share: the universe, completeness and the benchmark."""

    exchange: str = "BINANCE"
    benchmark_symbols: tuple[str, ...] = Field(("BINANCE:BTCUSDT",), min_length=1)
    universe: UniverseRules = Field(default_factory=UniverseRules)
    completeness: CompletenessRules = Field(default_factory=CompletenessRules)
    symbols: SymbolRules = Field(default_factory=SymbolRules)
    automation: AutomationRules = Field(default_factory=AutomationRules)

    @property
    def currency(self) -> str:
        """What equity, costs and sums are counted in, whatever the quotes of the symbols: the first of `universe.quotes`."""
        return self.universe.quotes[0]


class Family(Rules):
    """Sleeves that one file expands to."""

    name: Name
    sleeves: tuple[Name, ...]


class Manifest(Rules):
    """Everything that decides: one market, sleeves and metas in dependency order."""

    market: MarketProfile
    sleeves: tuple[SleeveProfile, ...]
    metas: tuple[MetaProfile, ...]
    """Children before parents."""
    families: tuple[Family, ...] = ()
    """Their sleeves are among `sleeves`."""
