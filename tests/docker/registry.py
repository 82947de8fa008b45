"""A real registry on this machine, for pushed images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "docker-registry"
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Registry:
    """A registry on this machine; ``host`` is its name and port."""

    host: str

    def find_digest(self, name: str, tag: str) -> str:
        """Return the digest of a tag; fail if the tag does not exist."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{name}/manifests/{tag}",
            headers={"Accept": ", ".join(MANIFESTS)},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Docker-Content-Digest"]

    def read_blobs(self, name: str, tag: str) -> dict[str, int]:
        """Return the bytes of an image's configuration and of each layer, by digest."""
        place = f"http://{self.host}/v2/{name}/manifests/{tag}"
        request = urllib.request.Request(place, headers={"Accept": ", ".join(MANIFESTS[1:])})
        with urllib.request.urlopen(request, timeout=10) as answer:
            manifest = json.load(answer)
        return {each["digest"]: each["size"] for each in (manifest["config"], *manifest["layers"])}


@contextmanager
def serve_registry(folder: Path, *, closed: bool = False) -> Iterator[Registry]:
    """Serve one with its data in a new folder; a closed one requires a password."""
    folder.mkdir(exist_ok=True)
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: info, formatter: json}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        "http: {addr: 'localhost:0'}\n"
        + (f"auth: {{htpasswd: {{realm: here, path: {folder / 'passwords'}}}}}\n" if closed else "")
    )
    (folder / "passwords").touch()
    log = folder / "registry.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [shutil.which(PROGRAM) or PROGRAM, "serve", str(config)], stdout=file, stderr=file
        )
    try:
        yield Registry(f"localhost:{_wait_for_port(log)}")
    finally:
        process.kill()
        process.wait()


def _wait_for_port(log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := re.search(r'listening on [^"]*:(\d+)"', log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the registry does not listen:\n{log.read_text()}")
