"""What goes wrong with an object store is said in one line, and leaves whole what was there."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from random import Random

import boto3
import polars as pl
import pytest

from profiles.load import load_manifest
from resources import object_storage, places
from resources.bundle_files import bundles_at
from resources.home import lake_url, place_at, recorded_lake
from resources.lake import AbsentError, Lake, Status
from resources.lake_trouble import lake_trouble
from resources.object_errors import tried
from resources.packed_runs import PackedRuns
from resources.places import UnreachableLakeError
from resources.store import Store, recorded_source
from sleevegraph.errors import ConfigurationError, LakeError
from tests.command_homes import sleevegraph
from tests.homes import environment
from tests.object_store import BUCKET, credentials, object_store

ASSET, KEY, AT = ("made_up",), "2024-01-01", date(2024, 1, 1)
SECRETS = ("testing-secret", "word")


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    with object_store() as found:
        yield found


@pytest.fixture
def lake(variables: dict[str, str], tmp_path: Path) -> Iterator[Lake]:
    """An empty lake under a prefix of its own."""
    url = f"{variables['SLEEVEGRAPH_LAKE']}/{tmp_path.name}"
    with environment(**{**variables, "SLEEVEGRAPH_LAKE": url}):
        object_storage._filesystem.cache_clear()
        yield Lake(place_at(url) / "lake")
    object_storage._filesystem.cache_clear()


@contextmanager
def store_at(endpoint: str, tmp_path: Path) -> Iterator[Lake]:
    """A lake in the bucket of another server."""
    with environment(**credentials(tmp_path, endpoint), SLEEVEGRAPH_LAKE=f"s3://{BUCKET}/prefix"):
        object_storage._filesystem.cache_clear()
        yield Lake(place_at(f"s3://{BUCKET}/prefix") / "lake")
    object_storage._filesystem.cache_clear()


def frame(value: float) -> pl.DataFrame:
    return pl.DataFrame({"x": [value] * 1000})


def said(act: Callable[[], object]) -> str:
    """The one line of an act that must fail, which names the setting and no secret."""
    with pytest.raises(UnreachableLakeError) as caught:
        act()
    line = str(caught.value)
    assert line.startswith("SLEEVEGRAPH_LAKE: tried to ")
    assert "\n" not in line
    assert not any(secret in line for secret in SECRETS)
    return line


def trouble() -> str:
    """The one trouble that start-up finds."""
    [found] = lake_trouble()
    assert found.setting == "SLEEVEGRAPH_LAKE"
    assert "what needs no lake works" in found.still
    assert "\n" not in str(found)
    assert not any(secret in str(found) for secret in SECRETS)
    return f"{found.tried}: {found.found}"


def test_what_was_written_is_read_listed_and_deleted(lake: Lake) -> None:
    assert not lake.has(ASSET, KEY)
    assert lake.partitions(ASSET) == lake.stored() == []
    digest = lake.write(ASSET, KEY, frame(1.0), Status.OK, "why", ["x"])
    lake.write((*ASSET, "deeper"), "2024-01-11", frame(2.0))
    assert lake.has(ASSET, KEY)
    assert lake.partitions(ASSET) == [KEY]
    assert lake.stored() == [(ASSET, KEY), ((*ASSET, "deeper"), "2024-01-11")]
    assert lake.read(ASSET, KEY).equals(frame(1.0))
    assert lake.standing(ASSET, KEY) == (Status.OK, "why")
    assert lake.digest(ASSET, KEY) == digest
    assert lake.size(ASSET, KEY) == len(places.content(lake.path(ASSET, KEY))[1])
    lake.remove(ASSET, KEY)
    assert not lake.has(ASSET, KEY)
    with pytest.raises(LakeError, match=r"made_up 2024-01-01: expected a stored partition at s3://.*materialise it"):
        lake.read(ASSET, KEY)


@pytest.mark.parametrize("prefix", ["", "with space", "präfix/日本", "a//b", "plus+and%20percent", "up/../x"])
def test_any_prefix_is_taken_as_it_stands(variables: dict[str, str], prefix: str) -> None:
    url = f"s3://{BUCKET}/{prefix}".rstrip("/")
    with environment(**{**variables, "SLEEVEGRAPH_LAKE": f"{url}/"}):
        object_storage._filesystem.cache_clear()
        root = place_at(lake_url(f"{url}/"))
        runs = PackedRuns(root / "runs")
        Lake(root / "lake").write(ASSET, KEY, frame(1.0))
        runs.write("some", AT, {"audit.jsonl": b"x"})
        keys = {one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert {
            f"{prefix}/lake/made_up/{KEY}.parquet".lstrip("/"),
            f"{prefix}/runs/some-20240101.zip".lstrip("/"),
        } <= keys
        assert Lake(root / "lake").stored() == [(ASSET, KEY)]
        assert bundles_at(root) == [runs.path("some", AT)]
        assert ("lake", "made_up", f"{KEY}.parquet") in object_storage.below(root)
        assert lake_trouble() == []
        Lake(root / "lake").remove(ASSET, KEY)
        places.remove(runs.path("some", AT))


def test_a_large_object_is_one_put_and_one_that_another_tool_put_in_parts_is_read(lake: Lake) -> None:
    s3, place, large = boto3.client("s3"), lake.root / "large", Random(0).randbytes(11 * 2**20)  # noqa: S311
    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    places.put(place, large)
    assert "-" not in s3.head_object(Bucket=bucket, Key=key)["ETag"]
    s3.upload_fileobj(BytesIO(large[::-1]), bucket, key)
    found = places.version(place)
    assert found is not None
    assert str(found[0]).endswith('-2"')
    assert places.exactly(place, found) == large[::-1]


def test_what_is_deleted_between_a_look_and_the_reading_is_absent(lake: Lake) -> None:
    lake.write(ASSET, KEY, frame(1.0))
    bucket, _, key = str(lake.path(ASSET, KEY)).removeprefix("s3://").partition("/")
    with lake.one_look():
        assert lake.has(ASSET, KEY)
        object_storage._CONTENTS = object_storage.Contents(2**20)
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)
        with pytest.raises(AbsentError):
            lake.rows(ASSET, KEY)


def test_a_file_that_cannot_be_read_is_named(lake: Lake) -> None:
    places.put(lake.path(ASSET, KEY), b"PAR1 but no more")
    for read in (lake.read, lake.standing):
        with pytest.raises(LakeError, match=r"expected a Parquet file at s3://.*found one that cannot be read"):
            read(ASSET, KEY)


def test_objects_are_listed_over_several_pages(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "PAGE", 3)
    folder = lake.root / "many"
    list(places.for_each(folder, lambda i: places.put(folder / f"{i:04}.parquet", b"x"), range(10)))
    assert lake.partitions(("many",)) == [f"{i:04}" for i in range(10)]
    assert [key for _, key in lake.stored()] == lake.partitions(("many",))


def test_nothing_that_another_process_replaced_is_read_from_memory(lake: Lake) -> None:
    s3, place = boto3.client("s3"), lake.path(ASSET, KEY)
    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    written = []
    for value in (1.0, 2.0):
        lake.write(ASSET, KEY, frame(value))
        written.append(places.content(place)[1])
    digests = []
    for turn in (0, 1, 0, 1, 0):
        s3.put_object(Bucket=bucket, Key=key, Body=written[turn])
        assert lake.read(ASSET, KEY).equals(frame(float(turn + 1)))
        digests.append(lake.digest(ASSET, KEY))
    assert digests == [digests[0], digests[1]] * 2 + [digests[0]]
    assert digests[0] != digests[1]
    s3.delete_object(Bucket=bucket, Key=key)
    assert lake.partitions(ASSET) == []
    assert not lake.has(ASSET, KEY)


def test_one_look_sees_what_this_process_writes_and_ends_with_its_block(lake: Lake) -> None:
    s3, place = boto3.client("s3"), lake.path(ASSET, KEY)
    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    with lake.one_look():
        assert not lake.has(ASSET, KEY)
        lake.write(ASSET, KEY, frame(1.0))
        assert lake.partitions(ASSET) == [KEY]
        s3.delete_object(Bucket=bucket, Key=key)
        with lake.one_look():
            assert lake.has(ASSET, KEY), "a look within a look is the same one"
        lake.remove(ASSET, KEY)
        assert lake.partitions(ASSET) == []
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert lake.partitions(ASSET) == [KEY]


def test_what_is_replaced_between_a_look_and_the_reading_is_not_taken_for_it(lake: Lake) -> None:
    place = lake.path(ASSET, KEY)
    bucket, _, key = str(place).removeprefix("s3://").partition("/")
    lake.write(ASSET, KEY, frame(1.0))
    old = places.version(place)
    assert old is not None
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"another")
    object_storage._CONTENTS = object_storage.Contents(2**20)
    with pytest.raises(places.ChangedError, match="found another writer"):
        places.exactly(place, old)
    assert places.content(place)[1] == b"another"


def test_contents_at_hand_stay_within_their_limit() -> None:
    contents = object_storage.Contents(100)
    for turn in range(20):
        contents.keep(f"url{turn % 7}", ("etag", turn), bytes(30))
        assert contents._size == sum(len(content) for _, content in contents._kept.values()) <= 100
    assert contents.get("url5", ("etag", 19)) == bytes(30)
    assert contents.get("url5", ("etag", 12)) is None
    assert contents.get("url1", ("etag", 15)) is None


def test_the_same_bundle_is_not_written_again(lake: Lake) -> None:
    runs, files = PackedRuns(lake.root.parent / "runs"), {"audit.jsonl": b"a\n", "data/x": b"1"}
    runs.write("some", AT, files)
    s3 = boto3.client("s3")
    bucket, _, key = str(runs.path("some", AT)).removeprefix("s3://").partition("/")
    before = s3.head_object(Bucket=bucket, Key=key)["LastModified"]
    time.sleep(1.1)  # the store's times are in whole seconds
    runs.write("some", AT, dict(reversed(files.items())))
    assert s3.head_object(Bucket=bucket, Key=key)["LastModified"] == before
    assert runs.read("some", AT) == files
    assert (runs.ledger("some", AT), runs.file("some", AT, "none")) == ("a\n", b"")


@pytest.mark.usefixtures("lake")
def test_a_bucket_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", "s3://not-there/prefix")
    wrong = Lake(place_at("s3://not-there/prefix") / "lake")
    for act in (lambda: wrong.write(ASSET, KEY, frame(1.0)), lambda: wrong.partitions(ASSET), wrong.stored):
        assert "found NoSuchBucket" in said(act)
        assert "s3://not-there/prefix/lake" in said(act)
        assert "make the bucket, or correct SLEEVEGRAPH_LAKE" in said(act)
    assert trouble().endswith("make the bucket, or correct SLEEVEGRAPH_LAKE")
    assert trouble().startswith("to list s3://not-there/prefix at http://127.0.0.1:")


@pytest.mark.usefixtures("lake")
def test_a_wrong_bucket_of_a_new_home_can_be_corrected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right, market = os.environ["SLEEVEGRAPH_LAKE"], load_manifest().market
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", "s3://not-there/prefix")
    assert sleevegraph("automate", "on", "--home", tmp_path).exit_code == 0
    store = Store(home=str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"found NoSuchBucket .*; make the bucket, or correct SLEEVEGRAPH_LAKE"
    ):
        store.record_source(store.source(market))
    assert not recorded_source(store.folders)
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", right)
    store = Store(home=str(tmp_path))
    store.record_source(store.source(market))
    assert recorded_lake(tmp_path) == right


def test_a_store_that_works_is_no_trouble_and_keeps_nothing_of_the_attempt(lake: Lake) -> None:
    assert lake_trouble() == []
    assert object_storage.below(lake.root.parent) == []


def test_an_endpoint_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://user:word@store.example:9000/path?token=word")
    assert tried("list_objects_v2", "s3://bucket/x") == "to list s3://bucket/x at https://store.example:9000"


def test_without_the_setting_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLEEVEGRAPH_LAKE", raising=False)
    assert lake_trouble() == []


def test_without_credentials(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    object_storage._filesystem.cache_clear()
    assert "found NoCredentialsError; set AWS_ACCESS_KEY_ID" in said(lambda: lake.write(ASSET, KEY, frame(1.0)))
    assert "NoCredentialsError; set AWS_ACCESS_KEY_ID" in trouble()


class Answers:
    """A store that answers as it is told, one (status, code) after the other, the last for ever; None hangs."""

    def __init__(self, *answers: tuple[int, str] | None) -> None:
        self.left, self.asked = list(answers), 0

    def next(self) -> tuple[int, str] | None:
        self.asked += 1
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """Its address."""
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = answers.next()
            if found is None:
                stop.wait(30)
                return
            status, code = found
            body = (
                b""
                if self.command == "HEAD" or status == 200
                else f"<Error><Code>{code}</Code><Message>Told so.</Message></Error>".encode()
            )
            cut = code == "cut"
            self.send_response(status)
            self.send_header("Content-Length", str(100 if cut else len(body)))
            self.send_header("ETag", '"0"')
            self.end_headers()
            self.wfile.write(b"PAR1" if cut else body)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - as http.server calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "renew the credentials"),
        (403, "ExpiredToken", "renew the credentials"),
        (403, "InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "correct AWS_ACCESS_KEY_ID"),
        (403, "AccessDenied", "allow these credentials"),
        (403, "RequestTimeTooSkewed", "set this machine's clock"),
    ],
)
def test_credentials_that_are_refused(tmp_path: Path, status: int, code: str, advice: str) -> None:
    with answering(Answers((status, code))) as endpoint, store_at(endpoint, tmp_path) as lake:
        line = said(lambda: lake.write(ASSET, KEY, frame(1.0)))
        assert f"found {code} (Told so.); {advice}" in line
        assert "to write s3://lake/prefix/lake/made_up/2024-01-01.parquet at http://127.0.0.1:" in line
        assert advice in said(lambda: lake.partitions(ASSET))
        assert advice in trouble()
        assert "credentials (AWS_...)" in said(lambda: lake.has(ASSET, KEY)), "to a HEAD request no body says why"


def test_a_store_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    answers = Answers((503, "SlowDown"), (500, "InternalError"), (200, ""))
    with answering(answers) as endpoint, store_at(endpoint, tmp_path) as lake:
        places.put(lake.path(ASSET, KEY), b"x")
    assert answers.asked == 3


def test_a_store_that_stays_busy_is_given_up(tmp_path: Path) -> None:
    answers = Answers((503, "SlowDown"))
    with answering(answers) as endpoint, store_at(endpoint, tmp_path) as lake:
        assert "found SlowDown (Told so.); nothing that was there is changed; run this again" in said(
            lambda: places.put(lake.path(ASSET, KEY), b"x")
        )
    assert answers.asked == object_storage.ATTEMPTS


def test_an_object_whose_bytes_break_off_is_read_again_and_then_given_up(tmp_path: Path) -> None:
    answers = Answers((200, "cut"))
    with answering(answers) as endpoint, store_at(endpoint, tmp_path) as lake:
        assert "nothing that was there is changed; run this again" in said(
            lambda: places.content(lake.path(ASSET, KEY))
        )
    assert answers.asked == object_storage.ATTEMPTS


def test_nobody_listening(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with store_at(f"http://127.0.0.1:{port}", tmp_path) as lake:
        assert "EndpointConnectionError; start the store, or correct AWS_ENDPOINT_URL" in trouble()
        assert "start the store, or correct AWS_ENDPOINT_URL" in said(lambda: lake.partitions(ASSET))


def test_a_store_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "READ_SECONDS", 0.2)
    monkeypatch.setattr(object_storage, "ATTEMPTS", 2)
    monkeypatch.setattr("resources.lake_trouble.READ_SECONDS", 0.2)
    answers = Answers(None)
    with answering(answers) as endpoint, store_at(endpoint, tmp_path) as lake:
        assert "ReadTimeoutError" in said(lambda: lake.partitions(ASSET))
        assert answers.asked == 2
        assert "ReadTimeoutError" in trouble()


@pytest.mark.parametrize(
    "url",
    ["/data/lake", "lake", "gs://bucket/x", "s3:/bucket", "s3://", "s3://key:word@bucket/x", "s3://bucket/x?y=word", "s3://b u/x", "s3://[x"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_its_secrets(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"^SLEEVEGRAPH_LAKE: expected s3://bucket/prefix, found ") as caught:
        lake_url(url)
    assert "word" not in str(caught.value)
    monkeypatch.setenv("SLEEVEGRAPH_LAKE", url)
    with pytest.raises(ConfigurationError, match="SLEEVEGRAPH_LAKE"):
        Store(home=str(tmp_path)).lake  # noqa: B018 - that it is asked for is the test
    assert "expected s3://bucket/prefix" in trouble()


def test_without_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from resources.store import Store; from resources.lake_trouble import lake_trouble\n"
        "print(lake_trouble()[0])\n"
        "Store(home=sys.argv[1]).lake"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "SLEEVEGRAPH_LAKE": "s3://lake/x"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "run pip install 'sleevegraph[s3]'" in ran.stdout
    assert "ConfigurationError: SLEEVEGRAPH_LAKE: expected the packages for object storage" in ran.stderr


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for text in ("{", "[]", '{"url": 1}'):
        (tmp_path / "data" / "lake.json").write_text(text)
        with pytest.raises(ConfigurationError, match=r"lake.json: expected JSON with the url of a lake, found"):
            recorded_lake(tmp_path)


WRITER = """
import os, sys
from datetime import date
import polars as pl, s3fs
from resources.home import place_at
from resources.lake import Lake
from resources.packed_runs import PackedRuns

