"""The places where blobs can lie in production, each over real HTTP: the same bytes by the same requests."""

import os
import random
import shutil
import socket
import subprocess
import time

import boto3
import httpx
import pytest

from central.releases.blob_store import (
    BlobDamaged,
    DiskStore,
    S3Store,
    StorageAway,
    StorageMisnamed,
    Window,
    blob_store,
)
from central.releases.storage import blob_path
from federation.trust.blob_sources import HttpBlobSource
from federation.trust.errors import BlobUnavailable
from federation.wire.canonical import sha256_hex
from tests.services import BUCKET, service_missing
from tests.stations import free_port

CONTENT = random.Random(11).randbytes(9_000_000)
SHA256 = sha256_hex(CONTENT)
NGINX = """
daemon off; master_process off; worker_processes 1; pid {scratch}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy; fastcgi_temp_path {scratch}/fastcgi;
  uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {centre}; proxy_set_header Host $host; }}
    location /_blobs/ {{ internal; alias {blobs}/; }}
  }}
}}
"""


@pytest.fixture(params=["disk", "s3"])
def store(request, disk, settings):
    if request.param == "s3":
        settings.S3_ENDPOINT = request.getfixturevalue("bucket_endpoint")
        settings.BLOBS_ADDRESS = f"s3://{BUCKET}/{time.monotonic_ns()}"
    else:
        settings.BLOBS_ADDRESS = ""
    return blob_store(disk)


@pytest.fixture
def source_file(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    return tmp_path / "source"


def test_a_blob_comes_back_whole_and_in_any_part(store, source_file, tmp_path):
    stored = store.put(source_file)
    assert (stored.sha256, stored.size_bytes) == (SHA256, len(CONTENT))
    assert store.put(source_file) == stored
    assert store.size_bytes(SHA256) == len(CONTENT)
    assert store.size_bytes("0" * 64) is None
    for start, end in ((0, 0), (0, 1), (8_388_600, 8_388_700), (0, len(CONTENT))):
        assert b"".join(store.pieces(SHA256, Window(start, end))) == CONTENT[start:end]
    store.take(SHA256, tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == CONTENT


@pytest.mark.django_db
def test_a_node_reads_ranges_of_it_through_the_centres_door(store, source_file, school, live_server):
    store.put(source_file)
    with httpx.Client(headers={"Authorization": f"Bearer {school.token}"}) as client:
        source = HttpBlobSource(client=client, base_url=live_server.url)
        assert b"".join(source.read_range(SHA256, 262_144, 4_194_304)) == CONTENT[262_144 : 262_144 + 4_194_304]
        with pytest.raises(BlobUnavailable) as missing:
            list(source.read_range("0" * 64, 0, 10))
        assert missing.value.fields["status"] == 404
        url = f"{live_server.url}/blobs/{SHA256}"
        answers = [
            client.head(url),
            client.get(url, headers={"Range": "bytes=9000000-"}),
            client.get(url, headers={"If-None-Match": f'"{SHA256}"'}),
            client.get(url, headers={"Range": "bytes=5-6", "If-Range": f'"{SHA256}"'}),
            client.get(url, headers={"Range": "bytes=5-6", "If-Range": '"other"'}),
            client.get(url, headers={"If-Match": '"other"'}),
        ]
    told = [(answer.status_code, answer.headers.get("Content-Length"), len(answer.content)) for answer in answers]
    assert told == [
        (200, "9000000", 0),
        (416, "0", 0),
        (304, "0", 0),
        (206, "2", 2),
        (200, "9000000", 9_000_000),
        (412, "0", 0),
    ]
    assert answers[1].headers["Content-Range"] == "bytes */9000000"
    assert {answer.headers["ETag"] for answer in answers} == {f'"{SHA256}"'}


@pytest.mark.django_db
def test_without_a_session_nobody_gets_a_byte(store, source_file, school, live_server):
    store.put(source_file)
    for token in ("Basic x", "Bearer x", f"Bearer {school.token}x"):
        assert httpx.get(f"{live_server.url}/blobs/{SHA256}", headers={"Authorization": token}).status_code == 401


def test_other_bytes_under_a_blobs_name_in_the_bucket_are_not_taken(bucket_endpoint, source_file, tmp_path):
    client = boto3.client("s3", endpoint_url=bucket_endpoint)
    client.create_bucket(Bucket="tampered")
    client.put_object(Bucket="tampered", Key=f"{SHA256[:2]}/{SHA256}", Body=b"other")
    with pytest.raises(BlobDamaged):
        S3Store(client=client, bucket="tampered", prefix="").take(SHA256, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_bucket_that_is_away_is_a_reason_to_try_later(disk, settings, bucket_endpoint):
    settings.S3_ENDPOINT, settings.BLOBS_ADDRESS = f"http://127.0.0.1:{free_port()}", "s3://bucket"
    with pytest.raises(StorageAway):
        blob_store(disk).size_bytes(SHA256)


def test_a_setting_that_names_no_place_is_refused_and_none_means_the_disk(disk, settings):
    assert isinstance(blob_store(disk), DiskStore)
    for value in ("s3://", "ftp://host/x", "/somewhere"):
        settings.BLOBS_ADDRESS = value
        with pytest.raises(StorageMisnamed):
            blob_store(disk)


@pytest.fixture
def nginx(disk, settings, live_server, tmp_path):
    """A real nginx in front of the centre, with the blobs' folder behind an internal address."""
    program = os.environ.get("SORO_TEST_NGINX") or shutil.which("nginx")
    if program is None:
        service_missing("nginx", "not installed")
    settings.BLOBS_ACCEL, port = "/_blobs/", free_port()
    (tmp_path / "nginx.conf").write_text(
        NGINX.format(scratch=tmp_path, port=port, centre=live_server.url, blobs=disk.blobs)
    )
    with (tmp_path / "nginx.log").open("w") as log:
        child = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"], stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(10)


@pytest.mark.django_db
def test_behind_nginx_a_node_reads_ranges_that_nginx_sends(nginx, disk, source_file, school, settings):
    DiskStore(disk.blobs).put(source_file)
    with httpx.Client(headers={"Authorization": f"Bearer {school.token}"}) as client:
        source = HttpBlobSource(client=client, base_url=nginx)
        assert b"".join(source.read_range(SHA256, 262_144, 4_194_304)) == CONTENT[262_144 : 262_144 + 4_194_304]
        beyond = client.get(f"{nginx}/blobs/{SHA256}", headers={"Range": "bytes=9000000-"})
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */9000000")
        assert client.get(f"{nginx}/blobs/{SHA256}", headers={"If-None-Match": f'"{SHA256}"'}).status_code == 304
    path = blob_path(root=disk.blobs, sha256=SHA256)
    # Nobody reaches the folder past the centre's door.
    assert httpx.get(f"{nginx}/_blobs/{path.parent.name}/{path.name}").status_code == 404
    assert httpx.get(f"{nginx}/blobs/{SHA256}").status_code == 401
