"""What a person sees: the page of `dagster dev` in headless Chromium, and the GraphQL that the page shows."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from assets.gates import all_gates
from resources.lake import AssetPath
from sleevegraph.calendar import grid_dates
from tests.browser import Dev, chromium_page, dagster_dev, needs_browser
from tests.homes import (
    KEYS,
    LONG,
    SHORT,
    TemporaryHome,
    checks_of,
    copied_home,
    remove_homes,
    small_definitions,
    small_manifest,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (make install-dev)").expect
pytestmark = [pytest.mark.slow, needs_browser]

SIGN_TEST = "directional_sign_test"
STREAMS, WEIGHTS = (SHORT, "synthetic_returns"), (SHORT, "risk_weights")

VERDICTS = """query Verdicts($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode { assetChecksOrError { ... on AssetChecks { checks {
    name partitionStatuses { ... on AssetCheckTimePartitionStatuses { ranges { startKey endKey status } } }
  } } } } }
}"""
"""The part of what the page asks for an asset's checks that says how they stand."""


@pytest.fixture(scope="module")
def served(_four_rebalances: Path) -> Iterator[TemporaryHome]:
    own = copied_home(_four_rebalances, small_definitions())
    yield own
    remove_homes([own])


@pytest.fixture(scope="module")
def dev(served: TemporaryHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dagster_dev(served.root, tmp_path_factory.mktemp("dev") / "dev.log") as running:
        yield running


@pytest.fixture
def page(tmp_path: Path) -> Iterator["Page"]:
    with chromium_page(tmp_path) as opened:
        yield opened


def verdicts(dev: Dev, path: AssetPath) -> dict[str, dict[str, str]]:
    """How every check of an asset stands, by partition."""
    node = dev.graphql(VERDICTS, asset={"path": path})["assetNodeOrError"]
    return {
        check["name"]: {
            str(day): spell["status"]
            for spell in check["partitionStatuses"]["ranges"]
            for day in grid_dates(date.fromisoformat(spell["startKey"]), date.fromisoformat(spell["endKey"]))
        }
        for check in node["assetChecksOrError"]["checks"]
    }


def test_the_graph_shows_a_node_for_every_asset(dev: Dev, page: "Page") -> None:
    graph = small_definitions().resolve_asset_graph()
    wanted = {tuple(key.path): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    nodes = dev.graphql("{ assetNodes { assetKey { path } groupName } }")["assetNodes"]
    assert {tuple(node["assetKey"]["path"]): node["groupName"] for node in nodes} == wanted
    page.set_viewport_size({"width": 2400, "height": 1600})
    page.goto(f"{dev.url}/asset-groups")
    drawn = page.locator("foreignObject")
    for group in sorted(set(wanted.values())):
        expect(drawn.get_by_text(group, exact=True)).to_be_visible()
    # Group by group, since Dagster leaves out what is beyond the window's edge or would be too small.
    for group in sorted(set(wanted.values())):
        page.goto(f'{dev.url}/asset-groups~group:"{group}"/')
        for name, count in Counter(path[-1] for path in wanted if wanted[path] == group).items():
            expect(drawn.filter(has=page.get_by_text(name, exact=True))).to_have_count(count)


def test_every_gate_of_a_sleeve_succeeded_at_every_rebalance(served: TemporaryHome, dev: Dev, page: "Page") -> None:
    warns = {(gate.path, gate.check) for gate in all_gates(small_manifest()) if not gate.blocking}
    judged = [(path, check) for path, check in checks_of(small_definitions()) if path[0] == LONG]
    for path, check in judged:
        warned = {key for key in KEYS if (path, check) in warns and served.receipt(path, check, key).findings}
        expected = {key: "FAILED" if key in warned else "SUCCEEDED" for key in KEYS}
        assert verdicts(dev, path)[check] == expected, (path, check)
    path = (LONG, "risk_weights")
    names = [check for asset, check in judged if asset == path]
    page.goto(f"{dev.url}/assets/{'/'.join(path)}?view=checks")
    expect(page.get_by_text(f"Checks ({len(names)})", exact=True)).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(len(names))
    for name in names:
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


def test_a_planted_failure_shows_at_its_own_rebalance_and_the_neighbours_stay_green(
    served: TemporaryHome, dev: Dev, tmp_path: Path
) -> None:
    assert verdicts(dev, STREAMS) == {SIGN_TEST: dict.fromkeys(KEYS, "SUCCEEDED")}
    served.plant(STREAMS, KEYS[1], pl.col("raw").alias("synthetic"))
    assert served.run(KEYS[1], checks=[(STREAMS, SIGN_TEST)]).success
    assert verdicts(dev, STREAMS) == {SIGN_TEST: {**dict.fromkeys(KEYS, "SUCCEEDED"), KEYS[1]: "FAILED"}}
    with chromium_page(tmp_path) as page:
        page.goto(f"{dev.url}/assets/{'/'.join(STREAMS)}?view=checks&checkDetail={SIGN_TEST}")
        tabs = page.get_by_role("tablist").filter(has=page.get_by_role("tab", name="Execution history"))
        tabs.get_by_role("tab", name="Partitions").click()
        chosen = page.get_by_placeholder("ex: 20")
        chosen.fill(f"[{KEYS[0]}...{KEYS[-1]}]")
        chosen.press("Enter")
        expect(page.get_by_text("Failed (1)", exact=True)).to_be_visible()
        expect(page.get_by_text("Passed (3)", exact=True)).to_be_visible()
        for key in (*KEYS[2:], KEYS[0], KEYS[1]):
            page.locator("span").get_by_text(key, exact=True).first.click()
            expect(page.get_by_text(served.receipt(STREAMS, SIGN_TEST, key).digest)).to_be_visible()
            said = "Failed" if key == KEYS[1] else "Passed"
            expect(page.locator(f"[data-tooltip={said}]")).to_be_visible()
        expect(page.get_by_text("SHORT_NOT_INVERTED").first).to_be_visible()
        page.screenshot(path=tmp_path / "checks.png")


def test_a_picture_in_the_metadata_of_a_partition_is_displayed(dev: Dev, page: "Page", tmp_path: Path) -> None:
    page.goto(f"{dev.url}/assets/{'/'.join(WEIGHTS)}?view=partitions&partition={KEYS[-1]}")
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.get_by_role("dialog").get_by_role("img", name="weights in synthetic space")
    expect(picture).to_be_visible()
    dev.wait("picture", lambda: picture.evaluate("image => image.complete && image.naturalWidth > 0"))
    page.screenshot(path=tmp_path / "picture.png")
