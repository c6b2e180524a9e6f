"""What a verdict must have been found by: the rules and inputs of its check, and figures that bear it out."""

from collections.abc import Iterator, Mapping

from sleevegraph.audit.contract import Atoms, Check
from sleevegraph.audit.evidence import Evidence
from sleevegraph.calendar import previous
from sleevegraph.manifest import SleeveProfile
from sleevegraph.parity import parity

LOOK_AHEAD, SIGN_TEST = "look_ahead", "directional_sign_test"

RULES: Mapping[str, tuple[str, ...]] = {
    "bars_complete": ("completeness",),
    LOOK_AHEAD: ("signal",),
    SIGN_TEST: ("quotes",),
    "solver_failure_rate": ("engines", "engine_of_record", "max_failure_share", "failure_windows"),
    "weight_sanity": ("engines", "engine_of_record", "cluster_cap", "max_cluster_weight"),
    "child_weights": ("children", "weight_min", "weight_max"),
    "parameter_parity": ("parity_exceptions", "parameters"),
    "concentration": ("concentration_warn", "concentration_block"),
}
"""By check the rules of the manifest that it reads; of all others none."""
_STREAMS, _WEIGHTS = f"synthetic_returns/{SIGN_TEST}", f"risk_weights/{SIGN_TEST}"
_MARKET_INPUTS: Mapping[str, tuple[str, ...]] = {
    "universe/bars_complete": ("daily_bars",),
    _STREAMS: ("daily_bars", "universe"),
    _WEIGHTS: ("universe",),
}
_OWN_INPUTS: Mapping[str, tuple[str, ...]] = {
    _STREAMS: ("candidates", "winners"),
    "solver_cells/solver_failure_rate": ("synthetic_returns",),
    _WEIGHTS: ("winners", "synthetic_returns"),
    "risk_weights/weight_sanity": ("solver_cells",),
}
"""By last part of the asset and check the assets, of the market and of the sleeve, that a verdict rests on beside its own."""


def scored_by(sleeve: SleeveProfile) -> str:
    """The asset that a sleeve chooses its candidates by."""
    return "technical_ratings" if sleeve.signal is None else f"signals/{sleeve.logic}"


def incomplete(evidence: Evidence, check: Check) -> Iterator[str]:
    """What is missing from a verdict, or in it and foreign to its check."""
    rules = RULES.get(check.check, ())
    if check.rules.keys() != {*rules}:
        wrong = ", ".join(sorted(check.rules.keys() ^ {*rules}))
        yield f"rules: expected {', '.join(rules) or 'none'}, found others: {wrong}"
    lost = sorted({*_inputs(evidence, check)} - check.inputs.keys())
    if lost:
        yield f"inputs: expected {', '.join(lost)}, found none"
    if check.state == "PASSED":
        yield from _unborne_by_figures(evidence, check)
        yield from _unlike_the_manifest(evidence, check)


def _inputs(evidence: Evidence, check: Check) -> Iterator[str]:
    own, _, asset = check.asset.rpartition("/")
    key = f"{asset}/{check.check}"
    yield from _MARKET_INPUTS.get(key, ())
    yield from (f"{own}/{name}" for name in _OWN_INPUTS.get(key, ()))
    metas, sleeves = evidence.manifest.metas, evidence.manifest.sleeves
    if check.check == LOOK_AHEAD:
        yield "daily_bars"
    if key == _STREAMS:
        yield from (scored_by(sleeve) for sleeve in sleeves if sleeve.name == own)
    names = {meta.name for meta in metas}
    if check.check == "child_weights":
        children = [child for meta in metas if meta.name == own for child in meta.children]
        yield from (f"{child}/{'meta_track_record' if child in names else 'track_record'}" for child in children)
    if check.check == "conservation":
        yield from (f"{meta.name}/{asset}" for meta in metas for asset in ("meta_weights", "meta_track_record"))
        yield from (f"{sleeve.name}/{asset}" for sleeve in sleeves for asset in ("risk_weights", "track_record"))
    if check.check == "ledger_identities" and check.figures.get("opened") is False:
        at = previous(evidence.at)
        decided = {"track_record": "risk_weights", "meta_track_record": "meta_weights"}.get(asset)
        yield from (f"{own}/{name}@{at}" for name in (decided, asset) if name)


def _unborne_by_figures(evidence: Evidence, check: Check) -> Iterator[str]:
    """Figures of a verdict that PASSED and against it."""
    if check.check == "solver_failure_rate":
        share, most = check.figures.get("failure_share"), check.rules.get("max_failure_share")
        if not (isinstance(share, float) and isinstance(most, float) and 0.0 <= share <= most):
            yield f"figures: failure_share: expected at most {most}, found {share}"
    if check.check == SIGN_TEST and check.asset.endswith("/synthetic_returns"):
        expected, found = len(evidence.only(Atoms).atoms), check.figures.get("atoms")
        if found != expected:
            yield f"figures: atoms: expected {expected} as the ledger has them, found {found}"


def _unlike_the_manifest(evidence: Evidence, check: Check) -> Iterator[str]:
    """Findings on the parameters of the manifest that are not those that judging them again gives."""
    metas = [meta for meta in evidence.manifest.metas if meta.name == evidence.resolved.portfolio]
    if check.check == "parameter_parity" and metas:
        again = [f"{f.level} {f.code} {f.symbol}: {f.message}" for f in parity(metas[0], evidence.manifest)[0]]
        wrong = sorted({*again} ^ {*check.findings})
        if wrong:
            yield f"findings: expected {len(again)} as judged again, found {len(check.findings)}; on one side only: {wrong[0]}"
