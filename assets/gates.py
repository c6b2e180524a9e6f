"""Which checks gate which assets: the one list that assets, checks, commands and the board of certificates share."""

from assets.keys import UNIVERSE, signal_path, stage
from assets.partitioned import rules_of
from resources.receipts import Gate
from sleevegraph.manifest import Manifest, MarketProfile, MetaProfile, SleeveProfile
from sleevegraph.meta_book import subtree
from sleevegraph.parity import parameters

CONSERVATION, SIGN_TEST, AUDIT_CHECK = "conservation", "directional_sign_test", "audit_verified"


def bars_gates(market: MarketProfile) -> list[Gate]:
    """Of the universe, before anything may be decided on the market's bars."""
    return [Gate(UNIVERSE, "bars_complete", rules_of(market, "completeness"))]


def signal_gates(sleeve: SleeveProfile) -> list[Gate]:
    """Of the scores of the sleeve's own signal, before it may choose by them; none where it chooses by a rating."""
    if sleeve.signal is None:
        return []
    return [Gate(signal_path(sleeve.logic), "look_ahead", rules_of(sleeve, "signal"))]


def streams_gates(sleeve: SleeveProfile) -> list[Gate]:
    """Of the synthetic streams, before solvers may see them."""
    return [Gate(stage(sleeve.name, "synthetic_returns"), SIGN_TEST, rules_of(sleeve, "quotes"))]


def cells_gates(sleeve: SleeveProfile) -> list[Gate]:
    """Of the solver cells, before they may become weights."""
    rules = rules_of(sleeve.risk, "engines", "engine_of_record", "max_failure_share", "failure_windows")
    return [Gate(stage(sleeve.name, "solver_cells"), "solver_failure_rate", rules)]


def weights_gates(sleeve: SleeveProfile) -> list[Gate]:
    """Of the weights, before anybody may hold them."""
    path = stage(sleeve.name, "risk_weights")
    sanity = rules_of(sleeve.risk, "engines", "engine_of_record", "cluster_cap", "max_cluster_weight")
    return [Gate(path, SIGN_TEST, rules_of(sleeve, "quotes")), Gate(path, "weight_sanity", sanity)]


def record_gates(portfolio: str, *, meta: bool) -> list[Gate]:
    """Of a track record, before anybody may weigh by it or continue it."""
    return [Gate(stage(portfolio, "meta_track_record" if meta else "track_record"), "ledger_identities")]


def children_gates(meta: MetaProfile, manifest: Manifest) -> list[Gate]:
    """Of a meta's child weights, before anybody may hold them."""
    rules = rules_of(meta, "children", "weight_min", "weight_max")
    return [Gate(stage(meta.name, "meta_weights"), "child_weights", rules), parity_gate(meta, manifest)]


def parity_gate(meta: MetaProfile, manifest: Manifest) -> Gate:
    """Of the parameters of everybody below a meta, which are its rules: another cost makes the verdict stale."""
    rules = {**rules_of(meta, "parity_exceptions"), "parameters": parameters(meta, manifest)}
    return Gate(stage(meta.name, "meta_weights"), "parameter_parity", rules)


def flat_gates(meta: MetaProfile) -> list[Gate]:
    """Of the flattened weights, before anybody may trade them."""
    path = stage(meta.name, "flattened_weights")
    return [
        Gate(path, CONSERVATION),
        Gate(path, "concentration", rules_of(meta, "concentration_warn", "concentration_block")),
    ]


def trade_gates(meta: MetaProfile, market: MarketProfile) -> list[Gate]:
    """Of a trade list: a broken one must not be traded. No certificate rests on it."""
    rules = {**rules_of(meta, "trading", "ledger.slippage", "ledger.commission"), "currency": market.currency}
    return [Gate(stage(meta.name, "trade_list"), "trade_list_reconciles", rules)]


def deciding_gates(sleeve: SleeveProfile, market: MarketProfile) -> list[Gate]:
    """All that stands between the bars and a sleeve's weights, in the order of the graph."""
    return [
        *bars_gates(market),
        *signal_gates(sleeve),
        *streams_gates(sleeve),
        *cells_gates(sleeve),
        *weights_gates(sleeve),
    ]


def sleeve_gates(sleeve: SleeveProfile, market: MarketProfile) -> list[Gate]:
    """Every check of a sleeve's assets and of the market below, warnings included, in the order of the graph."""
    cells, metrics = stage(sleeve.name, "solver_cells"), stage(sleeve.name, "sleeve_metrics")
    return [
        *bars_gates(market),
        *signal_gates(sleeve),
        *streams_gates(sleeve),
        *cells_gates(sleeve),
        *(Gate(cells, check, blocking=False) for check in ("engine_agreement", "profile_convergence")),
        *weights_gates(sleeve),
        *record_gates(sleeve.name, meta=False),
        *(Gate(metrics, check, blocking=False) for check in ("extreme_metrics", "benchmark_beta")),
    ]


def meta_gates(meta: MetaProfile, manifest: Manifest) -> list[Gate]:
    """Every check of a meta's own assets, and of the market's bars."""
    return [
        *bars_gates(manifest.market),
        *children_gates(meta, manifest),
        *record_gates(meta.name, meta=True),
        *flat_gates(meta),
        Gate(stage(meta.name, "meta_metrics"), "extreme_metrics", blocking=False),
    ]


def audit_gates(portfolio: str) -> list[Gate]:
    """Of an audit bundle, before a certificate of it may stand on the board."""
    return [Gate(stage(portfolio, "audit_bundle"), AUDIT_CHECK)]


def gates_of(portfolio: str, manifest: Manifest) -> list[Gate]:
    """Every check that a certificate of a sleeve or meta rests on, a meta's children first, each once."""
    metas = {meta.name: meta for meta in manifest.metas}
    if portfolio not in metas:
        sleeve = next(sleeve for sleeve in manifest.sleeves if sleeve.name == portfolio)
        return sleeve_gates(sleeve, manifest.market)
    nodes = subtree(metas[portfolio], manifest.metas)
    below = {child for node in nodes for child in node.children}
    gates = [
        gate for sleeve in manifest.sleeves if sleeve.name in below for gate in sleeve_gates(sleeve, manifest.market)
    ]
    gates += [gate for node in reversed(nodes) for gate in meta_gates(node, manifest)]
    return list({(gate.path, gate.check): gate for gate in gates}.values())


def all_gates(manifest: Manifest) -> list[Gate]:
    """Every check of the graph that is partitioned by rebalance, each once."""
    names = [portfolio.name for portfolio in (*manifest.sleeves, *manifest.metas)]
    gates = [gate for name in names for gate in (*gates_of(name, manifest), *audit_gates(name))]
    gates += [gate for meta in manifest.metas for gate in trade_gates(meta, manifest.market)]
    return list({(gate.path, gate.check): gate for gate in gates}.values())
