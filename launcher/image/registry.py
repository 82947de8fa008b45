"""Reads and extends one repository of a registry over HTTP.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import requests

from launcher.errors import ImageError
from launcher.google.transport import open_google_session
from launcher.image_reference import ImageReference, find_repository

MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = f"{_INDEX}, {_DOCKER}.list.v2+json, {MANIFEST}, {_DOCKER}.v2+json"
# The address of Docker's registry differs from its name.
_HOSTS = {"docker.io": "registry-1.docker.io"}
_TIMEOUT_SEC = 60.0


class Registry:
    """An image's repository.

    It uses Artifact Registry with the caller's permissions, a registry on this machine without TLS,
    and any other anonymously.
    """

    def __init__(self, image: ImageReference) -> None:
        self._session = open_google_session() if find_repository(image) else requests.Session()
        self._name, self._host = image.name, image.host
        host = _HOSTS.get(image.host, image.host)
        scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
        self._place = f"{scheme}://{host}/v2/{image.path}/"

    def find(self, reference: str) -> dict[str, Any]:
        """Return the descriptor of a manifest: type, digest and size.

        Args:
            reference: a tag, or a digest.

        Raises:
            ImageError: there is no such image, or the registry refuses.
        """
        answer = self._call("GET", f"manifests/{reference}", headers={"Accept": _ACCEPT})
        return {"mediaType": answer.headers["Content-Type"], **describe(answer.content)}

    def upload(self, content: bytes) -> dict[str, Any]:
        """Upload a blob and return its digest and size."""
        described = describe(content)
        place = self._call("POST", "blobs/uploads/").headers["Location"]
        self._call(
            "PUT",
            urljoin(self._place, place),
            params={"digest": described["digest"]},
            headers={"Content-Type": "application/octet-stream"},
            data=content,
        )
        return described

    def put_manifest(self, reference: str, content: bytes, media_type: str) -> requests.Response:
        """Store a manifest by digest or tag."""
        headers = {"Content-Type": media_type}
        return self._call("PUT", f"manifests/{reference}", headers=headers, data=content)

    def add_to_index(self, subject: str, descriptor: Mapping[str, Any]) -> None:
        """Add a manifest to a subject's list, for a registry that does not keep the list itself.

        https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
        """
        tag = subject.replace(":", "-")
        answer = self._call("GET", f"manifests/{tag}", headers={"Accept": _INDEX}, may_miss=True)
        known = answer.json()["manifests"] if answer.ok else []
        if descriptor["digest"] in (each["digest"] for each in known):
            return
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*known, dict(descriptor)]}
        self.put_manifest(tag, json.dumps(index).encode(), _INDEX)

    def _call(
        self, method: str, place: str, *, may_miss: bool = False, **options: Any
    ) -> requests.Response:
        url = urljoin(self._place, place)
        try:
            answer = self._session.request(method, url, timeout=_TIMEOUT_SEC, **options)
            if answer.status_code == requests.codes.unauthorized and self._log_in(answer):
                answer = self._session.request(method, url, timeout=_TIMEOUT_SEC, **options)
        except requests.RequestException as error:
            raise ImageError(
                f"{self._name}: its registry {self._host} does not answer: {_find_reason(error)}"
            ) from error
        if not answer.ok and not (may_miss and answer.status_code == requests.codes.not_found):
            raise ImageError(
                f"{self._name}: its registry refuses {place} with {answer.status_code}: "
                f"{_read_message(answer)}"
            )
        return answer

    def _log_in(self, answer: requests.Response) -> bool:
        """Get an anonymous token; return whether there is one.

        https://distribution.github.io/distribution/spec/auth/token/
        """
        challenge = answer.headers.get("WWW-Authenticate", "")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer ") or "realm" not in fields:
            return False
        realm = fields.pop("realm")
        granted = self._session.get(realm, params=fields, timeout=_TIMEOUT_SEC)
        if not granted.ok:
            return False
        token = granted.json().get("token") or granted.json().get("access_token")
        self._session.headers["Authorization"] = f"Bearer {token}"
        return token is not None


def _find_reason(error: BaseException) -> str:
    """Return the last line of a chain of errors: that of the operating system."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error)


def _read_message(answer: requests.Response) -> str:
    """Return what a registry says about a refusal.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
    """
    try:
        return "; ".join(str(each["message"]) for each in answer.json()["errors"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:300]


def describe(content: bytes) -> dict[str, Any]:
    """Return digest and size of a blob or manifest."""
    return {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
