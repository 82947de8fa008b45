"""The options of a model: what a launch may choose, declared in the model's class."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, Literal, TypeVar, cast, get_args, overload

from template.needs.number_regex import match_integers, match_numbers
from template.parameter_records import (
    EnumOption,
    Parameter,
    ParamType,
    did_you_mean,
)
from template.parameters import TEMPLATES

OptionType = Literal["text", "number", "integer", "boolean"]
OPTION_TYPES: tuple[str, ...] = get_args(OptionType)
GROUP = "Model options"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FLAGS = {"true": True, "false": False}
_PARAM_TYPES = {
    "text": ParamType.TEXT,
    "number": ParamType.NUMBER,
    "integer": ParamType.NUMBER,
    "boolean": ParamType.BOOLEAN,
}
_PYTHON_TYPES = {"text": "str", "number": "float", "integer": "int", "boolean": "bool"}
_NOUNS = {
    "text": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}

T = TypeVar("T")


class _Unset(Enum):
    REQUIRED = "required"


class Option(Generic[T]):
    """An option of a model: an attribute of its class that a launch sets.

    The model has its value as an attribute of the same name before ``load_model`` is called;
    ``load_model`` also gets it if it takes an argument of that name.

    Args:
        type: "text" (str), "number" (float), "integer" (int) or "boolean" (bool).
        help: what it means, for the launch form.
        default: its value unless a launch sets it; None for an option that may stay unset. Without
            a default every launch must set it.
        minimum, maximum: the inclusive bounds of a number.
        choices: the allowed texts; or a dict, with a label for each.
        regex: an expression that the whole text must match.
        label: its name in the form, if it differs.
        passed_to: "predict" adds it to ``predict_opts``, which the ``predict`` of the loaded object
            gets if the model has no ``predict`` of its own.

    Raises:
        TypeError: ``choices`` is a single text.
        ValueError: these contradict each other.
    """

    @overload
    def __init__(
        self: Option[str],
        type: Literal["text"],
        help: str,
        *,
        default: str = ...,
        choices: Sequence[str] | Mapping[str, str] = ...,
        regex: str | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[str | None],
        type: Literal["text"],
        help: str,
        *,
        default: None,
        choices: Sequence[str] | Mapping[str, str] = ...,
        regex: str | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[float],
        type: Literal["number"],
        help: str,
        *,
        default: float = ...,
        minimum: float | None = ...,
        maximum: float | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[float | None],
        type: Literal["number"],
        help: str,
        *,
        default: None,
        minimum: float | None = ...,
        maximum: float | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[int],
        type: Literal["integer"],
        help: str,
        *,
        default: int = ...,
        minimum: int | None = ...,
        maximum: int | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[int | None],
        type: Literal["integer"],
        help: str,
        *,
        default: None,
        minimum: int | None = ...,
        maximum: int | None = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[bool],
        type: Literal["boolean"],
        help: str,
        *,
        default: bool = ...,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Option[bool | None],
        type: Literal["boolean"],
        help: str,
        *,
        default: None,
        label: str | None = ...,
        passed_to: Literal["load_model", "predict"] = ...,
    ) -> None: ...
    def __init__(
        self,
        type: OptionType,
        help: str,
        *,
        default: Any = _Unset.REQUIRED,
        minimum: float | None = None,
        maximum: float | None = None,
        choices: Sequence[str] | Mapping[str, str] = (),
        regex: str | None = None,
        label: str | None = None,
        passed_to: Literal["load_model", "predict"] = "load_model",
    ) -> None:
        self.name = ""
        self.type = type
        self.help = help
        self.minimum = minimum
        self.maximum = maximum
        if isinstance(choices, str):
            raise TypeError(f"Option({type!r}, choices={choices!r}): give a list of texts")
        labels = choices if isinstance(choices, Mapping) else {each: each for each in choices}
        self.choices = dict(labels)
        self.regex = regex
        self.label = label
        self.passed_to = passed_to
        if problem := next(self._find_problems(), None):
            raise ValueError(f"Option({type!r}): {problem}")
        self._number_regex = self._match_numbers()
        self.is_required = default is _Unset.REQUIRED
        self.default: T | None = None
        if not self.is_required and default is not None:
            try:
                self.default = self.check(default)
            except ValueError as error:
                raise ValueError(f"Option({type!r}, default={default!r}): {error}") from None

    def __set_name__(self, owner: type[Any], name: str) -> None:
        """Store the name; ``check_declared_options`` checks it."""
        self.name = name

    @overload
    def __get__(self, model: None, owner: type[Any]) -> Option[T]: ...
    @overload
    def __get__(self, model: object, owner: type[Any]) -> T: ...
    def __get__(self, model: object, owner: type[Any]) -> Any:
        """Return the declaration from a class; a model has the value in an attribute."""
        if model is None:
            return self
        raise AttributeError(
            f"option {self.name!r} has no value yet: call super().__init__(...) first"
        )

    def check(self, value: Any) -> T:
        """Return a Python or JSON value in the option's type.

        Raises:
            ValueError: it has another type, is out of bounds, or is not a choice.
        """
        found: Any = value
        if self.type == "number" and type(value) is int and abs(value) <= sys.float_info.max:
            found = float(value)
        has_type = type(found).__name__ == _PYTHON_TYPES[self.type]
        if not has_type or (self.type == "number" and not math.isfinite(found)):
            raise ValueError(f"not {self.expected}")
        if self.choices and found not in self.choices:
            raise ValueError(f"not {self.expected}{did_you_mean(found, self.choices)}")
        if self.regex is not None and not re.fullmatch(self.regex, found):
            raise ValueError(f"does not match {self.regex}")
        too_small = self.minimum is not None and found < self.minimum
        if too_small or (self.maximum is not None and found > self.maximum):
            raise ValueError(f"not {self.expected}")
        return cast(T, found)

    def read(self, text: str) -> T:
        """Return the value that a launch gives as text.

        Raises:
            ValueError: the option does not allow it.
        """
        value: Any = text
        if self.type == "boolean":
            value = _FLAGS.get(text, text)
        elif self._number_regex is not None and re.fullmatch(self._number_regex, text):
            value = int(text) if self.type == "integer" else float(text)
        return self.check(value)

    @property
    def expected(self) -> str:
        """A description of the allowed values."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        low, high = (_format(each) for each in (self.minimum, self.maximum))
        bounds = {
            (False, False): "",
            (True, False): f" of {low} or more",
            (False, True): f" of {high} or less",
            (True, True): f" from {low} to {high}",
        }[self.minimum is not None, self.maximum is not None]
        return f"{_NOUNS[self.type]}{bounds}"

    def to_parameter(self) -> Parameter:
        """Return the option as a parameter of its model's template."""
        is_bounded = self.minimum is not None or self.maximum is not None
        expected = f" {self.expected[0].upper()}{self.expected[1:]}." if is_bounded else ""
        regex = self._number_regex
        if self.regex is not None:
            regex = f"^({self.regex.removeprefix('^').removesuffix('$')})$"
        if self.type == "boolean" or self.choices:  # the service does not know choices
            regex = f"^({'|'.join(map(_escape, self.choices or _FLAGS))})$"
        return Parameter(
            name=self.name,
            label=self.label or self.name.replace("_", " ").capitalize(),
            help_text=f"{self.help}{expected}",
            param_type=ParamType.ENUM if self.choices else _PARAM_TYPES[self.type],
            group=GROUP,
            is_optional=not self.is_required,
            default=None if self.default is None else _format(self.default),
            regex=regex,
            enum_options=tuple(
                EnumOption(value=value, label=label, description=label)
                for value, label in self.choices.items()
            ),
        )

    def _find_problems(self) -> Iterator[str]:
        if self.type not in OPTION_TYPES:
            nearest = did_you_mean(str(self.type), OPTION_TYPES)
            yield f"not one of {', '.join(OPTION_TYPES)}{nearest}"
        if not isinstance(self.help, str) or not self.help.strip():
            yield "explain it in help"
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if bounds and self.type not in ("number", "integer"):
            yield "bounds are for numbers"
        if any(not math.isfinite(bound) for bound in bounds) or sorted(bounds) != bounds:
            yield f"no number is from {self.minimum} to {self.maximum}"
        if (self.choices or self.regex is not None) and self.type != "text":
            yield "choices and regex are for texts"
        if any(not isinstance(each, str) or not each for each in self.choices):
            yield "choices are texts, and not empty"
        if self.choices and self.regex is not None:
            yield "give choices or a regex, not both"
        if self.passed_to not in ("load_model", "predict"):
            yield f"passed_to={self.passed_to!r}: not one of load_model, predict"
        try:
            re.compile(self.regex or "")
        except re.error as error:
            yield f"regex {self.regex!r} cannot be read: {error}"

    def _match_numbers(self) -> str | None:
        if self.type == "number":
            return match_numbers(self.minimum, self.maximum)
        return match_integers(self.minimum, self.maximum) if self.type == "integer" else None


