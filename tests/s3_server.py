"""An S3 server of the tests' own: moto's, in a thread, on a free port of the loopback.

Owns `S3Bucket` and the fixture `s3_bucket`, an empty bucket for each test. Credentials stand in the
environment, where programs look for them.
"""

from __future__ import annotations

import importlib
import uuid
from typing import TYPE_CHECKING, Any, final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@final
class S3Bucket:
    """One bucket, and the options that reach it."""

    def __init__(self, endpoint: str) -> None:
        boto3: Any = importlib.import_module("boto3")
        self.endpoint = endpoint
        self.name = f"lake-{uuid.uuid4().hex[:12]}"
        self.options = f"?endpoint={endpoint}&region=us-east-1"
        self._client = boto3.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=self.name)

    def url(self, kind: str, key: str) -> str:
        """Return the URL of an object or a folder, read as a kind of rows."""
        return f"{kind}+s3://{self.name}/{key}{self.options}"

    def put(self, key: str, content: bytes) -> None:
        """Put an object."""
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        """Return an object's content."""
        content: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        listed = self._client.list_objects_v2(Bucket=self.name)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def uploads(self) -> int:
        """Return how many uploads in pieces are not finished."""
        return len(self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def close(self) -> None:
        """Give back connections."""
        self._client.close()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Where the server is."""
    servers: Any = importlib.import_module("moto.server")
    server = servers.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.delenv("AWS_PROFILE", raising=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> Iterator[S3Bucket]:
    """An empty bucket."""
    bucket = S3Bucket(s3_endpoint)
    yield bucket
    bucket.close()
