"""Malformed specs, metadata, entry files and arguments for ``flexpack``, in process.

Every command must end with status 0, 1 or 2 and without a traceback. Its launches go to the servers
of ``apis``, where nothing runs.
"""

import contextlib
import io
import os
import random
from pathlib import Path

from launcher.cli import main
from tests.fuzz.apis import BUCKET, SPEC, Apis
from tests.fuzz.hostile import spoil_bytes, spoil_json, spoil_text

_SPEC_PATH = f"gs://{BUCKET}/spec.json"
_ENTRY_FILES = (
    b"import argparse\nparser = argparse.ArgumentParser()\nparser.parse_known_args()\n",
    b"-" * 100_000 + b"1",
    b"(" * 5000,
    b"x = " + b"[" * 300 + b"]" * 300,
)
_DOCKERFILE = b'FROM python:3.11\nENV FLEX_TEMPLATE_PYTHON_PY_FILE="main.py"\nCOPY . /template\n'
_LOCK = b"apache-beam[gcp]==2.77.0\ntorch==2.13.0 --hash=sha256:00\n"


class Commands:
    """Runs one command after another."""

    def __init__(self, folder):
        self._apis = Apis(folder)
        self._folder = Path(folder, "project")
        self._folder.mkdir()
        self._before = dict(os.environ)
        dataflow, storage = self._apis.endpoints
        os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"] = dataflow
        os.environ["STORAGE_EMULATOR_HOST"] = storage

    def close(self):
        os.environ.clear()
        os.environ.update(self._before)
        self._apis.close()

    def check(self, seed, number):
        """Run one command.

        Raises:
            Exception: the command raised it.
            AssertionError: it printed a traceback, or ended with another status.
        """
        rng = random.Random(f"{seed}-{number}")
        arguments = self._make_arguments(rng)
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(arguments)
            except SystemExit as exit_:  # argparse's, as of --help
                status = exit_.code
            for stream in (out, err):
                stream.flush()
        text = out.buffer.getvalue() + err.buffer.getvalue()
        shown = [argument[:100] for argument in arguments]
        assert status in (0, 1, 2), f"status {status} of {shown!a}"
        assert b"Traceback (most recent call last)" not in text, f"{text[-2000:]!r} of {shown!a}"

    def _make_arguments(self, rng):
        spec = self._write(rng, "spec.json", SPEC)
        self._apis.write("spec.json", spec.read_bytes())
        make = rng.choice(
            (self._check, self._check, self._check_files, self._run, self._run, self._build)
        )
        arguments = make(rng, spec)
        if rng.random() < 0.5:
            place = rng.randrange(1, len(arguments))
            # A process argument cannot contain a zero byte.
            arguments[place] = spoil_text(rng, arguments[place]).replace("\0", "")
        if rng.random() < 0.1:
            del arguments[rng.randrange(1, len(arguments))]
        return arguments

    def _check(self, rng, spec):
        return [
            *("check", "--template-file-gcs-location", str(spec)),
            *("--project-root", str(self._folder), "--parameters", "input=gs://data/in"),
            *("--parameters", f"names={'a' * 40}!", "--format", rng.choice(("text", "json"))),
        ]

    def _check_files(self, rng, spec):
        files = {
            "--metadata-file": self._write(rng, "metadata.json", SPEC["metadata"]),
            "--entry-file": self._write_bytes(rng, "main.py", rng.choice(_ENTRY_FILES)),
            "--dockerfile": self._write_bytes(rng, "Dockerfile", _DOCKERFILE),
            "--lock": self._write_bytes(rng, "requirements.txt", _LOCK),
        }
        flag = rng.choice(list(files))
        return ["check", flag, str(files[flag]), "--project-root", str(self._folder)]

    def _run(self, rng, spec):
        return [
            *("run", f"job-{rng.randrange(10**6)}", "--template-file-gcs-location", _SPEC_PATH),
            *("--project", "p", "--region", "europe-west1", "--parameters", "input=gs://data/in"),
            *("--parameters", "names=a,b", rng.choice(("--dry-run", "--async"))),
        ]

    def _build(self, rng, spec):
        return [
            *("build", f"gs://{BUCKET}/made.json", "--template", "batch", "--image", "local/x"),
            *("--max-workers", "3", "--print-only"),
        ]

    def _write(self, rng, name, good):
        content = spoil_json(rng, good)
        return self._write_bytes(rng, name, content)

    def _write_bytes(self, rng, name, content):
        path = self._folder / name
        path.write_bytes(spoil_bytes(rng, content) if rng.random() < 0.3 else content)
        return path
