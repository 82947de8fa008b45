"""Proto3 JSON, checked against the message schemas of a discovery document.

Reads requests (both spellings of a field name, int64 as string or number, enums by name or
number) into one canonical form, writes answers (empty fields left out, enums as names or numbers)
and checks them. Methods and routes are in ``discovery``.
https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from launcher.emulator.service import errors
from launcher.emulator.service.errors import FieldViolation

_TIMESTAMP = "type.googleapis.com/google.protobuf.Timestamp"
_DURATION = "type.googleapis.com/google.protobuf.Duration"
_MESSAGE = "type.googleapis.com/google.dataflow.v1beta3."

# The discovery document lists the names of an enum, not their numbers. Among the enums in our
# answers, only this one is not numbered in the order of the document
# (google.dataflow.v1beta3, messages.proto).
_NUMBERS = {
    "JOB_MESSAGE_IMPORTANCE_UNKNOWN": 0,
    "JOB_MESSAGE_DEBUG": 1,
    "JOB_MESSAGE_DETAILED": 2,
    "JOB_MESSAGE_BASIC": 5,
    "JOB_MESSAGE_WARNING": 3,
    "JOB_MESSAGE_ERROR": 4,
}

# The service wrote "satisfiesPzi": false for a job without such zones.
_OPTIONAL = frozenset({"satisfiesPzi"})
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_TYPES = {
    "int32": "TYPE_INT32",
    "uint32": "TYPE_UINT32",
    "int64": "TYPE_INT64",
    "uint64": "TYPE_UINT64",
    "double": "TYPE_DOUBLE",
    "float": "TYPE_FLOAT",
    "byte": "TYPE_BYTES",
    "google-datetime": _TIMESTAMP,
    "google-duration": _DURATION,
    "google-fieldmask": "type.googleapis.com/google.protobuf.FieldMask",
}

# Python can represent times of these years in any time zone.
_FIRST_YEAR, _LAST_YEAR = 1, 9999
_MOST_SHOWN = 1000  # characters of a bad value

Schema = Mapping[str, Any]


def snake_case(name: str) -> str:
    """Return the proto name of a JSON field name; dotted names stay dotted."""
    return re.sub("[A-Z]", lambda match: "_" + match.group().lower(), name)


class _InvalidValueError(ValueError):
    """A value does not fit its field; the message is what Google prints after the type."""


class Messages:
    """The messages of a discovery document's ``schemas``."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas
        self._names = {
            message: {
                spelling: name
                for name in schema.get("properties", {})
                for spelling in (snake_case(name), name)
            }
            for message, schema in schemas.items()
        }

    def fields(self, message: str) -> Mapping[str, Schema]:
        """Return the fields of a message, by name."""
        fields: Mapping[str, Schema] = self._schemas[message].get("properties", {})
        return fields

    def parse(self, message: str, value: object, *, ignore_unknown: bool = False) -> dict[str, Any]:
        """Return ``value`` as a message in canonical form: camelCase names, int64 as strings.

        Raises:
            ApiError: 400, with every field that does not fit, up to a limit.
        """
        parser = _Parser(self._schemas, self._names, ignore_unknown=ignore_unknown)
        parsed = parser.message(message, value, "")
        if parser.violations:
            raise errors.invalid_request(parser.violations)
        return parsed

    def parse_scalar(self, schema: Schema, value: object, name: str) -> Any:
        """Return the value of one query parameter, which arrives as text.

        Raises:
            ApiError: 400, it does not fit.
        """
        if schema.get("type") == "boolean" and value in ("true", "false"):
            value = value == "true"
        elif "enum" in schema and isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value):
            value = int(value)
        parser = _Parser(self._schemas, self._names)
        parsed = parser.field(schema, value, snake_case(name))
        if parser.violations:
            raise errors.invalid_request(parser.violations)
        return parsed

    def render(
        self, message: str, value: Mapping[str, Any], *, numeric_enums: bool = False
    ) -> dict[str, Any]:
        """Return a canonical message as proto3 JSON writes it: fields at their default left out.

        Enums are written by name unless ``numeric_enums``. The discovery document does not say
        which fields are ``optional``, and therefore written even at their default: see
        ``_OPTIONAL``.
        """
        properties = self._schemas[message].get("properties", {})
        return {
            name: self._render_field(properties[name], item, numeric_enums)
            for name, item in value.items()
            if name in _OPTIONAL or not _is_default(properties[name], item)
        }

    def check(self, message: str, value: object) -> None:
        """Check that ``value`` is exactly what a server writes for a message.

        Raises:
            ValueError: it is not.
        """
        try:
            canonical = self.parse(message, value)
        except errors.ApiError as error:
            raise ValueError(f"not a {message}: {error.message}") from error
        if canonical != value:
            raise ValueError(f"not the canonical JSON of a {message}: {value!r}")

    def _render_field(self, schema: Schema, value: Any, numeric_enums: bool) -> Any:
        if "$ref" in schema:
            return self.render(schema["$ref"], value, numeric_enums=numeric_enums)
        if schema["type"] == "array":
            return [self._render_field(schema["items"], item, numeric_enums) for item in value]
        if schema["type"] == "object":
            inner = schema["additionalProperties"]
            return {
                key: self._render_field(inner, item, numeric_enums) for key, item in value.items()
            }
        if numeric_enums and "enum" in schema:
            return _NUMBERS.get(value, schema["enum"].index(value))
        return value


