"""An S3-compatible server on this machine, in a process of its own: moto's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import boto3

SERVER = """
import sys
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.protocol_version = "HTTP/1.1"
WSGIRequestHandler.log_request = lambda *_: None
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
"""Ends with the process that started it, whose end of the pipe is closed then."""

BUCKET = "lake"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def credentials(folder: Path, endpoint: str) -> dict[str, str]:
    """Variables for a server; files of the user's own are not read."""
    nowhere = {name: str(folder / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    return {**_CREDENTIALS, **nowhere, "AWS_ENDPOINT_URL": endpoint}


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """Run a server with one empty bucket; the variables by which a home has its lake there, under a prefix of its own."""
    command = [sys.executable, "-c", SERVER]
    nothing = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=nothing, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            boto3.client(
                "s3",
                endpoint_url=endpoint,
                region_name=_CREDENTIALS["AWS_DEFAULT_REGION"],
                aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            ).create_bucket(Bucket=BUCKET)
            yield {
                **credentials(Path("/nonexistent"), endpoint),
                "SLEEVEGRAPH_LAKE": f"s3://{BUCKET}/{uuid4().hex[:8]}",
            }
        finally:
            server.stdin.close()
            server.kill()
