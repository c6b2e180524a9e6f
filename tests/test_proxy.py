"""The page behind deploy/nginx.conf: nobody without a password, viewers change nothing, and the page itself is on loopback."""

import base64
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from ssl import CERT_NONE, SSLContext, create_default_context

import httpx
import pytest

from tests.browser import PROJECT, free_port, variables
from tests.waiting import until

NGINX = next(filter(None, (shutil.which("nginx"), shutil.which("nginx", path="/usr/sbin"))), None)
needs_nginx = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None, reason="needs nginx and openssl (Debian: nginx-light, openssl)"
)
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "planted", limit: 3) }'
LIMITS = "{ instance { concurrencyLimits { concurrencyKey } } }"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Ports of the two doors, and what they lead to."""

    operators: int
    viewers: int
    page: int


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str], port: int) -> Iterator[None]:
    """Run a server until the block ends."""
    log = folder / f"{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        until(answers, f"an answer at port {port}")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait()


def page_command(port: int, *options: str) -> list[str]:
    return [sys.executable, "-m", "dagster_webserver", "--empty-workspace", "-p", str(port), *options]


def configured(folder: Path, ports: dict[str, int]) -> Path:
    """deploy/nginx.conf with the ports of this test, a certificate and one password for each door."""
    text = (PROJECT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for old, new in ports.items():
        assert text.count(old) == 1, f"{old} is not in deploy/nginx.conf"
        text = text.replace(old, old.replace(old.split(":")[-1].split()[-1], str(new)))
    (folder / "sleevegraph.conf").write_text(text, encoding="utf-8")
    for who in ("operators", "viewers"):
        made = subprocess.run(["openssl", "passwd", "-apr1", f"{who}-pass"], capture_output=True, text=True, check=True)
        (folder / f"{who}.htpasswd").write_text(f"{who}:{made.stdout}", encoding="utf-8")
    names = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt"), "-subj", "/CN=localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(make, check=True, capture_output=True)
    whole = folder / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/sleevegraph.conf; }}\n",
        encoding="utf-8",
    )
    return whole


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "dagster_home").mkdir()
    environment = variables(folder)
    page, read_only, operators, viewers = (free_port() for _ in range(4))
    whole = configured(
        folder,
        {"127.0.0.1:3000": page, "127.0.0.1:3001": read_only, "listen 8443": operators, "listen 8444": viewers},
    )
    with ExitStack() as stack:
        stack.enter_context(running(page_command(page), folder, environment, page))
        stack.enter_context(running(page_command(read_only, "--read-only"), folder, environment, read_only))
        command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(whole)]
        stack.enter_context(running(command, folder, environment, operators))
        yield Proxy(operators, viewers, page)


def ask(port: int, query: str, who: str = "", password: str = "") -> httpx.Response:
    return httpx.post(
        f"https://127.0.0.1:{port}/graphql",
        json={"query": query},
        auth=(who, password or f"{who}-pass") if who else None,
        verify=_trusting(),
        timeout=30,
    )


def _trusting() -> SSLContext:
    context = create_default_context()
    context.check_hostname, context.verify_mode = False, CERT_NONE
    return context


@needs_nginx
def test_nobody_gets_in_without_the_password_of_that_door(proxy: Proxy) -> None:
    for port in (proxy.operators, proxy.viewers):
        assert ask(port, LIMITS).status_code == 401
        assert ask(port, LIMITS, "operators", "wrong").status_code == 401
    assert ask(proxy.viewers, LIMITS, "operators").status_code == 401
    assert ask(proxy.operators, LIMITS, "viewers").status_code == 401


@needs_nginx
def test_a_viewer_reads_and_changes_nothing_where_an_operator_does(proxy: Proxy) -> None:
    refused = ask(proxy.viewers, CHANGE, "viewers")
    assert ask(proxy.viewers, LIMITS, "viewers").json()["data"]["instance"]["concurrencyLimits"] == []
    assert "data" not in refused.json() or not (refused.json()["data"] or {}).get("setConcurrencyLimit"), refused.text
    assert ask(proxy.operators, CHANGE, "operators").json()["data"] == {"setConcurrencyLimit": True}
    limits = ask(proxy.viewers, LIMITS, "viewers").json()["data"]["instance"]["concurrencyLimits"]
    assert limits == [{"concurrencyKey": "planted"}]


@needs_nginx
def test_the_page_s_web_socket_passes(proxy: Proxy) -> None:
    key, secret = base64.b64encode(b"sixteen bytes...").decode(), base64.b64encode(b"operators:operators-pass").decode()
    lines = [
        "GET /graphql HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: graphql-ws",
        f"Authorization: Basic {secret}", "", "",
    ]  # fmt: skip
    with (
        socket.create_connection(("127.0.0.1", proxy.operators), timeout=30) as plain,
        _trusting().wrap_socket(plain, server_hostname="localhost") as door,
    ):
        door.sendall("\r\n".join(lines).encode())
        assert door.recv(4096).startswith(b"HTTP/1.1 101 ")


@needs_nginx
def test_the_page_itself_listens_on_loopback_only(proxy: Proxy) -> None:
    listening = {
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    }
    assert f"0100007F:{proxy.page:04X}" in listening
    assert f"00000000:{proxy.page:04X}" not in listening
