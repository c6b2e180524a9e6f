"""Section 5: score, vetoes and the Selection Scarcity Protocol: from candidates to winners."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import rankdata

from sleevegraph.atoms import sign_of
from sleevegraph.clusters import Labels, cluster
from sleevegraph.features import features as measure
from sleevegraph.features import require_features
from sleevegraph.manifest import SelectionRules, SleeveProfile
from sleevegraph.panel import Floats, Panel
from sleevegraph.synthesis import synthesise
from sleevegraph.vetoes import veto_report, vetoes_of

DESCENDING = frozenset({"entropy", "skew", "kurtosis"})
"""Features of which less is better."""

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "score": pl.Float64(),
        "cluster": pl.Int64(),
        "vetoes": pl.List(pl.String()),
        "winner": pl.Boolean(),
        "stage": pl.Int64(),
        "reason": pl.String(),
        "rank": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Who was selected, why, and whether the vetoes did their work."""

    table: pl.DataFrame
    """[symbol, score, cluster, vetoes, winner, stage, reason, rank], best score first; `rank` is by score,
    `vetoes` names the rules that fire at the thresholds of the manifest, `stage` is null unless a winner."""
    stage: int
    """The last stage of the protocol that ran, 1-4."""
    sparse: bool
    """Too few winners: there is none, and the sleeve holds cash."""
    vetoes: pl.DataFrame
    """What `sleevegraph.vetoes.veto_report` says of the candidates that are not benchmark symbols."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One candidate; `strict` and `relaxed` are the vetoes that fire in stage 1 and from stage 2 on."""

    symbol: str
    score: float
    cluster: int
    vetoes: list[str]
    strict: list[str]
    relaxed: list[str]


def select_winners(
    known: Panel, candidates: pl.DataFrame, sleeve: SleeveProfile, benchmark_symbols: Collection[str]
) -> Selection:
    """Measure, cluster and select the kept candidates of one sleeve.

    Parameters
    ----------
    known
        `panel.before(P)`.
    candidates
        What `sleevegraph.candidates.candidates` returned for P.
    sleeve
        Says the direction and the rules.
    benchmark_symbols
        Symbols that are never vetoed.

    Raises
    ------
    MissingFeatureError
        When a feature or a correlation of a candidate cannot be measured.
    """
    rules = sleeve.selection
    kept = candidates.filter("kept")
    symbols = tuple(kept["symbol"])
    stream = synthesise(known.select(symbols).last(rules.train_days).returns, sleeve.direction)
    measured = measure(
        stream,
        symbols,
        rating=sign_of(sleeve.direction) * kept["rating"].to_numpy(),
        liquidity=kept["median_quote_volume"].to_numpy(),
        hurst_centre=rules.hurst_centre,
    )
    labels = cluster(stream, rules.cluster_lookbacks, rules.cluster_threshold, rules.max_clusters)
    return select(measured, labels, rules, benchmark_symbols)


def select(
    features: pl.DataFrame, clusters: Labels, rules: SelectionRules, benchmark_symbols: Collection[str]
) -> Selection:
    """Score and veto the candidates, then run the protocol until there are `min_winners`.

    Parameters
    ----------
    features
        `symbol` and every column that a weight or a veto needs, one row per candidate.
    clusters
        (N,) labels, in the order of the rows.
    rules
        Weights, thresholds and sizes; `train_days` decides which thresholds can be reached.
    benchmark_symbols
        Symbols that are never vetoed.

    Raises
    ------
    MissingFeatureError
        When a needed column is absent or unknown for a candidate.
    """
    vetoes = vetoes_of(rules)
    require_features(features, [*rules.feature_weights, *(veto.column for veto in vetoes)])
    members = _members(features, clusters, rules, benchmark_symbols)
    picks, stage = _protocol(members, rules)
    winners = [m.symbol for m in members if m.symbol in picks][: rules.max_winners]
    sparse = len(winners) < rules.sparse_below
    rows = []
    for rank, member in enumerate(members, 1):
        winner = member.symbol in winners and not sparse
        reason = _reason(member, picks, winners, stage, rules)
        own_stage = picks[member.symbol][0] if winner else None
        rows.append((member.symbol, member.score, member.cluster, member.vetoes, winner, own_stage, reason, rank))
    return Selection(
        table=pl.DataFrame(rows, schema=SCHEMA, orient="row"),
        stage=stage,
        sparse=sparse,
        vetoes=veto_report(vetoes, features.filter(~pl.col("symbol").is_in(list(benchmark_symbols)))),
    )


