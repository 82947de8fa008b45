"""One table of expressions and values, which the check and the local Dataflow judge alike.

UNCONFIRMED: that Dataflow requires the whole value to match. Both require it, so in either case
a value that passes here also passes there.
"""

import time

import pytest

from launcher import ParameterMetadata, TemplateMetadata
from launcher.emulator.service.discovery import load_discovery
from launcher.emulator.service.errors import ApiError
from launcher.emulator.service.launch_rules import check_launch
from launcher.finding import select_errors
from launcher.package.metadata_checks import check_metadata
from launcher.preflight.parameters import check_parameters

MESSAGES = load_discovery().messages
TABLE = [
    # expression, value, whether it passes
    ("^gs://.+$", "gs://b/o", True),
    ("gs://.+", "gs://b/o", True),
    ("gs://", "gs://b/o", False),  # matches in part
    ("b/o", "gs://b/o", False),
    ("^gs://", "gs://b/o", False),
    ("[0-9]+", "12", True),
    ("[0-9]+", "12\n", False),
    ("^[0-9]+$", "12\n", False),
    ("[0-9]+", "a12", False),
    ("[0-9]+", "", False),
    ("", "", True),
    ("", "a", False),
    ("a|ab", "ab", True),
    ("(a|b)*", "abba", True),
    ("^[[:alnum:]_-]+:[^[:space:]]+$", "my-1_x:y", True),
    ("^[[:alnum:]_-]+:[^[:space:]]+$", "my x:y", False),
    ("[[:alpha:]][[:digit:]]{2}", "a12", True),
    ("[[:alpha:]][[:digit:]]{2}", "1a2", False),
    ("[[:upper:]]+|[[:lower:]]+|[[:xdigit:].]+", "aF.9", True),
    ("[[:upper:]]+|[[:lower:]]+|[[:xdigit:].]+", "aFG", False),
    ("[][:punct:]]+", "]!/`~", True),
    ("[[:print:][:blank:]]+", "a\tb", True),
    ("[[:print:][:blank:]]+", "a\nb", False),
    ("[^[:cntrl:]]+", "\x7f", False),
    (r"\[[:alpha:]+", "[:ahlp", True),  # a literal bracket, then a set of five
    (r"\d+(?:\.\d+)?", "1.5", True),  # unknown to egrep, but accepted
    (".", "ä", True),
    (".", "\U0001f600", True),
    ("(", "(", False),  # unreadable
    ("[[:wrong:]]", "a", False),
    ("(?<=a)b", "b", False),
    (r"(a)\1", "aa", False),
    ("(?P<x", "1", False),
    ("a{1000}{1000}", "a", False),
    ("([a-z]+,?)+", "a" * 40, True),
    ("([a-z]+,?)+", "a" * 29 + "!", False),
    ("^([a-z]+,?)+$", "a" * 100_000 + "!", False),
    ("(a*)*b", "a" * 100_000, False),
    ("(.*,){20}x", "," * 10_000, False),
]


@pytest.mark.parametrize(
    ("regex", "value", "passes"),
    TABLE,
    ids=[f"{regex[:24]}-{value[:12]!a}{number}" for number, (regex, value, _) in enumerate(TABLE)],
)
def test_check_and_local_dataflow_agree(regex: str, value: str, passes: bool) -> None:
    started = time.process_time()
    assert _passes_the_check(regex, value) is passes
    assert _passes_the_launch(regex, value) is passes
    assert time.process_time() - started < 5


def _passes_the_check(regex: str, value: str) -> bool:
    parameter = ParameterMetadata(name="p", label="P", help_text="P.", regexes=(regex,))
    metadata = TemplateMetadata(name="t", parameters=(parameter,))
    return not select_errors([*check_metadata(metadata), *check_parameters(metadata, {"p": value})])


def _passes_the_launch(regex: str, value: str) -> bool:
    parameter = {"name": "p", "label": "P", "helpText": "P.", "regexes": [regex]}
    spec = {"image": "local/x", "metadata": {"name": "t", "parameters": [parameter]}}
    launch = {"jobName": "j", "parameters": {"p": value}}
    try:
        check_launch(launch, spec, project_id="p", region="r", messages=MESSAGES)
    except ApiError as error:
        assert error.code == 400
        return False
    return True
