"""Forgeries that agree with themselves: what was changed was changed everywhere, and every hash was written anew."""

import json
from collections.abc import Callable
from typing import Any

from tests.bundles import LEDGER, MANIFEST, META_OPTIMISED, REPORT, TREE, Bundle, Record
from tests.homes import LONG
from tests.planted_audits import AT, IN_CASH, META_RUN, SHORT, SLEEVE, Planted, rule, to, tree


def check(name: str, change: Callable[[Record], object], asset: str = "") -> Callable[[Bundle], None]:
    return lambda bundle: bundle.ledger(
        "check", change, lambda record: record["check"] == name and record["asset"].endswith(asset)
    )


def child(change: Callable[[Record], object], name: str = SHORT) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.ledger("child", change, lambda record: record["name"] == name)


def stage(asset: str, change: Callable[[Record], object]) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.ledger("stage", change, lambda record: record["asset"].endswith(asset))


def held_anyway(bundle: Bundle) -> None:
    """Child weights out of bounds, said to be held over, of a meta whose child weights passed."""
    records = bundle.records
    for record in records:
        if record["event"] == "cell":
            record.update(status="held", reason="planted")
    bundle.write(records)
    shares = (0.99, 0.01)

    def change(rows: list[Any]) -> None:
        for row, share in zip(rows, shares, strict=True):
            row["Weight"] = share
            if "Net_Weight" in row:
                row["Net_Weight"] = share

    for profile in json.loads(bundle.files[TREE])["profiles"]:
        tree(lambda root: change(root["Children"]), profile)(bundle)
        bundle.profile(META_OPTIMISED, profile, change)


def accepted(name: str, findings: list[str], /, **other: Any) -> Callable[[Bundle], None]:
    """An acceptance after the end, of findings that the check has, too."""

    def plant(bundle: Bundle) -> None:
        records = bundle.records
        judged = next(record for record in records if record["event"] == "check" and record["check"] == name)
        judged["findings"] = findings
        made = {
            **{key: judged[key] for key in ("asset", "check", "partition")},
            "event": "acceptance",
            "receipt": "0" * 64,
            "findings": findings,
            "because": "it is known",
            "by": "an operator",
            "on": "2022-03-02T00:00:00+00:00",
            **other,
        }
        bundle.write([*records, made])

    return plant


def cheaper_child(bundle: Bundle) -> None:
    """One sleeve below a meta borrows at another rate, in the manifest and in the rules of a verdict that says nothing."""
    rule("ledger.borrow", 0.5)(bundle)
    name = json.loads(bundle.files[MANIFEST])["manifest"]["sleeves"][0]["name"]
    values = dict.fromkeys((LONG, SHORT), 0.02) | {name: 0.5}
    check("parameter_parity", lambda record: record["rules"]["parameters"].update({"ledger.borrow": values}))(bundle)


def leaves_moved(bundle: Bundle) -> None:
    """A sleeve in the tree holds the same names by other weights, under one risk profile."""

    def change(root: dict[str, Any]) -> None:
        leaf = next(node for node in root["Children"] if node["Node"] == SHORT)
        for asset, amount in zip(leaf["Assets"], (1e-3, -1e-3), strict=False):
            asset["Weight"] += amount
            asset["Net_Weight"] = -asset["Weight"]

    tree(change)(bundle)


def selected(key: str, event: str = "selection", **other: Any) -> Callable[[Bundle], None]:
    """Name the first winner once more, in a list of those who are not held."""

    def plant(bundle: Bundle) -> None:
        records = bundle.records
        winner = next(record for record in records if record["event"] == "selection")["winners"][0]["symbol"]
        next(record for record in records if record["event"] == event)[key].append({"symbol": winner, **other})
        bundle.write(records)

    return plant


def page(text: bytes) -> Callable[[Bundle], None]:
    """Add to the report."""
    return lambda bundle: bundle.files.update({REPORT: bundle.files[REPORT].replace(b"</body>", text + b"</body>")})


WARNED = ["WARN CAP_BINDS: planted"]

