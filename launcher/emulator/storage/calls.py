"""A request of the API, once its method is known: typed access to its parameters and body."""

from collections.abc import Mapping
from dataclasses import dataclass

from launcher.emulator.storage.errors import InvalidRequest, NotImplementedHere, shorten
from launcher.emulator.storage.records import ObjectRef, Preconditions
from launcher.emulator.storage.resources import Json, parse_integer
from launcher.emulator.strict_json import parse_strictly

_EVERYWHERE = frozenset({"alt", "uploadType"})  # Honoured if it has a meaning for the call.
HARMLESS = frozenset(
    "fields key oauth_token prettyPrint quotaUser userIp userProject"  # noqa: SIM905
    " projection predefinedAcl predefinedDefaultObjectAcl destinationPredefinedAcl"
    " returnPartialSuccess includeFoldersAsPrefixes maxBytesRewrittenPerCall".split()
)
"""Accepted and without effect: there is no access control, no billing and no partial response, and
a rewrite is always finished in one call."""

CONDITIONS = frozenset(
    {
        "ifGenerationMatch",
        "ifGenerationNotMatch",
        "ifMetagenerationMatch",
        "ifMetagenerationNotMatch",
    }
)
SOURCE_CONDITIONS = frozenset(name.replace("if", "ifSource", 1) for name in CONDITIONS)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, once its method is known.

    Attributes:
        arguments: of the path, percent-decoded.
        base_url: the address that the client used, http://host:port.
    """

    method_id: str
    arguments: Mapping[str, str]
    query: Mapping[str, str]
    base_url: str
    body: bytes = b""

    def json(self) -> Json:
        """Parse the body, which may be empty, as a JSON object; raises InvalidRequest."""
        return parse_json(self.body)

    def integer(self, name: str) -> int | None:
        """Return an integer query parameter, None if it is absent; raises InvalidRequest."""
        value = self.query.get(name)
        return None if value is None else parse_integer(name, value)

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter, False if it is absent."""
        return self.query.get(name, "").lower() == "true"

    def preconditions(self, prefix: str = "if") -> Preconditions:
        """Collect the conditions on the object, or with ifSource those on the source."""
        return Preconditions(
            if_generation_match=self.integer(f"{prefix}GenerationMatch"),
            if_generation_not_match=self.integer(f"{prefix}GenerationNotMatch"),
            if_metageneration_match=self.integer(f"{prefix}MetagenerationMatch"),
            if_metageneration_not_match=self.integer(f"{prefix}MetagenerationNotMatch"),
        )

    def object_ref(self) -> ObjectRef:
        """Build the reference to the object that the path names."""
        return ObjectRef(
            bucket=self.arguments["bucket"],
            name=self.arguments["object"],
            generation=self.integer("generation"),
            preconditions=self.preconditions(),
        )

    def source_ref(self) -> ObjectRef:
        """Build the reference to the source of a copy."""
        return ObjectRef(
            bucket=self.arguments["sourceBucket"],
            name=self.arguments["sourceObject"],
            generation=self.integer("sourceGeneration"),
            preconditions=self.preconditions("ifSource"),
        )

    def destination_ref(self) -> ObjectRef:
        """Build the reference to the object that a copy or a composition makes."""
        return ObjectRef(
            bucket=self.arguments["destinationBucket"],
            name=self.arguments["destinationObject"],
            preconditions=self.preconditions(),
        )

    def check_parameters(self, honoured: frozenset[str]) -> None:
        """Raise NotImplementedHere for a query parameter that would have no effect."""
        accepted = honoured | HARMLESS | _EVERYWHERE
        for name, value in self.query.items():
            if name not in accepted and value.lower() not in ("", "false"):
                raise NotImplementedHere(f"Parameter {name!r} of {self.method_id}")


def parse_json(body: bytes) -> Json:
    """Parse a request body, which may be empty, as a JSON object; raises InvalidRequest."""
    try:
        parsed = parse_strictly(body.strip() or b"{}")
    except ValueError as error:
        raise InvalidRequest(f"Parse Error: {error}") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"Parse Error: expected a JSON object, got {shorten(parsed)}")
    return parsed