def write(url, key, turns):
    lake, runs = Lake(place_at(url) / "lake"), PackedRuns(place_at(url) / "runs")
    for turn in range(turns):
        value = float(turn % 2)
        lake.write(("made_up",), key, pl.DataFrame({"x": [value] * 20_000, "y": range(20_000)}))
        runs.write("some_" + key[-1], date(2024, 1, 1), {f"data/{i}": bytes([turn % 2]) * 9_000 for i in range(20)})
        if turn == 0:
            print(os.getpid(), flush=True)

for line in sys.stdin:
    url, key, turns = line.split()
    child = os.fork()
    if not child:
        write(url, key, int(turns))
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Forks a writer for each line that it is told, says the writer's process id once it has written, and how it ended."""


class Writer:
    """A process of WRITER."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.told, self.says = process.stdin, process.stdout

    def begin(self, url: str, key: str, turns: int) -> int:
        """Process id of a writer that has begun."""
        self.told.write(f"{url} {key} {turns}\n")
        self.told.flush()
        return int(self.says.readline())

    def end(self) -> int:
        """Exit status of the writer, as the system says it."""
        return int(self.says.readline())


@contextmanager
def writer() -> Iterator[Writer]:
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Writer(process)


def whole(lake: Lake, key: str) -> bool:
    """Whether a partition and a bundle of WRITER are each one of the two that it makes, or not there yet."""
    runs = PackedRuns(lake.root.parent / "runs")
    files = runs.read(f"some_{key[-1]}", AT)
    if files:
        assert len(files) == 20
        assert len(set(files.values())) == 1
        assert all(len(content) == 9_000 for content in files.values())
    if lake.has(ASSET, key):
        read = lake.read(ASSET, key)
        assert read.height == 20_000
        assert read["x"].n_unique() == 1
    return bool(files)


def test_a_process_killed_at_any_moment_leaves_whole_files_and_a_rerun_gives_the_same(lake: Lake) -> None:
    url, moments = str(lake.root.parent), Random(7)  # noqa: S311 - has to be arbitrary, and the same again
    with writer() as writes:
        for _ in range(10):
            process = writes.begin(url, "2024-01-01", 10_000)
            time.sleep(moments.uniform(0.0, 0.2))
            os.kill(process, signal.SIGKILL)
            assert writes.end() == signal.SIGKILL
            assert whole(lake, "2024-01-01")
        names = object_storage.below(lake.root.parent)
        assert names == [("lake", "made_up", "2024-01-01.parquet"), ("runs", "some_1-20240101.zip")]
        contents = []
        for folder in (url, f"{url}/undisturbed"):
            writes.begin(folder, "2024-01-01", 2)
            assert writes.end() == 0
            contents.append([places.content(place_at(folder).joinpath(*parts))[1] for parts in names])
    assert contents[0] == contents[1]


def test_two_processes_write_different_partitions_at_once(lake: Lake) -> None:
    url, keys = str(lake.root.parent), ("2024-01-01", "2024-01-12")
    with writer() as one, writer() as other:
        processes = [writes.begin(url, key, 8) for writes, key in zip((one, other), keys, strict=True)]
        assert all(whole(lake, key) for key in keys)
        assert (one.end(), other.end(), len(set(processes))) == (0, 0, 2)
    assert lake.partitions(ASSET) == list(keys)
    assert lake.read(ASSET, keys[0]).equals(lake.read(ASSET, keys[1]))
    assert all(whole(lake, key) for key in keys)