def find_options(model_class: type[Any]) -> dict[str, Option[Any]]:
    """Return the options of a model class by name, its bases' first."""
    names = dict.fromkeys(name for base in reversed(model_class.__mro__) for name in vars(base))
    found = {name: getattr(model_class, name, None) for name in names}
    return {name: each for name, each in found.items() if isinstance(each, Option)}


def check_declared_options(model_class: type[Any], taken: Collection[str]) -> None:
    """Check the names of a model's options.

    Args:
        model_class: the model.
        taken: the attributes of every model.

    Raises:
        ValueError: a name cannot be an option's.
    """
    for name in find_options(model_class):
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"option {name!r}: lower-case letters, digits and '_' only, a letter first"
            )
        if any(name == each.name for template in TEMPLATES for each in template.parameters):
            raise ValueError(
                f"option {name!r}: a parameter of the template has this name; rename the option"
            )
        if name in taken:
            raise ValueError(f"option {name!r}: every model has this attribute; rename the option")


def settle_options(options: Mapping[str, Option[Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every option: the given one, or its default.

    Raises:
        ValueError: a value is wrong, or a required one is missing.
    """
    values = {}
    for name, option in options.items():
        if name in given and (given[name] is not None or option.default is not None):
            try:
                values[name] = option.check(given[name])
            except ValueError as error:
                raise ValueError(f"option {name!r} {given[name]!r}: {error}") from None
        elif option.is_required:
            raise ValueError(f"option {name!r}: is required. {option.help}")
        else:
            values[name] = option.default
    return values


def _escape(text: str) -> str:
    return re.sub(r"([][.^$*+?(){}|\\])", r"\\\1", text)


def _format(value: Any) -> str:
    """Return a value as a launch writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return str(value)
