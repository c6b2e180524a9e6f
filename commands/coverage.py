"""`sleevegraph coverage`: what the lake holds of each dataset, as a table and as a picture."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from commands.coverage_text import SHOWN_SYMBOLS, Row, as_csv, datasets_table, remarks, symbols_table
from commands.home import stdout_console, with_home
from commands.in_use import manifest_in_use
from commands.stored import warning_of
from resources.atomic import write_atomically
from resources.holdings import NAMES, Holding, holdings
from resources.home import Home
from resources.store import Store
from sleevegraph.coverage import Coverage, only
from sleevegraph.coverage import coverage as covered
from sleevegraph.coverage_picture import coverage_picture
from sleevegraph.coverage_tables import by_symbol, matrix, summary
from sleevegraph.errors import ConfigurationError, LakeError
from sleevegraph.readiness.evidence import DAY

FORMS = ("png", "svg")
ISO = "%Y-%m-%dT%H:%M:%SZ"


@click.command()
@click.option("--dataset", "name", type=click.Choice(NAMES), help="One row per symbol of this one, the worst first.")
@click.option("--symbols", default="", metavar="A,B", help="Rows of these only; files stay those of all.")
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw --dataset, or the first, as .png or .svg."
)
@click.option("--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@with_home
def coverage(home: Home, name: str | None, symbols: str, picture: Path | None, shape: str) -> None:
    """Show what is held of each dataset: symbols, days, rows, files, and how much of what is expected is there.

    Expected is every bar from a symbol's first to its last. Funding rates have no fixed interval, so nothing is expected.
    """
    form = _form(picture)
    held = _held(home, name)
    found = {dataset: covered(holding.chunks(), holding.step) for dataset, holding in held.items()}
    if symbols:
        found = _of_symbols(found, [symbol.strip().upper() for symbol in symbols.split(",") if symbol.strip()])
        held = {dataset: held[dataset] for dataset in found}
    warning = warning_of(home)
    if picture and form:
        dataset, drawn = next(iter(found.items()))
        title = _titled(f"{dataset}: {drawn.symbols.height} symbols by their first row", warning)
        _write(picture, coverage_picture(matrix(drawn), title, form))
    if warning:
        click.echo(warning, err=True)
    rows = _symbol_rows(held[name], found[name]) if name else [_dataset_row(held[d], one) for d, one in found.items()]
    if shape == "table":
        title = _titled(f"{name or 'coverage'} of {home.root}", warning)
        stdout_console().print(symbols_table(rows, title) if name else datasets_table(rows, title))
        if name and len(rows) > SHOWN_SYMBOLS:
            click.echo(f"and {len(rows) - SHOWN_SYMBOLS} more symbols; --format csv has them all")
    elif shape == "csv":
        click.echo(as_csv(rows), nl=False)
    else:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    for line in (line for holding in held.values() for line in remarks(holding)):
        click.echo(line, err=shape != "table")
    if picture:
        click.echo(f"picture: {picture}", err=True)


def _form(picture: Path | None) -> Any:
    """Png or svg; refused before anything is read."""
    form = picture.suffix.lower().removeprefix(".") if picture else None
    if form is not None and form not in FORMS:
        raise ConfigurationError(f"--picture: expected a name that ends in .png or .svg, found {str(picture)!r}")
    return form


def _held(home: Home, name: str | None) -> dict[str, Holding]:
    store = Store(home=str(home.root))
    held = holdings(store.lake, store.market_lake)
    if not held:
        advice = f"sleevegraph ingest --home {home.root}, or backfill with --source"
        raise LakeError(f"coverage: expected bars under {home.root / 'data'}, found none; run {advice}")
    if name and name not in held:
        raise LakeError(
            f"--dataset: expected one that {home.root} has rows of ({', '.join(held)}), found {name!r}; "
            f"run sleevegraph {'ingest' if name == NAMES[0] else f'ingest --dataset {name}'} --home {home.root}"
        )
    return {name: held[name]} if name else held


def _of_symbols(found: Mapping[str, Coverage], symbols: Sequence[str]) -> dict[str, Coverage]:
    """Only these symbols, and only the datasets that have any of them; as BTCUSDT or BINANCE:BTCUSDT."""
    tickers: dict[str, set[str]] = {}
    for one in found.values():
        for symbol in one.symbols["symbol"]:
            tickers.setdefault(symbol.split(":")[-1], set()).add(symbol)
    for symbol in symbols:
        if symbol.split(":")[-1] not in tickers:
            (near,) = get_close_matches(symbol.split(":")[-1], sorted(tickers), n=1, cutoff=0.0)
            raise ConfigurationError(
                f"--symbols: expected symbols of {', '.join(found)}, such as {near}, found {symbol!r}"
            )
    chosen = set[str]().union(*(tickers[symbol.split(":")[-1]] for symbol in symbols))
    kept = {dataset: only(one, chosen) for dataset, one in found.items()}
    return {dataset: one for dataset, one in kept.items() if one.symbols.height}


def _write(picture: Path, content: bytes) -> None:
    try:
        write_atomically(picture, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise ConfigurationError(
            f"--picture: expected a file that can be written at {picture}, found: {error.strerror}"
        ) from error


def _dataset_row(holding: Holding, found: Coverage) -> Row:
    disk, rest = holding.disk(), holding.rest()
    return {
        "dataset": holding.name,
        **_plain(summary(found), holding),
        "files": disk.files,
        "bytes": disk.bytes,
        "archive_files": holding.archive_files(),
        "quarantined": holding.quarantined().height,
        "revisions": len(holding.revisions()),
        "rest_rows": sum(rest.values()),
        "rest_hosts": list(rest),
    }


def _symbol_rows(holding: Holding, found: Coverage) -> list[Row]:
    rules = manifest_in_use().market.symbols
    names = holding.names(found.symbols["symbol"].to_list(), rules)
    return [_plain(row, holding) for row in by_symbol(found, names, rules).iter_rows(named=True)]


def _plain(row: Mapping[str, object], holding: Holding) -> Row:
    """Moments as text: days where a row is a day."""
    form = "%Y-%m-%d" if holding.step == DAY else ISO
    return {key: f"{value:{form}}" if isinstance(value, datetime) else value for key, value in row.items()}


def _titled(title: str, warning: str) -> str:
    return f"{title} ({warning})" if warning else title
