"""The replica's faults, limits and hosts as a bare client meets them."""

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path

import httpx
import pytest

from tests.replica.asking import CLIENT, DAILY, MONTH, get, klines, page, texts, walked
from tests.replica.faults import KINDS, PASSING, Faults
from tests.replica.files import zipped
from tests.replica.handle import ROOT, Replica


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_each_fault_is_what_it_says(replica: Replica) -> None:
    body, said = get(replica, MONTH).content, get(replica, f"{MONTH}.CHECKSUM").content

    def broken(how: str, key: str = MONTH) -> httpx.Response:
        replica.break_key(MONTH, how)
        return CLIENT.get(f"{replica.url('archive')}/{key}", timeout=0.3)

    with pytest.raises(httpx.ReadTimeout):
        broken("timeout")
    with pytest.raises(httpx.ReadError) as reset:
        broken("reset")
    assert f"[Errno {errno.ECONNRESET}]" in str(reset.value)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        broken("truncated")
    assert [broken(how).status_code for how in ("500", "503", "404", "429")] == [500, 503, 404, 429]
    assert broken("429").headers["Retry-After"] == "1"
    corrupt = broken("corrupt").content
    assert len(corrupt) == len(body)
    assert sum(a != b for a, b in zip(corrupt, body, strict=True)) == 1
    with zipfile.ZipFile(io.BytesIO(body)) as sound, zipfile.ZipFile(io.BytesIO(corrupt)) as unsound:
        assert (sound.testzip(), unsound.namelist()) == (None, sound.namelist())
    assert broken("corrupt", f"{MONTH}.CHECKSUM").content == said
    assert broken("checksum").content == body
    wrong = broken("checksum", f"{MONTH}.CHECKSUM").content
    assert (wrong != said, len(wrong), wrong[64:]) == (True, len(said), said[64:])
    replica.break_key(MONTH, None)
    assert get(replica, MONTH).content == body


def test_a_stale_mirror_agrees_with_itself_and_not_with_the_listing(replica: Replica) -> None:
    first, second = get(replica, MONTH).content, zipped("BTCUSDT-1d-2024-12.csv", "1,2,3\n")
    replica.break_key(MONTH, "stale")
    made = get(replica, MONTH).content
    assert made != first
    assert get(replica, f"{MONTH}.CHECKSUM").text.startswith(sha256(made).hexdigest())
    replica.replace(MONTH, second)
    assert get(replica, MONTH).content == first
    assert get(replica, f"{MONTH}.CHECKSUM").text.startswith(sha256(first).hexdigest())
    replica.break_key(MONTH, None)
    assert get(replica, MONTH).content == second
    assert (
        texts(page(replica, prefix=MONTH), "Contents/ETag")[0] == f'"{md5(second, usedforsecurity=False).hexdigest()}"'
    )


def test_a_stale_listing_lacks_the_newest_keys_and_a_stale_answer_the_newest_bar(replica: Replica) -> None:
    keys = walked(replica, DAILY)
    rows = klines(replica, limit=10).json()
    replica.break_key(DAILY, "stale_listing")
    replica.break_key("klines/BTCUSDT", "stale_bar")
    assert walked(replica, DAILY) == keys[:-2]
    assert klines(replica, limit=8).json() == rows[:-2]


def test_faults_befall_their_share_the_same_whatever_the_order() -> None:
    names = [
        (kind, f"key {i}{suffix}") for i in range(4000) for kind, suffix in (("zip", ""), ("checksum", ".CHECKSUM"))
    ]
    draws = [Faults(0.05, KINDS, seed=3).draw("archive", *name) for name in names]
    backwards = Faults(0.05, KINDS, seed=3)
    assert [backwards.draw("archive", *name) for name in reversed(names)] == draws[::-1]
    assert 0.04 < sum(map(bool, draws)) / len(draws) < 0.06
    assert set(draws) == {*PASSING, ""}
    assert [how == "stale" for how in draws[::2]] == [how == "stale" for how in draws[1::2]]
    assert draws != [Faults(0.05, KINDS, seed=4).draw("archive", *name) for name in names]


