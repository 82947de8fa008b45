"""Well-formed files of a template's project, of the kinds that ``flexpack check`` reads."""

import json


def seeds():
    """Return files by format: some of each."""
    return {
        "dockerfile": dockerfiles(),
        "lock": locks(),
        "metadata": metadata(),
        "entry": entry_files(),
        "spec": specs(),
    }


def dockerfiles():
    both = b"""ARG BEAM=2.77.0
FROM apache/beam_python3.11_sdk:${BEAM} AS beam
FROM --platform=linux/amd64 python:3.11-slim AS base
ARG BEAM
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,source=requirements.txt,target=/tmp/r.txt \\
    pip install "apache-beam[gcp]==${BEAM}" -r /tmp/r.txt # one
COPY --from=beam --chmod=0755 /opt/apache/beam /opt/apache/beam
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/app/main.py PATH=/v/bin:${PATH:+:$PATH} \\
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
ENTRYPOINT ["/opt/apache/beam/boot"]
FROM base
COPY ["main.py", "start.sh", "/app/"]
"""
    here = b"""# syntax=docker/dockerfile:1
FROM nvidia/cuda:12.5.1-runtime-ubuntu22.04
RUN <<EOF
apt-get update && apt-get install -y python3.10
python3 -m venv /v && /v/bin/pip install -r requirements.txt
EOF
COPY <<"A" /start.sh
exec /opt/apache/beam/boot "$@"
A
ADD https://example.com/boot /opt/apache/beam/boot
SHELL ["/bin/bash", "-c"]
ENV A b c
LABEL x="y z"
ENTRYPOINT /start.sh
"""
    return [both, here, b"FROM $BASE\nRUN uv sync\nUSER 1\n", both.replace(b"\n", b"\r\n")]


def locks():
    return [
        b"# pip\n-r main.py\n--index-url https://example.com\napache-beam[gcp]==2.77.0 \\\n"
        b"    --hash=sha256:aa --hash=sha256:bb\ntorch==2.13.0+cu130 ; python_version > '3.8'\n"
        b"numpy>=1,<3\nmy @ git+https://example.com/my@1 # x\n./wheels/a-1.whl\n"
        b"nvidia-cuda-runtime==13.0.96\n",
        b"a==1;sys_platform=='linux' and extra=='x'\nb===1.0.post1\nc~=1.0\nd==1.*\n",
    ]


def metadata():
    parameter = {
        "name": "mode",
        "label": "Mode",
        "helpText": "How.",
        "isOptional": True,
        "paramType": "ENUM",
        "enumOptions": [{"value": "A", "label": "a"}, {"value": "B"}],
        "defaultValue": "A",
        "groupName": "G",
        "customMetadata": {"a": "b"},
    }
    child = parameter | {
        "name": "child",
        "paramType": "TEXT",
        "enumOptions": [],
        "parentName": "mode",
        "parentTriggerValues": ["A"],
        "regexes": ["^[[:alnum:]_-]{1,63}(,[^\\n\\r]+)*$"],
        "hidden_ui": False,
    }
    document = {"name": "T", "streaming": True, "defaultStreamingMode": "AT_LEAST_ONCE"}
    document["parameters"] = [parameter, child]
    return [json.dumps(document, indent=2).encode(), json.dumps({"metadata": document}).encode()]


def entry_files():
    return [
        b"""import argparse, sys
import apache_beam as beam
from apache_beam.options.pipeline_options import *
from steps import build


class Words(beam.DoFn):
    def process(self, row):
        yield f"{row!r:>{10}}" if row else None


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--project_id", dest="p", default=[1, *"ab"])
    args, rest = parser.parse_known_args(argv)
    rest += ["--runner", "DirectRunner", f"--region={args.p}"]
    options = PipelineOptions(rest, **{"job_name": "x"}).view_as(GoogleCloudOptions)
    options.project, options.region = args.p, "r"
    setattr(options, "temp_location", lambda: (yield))
    with beam.Pipeline("DirectRunner", options=options) as pipeline:
        _ = pipeline | beam.Create([1]) | "x" >> beam.ParDo(Words())
    match rest:
        case [{"a": 1}, *_]:
            pass


if __name__ == "__main__":
    main()
""",
        b"# -*- coding: latin-1 -*-\nx: int = 1\n"
        b"async def f(a, /, *, b): return [i async for i in a]\n",
    ]


def specs():
    document = {
        "image": "europe-docker.pkg.dev/p/r/i:1",
        "sdkInfo": {"language": "PYTHON"},
        "defaultEnvironment": {
            "additionalExperiments": ["a=b"],
            "additionalUserLabels": {"a": "b"},
            "diskSizeGb": 50,
            "maxWorkers": "3",
        },
        "metadata": json.loads(metadata()[0]),
    }
    return [json.dumps(document, indent=1).encode()]
