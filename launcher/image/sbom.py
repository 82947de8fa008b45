"""The bill of materials of an image, as CycloneDX 1.6: every Python and Debian package in it.

Made from what is installed in the image, not from what was asked for.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from launcher.image.config import ImageConfig
from launcher.image.probe import Facts, Package


def build_sbom(reference: str, config: ImageConfig, facts: Facts) -> dict[str, Any]:
    """Return the bill of materials. The same image gives the same text."""
    root = f"image:{reference}"
    components = [*_components(facts.packages, "pypi"), *_components(facts.system_packages, "deb")]
    # The layers' hashes name the content for good, whatever the image is called.
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((reference, *config.diff_ids)))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": reference,
                "properties": [
                    {"name": name, "value": value} for name, value in sorted(config.labels.items())
                ],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [item["bom-ref"] for item in components]}],
    }


def format_sbom(sbom: dict[str, Any]) -> str:
    """Return the JSON text of a bill of materials."""
    return json.dumps(sbom, indent=2) + "\n"


def _components(packages: tuple[Package, ...], kind: str) -> Iterator[dict[str, Any]]:
    for package in packages:
        purl = _purl(package, kind)
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": purl,
            "name": package.name,
            "version": package.version,
            "purl": purl,
        }
        if package.license:
            component["licenses"] = [{"expression": package.license}]
        yield component


def _purl(package: Package, kind: str) -> str:
    """Return a package URL, https://github.com/package-url/purl-spec."""
    version = quote(package.version, safe="")
    if kind == "deb":
        return f"pkg:deb/debian/{quote(package.name)}@{version}?arch=amd64"
    return f"pkg:{kind}/{quote(package.name)}@{version}"
