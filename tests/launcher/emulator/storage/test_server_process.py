"""A server in a separate process: its memory, and its store after a kill."""

import os
from pathlib import Path

import pytest
import requests

MIB = 1 << 20


def peak_memory(pid: int) -> int:
    """Return the largest resident set so far, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_large_objects_do_not_pass_through_memory(server_process, connect, tmp_path):
    piece = os.urandom(MIB)
    with server_process(tmp_path) as (process, endpoint):
        connect(endpoint).create_bucket("bkt")
        before = peak_memory(process.pid)
        uploaded = requests.post(
            f"{endpoint}/upload/storage/v1/b/bkt/o?uploadType=media&name=big",
            data=(piece for _ in range(100)),
            timeout=60,
        )
        assert uploaded.json()["size"] == str(100 * MIB)
        url = f"{endpoint}/download/storage/v1/b/bkt/o/big?alt=media"
        with requests.get(url, stream=True, timeout=60) as response:
            sizes = [len(part) for part in response.iter_content(MIB)]
        assert sum(sizes) == 100 * MIB
        assert peak_memory(process.pid) - before < 25 * MIB


def test_objects_survive_a_killed_server(server_process, connect, tmp_path):
    with server_process(tmp_path) as (_, endpoint):
        bucket = connect(endpoint).create_bucket("bkt")
        bucket.blob("a").upload_from_string("kept")
        unfinished = bucket.blob("b").create_resumable_upload_session()
    with server_process(tmp_path) as (_, endpoint):
        assert connect(endpoint).bucket("bkt").blob("a").download_as_bytes() == b"kept"
        upload_id = unfinished.split("?")[1]
        again = requests.put(
            f"{endpoint}/upload/storage/v1/b/bkt/o?{upload_id}", data=b"x", timeout=10
        )
        assert again.status_code == 404
        assert len(list((tmp_path / "blobs").iterdir())) == 1
