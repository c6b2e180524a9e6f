import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from profiles.files import ProfilesError
from profiles.load import PROFILES, load_manifest
from sleevegraph import metas
from sleevegraph.manifest import DEFAULT_FEATURE_WEIGHTS
from sleevegraph.tree import compile_tree
from tests.markets import RECORDED_NOT_CRYPTO
from tests.shared import SHARED, needs_shared

LONG = "binance_spot_rating_all_long"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped profiles, to break one thing in."""
    for part in ("sleeves", "metas"):
        shutil.copytree(PROFILES / part, tmp_path / part)
    shutil.copy(PROFILES / "market.toml", tmp_path)
    return tmp_path


def refused(folder: Path) -> str:
    """The one line of the refusal without the folder and the line; the line has the key, or the table it belongs to."""
    with pytest.raises(ProfilesError) as error:
        load_manifest(folder)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(folder))
    found = str(error.value).removeprefix(f"{folder}/")
    located = re.match(r"(?P<file>[^:]+):(?P<line>\d+): (?P<key>[a-z_.0-9]+): ", found)
    if located is None:
        return re.sub(r"^([^:]+):\d+: ", r"\1: ", found)
    line = (folder / located["file"]).read_text().splitlines()[int(located["line"]) - 1]
    words = [word for word in located["key"].split(".") if not word.isdigit()]
    assert "expected a value, found none" in found or set(words) & set(re.findall(r"\w+", line)), (line, found)
    return found.replace(f":{located['line']}: ", ": ", 1)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def meta(name: str, *children: str, low: float = 0.05, high: float = 0.95) -> str:
    return f'name = "{name}"\nchildren = {list(children)}\nweight_min = {low}\nweight_max = {high}\n'


def test_the_shipped_profiles_are_the_four_sleeves_and_four_metas() -> None:
    manifest = load_manifest()
    assert [(s.name, s.logic, s.rating, s.direction) for s in manifest.sleeves] == [
        ("binance_spot_rating_all_long", "rating_all", "recommend_all", "LONG"),
        ("binance_spot_rating_all_short", "rating_all", "recommend_all", "SHORT"),
        ("binance_spot_rating_ma_long", "rating_ma", "recommend_ma", "LONG"),
        ("binance_spot_rating_ma_short", "rating_ma", "recommend_ma", "SHORT"),
    ]
    bounds = {m.name: (len(m.children), m.weight_min, m.weight_max) for m in manifest.metas}
    assert bounds == {
        "meta_benchmark": (2, 0.05, 0.95),
        "meta_ma_benchmark": (2, 0.05, 0.95),
        "meta_crypto_only": (4, 0.05, 0.5),
        "meta_fractal": (2, 0.05, 0.95),
    }
    names = [m.name for m in manifest.metas]
    assert names.index("meta_fractal") > max(names.index("meta_benchmark"), names.index("meta_ma_benchmark"))


def test_moving_average_sleeves_weigh_their_rating_and_keep_the_other_defaults() -> None:
    for sleeve in load_manifest().sleeves:
        changed = {"rating": 3.0, "momentum": 0.5} if sleeve.rating == "recommend_ma" else {}
        assert sleeve.selection.feature_weights == DEFAULT_FEATURE_WEIGHTS | changed


def test_excluded_bases_are_listed_once_and_a_real_coin_ending_in_up_is_not_among_them() -> None:
    lists = load_manifest().market.universe.excluded_bases
    every = [base for bases in lists.values() for base in bases]
    assert len(every) == len(set(every))
    assert {"BTCUP", "ETHDOWN", "BNBBULL", "BEAR"} <= set(lists["leveraged"])
    assert {"JUP", "SUPER", "SYRUP", "PUMP", "BTC", "ETH"}.isdisjoint(every)


@needs_shared
def test_of_the_recorded_bases_exactly_those_that_are_no_crypto_asset_are_excluded() -> None:
    every = {base for bases in load_manifest().market.universe.excluded_bases.values() for base in bases}
    recorded = set(pl.read_parquet(SHARED / "market" / "spot_daily.parquet")["symbol"].str.strip_suffix("USDT"))
    assert recorded & every == {base for bases in RECORDED_NOT_CRYPTO.values() for base in bases}
    listed = set(pl.read_parquet(SHARED / "market" / "spot_symbols.parquet")["base_asset"])
    assert listed & every == {
        *("AEUR", "EUR", "EURI", "FDUSD", "PAXG", "TUSD", "USDC", "USDP", "USDT", "USTC", "WBETH", "WBTC"),
    }


def test_adding_a_file_adds_the_sleeve_and_the_meta(folder: Path) -> None:
    text = (folder / "sleeves" / f"{LONG}.toml").read_text().replace(LONG, "another")
    (folder / "sleeves" / "another.toml").write_text(text)
    (folder / "metas" / "meta_more.toml").write_text(meta("meta_more", "another", LONG))
    manifest = load_manifest(folder)
    assert "another" in [s.name for s in manifest.sleeves]
    assert "meta_more" in [m.name for m in manifest.metas]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "min_days_floor = 252 ",
            'min_days_floor = "252" ',
            "universe.min_days_floor: expected a valid integer, found '252'",
        ),
        ("train_days = 252", "train_days = true", "universe.train_days: expected a valid integer, found True"),
        (
            "lookback_days = 500",
            "lookback_days = 500.5",
            "universe.lookback_days: expected a valid integer, found 500.5",
        ),
        (
            "max_missing_share = 0.10",
            "max_missing_share = 1.5",
            "universe.max_missing_share: expected less than or equal to 1, found 1.5",
        ),
        ("max_return = 5.0", "max_return = inf", "universe.max_return: expected a finite number, found inf"),
        ("= 0.02", "= nan", "universe.min_annual_volatility: expected a finite number, found nan"),
        ('quotes = ["USDT"]', "quotes = []", "universe.quotes: expected to have at least 1 item"),
        (
            'commodity = ["PAXG", "XAUT"]',
            "commodity = [7]",
            "universe.excluded_bases.commodity.0: expected a valid string",
        ),
        ("max_return =", "max_returns =", "universe.max_returns: expected a key among min_days_floor, lookback_days,"),
        ("max_return =", "max_returns =", "found 'max_returns'; did you mean max_return?"),
        (
            "exchange =",
            "exchnge =",
            "exchnge: expected a key among exchange, benchmark_symbols, universe, completeness",
        ),
        ("exchange =", "exchange", "expected TOML, found: "),
        (
            'old = "MATIC", new = "POL"',
            'old = "TVK", new = "POL"',
            "symbols.renames.old: expected each name once, found ['TVK'] more than once",
        ),
        ("since = 2024-09-13", 'since = "soon"', "symbols.renames.16.since: expected a valid date"),
    ],
)
def test_a_defect_in_the_market_file_is_named(folder: Path, old: str, new: str, message: str) -> None:
    replace(folder / "market.toml", old, new)
    found = refused(folder)
    assert found.startswith("market.toml: ")
    assert message in found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"LONG"', '"long"', "direction: expected 'LONG' or 'SHORT', found 'long'"),
        (
            '"recommend_all"',
            '"ema"',
            "rating: expected 'recommend_all', 'recommend_ma' or 'recommend_other', found 'ema'",
        ),
        ('logic = "rating_all"\n', "", "logic: expected a value, found none; add the key"),
        ('logic = "rating_all"\n', "logic = 5\n", "logic: expected a valid string, found 5"),
        ('direction = "LONG"', 'direction = "LONG"\nselection = 4', "selection: expected an object, found 4"),
        (
            'direction = "LONG"',
            'direction = "LONG"\n[selection.feature_weights]\nspeed = 1.0',
            "selection.feature_weights: expected keys among ['adx',",
        ),
        (
            'direction = "LONG"',
            'direction = "LONG"\n[selection]\nmin_winners = 30',
            "selection.min_winners: expected at most max_winners 25, found 30",
        ),
        (
            'direction = "LONG"',
            'direction = "LONG"\n[ledger]\nslipage = 0.1',
            "ledger.slipage: expected a key among slippage, commission, borrow, found 'slipage'; did you mean slippage?",
        ),
        ('direction = "LONG"', 'direction = "LONG"\nowner = " "', r"owner: expected to match pattern '\S', found ' '"),
        (f'name = "{LONG}"', 'name = "Long"', "name: expected to match pattern '^[a-z][a-z0-9_]{0,79}$', found 'Long'"),
        (f'name = "{LONG}"', 'name = "other"', f"name: expected the file's stem '{LONG}', found 'other'; rename"),
    ],
)
def test_a_defect_in_a_sleeve_file_is_named(folder: Path, old: str, new: str, message: str) -> None:
    replace(folder / "sleeves" / f"{LONG}.toml", old, new)
    assert refused(folder).startswith(f"sleeves/{LONG}.toml: {message}")


def test_further_errors_are_counted(folder: Path) -> None:
    (folder / "sleeves" / f"{LONG}.toml").write_text(f'name = "{LONG}"\nrating = "x"\ndirection = "y"\n')
    message = refused(folder)
    assert message == f"sleeves/{LONG}.toml: logic: expected a value, found none; add the key (and 2 more)"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("meta_x", meta("meta_x", LONG, "nobody"), "children: expected names among"),
        ("meta_benchmark", meta("meta_benchmark", LONG, "meta_fractal"), "children: expected no cycle"),
        ("meta_x", meta("meta_x", LONG, "meta_benchmark", low=0.6), "weight_min: expected at most 1/2 for 2 children"),
        (
            "meta_x",
            meta("meta_x", LONG, "meta_benchmark", high=0.3),
            "weight_max: expected at least 1/2 for 2 children",
        ),
        (
            "meta_x",
            meta("meta_x", LONG, "meta_benchmark", low=0.4, high=0.3),
            "weight_min: expected at most weight_max",
        ),
    ],
)
def test_a_meta_tree_that_cannot_stand_is_named_with_its_file(folder: Path, file: str, text: str, message: str) -> None:
    (folder / "metas" / f"{file}.toml").write_text(text)
    assert refused(folder).startswith(f"metas/{file}.toml: {message}")


def test_a_meta_tree_may_be_four_deep_and_no_deeper(folder: Path) -> None:
    (folder / "metas" / "meta_g.toml").write_text(meta("meta_g", "meta_fractal", LONG))
    (folder / "metas" / "meta_h.toml").write_text(meta("meta_h", "meta_g", LONG))
    assert [m.name for m in load_manifest(folder).metas][-2:] == ["meta_g", "meta_h"]
    (folder / "metas" / "meta_i.toml").write_text(meta("meta_i", "meta_h", LONG))
    assert refused(folder).startswith("metas/meta_i.toml: children: expected at most 4 metas")


def test_a_meta_tree_of_more_paths_than_can_be_compiled_is_refused_and_those_above_it_are_not_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = next(m for m in load_manifest(folder).metas if m.name == "meta_fractal")
    nodes = [m for m in load_manifest(folder).metas if m.name in {tree.name, *tree.children}]
    (folder / "metas" / "meta_g.toml").write_text(meta("meta_g", "meta_fractal", LONG))
    places = compile_tree(tree.name, nodes).places.height
    for limit in (places - 1, places, places + 1):
        monkeypatch.setattr(metas, "MAX_PLACES", limit)
        culprit, found = ("meta_fractal", places) if limit < places else ("meta_g", places + 2)
        message = f"children: expected at most {limit} paths down to sleeves and metas, found {found};"
        assert refused(folder).startswith(f"metas/{culprit}.toml: {message}")
        assert "more)" not in refused(folder)
    monkeypatch.setattr(metas, "MAX_PLACES", places + 2)
    assert load_manifest(folder).metas[-1].name == "meta_g"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (meta("meta_x", LONG), "children: expected to have at least 2 items"),
        (
            'name = "meta_x"\nchildren = "all"\nweight_min = 0\nweight_max = 1\n',
            "children: expected a valid array, found 'all'",
        ),
        ('name = "meta_x"\nname = "y"\n', "expected TOML, found: "),
    ],
)
def test_a_defect_in_a_meta_file_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "metas" / "meta_x.toml").write_text(text)
    assert refused(folder).startswith(f"metas/meta_x.toml: {message}")


def test_a_name_is_a_sleeve_or_a_meta_but_not_both(folder: Path) -> None:
    (folder / "metas" / f"{LONG}.toml").write_text(meta(LONG, "meta_benchmark", "meta_ma_benchmark"))
    message = f"name: expected a name that nothing else has, found '{LONG}' of sleeves/{LONG}.toml, too"
    assert refused(folder) == f"metas/{LONG}.toml: {message}"


def test_a_missing_market_file_is_named(folder: Path) -> None:
    (folder / "market.toml").unlink()
    assert refused(folder) == "market.toml: expected a readable TOML file, found: No such file or directory"


def test_a_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / "market.toml").write_bytes(b"# market\r\n[universe]\r\nquotes = ['\xff\xfe']\r\n")
    with pytest.raises(ProfilesError) as error:
        load_manifest(folder)
    said = "market.toml:3: expected UTF-8 text, found byte 0xff; save the file as UTF-8"
    assert str(error.value) == f"{folder}/{said}"


def test_a_file_that_begins_with_a_byte_order_mark_is_read_and_its_lines_are_its_own(folder: Path) -> None:
    manifest, file = load_manifest(folder), folder / "market.toml"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_manifest(folder) == manifest
    file.write_bytes(b"\xef\xbb\xbfnmae = 1\n")
    with pytest.raises(ProfilesError, match=r"market\.toml:1: nmae: expected a key among"):
        load_manifest(folder)
    file.write_bytes(b"\xef\xbb\xbf\nx = '\xff'\n")
    with pytest.raises(ProfilesError, match=r"market\.toml:2: expected UTF-8 text, found byte 0xff"):
        load_manifest(folder)


def test_a_folder_without_sleeves_is_named(folder: Path) -> None:
    shutil.rmtree(folder / "sleeves")
    for file in (folder / "metas").iterdir():
        file.unlink()
    assert refused(folder) == "sleeves: expected at least one sleeve or family file, found none"
