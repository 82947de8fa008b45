"""The gcloud command that is shown after a template is made."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess

import pytest

from launcher import LaunchConfig
from launcher.errors import InputError
from launcher.launch.export import build_gcloud_command, escape_dict, format_command

# gcloud's own reader of dictionaries, in its own interpreter.
READER = """
import json, sys
sys.path[:0] = [sys.argv[1] + "/lib", sys.argv[1] + "/lib/third_party"]
from googlecloudsdk.calliope import arg_parsers
print(json.dumps([arg_parsers.ArgDict()(text) for text in json.load(sys.stdin)]))
"""
VALUES = [
    {"input": "gs://b/*.csv", "output": "gs://b/out"},
    {"query": "a,b", "regex": "^x~y$"},
    {"pairs": "a=b,c=d~e;f|g"},
    {"first": "1,2", "second": ",", "third": "~"},
]


def test_the_command():
    config = LaunchConfig(
        job_name="my-job",
        template_file_gcs_location="gs://b/t.json",
        project="p",
        region="r",
        staging_location="gs://b/s",
        parameters={"input": "gs://b/a,b", "output": "o"},
    )
    assert build_gcloud_command(config) == [
        *("gcloud", "dataflow", "flex-template", "run", "my-job"),
        "--template-file-gcs-location=gs://b/t.json",
        "--project=p",
        "--region=r",
        "--staging-location=gs://b/s",
        "--parameters=^~^input=gs://b/a,b~output=o",
    ]


def test_the_shell_reads_what_was_meant():
    words = ["gcloud", "run", "--parameters=a=gs://b/*.csv,b='x y'", "--project=p"]
    assert shlex.split(format_command(words).replace("\\\n", " ")) == words


def test_too_many_special_characters():
    with pytest.raises(InputError, match="--flags-file"):
        escape_dict({"a": ",~;|#%!@+&*"})


@pytest.mark.gcloud
def test_gcloud_reads_what_was_meant():
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    info = subprocess.run(
        ["gcloud", "info", "--format=json(installation.sdk_root,basic.python_location)"],
        env={**os.environ, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(info.stdout)
    read = subprocess.run(
        [found["basic"]["python_location"], "-c", READER, found["installation"]["sdk_root"]],
        input=json.dumps([escape_dict(values) for values in VALUES]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(read.stdout) == VALUES
