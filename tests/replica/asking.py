"""Bare requests to the replica, and what its answers hold."""

import io
import zipfile
from xml.etree import ElementTree as ET

import httpx

from tests.replica.handle import Replica

CLIENT = httpx.Client(timeout=5, trust_env=False)
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
MONTH = "data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2024-12.zip"
DAILY = "data/spot/daily/klines/BTCUSDT/1d/"


def get(replica: Replica, key: str) -> httpx.Response:
    return CLIENT.get(f"{replica.url('archive')}/{key}")


def csv_of(replica: Replica, key: str) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(get(replica, key).raise_for_status().content)) as archive:
        assert archive.namelist() == [key.rpartition("/")[2].removesuffix(".zip") + ".csv"]
        assert archive.testzip() is None
        return [line.split(",") for line in archive.read(archive.namelist()[0]).decode().splitlines()]


def page(replica: Replica, **query: str) -> ET.Element:
    return ET.fromstring(CLIENT.get(replica.url("listing"), params=query).raise_for_status().text)  # noqa: S314  # our own


def texts(tree: ET.Element, path: str) -> list[str]:
    return [found.text or "" for found in tree.findall("/".join(NAMESPACE + name for name in path.split("/")))]


def walked(replica: Replica, prefix: str) -> list[str]:
    """Every key under a prefix, as a client without a delimiter reads them: from the last key on."""
    keys: list[str] = []
    while True:
        tree = page(replica, prefix=prefix, marker=keys[-1] if keys else "")
        keys += texts(tree, "Contents/Key")
        assert not texts(tree, "NextMarker")
        if texts(tree, "IsTruncated") == ["false"]:
            return keys


def klines(replica: Replica, host: str = "api0", **query: str | int) -> httpx.Response:
    return CLIENT.get(f"{replica.url(host)}/api/v3/klines", params={"symbol": "BTCUSDT", "interval": "1d", **query})
