"""`sleevegraph accept`: let a warning stand, with a name and a reason, for good."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from difflib import get_close_matches

import click

from assets.gate_states import ACCEPTED, WARNED, GateState, acceptance_of, gate_state
from assets.gates import CONSERVATION, SIGN_TEST, all_gates, gates_of
from commands.home import GridDate, with_home
from commands.in_use import sound_in_use
from profiles.sound import Sound
from resources.acceptances import Acceptance
from resources.home import Home
from resources.receipts import Gate
from resources.store import Store
from sleevegraph.audit import layout
from sleevegraph.audit.ledger import appended, read_ledger
from sleevegraph.errors import ConfigurationError
from sleevegraph.manifest import Manifest

NEVER = (SIGN_TEST, CONSERVATION)
"""A short that is a long, or weight that came from nowhere, is never a matter of opinion."""


@click.command()
@click.argument("check")
@click.argument("asset")
@click.argument("day", metavar="DATE", type=GridDate())
@click.option("--because", required=True, help="Why it may stand.")
@click.option("--by", required=True, help="Who says so.")
@with_home
def accept(home: Home, check: str, asset: str, day: date, because: str, by: str) -> None:
    """Accept what CHECK warns of in ASSET (for example meta_fractal/flattened_weights) at DATE; written to the ledger."""
    because, by = _said("--because", because), _said("--by", by)
    sound, store = sound_in_use(), Store(home=str(home.root))
    manifest = sound.profiles.manifest
    gate = _gate(check, asset, sound)
    found = gate_state(store, gate, str(day))
    if found.state != ACCEPTED:
        store.acceptances.write(_acceptance(store, found, because, by))
    accepted = acceptance_of(store, gate, str(day))
    assert accepted is not None  # noqa: S101 - it was written in the lines above
    ledgers = [name for name in _portfolios(gate, manifest) if _record(store, name, day, accepted)]
    known = f"was accepted by {accepted.by} because {accepted.because}" if found.state == ACCEPTED else "accepted"
    where = f"; written to the ledger of {', '.join(ledgers)}" if ledgers else ""
    click.echo(f"{check} of {asset} at {day}: {known}{where}")


def _said(option: str, text: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{option}: expected words, found none")
    return text.strip()


def _gate(check: str, asset: str, sound: Sound) -> Gate:
    gates = {("/".join(gate.path), gate.check): gate for gate in all_gates(sound.profiles.manifest)}
    if check in NEVER:
        raise ConfigurationError(f"CHECK: {check} is never accepted; correct the cause and materialise {asset} again")
    if (asset, check) in gates:
        return gates[asset, check]
    sound.require("ASSET", asset.partition("/")[0])
    checks, assets = sorted({name for _, name in gates}), sorted(path for path, name in gates if name == check)
    if check not in checks:
        raise ConfigurationError(f"CHECK: expected one of {', '.join(checks)}, found {check!r}")
    near = get_close_matches(asset, assets, n=1, cutoff=0.0)
    raise ConfigurationError(f"ASSET: expected an asset that {check} judges, such as {near[0]}, found {asset!r}")


def _acceptance(store: Store, found: GateState, because: str, by: str) -> Acceptance:
    """Accept a warning; an error, and a verdict that is absent or stale, cannot be."""
    gate, where = found.gate, f"{found.gate.check} of {'/'.join(found.gate.path)} at {found.partition}"
    if found.state != WARNED or found.receipt is None:
        advice = "there is nothing to accept" if found.state == "PASSED" else "only a warning can be accepted"
        raise ConfigurationError(f"{where}: expected a warning, found {found.state}; {advice}")
    return Acceptance(
        asset="/".join(gate.path),
        check=gate.check,
        partition=found.partition,
        receipt=store.receipts.fingerprint(gate.path, gate.check, found.partition),
        findings=found.receipt.findings,
        because=because,
        by=by,
        on=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _portfolios(gate: Gate, manifest: Manifest) -> list[str]:
    """Whose ledgers tell of a gate: its own portfolio's, of the market every one."""
    names = [portfolio.name for portfolio in (*manifest.sleeves, *manifest.metas)]
    if gate.path[0] in names:
        return [gate.path[0]]
    return [name for name in names if (gate.path, gate.check) in {(g.path, g.check) for g in gates_of(name, manifest)}]


def _record(store: Store, name: str, at: date, accepted: Acceptance) -> bool:
    """Append to the ledger of a bundle that is there and does not say so yet; one made later says so from the start."""
    ledger = store.runs.ledger(name, at)
    record = {"event": "acceptance", **asdict(accepted)}
    if not ledger or any(record.items() <= known.items() for known in read_ledger(ledger)):
        return False
    files = store.runs.read(name, at)
    store.runs.write(name, at, {**files, layout.LEDGER: appended(ledger, record).encode("ascii")})
    return True
