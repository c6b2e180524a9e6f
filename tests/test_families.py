import itertools
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.load import load_manifest, load_profiles
from sleevegraph.families import MAX_SLEEVES, FamilyError, FamilyProfile, expand, label_of
from sleevegraph.manifest import SleeveProfile
from tests.profile_folders import GRID, copied, defects

LONG = "binance_spot_rating_all_long"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped profiles and the family `grid`."""
    copied(tmp_path)
    (tmp_path / "families" / "grid.toml").write_text(GRID)
    return tmp_path


def family(
    folder: Path, parameters: str, template: str = 'logic = "a"\nrating = "recommend_all"\ndirection = "LONG"'
) -> None:
    (folder / "families" / "grid.toml").write_text(
        f'name = "grid"\n[template]\n{template}\n[parameters]\n{parameters}\n'
    )


def meta(folder: Path, name: str, *children: str, low: float = 0.0, high: float = 0.9) -> None:
    text = f'name = "{name}"\nchildren = {list(children)}\nweight_min = {low}\nweight_max = {high}\n'
    (folder / "metas" / f"{name}.toml").write_text(text)


def test_a_family_is_one_sleeve_for_each_combination_named_by_its_values(folder: Path) -> None:
    manifest = load_manifest(folder)
    (grid,) = manifest.families
    expected = [
        (f"grid_{direction.lower()}_{top}_{written}", direction, top, threshold)
        for direction in ("LONG", "SHORT")
        for top in (5, 10, 15)
        for threshold, written in ((0.35, "0p35"), (0.45, "0p45"))
    ]
    assert list(grid.sleeves) == [name for name, *_ in expected]
    found = {sleeve.name: sleeve for sleeve in manifest.sleeves}
    for name, direction, top, threshold in expected:
        rules = {"selection": {"top_n": top, "cluster_threshold": threshold}}
        assert found[name] == SleeveProfile.model_validate(
            {"name": name, "logic": "rating_all", "rating": "recommend_all", "direction": direction, **rules}
        )
    assert len(manifest.sleeves) == 16
    assert list(found) == sorted(found)


VALUES = st.lists(
    st.one_of(st.integers(-999, 999), st.from_regex(r"[a-z]{1,4}", fullmatch=True)), min_size=1, max_size=4, unique=True
)
KEYS = st.from_regex(r"[a-m]{1,3}(\.[n-z]{1,3})?", fullmatch=True)
"""No key is a table of another one: the first part of the one has no letter of the second part of the other."""


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_the_expansion_is_the_product_of_the_lists_in_their_order(parameters: dict[str, list[object]]) -> None:
    heads = [key.split(".")[0] for key in parameters]
    if any("." not in key and heads.count(key) > 1 for key in parameters):
        return  # a key and a table of one name
    members = expand(FamilyProfile(name="f", template={"kept": {"x": 1}}, parameters=parameters))
    combinations = list(itertools.product(*parameters.values()))
    assert len(members) == len(combinations)
    for member, values in zip(members, combinations, strict=True):
        assert member.name == "_".join(["f", *(str(value).replace("-", "m") for value in values)])
        expected: dict[str, object] = {"name": member.name, "kept": {"x": 1}}
        for key, value in zip(parameters, values, strict=True):
            head, _, tail = key.partition(".")
            if tail:
                inner = expected.setdefault(head, {})
                assert isinstance(inner, dict)
                inner[tail] = value
            else:
                expected[head] = value
        assert member.profile == expected


def test_a_family_of_one_value_each_is_the_sleeve_of_a_file_but_for_its_name(folder: Path) -> None:
    text = (folder / "sleeves" / "binance_spot_rating_ma_long.toml").read_text()
    content = tomllib.loads(text)
    body = "\n".join(line for line in text.splitlines() if not line.startswith(("name", "direction")))
    template = body.replace("[selection.feature_weights]", "[template.selection.feature_weights]")
    family(folder, 'direction = ["LONG"]', template)
    found = {sleeve.name: sleeve for sleeve in load_manifest(folder).sleeves}
    assert content["selection"]["feature_weights"] == {"rating": 3.0, "momentum": 0.5}
    assert found["grid_long"].model_dump() == {
        **found["binance_spot_rating_ma_long"].model_dump(),
        "name": "grid_long",
    }


def test_a_labelled_table_sets_several_keys_and_leaves_the_rest_to_the_template(folder: Path) -> None:
    logic = """logic = [
      { label = "all", logic = "rating_all", rating = "recommend_all" },
      { label = "ma", logic = "rating_ma", rating = "recommend_ma", selection.feature_weights.rating = 3.0 },
    ]
    cap = [{ label = "free" }, { label = "capped", risk.max_cluster_weight = 0.5 }]"""
    family(folder, logic, 'direction = "SHORT"\n[template.selection.feature_weights]\nmomentum = 0.5')
    found = {sleeve.name: sleeve for sleeve in load_manifest(folder).sleeves}
    weights = {
        name: (s.logic, s.selection.feature_weights["rating"], s.risk.max_cluster_weight) for name, s in found.items()
    }
    assert {name: value for name, value in weights.items() if name.startswith("grid")} == {
        "grid_all_free": ("rating_all", 1.0, None),
        "grid_all_capped": ("rating_all", 1.0, 0.5),
        "grid_ma_free": ("rating_ma", 3.0, None),
        "grid_ma_capped": ("rating_ma", 3.0, 0.5),
    }
    assert {s.selection.feature_weights["momentum"] for n, s in found.items() if n.startswith("grid")} == {0.5}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("LONG", "long"),
        (0.35, "0p35"),
        (-0.5, "m0p5"),
        (1e-5, "1em05"),
        (2.0, "2"),
        (1e16, "1e16"),
        (-3, "m3"),
        (True, "true"),
        (["USDT"], "usdt"),
        (["USDT", "FDUSD"], "usdt_fdusd"),
    ],
)
def test_a_value_in_a_name(value: object, label: str) -> None:
    assert label_of(value) == label


@pytest.mark.parametrize(
    ("parameters", "line", "message"),
    [
        ('direction = ["LONG", "SHRT"]', 7, "parameters.direction.1: expected 'LONG' or 'SHORT', found 'SHRT'"),
        ('direction = [\n"LONG",\n"SHRT"\n]', 9, "parameters.direction.1: expected 'LONG' or 'SHORT', found 'SHRT'"),
        ('"selection.top_n" = [5, 0]', 7, "parameters.selection.top_n.1: expected greater than or equal to 1, found 0"),
        ('"selection.topn" = [5, 6]', 7, "parameters.selection.topn: expected a key among train_days, limit,"),
        ('"selecton.top_n" = [5]', 7, "parameters.selecton.top_n: expected a key among name, logic,"),
        ('quotes = ["USDT"]', 7, "parameters.quotes.0: expected a valid array, found 'USDT'"),
        ('quotes = [["USDT"], ["EUR"]]', 7, "parameters.quotes.1: expected quotes among USDT, found EUR"),
        (
            '"risk.engines" = [["native"], ["native", "natve"]]',
            7,
            "parameters.risk.engines.1: engine: expected one of native,",
        ),
        ('owner = ["a", "b", "a"]', 7, "parameters.owner.2: expected each value once, found 'a' again"),
        (
            'owner = ["A", "a"]',
            7,
            "parameters.owner.1: expected values of different labels, found 'A' and 'a', both 'a'",
        ),
        ("owner = []", 7, "parameters.owner: expected a list of at least one value, found []"),
        ('owner = "a"', 7, "parameters.owner: expected a list of at least one value, found 'a'"),
        (
            "selection.top_n = [5]",
            7,
            'parameters.selection: expected a list of values, found a table; write the whole key in quotes, as "selection.top_n"',
        ),
        (
            'owner = ["a b"]',
            7,
            "parameters.owner.0: expected a label of the characters a-z, 0-9 and _, found 'a b'; write it as { label =",
        ),
        (
            'x = [{ owner = "a" }]',
            7,
            "parameters.x.0: expected a label beside the keys that the table sets, found owner",
        ),
        (
            'x = [{ label = "A", owner = "a" }]',
            7,
            "parameters.x.0: expected a label of the characters a-z, 0-9 and _, found 'A'",
        ),
        (
            'x = [\n{ label = "a", owner = "u" },\n{ label = "b", ownr = "v" }]',
            9,
            "parameters.x.1.ownr: expected a key among name,",
        ),
        (
            'x = [{ label = "a", owner = "u" }, { label = "b", owner = "u" }]',
            7,
            "parameters.x.1: expected each value once, found that of 'a' again as 'b'",
        ),
        (
            'owner = ["u"]\nx = [{ label = "a", owner = "v" }]',
            8,
            "parameters.x: expected keys that no other parameter sets, found owner also in owner",
        ),
        ('name = ["u"]', 7, "parameters.name.0: expected no name, since sleeves are named by their parameters"),
        (
            'owner = ["a", "a_b"]\nx = [{ label = "b_c" }, { label = "c", ledger.borrow = 0 }]',
            6,
            "parameters: expected sleeves of different names, found 'grid_a_b_c' 2 times",
        ),
        (f'owner = ["{"x" * 76}"]', 6, "parameters: expected names of at most 80 characters, found 'grid_xxx"),
        ("", 6, "parameters: expected to have at least 1 item"),
        (
            '"selection.min_winners" = [20, 30]',
            7,
            "parameters.selection.min_winners.1: expected at most max_winners 25, found 30, in grid_30",
        ),
        (
            '"signal.parameters.days" = [[1]]',
            7,
            "parameters.signal.parameters.days.0: expected a valid integer or a valid number or a valid string or a valid boolean, found [1]",
        ),
    ],
)
def test_a_defect_in_the_parameters_is_named_once_with_its_line(
    folder: Path, parameters: str, line: int, message: str
) -> None:
    family(folder, parameters)
    found = defects(folder)
    assert found[0].startswith(f"families/grid.toml:{line}: {message}")
    assert sum(text.split(": ", 1)[1] == found[0].split(": ", 1)[1] for text in found) == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('rating = "recommend_all"', 'rating = "all"', 5, "template.rating: expected 'recommend_all', 'recommend_ma'"),
        (
            'rating = "recommend_all"',
            "",
            3,
            "template.rating: expected either a rating or a signal, found neither, in grid_long_5_0p35 and 11 more",
        ),
        ('logic = "rating_all"', "", 3, "template.logic: expected a value, found none; add the key"),
        (
            'logic = "rating_all"',
            'logic = "rating_all"\nname = "x"',
            5,
            "template.name: expected no name, since sleeves",
        ),
        ('logic = "rating_all"', 'logic = "a"\nowners = "b"', 5, "template.owners: expected a key among name, logic,"),
        (
            "[template]",
            "[templates]",
            3,
            "templates: expected a key among name, template, parameters, found 'templates'; did you mean template?",
        ),
        (
            'name = "grid"',
            'name = "grids"',
            1,
            "name: expected the file's stem 'grid', found 'grids'; rename one of them",
        ),
        ("[5, 10, 15]", "[5, inf]", 9, "parameters.selection.top_n.1: expected a finite number, found inf"),
        ("[5, 10, 15]", "[5, 10", 10, "expected TOML, found: "),
    ],
)
def test_a_defect_in_the_rest_of_the_file_is_named_once_with_its_line(
    folder: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GRID
    (folder / "families" / "grid.toml").write_text(GRID.replace(old, new))
    found = [text for text in defects(folder) if text.startswith(f"families/grid.toml:{line}: {message}")]
    assert len(found) == 1


def test_ten_thousand_sleeves_are_a_family_and_one_more_is_not(folder: Path) -> None:
    family(folder, f'"selection.limit" = {list(range(1, 101))}\n"selection.top_n" = {list(range(1, 101))}')
    assert len(load_manifest(folder).families[0].sleeves) == MAX_SLEEVES
    family(folder, f'"selection.limit" = {list(range(1, MAX_SLEEVES + 2))}')
    assert defects(folder) == [
        "families/grid.toml:6: parameters: expected at most 10,000 sleeves, found 10,001 (10001); shorten a list or split it"
    ]


def test_a_product_that_no_memory_holds_is_counted_and_not_built() -> None:
    for lists, found in ((6, "1,000,000,000,000 (100 x 100 x 100 x 100 x 100 x 100)"), (300, "more than 1,000,000")):
        parameters = {f"x{place}": list(range(100)) for place in range(lists)}
        with pytest.raises(FamilyError, match="expected at most 10,000 sleeves") as error:
            expand(FamilyProfile(name="f", template={}, parameters=parameters))
        assert found in str(error.value)


def test_a_meta_of_a_family_is_one_of_all_its_sleeves(folder: Path) -> None:
    meta(folder, "meta_grid", "grid")
    meta(folder, "meta_more", LONG, "grid", "meta_grid", high=0.2)
    manifest = load_manifest(folder)
    metas = {found.name: found for found in manifest.metas}
    assert metas["meta_grid"].children == manifest.families[0].sleeves
    assert metas["meta_more"].children == (LONG, *manifest.families[0].sleeves, "meta_grid")


def test_bounds_and_children_of_a_meta_are_judged_on_the_sleeves_of_its_families(folder: Path) -> None:
    meta(folder, "meta_a", "grid", low=0.09)
    meta(folder, "meta_b", "grid", "grid_long_5_0p35")
    meta(folder, "meta_c", "grdi", LONG)
    meta(folder, "meta_d", LONG, "Grid", "grid")
    found = defects(folder)
    assert "metas/meta_a.toml:3: weight_min: expected at most 1/12 for 12 children, found 0.09" in found
    assert "metas/meta_b.toml:2: children: expected each child once, found ['grid_long_5_0p35'] more than once" in found
    assert any(
        line.startswith("metas/meta_c.toml:2: children: expected names among")
        and line.endswith("found ['grdi']; did you mean grid?")
        for line in found
    )
    assert any(line.startswith("metas/meta_d.toml:2: children.1: expected to match pattern") for line in found)
    assert len(found) == 4


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "sleeves",
            "grid_long_5_0p35",
            "families/grid.toml:7: parameters: expected a name that nothing else has, found 'grid_long_5_0p35' of sleeves/grid_long_5_0p35.toml, too",
        ),
        (
            "sleeves",
            "grid",
            "families/grid.toml:1: name: expected a name that nothing else has, found 'grid' of sleeves/grid.toml, too",
        ),
        (
            "metas",
            "grid",
            "metas/grid.toml:1: name: expected a name that nothing else has, found 'grid' of families/grid.toml, too",
        ),
        (
            "metas",
            "grid_short_15_0p45",
            "metas/grid_short_15_0p45.toml:1: name: expected a name that nothing else has, found 'grid_short_15_0p45' of families/grid.toml, too",
        ),
        ("metas", "signals", "metas/signals.toml:1: name: expected another name than signals"),
    ],
)
def test_a_name_belongs_to_one_thing(folder: Path, kind: str, name: str, message: str) -> None:
    if kind == "metas":
        meta(folder, name, LONG, "meta_benchmark")
    else:
        text = (folder / "sleeves" / f"{LONG}.toml").read_text().replace(LONG, name)
        (folder / "sleeves" / f"{name}.toml").write_text(text)
    (found,) = defects(folder)
    assert found.startswith(message)


def test_two_families_may_not_make_one_sleeve(folder: Path) -> None:
    text = GRID.replace('"grid"', '"grid_long"').replace('direction = ["LONG", "SHORT"]\n', "")
    text = text.replace("[template]", '[template]\ndirection = "LONG"')
    (folder / "families" / "grid_long.toml").write_text(text)
    (found,) = defects(folder)
    assert found.endswith("found 'grid_long_5_0p35' of families/grid.toml, too")


def test_every_defect_of_every_file_is_found_and_none_for_want_of_a_broken_file(folder: Path) -> None:
    sleeve = folder / "sleeves" / f"{LONG}.toml"
    sleeve.write_text(sleeve.read_text().replace('"LONG"', '"UP"'))  # meta_benchmark, _crypto_only and _fractal need it
    (folder / "families" / "grid.toml").write_text(GRID.replace("[5, 10, 15]", "[]"))
    meta(folder, "meta_grid", "grid")
    meta(folder, "meta_above", "meta_grid", "grid_long_5_0p35")
    meta(folder, "meta_wrong", "nobody", "binance_spot_rating_ma_long")
    market = folder / "market.toml"
    market.write_text(market.read_text().replace("max_return =", "max_returns ="))
    assert [line.split(": ")[0] for line in defects(folder)] == [
        "market.toml:13",
        f"sleeves/{LONG}.toml:4",
        "families/grid.toml:9",
        "metas/meta_wrong.toml:2",
    ]


def test_a_profile_keeps_the_file_it_was_read_from(folder: Path) -> None:
    files = load_profiles(folder).files
    assert files["grid"].path == folder / "families" / "grid.toml"
    assert files[LONG].data["name"] == LONG
