"""The bill of materials of an image, as CycloneDX 1.5: packages, interpreter, programs, system.

Made from what is installed in the image, not from what was requested, and with the names that
scanners look for: the distribution and the source package of a Debian package, the modules of a Go
program.
Artifact Registry loads 1.4 and 1.5: https://cloud.google.com/artifact-analysis/docs/upload-sboms.
https://cyclonedx.org/docs/1.5/json/ and https://github.com/package-url/purl-spec
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL

from launcher.image.config import ImageConfig
from launcher.image.probe import Facts, OperatingSystem, Package, Program

MEDIA_TYPE = "application/vnd.cyclonedx+json"


def build_sbom(reference: str, config: ImageConfig, facts: Facts) -> str:
    """Return the JSON text of the bill of materials. The same image gives the same text."""
    image = Component(
        type=ComponentType.CONTAINER,
        name=reference,
        bom_ref=f"image:{reference}",
        properties=[Property(name=name, value=value) for name, value in config.labels.items()],
    )
    # The layers' hashes identify the content, whatever the image's name.
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((reference, *config.diff_ids)))
    components = [
        _describe_interpreter(facts.python_version),
        *(_component(package, PackageURL("pypi", name=package.name)) for package in facts.packages),
        *_describe_system(facts),
    ]
    bom = Bom(serial_number=identity, metadata=BomMetaData(component=image), components=components)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema lets it be absent
    bom.register_dependency(image, components)
    for path, program in facts.programs.items():
        component, *modules = _describe_program(path, program)
        bom.components.update((component, *modules))
        bom.register_dependency(image, [component])
        bom.register_dependency(component, modules)
    return JsonV1Dot5(bom).output_as_string(indent=2) + "\n"


def _describe_interpreter(version: str) -> Component:
    return Component(
        type=ComponentType.APPLICATION,
        name="python",
        version=version,
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        purl=PackageURL("generic", name="python", version=version),
        bom_ref=f"pkg:generic/python@{version}",
    )


def _describe_system(facts: Facts) -> Iterator[Component]:
    """Yield the distribution and its packages."""
    system = facts.operating_system
    if system:
        yield Component(
            type=ComponentType.OPERATING_SYSTEM,
            name=system.id,
            version=system.version,
            description=system.name,
            bom_ref=f"os:{system.id}@{system.version}",
        )
    for package in facts.system_packages:
        yield _component(package, _find_debian_url(package, system))


def _find_debian_url(package: Package, system: OperatingSystem | None) -> PackageURL:
    qualifiers = {"arch": package.architecture}
    if system:
        qualifiers["distro"] = f"{system.id}-{system.version}"
    if package.source != package.name:
        qualifiers["upstream"] = package.source  # vulnerabilities are filed against it
    return PackageURL(
        "deb", namespace=system.id if system else None, name=package.name, qualifiers=qualifiers
    )


def _describe_program(path: str, program: Program) -> Iterator[Component]:
    """Yield a program, then the Go modules that it holds."""
    own = program.modules[0] if program.modules else None
    yield Component(
        type=ComponentType.APPLICATION,
        name=PurePosixPath(path).name,
        version=own.version if own else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=program.sha256)]
        if program.sha256
        else [],
        properties=[Property(name="path", value=path)],
        bom_ref=f"file:{path}",
    )
    modules = [*program.modules]
    if program.go:
        modules.append(Package(name="stdlib", version=program.go))
    for module in modules:
        namespace, _, name = module.name.rpartition("/")
        url = PackageURL("golang", namespace=namespace or None, name=name)
        yield _component(module, url, used_by=path)


def _component(package: Package, url: PackageURL, used_by: str = "") -> Component:
    purl = PackageURL(
        url.type, url.namespace, url.name, version=package.version, qualifiers=url.qualifiers
    )
    return Component(
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=f"{purl}#{used_by}" if used_by else purl.to_string(),
        licenses=[LicenseExpression(package.license)] if package.license else [],
    )