def score(features: pl.DataFrame, weights: dict[str, float]) -> Floats:
    """Product over features of P ** weight (N,); P maps average ranks linearly to [0.01, 1], better is higher."""
    total = np.ones(features.height)
    for name in sorted(weights):
        values = features[name].to_numpy()
        ranks = rankdata(-values if name in DESCENDING else values)
        total *= (0.01 + 0.99 * (ranks - 1.0) / (len(ranks) - 1) if len(ranks) > 1 else ranks) ** weights[name]
    return total


def _members(
    features: pl.DataFrame, clusters: Labels, rules: SelectionRules, benchmark_symbols: Collection[str]
) -> list[_Member]:
    """Candidates, the best score first, then by symbol."""
    strict, relaxed = vetoes_of(rules), vetoes_of(rules, relaxed=True)
    scores = score(features, rules.feature_weights)
    members = []
    for row, value, label in zip(features.iter_rows(named=True), scores.tolist(), clusters.tolist(), strict=True):
        exempt = row["symbol"] in benchmark_symbols
        fired, still = ([v for v in vs if not exempt and v.fires(row[v.column])] for vs in (strict, relaxed))
        texts = ([v.text(row[v.column]) for v in vs] for vs in (fired, still))
        members.append(_Member(row["symbol"], value, label, [v.rule for v in fired], *texts))
    return sorted(members, key=lambda m: (-m.score, m.symbol))


def _protocol(members: list[_Member], rules: SelectionRules) -> tuple[dict[str, tuple[int, str]], int]:
    """Run the stages one on top of the other until there are enough; return (stage, reason) by symbol."""
    picks: dict[str, tuple[int, str]] = {}
    unvetoed = [m for m in members if not m.relaxed]
    _take_best(picks, 1, [m for m in members if not m.strict], rules.top_n)
    if len(picks) >= rules.min_winners:
        return picks, 1
    _take_best(picks, 2, unvetoed, rules.top_n)
    if len(picks) >= rules.min_winners:
        return picks, 2
    alive = {m.cluster for m in unvetoed}
    for member in members:
        if member.cluster not in alive:
            alive.add(member.cluster)
            picks[member.symbol] = 3, f"stage 3: best of cluster {member.cluster}, which had no survivor"
    if len(picks) >= rules.min_winners:
        return picks, 3
    spare = [m for m in unvetoed if m.symbol not in picks][: rules.min_winners - len(picks)]
    picks |= {m.symbol: (4, "stage 4: next best score of those not vetoed") for m in spare}
    return picks, 4


def _take_best(picks: dict[str, tuple[int, str]], stage: int, survivors: list[_Member], top_n: int) -> None:
    """Fill each cluster with its best survivors up to `top_n`; who is in stays in."""
    size = Counter(m.cluster for m in survivors if m.symbol in picks)
    position: Counter[int] = Counter()
    for member in survivors:
        position[member.cluster] += 1
        if member.symbol not in picks and size[member.cluster] < top_n:
            size[member.cluster] += 1
            reason = f"stage {stage}: rank {position[member.cluster]} of cluster {member.cluster}"
            picks[member.symbol] = stage, reason


def _reason(
    member: _Member, picks: dict[str, tuple[int, str]], winners: list[str], stage: int, rules: SelectionRules
) -> str:
    if member.symbol in winners:
        if len(winners) < rules.sparse_below:
            return f"sparse: {len(winners)} winners, expected at least {rules.sparse_below}"
        return picks[member.symbol][1]
    if member.symbol in picks:
        return "beyond max_winners"
    fired = member.strict if stage == 1 else member.relaxed
    return f"vetoed: {'; '.join(fired)}" if fired else f"beyond top_n of cluster {member.cluster}"