def test_faults_come_with_the_share_that_was_asked_for_and_only_where(replica: Replica) -> None:
    replica.faults(0.5, ["500"], roles=["archive"])
    with httpx.Client() as client:
        got = [client.get(f"{replica.url('archive')}/{MONTH}").status_code for _ in range(200)]
        api = [client.get(f"{replica.url('api0')}/api/v3/time").status_code for _ in range(50)]
    assert 60 < got.count(500) == replica.log()["faults"]["500"] < 140
    assert api == [200] * 50


def test_restricted_hosts_and_hosts_that_are_down(replica: Replica) -> None:
    for how in ("451", "403", "400"):
        replica.restrict("api0", how)
        answer = klines(replica)
        assert (answer.status_code, "restricted location" in answer.json()["msg"]) == (int(how), True)
    assert klines(replica, "api1").status_code == 200
    replica.restrict("api0", "down")
    with pytest.raises(httpx.ConnectError, match="refused"):
        httpx.get(f"{replica.url('api0')}/api/v3/time")
    replica.restrict("api0", None)
    assert httpx.get(f"{replica.url('api0')}/api/v3/time").status_code == 200


def test_weights_are_counted_and_who_does_not_listen_is_banned(replica: Replica) -> None:
    replica.limits(50, "MINUTE", 1, ban_seconds=20)
    replica.now(datetime(2025, 2, 10, 13, 30, 10, tzinfo=UTC))
    with httpx.Client(base_url=replica.url("api0")) as client:
        info = client.get("/api/v3/exchangeInfo")
        assert info.headers["X-MBX-USED-WEIGHT-1M"] == "20"
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 50}
        assert info.json()["rateLimits"][0] == limit
        used = [
            client.get("/api/v3/klines?symbol=BTCUSDT&interval=1d").headers["X-MBX-USED-WEIGHT-1M"] for _ in range(15)
        ]
        assert used == [str(20 + 2 * i) for i in range(1, 16)]
        assert (replica.violations(), replica.largest_weight()) == (0, 50)
        refused = client.get("/api/v3/time")
        assert refused.status_code == 429
        assert 25 < int(refused.headers["Retry-After"]) <= 50
        banned = [client.get("/api/v3/time") for _ in range(3)]
    assert [answer.status_code for answer in banned] == [418] * 3
    assert [int(answer.headers["Retry-After"]) for answer in banned] == [20, 40, 80]
    assert replica.violations() == 4
    assert klines(replica, "api1").status_code == 200


def test_a_window_of_a_second_passes(replica: Replica) -> None:
    replica.limits(1, "SECOND", 1)
    with httpx.Client(base_url=replica.url("api0")) as client:
        answers = [client.get("/api/v3/time") for _ in range(2)]
        while answers[-1].status_code == 200:  # the two fell into two windows
            answers.append(client.get("/api/v3/time"))
        time.sleep(int(answers[-1].headers["Retry-After"]))
        assert client.get("/api/v3/time").status_code == 200
    assert answers[-1].headers["X-MBX-USED-WEIGHT-1S"] == "2"
    assert replica.violations() == 1


def test_the_log_counts_by_kind(replica: Replica) -> None:
    body = get(replica, MONTH).content
    get(replica, f"{MONTH}.CHECKSUM")
    walked(replica, DAILY)
    klines(replica)
    log = replica.log()
    assert log["requests"] == {"zip": 1, "checksum": 1, "listing": 1, "klines": 1}
    assert log["bytes"]["zip"] == len(body)
    assert [name[:2] for name in log["names"]][::3] == [["zip", MONTH], ["klines", "klines/BTCUSDT"]]
    replica.reset_log()
    assert not replica.log()["requests"]


def test_a_server_does_not_outlive_the_process_that_started_it(small_tree: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom tests.replica.handle import Replica\n"
        "with Replica(Path(sys.argv[1])) as replica:\n    print(replica.ports['archive'], flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(small_tree)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert answers(port)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answers(port)


def test_latency_delays_every_answer(replica: Replica) -> None:
    replica.latency(0.3)
    start = time.monotonic()
    assert klines(replica).status_code == 200
    assert time.monotonic() - start >= 0.3
