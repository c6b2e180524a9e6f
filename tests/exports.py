"""Figures of the exporter, as a scraper reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from commands.metrics import parts_of, started
from resources.home import Home
from resources.metrics import HomeCollector
from sleevegraph.manifest import Manifest
from tests.homes import environment, small_manifest

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(home: Home, manifest: Manifest | None = None) -> Figures:
    """Every sample of a home by name and labels, without HTTP and as of now."""
    with pointed_at(home):
        found = HomeCollector(parts_of(home, manifest or small_manifest())).collect()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for family in found for sample in family.samples
    }


def scrape(home: Home) -> str:
    """What the exporter answers over HTTP."""
    with pointed_at(home):
        server, thread = started(home, small_manifest(), "127.0.0.1", 0)
        try:
            with urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                return str(answer.read().decode())
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def parsed(text: str) -> Figures:
    """Samples of a scrape, by Prometheus's own reader of its format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(figures: Figures, name: str, **labels: str) -> float:
    """The one sample of a metric that has these labels."""
    (value,) = all_of(figures, name, **labels)
    return value


def all_of(figures: Figures, name: str, **labels: str) -> list[float]:
    """Samples of a metric that have these labels."""
    wanted = frozenset(labels.items())
    return [value for (found, has), value in figures.items() if found == f"sleevegraph_{name}" and wanted <= has]


@contextmanager
def pointed_at(home: Home) -> Iterator[None]:
    """The environment that a command prepares."""
    with environment(DAGSTER_HOME=str(home.dagster), SLEEVEGRAPH_HOME=str(home.root)):
        yield