FORGERIES = (
    Planted("weights said to be held", META_RUN, held_anyway, LEDGER, "children", says="found that it PASSED"),
    Planted("a child said to be held", META_RUN, child(to("held", "x")), LEDGER, "children", says="without an answer"),
    Planted("a leaf by other weights", META_RUN, leaves_moved, TREE, "anchor", says="its own ledger digests"),
    Planted(
        "an accepted sign test",
        SLEEVE,
        accepted("directional_sign_test", WARNED),
        LEDGER,
        "gates",
        says="one that never is",
    ),
    Planted("an acceptance of nothing", SLEEVE, accepted("weight_sanity", []), LEDGER, "gates", says="0 warnings"),
    Planted(
        "an accepted error",
        SLEEVE,
        accepted("profile_convergence", ["ERROR X: planted"]),
        LEDGER,
        "gates",
        says="without errors",
    ),
    Planted(
        "an acceptance by nobody",
        SLEEVE,
        accepted("profile_convergence", WARNED, by=" "),
        LEDGER,
        "gates",
        says="by: expected words",
    ),
    Planted(
        "an acceptance without a reason",
        SLEEVE,
        accepted("profile_convergence", WARNED, because=""),
        LEDGER,
        "gates",
        says="because: expected words",
    ),
    Planted(
        "an acceptance at no time",
        SLEEVE,
        accepted("profile_convergence", WARNED, on="never"),
        LEDGER,
        "gates",
        says="ISO 8601",
    ),
    Planted(
        "an acceptance of an unknown check",
        SLEEVE,
        accepted("profile_convergence", WARNED, check="other"),
        LEDGER,
        "gates",
        says="expected one verdict",
    ),
    Planted(
        "an acceptance of other warnings",
        SLEEVE,
        accepted("profile_convergence", WARNED, findings=["WARN Y: planted"]),
        LEDGER,
        "gates",
        says="or others",
    ),
    Planted(
        "a verdict without rules",
        SLEEVE,
        check("solver_failure_rate", to("rules", {})),
        LEDGER,
        "gates",
        says="rules: expected engines",
    ),
    Planted(
        "a verdict by foreign rules",
        META_RUN,
        check("conservation", to("rules", {"weight_min": 0.05})),
        LEDGER,
        "gates",
        says="rules: expected none",
    ),
    Planted(
        "parameters that are not the manifest's",
        META_RUN,
        check("parameter_parity", lambda record: record["rules"]["parameters"].update({"ledger.borrow": 0.5})),
        LEDGER,
        "gates",
        says="rules: parameters: expected the manifest's value",
    ),
    Planted(
        "a difference of parameters that nobody said",
        META_RUN,
        cheaper_child,
        LEDGER,
        "gates",
        says="expected 1 as judged again, found 0; on one side only: ERROR PARAMETER_MISMATCH ledger.borrow",
    ),
    Planted(
        "a warning of parameters that is none",
        META_RUN,
        check("parameter_parity", to("findings", ["WARN STALE_EXCEPTION ledger.borrow: planted"])),
        LEDGER,
        "gates",
        says="expected 0 as judged again, found 1",
    ),
    Planted(
        "a verdict without inputs",
        SLEEVE,
        check("directional_sign_test", to("inputs", {}), "/synthetic_returns"),
        LEDGER,
        "gates",
        says="daily_bars, technical_ratings, universe, found none",
    ),
    Planted(
        "a book judged on nothing", META_RUN, check("conservation", to("inputs", {})), LEDGER, "gates", says="inputs:"
    ),
    Planted(
        "a track record that continues nothing",
        SLEEVE,
        check("ledger_identities", to("inputs", {})),
        LEDGER,
        "gates",
        says="track_record@2022-02-19, found none",
    ),
    Planted(
        "too many failures that passed",
        SLEEVE,
        check("solver_failure_rate", lambda r: r["figures"].update(failure_share=0.9)),
        LEDGER,
        "gates",
        says="failure_share: expected at most 0.25, found 0.9",
    ),
    Planted(
        "a sign test of no atoms",
        SLEEVE,
        check("directional_sign_test", lambda r: r["figures"].update(atoms=0), "/synthetic_returns"),
        LEDGER,
        "gates",
        says="figures: atoms",
    ),
    Planted(
        "a blocked stage that was used",
        SLEEVE,
        stage("/risk_weights", to("status", "BLOCKED")),
        LEDGER,
        "stages",
        says="expected a standing BLOCKED",
    ),
    Planted(
        "blocked weights of a meta that were used",
        META_RUN,
        stage("/meta_weights", to("status", "BLOCKED")),
        LEDGER,
        "stages",
        says="expected a standing BLOCKED",
    ),
    *(
        Planted(f"other rows of {asset}", SLEEVE, stage(asset, to("rows", 7)), LEDGER, "stages", says="expected")
        for asset in ("universe", "/winners", "/solver_cells")
    ),
    Planted("other cells in cash", IN_CASH, stage("/solver_cells", to("rows", 7)), LEDGER, "stages", says="found 7"),
    Planted(
        "a winner that lost", SLEEVE, selected("losers", reason="planted"), LEDGER, "selection", says="that is a loser"
    ),
    Planted(
        "a winner that was no candidate",
        SLEEVE,
        selected("drops", "candidate_drops", reason="planted"),
        LEDGER,
        "selection",
        says="dropped candidate",
    ),
    Planted(
        "a winner outside the universe",
        SLEEVE,
        selected("drops", "universe_drops", rule="toxicity", value=9.0),
        LEDGER,
        "selection",
        says="dropped from the universe",
    ),
    Planted(
        "a winner twice",
        SLEEVE,
        selected("winners", cluster=1, score=1.0, stage=1, reason="planted"),
        LEDGER,
        "selection",
        says="expected one winner",
    ),
    Planted("a script", SLEEVE, page(b"<SCRIPT >"), REPORT, "report", says="no script"),
    Planted(
        "a picture from elsewhere", META_RUN, page(b"<img src = '//x.y/z.png'>"), REPORT, "report", says="elsewhere"
    ),
    Planted(
        "a style from elsewhere", SLEEVE, page(b"<p style='a:url(https://x)'>"), REPORT, "report", says="elsewhere"
    ),
    Planted(
        "another portfolio's page",
        SLEEVE,
        lambda b: b.files.update({REPORT: b.files[REPORT].replace(SHORT.encode(), b"other")}),
        REPORT,
        "report",
        says=f"expected {SHORT} in the page",
    ),
    Planted(
        "another day's page",
        SLEEVE,
        lambda b: b.files.update({REPORT: b.files[REPORT].replace(AT.encode(), b"other")}),
        REPORT,
        "report",
        says=f"expected {AT} in the page",
    ),
)
