"""Services that tests use where they answer: absent ones skip a test, or fail it under REQUIRE_SERVICES=1.

SORO_TEST_ENGINES=production has the centre's tests run on those of production: PostgreSQL, RabbitMQ and a bucket.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

POSTGRESQL = os.environ.get("SORO_TEST_POSTGRESQL", "postgres://postgres@127.0.0.1:5432/postgres")
BROKERS = {
    "redis": os.environ.get("SORO_TEST_REDIS", "redis://127.0.0.1:6379/15"),
    "rabbitmq": os.environ.get("SORO_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
}
IS_ON_PRODUCTION_ENGINES = os.environ.get("SORO_TEST_ENGINES") == "production"
BUCKET = "soro"
BUCKET_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def service_missing(name: str, reason: object) -> NoReturn:
    """Skip the running test, or fail it where continuous integration demands every service."""
    sentence = f"{name} does not answer: {reason}"
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@contextmanager
def bucket_server() -> Iterator[str]:
    """Yield the address of a server that speaks S3 on loopback and has the bucket `BUCKET`."""
    # A school's PC has neither (tests/test_lean_node.py).
    import boto3  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    kept = {name: os.environ.get(name) for name in BUCKET_VARIABLES}
    os.environ.update(BUCKET_VARIABLES)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
    try:
        yield address
    finally:
        server.stop()
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