class _Parser:
    """Reads one value; collects what does not fit in ``violations``.

    Raises:
        ApiError: there are too many of them. A body of a few MB may contain millions.
    """

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        names: Mapping[str, Mapping[str, str]],
        *,
        ignore_unknown: bool = False,
    ) -> None:
        self._schemas = schemas
        self._names = names
        self._ignore_unknown = ignore_unknown
        self.violations: list[FieldViolation] = []

    def message(self, message: str, value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._refuse_value(path, _MESSAGE + message, _shown(value))
            return {}
        properties = self._schemas[message].get("properties", {})
        names = self._names[message]
        parsed: dict[str, Any] = {}
        for spelling, item in value.items():
            if spelling not in names:
                if not self._ignore_unknown:
                    self._refuse_name(spelling, path, "Cannot find field.")
            elif item is not None:
                name = names[spelling]
                inner = f"{path}.{snake_case(name)}" if path else snake_case(name)
                parsed[name] = self.field(properties[name], item, inner)
        return parsed

    def field(self, schema: Schema, value: object, path: str) -> Any:
        if "$ref" in schema:
            return self.message(schema["$ref"], value, path)
        kind = schema["type"]
        if kind == "any":
            return value
        if kind == "array":
            # As in Google's parser, a single value stands for a list of one.
            items = value if isinstance(value, list) else [value]
            return [
                self.field(schema["items"], item, f"{path}[{index}]")
                for index, item in enumerate(items)
            ]
        if kind == "object":
            return self._map(schema["additionalProperties"], value, path)
        if isinstance(value, list):
            parent, _, name = path.rpartition(".")
            self._refuse_name(name, parent, "Proto field is not repeating, cannot start list.")
            return None
        try:
            return _parse_scalar(schema, value)
        except _InvalidValueError as problem:
            self._refuse_value(path, _type_name(schema), str(problem) or _shown(value))
            return None

    def _map(self, inner: Schema, value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            self._refuse_value(path, "Map", _shown(value))
            return {}
        # Google's parser sees a map as a list of entries and names paths accordingly.
        return {
            key: self.field(inner, item, f"{path}[{index}].value")
            for index, (key, item) in enumerate(value.items())
        }

    def _refuse_name(self, name: str, path: str, why: str) -> None:
        at = f" at '{path}'" if path else ""
        text = f'Invalid JSON payload received. Unknown name "{name}"{at}: {why}'
        self._refuse(FieldViolation(path, text))

    def _refuse_value(self, path: str, type_name: str, shown: str) -> None:
        at = f" at '{path}'" if path else ""
        self._refuse(FieldViolation(path, f"Invalid value{at} ({type_name}), {shown}"))

    def _refuse(self, violation: FieldViolation) -> None:
        self.violations.append(violation)
        if len(self.violations) == errors.MOST_VIOLATIONS:
            raise errors.invalid_request(self.violations)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _type_name(schema: Schema) -> str:
    if "enum" in schema:
        return "TYPE_ENUM"  # Google prints the enum's own name, which the document does not hold.
    if schema.get("format") in _TYPES:
        return _TYPES[schema["format"]]
    return "TYPE_BOOL" if schema["type"] == "boolean" else "TYPE_STRING"


def _is_default(schema: Schema, value: Any) -> bool:
    """Return whether proto3 JSON leaves a field out: its value is the default of its type."""
    if "$ref" in schema or schema["type"] == "any":
        return False  # A message that is set is written even if all its fields have defaults.
    if "enum" in schema:
        return bool(value == schema["enum"][0])
    if _is_integer(schema):
        return int(value) == 0
    return value in ("", 0, False, [], {})


def _is_integer(schema: Schema) -> bool:
    return schema.get("format") in _RANGES


def _parse_scalar(schema: Schema, value: object) -> Any:
    kind, form = schema["type"], schema.get("format", "")
    if isinstance(value, Mapping):
        raise _InvalidValueError("Starting an object on a scalar field")
    if "enum" in schema:
        return _parse_enum(schema["enum"], value)
    if _is_integer(schema):
        number = _parse_integer(value, *_RANGES[form])
        return str(number) if kind == "string" else number
    if kind == "number":
        return _parse_number(value)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _InvalidValueError
        return value
    if not isinstance(value, str):
        raise _InvalidValueError
    if form == "google-datetime":
        _check_timestamp(value)
    elif form == "google-duration" and not re.fullmatch(r"-?\d+(\.\d{1,9})?s", value):
        raise _InvalidValueError("Illegal duration format; duration must end with 's'")
    elif form == "byte":
        _check_base64(value)
    return value


def _parse_enum(names: list[str], value: object) -> str:
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        for index, name in enumerate(names):
            if _NUMBERS.get(name, index) == value:
                return name
    raise _InvalidValueError


def _parse_integer(value: object, low: int, high: int) -> int:
    as_text = isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value)
    as_float = isinstance(value, float) and value.is_integer()
    as_integer = isinstance(value, int) and not isinstance(value, bool)
    if not (as_text or as_float or as_integer):
        raise _InvalidValueError
    number = int(cast("str | float", value))
    if not low <= number <= high:
        raise _InvalidValueError
    return number


def _parse_number(value: object) -> float | str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return value
        if re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value):
            return float(value)
    raise _InvalidValueError


def _check_timestamp(value: str) -> None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if (
        moment is None
        or not _FIRST_YEAR < moment.year < _LAST_YEAR
        or moment.tzinfo is None
        or "T" not in value
    ):
        raise _InvalidValueError(
            "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone "
            "offset."
        )


def _check_base64(value: str) -> None:
    padded = value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4)
    try:
        base64.b64decode(padded, validate=True)
    except binascii.Error as error:
        raise _InvalidValueError("Base64 decoding failed") from error
