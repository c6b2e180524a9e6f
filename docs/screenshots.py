"""Make docs/images anew (`make screenshots`): a demo home, Dagster's page on it, and headless Chromium."""
# ruff: noqa: INP001 - a script beside its pictures, no package

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from playwright.sync_api import FloatRect, Locator, Page, expect

from definitions import defs
from resources.lake import AssetPath
from tests.browser import PROJECT, Dev, chromium_page, dagster_dev, missing, variables
from tests.homes import TemporaryHome

IMAGES = Path(__file__).resolve().parent / "images"
SHARPNESS = 1.5
"""Pixels of a picture per pixel of the page."""
NAVIGATION = 241
"""Pixels on the left that are the same on every page."""
INSIDE = -2
"""Margin of a dialog, whose frame is blurred into the page behind it."""

SLEEVE, META = "binance_spot_rating_all_short", "meta_fractal"
STREAMS, SIGN_TEST = (SLEEVE, "synthetic_returns"), "directional_sign_test"
PLANTED = -4
"""Which rebalance has a defect for the picture of its check."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A browser's page on a home that `dagster dev` serves."""

    home: TemporaryHome
    dev: Dev
    page: Page

    def open(self, path: str, width: int, height: int) -> None:
        """Show a page of Dagster in a window of that size."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.goto(self.dev.url + path)

    def choose(self, keys: Sequence[str], chosen: str) -> None:
        """Narrow a list of partitions down to a range, and show one of them."""
        box = self.page.get_by_placeholder("ex: 20")
        box.fill(f"[{keys[0]}...{keys[-1]}]")
        box.press("Enter")
        self.page.locator("span").get_by_text(chosen, exact=True).first.click()

    def open_newest(self, asset: AssetPath, width: int, height: int) -> None:
        """Show the metadata of an asset's newest partition."""
        keys = self.home.store.lake.partitions(asset)
        self.open(f"/assets/{'/'.join(asset)}?view=partitions", width, height)
        self.choose(keys, keys[-1])

    def open_dialog(self, entry: str) -> Locator:
        """Show an entry of the metadata that the page offers as [Show Markdown]."""
        row = self.page.get_by_role("row").filter(has=self.page.get_by_text(entry, exact=True))
        row.get_by_text("[Show Markdown]").first.click()
        self.settle()
        return self.page.get_by_role("dialog")

    def settle(self) -> None:
        """Wait until nothing fades in any more."""
        self.page.wait_for_timeout(2500)

    def keep(self, name: str, left: float, top: float, right: float, bottom: float) -> None:
        """Save a part of the window."""
        clip: FloatRect = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        self.page.screenshot(path=IMAGES / f"{name}.png", clip=clip)

    def keep_around(self, name: str, elements: Sequence[Locator], margin: float) -> None:
        """Save the part of the window that the elements take up, and a margin."""
        boxes = [box for box in (element.bounding_box() for element in elements) if box]
        left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
        right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
        self.keep(name, left - margin, top - margin, right + margin, bottom + margin)


def graph(camera: Camera) -> None:
    """The lineage of one meta from above to below, drawn so small that nodes have names only."""
    camera.page.add_init_script("""
        localStorage.setItem("asset-graph-direction", '"vertical"')
        localStorage.setItem("asset-node-facets", '["checks"]')
    """)
    lineage = "view=lineage&lineageScope=upstream&lineageDepth=12"
    camera.open(f"/assets/meta_benchmark/flattened_weights?{lineage}", 1500, 1400)
    drawn = camera.page.locator("foreignObject")
    drawn.first.wait_for()
    expect(drawn.locator("[style*=border-default]")).to_have_count(0)  # that is, every node knows how it stands
    camera.settle()
    camera.keep_around("graph", drawn.all(), 16)


def checks(camera: Camera) -> None:
    """Verdicts on one sleeve's streams by partition, the planted defect chosen."""
    keys = camera.home.store.lake.partitions(STREAMS)
    camera.open(f"/assets/{'/'.join(STREAMS)}?view=checks&checkDetail={SIGN_TEST}", 1441, 1000)
    tabs = camera.page.get_by_role("tablist").filter(has=camera.page.get_by_role("tab", name="Execution history"))
    tabs.get_by_role("tab", name="Partitions").click()
    camera.choose(keys, keys[PLANTED])
    camera.page.get_by_text("SHORT_NOT_INVERTED").first.wait_for()
    camera.settle()
    camera.keep("checks", NAVIGATION, 0, 1441, 930)


def partition(camera: Camera) -> None:
    """The metadata of a meta's newest partition, its picture open."""
    camera.open_newest((META, "flattened_weights"), 1441, 1050)
    camera.open_dialog("picture")
    camera.keep("partition", NAVIGATION, 0, 1441, 1010)


def solver_cells(camera: Camera) -> None:
    """Every cell of one sleeve at its newest rebalance."""
    camera.open(f"/assets/{SLEEVE}/solver_cells?view=events", 1500, 1050)
    camera.keep_around("solver_cells", [camera.open_dialog("every_cell")], INSIDE)


def certification_board(camera: Camera) -> None:
    """How every sleeve and meta stood at every rebalance."""
    camera.open_newest(("certification_board",), 1441, 900)
    camera.keep_around("certification_board", [camera.open_dialog("picture")], INSIDE)


def report(camera: Camera) -> None:
    """The first screens of a meta's newest forensic report, opened as a file."""
    newest = max(camera.home.store.folders.runs.glob(f"{META}-*/reports/*.html"))
    camera.page.set_viewport_size({"width": 1000, "height": 1500})
    camera.page.goto(newest.as_uri())
    camera.settle()
    camera.page.screenshot(path=IMAGES / "report.png")


def demo_home(root: Path) -> TemporaryHome:
    """Make a demo home, in a process of its own."""
    command = [sys.executable, "-c", "from commands.main import main; main()", "demo", "--home", str(root)]
    subprocess.run(command, cwd=PROJECT, env=variables(root), stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own command
    return TemporaryHome(root, defs)


def plant(home: TemporaryHome) -> None:
    """Turn the streams of a short sleeve around at one rebalance, and let them be judged."""
    key = home.store.lake.partitions(STREAMS)[PLANTED]
    home.plant(STREAMS, key, pl.col("raw").alias("synthetic"))
    home.run(key, checks=[(STREAMS, SIGN_TEST)])
    home.close()


def main() -> None:
    """Take every picture in a browser of its own."""
    if lacking := missing():
        sys.exit(f"screenshots: {lacking}")
    with TemporaryDirectory(prefix="sleevegraph-") as folder:
        home = demo_home(Path(folder) / "demo")
        with dagster_dev(home.root, Path(folder) / "dev.log", "definitions") as dev:

            def take(picture: Callable[[Camera], None]) -> None:
                with chromium_page(Path(folder), scale=SHARPNESS) as page:
                    picture(Camera(home, dev, page))

            for picture in (graph, partition, solver_cells, certification_board, report):
                take(picture)
            plant(home)
            take(checks)


if __name__ == "__main__":
    main()
