"""The bill of materials of an image, as CycloneDX 1.6: every Python and Debian package in it.

Made from what is installed in the image, not from what was requested.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import uuid

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from launcher.image.config import ImageConfig
from launcher.image.probe import Facts, Package


def build_sbom(reference: str, config: ImageConfig, facts: Facts) -> str:
    """Return the JSON text of the bill of materials. The same image gives the same text."""
    image = Component(
        type=ComponentType.CONTAINER,
        name=reference,
        bom_ref=f"image:{reference}",
        properties=[Property(name=name, value=value) for name, value in config.labels.items()],
    )
    # The layers' hashes name the content for good, whatever the image is called.
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((reference, *config.diff_ids)))
    components = [
        *(_component(package, "pypi") for package in facts.packages),
        *(_component(package, "deb") for package in facts.system_packages),
    ]
    bom = Bom(serial_number=identity, metadata=BomMetaData(component=image), components=components)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema lets it be absent
    bom.register_dependency(image, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(package: Package, kind: str) -> Component:
    purl = PackageURL(
        type=kind,
        namespace="debian" if kind == "deb" else None,
        name=package.name,
        version=package.version,
        qualifiers={"arch": "amd64"} if kind == "deb" else None,
    )
    return Component(
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=[LicenseExpression(package.license)] if package.license else [],
    )
