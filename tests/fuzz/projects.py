"""Has ``flexpack check`` read projects with one malformed file."""

import contextlib
import io
import json
from pathlib import Path

from launcher.cli import main
from tests.fuzz.mutate import make_input
from tests.fuzz.seeds_project import seeds

NAMES = {
    "dockerfile": "Dockerfile",
    "lock": "requirements.txt",
    "metadata": "metadata.json",
    "entry": "main.py",
    "spec": "spec.json",
}


class Projects:
    """The command, in this process, on a folder of one file."""

    def __init__(self, folder):
        self._folder = folder
        self._seeds = seeds()

    def check(self, seed, number):
        """Check one project."""
        check_project(*make_input(seed, number, self._seeds), self._folder)

    def close(self):
        """Do nothing: nothing runs."""


def check_project(format_, data, folder):
    """Check a folder that holds one file.

    Raises:
        Exception: the check raised one, ended without findings or a single message, or failed
            without naming a finding.
    """
    root = Path(folder) / "project"
    root.mkdir(exist_ok=True)
    for path in root.iterdir():
        path.unlink()
    (root / NAMES[format_]).write_bytes(data)
    flags = ["--template-file-gcs-location", str(root / "spec.json"), "--spec-only"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(
            [
                *("check", "--format", "json", "--project-root", str(root)),
                *(flags if format_ == "spec" else ()),
            ]
        )
    assert "Traceback" not in err.getvalue(), err.getvalue()
    if status == 2:
        assert err.getvalue().startswith("flexpack: "), err.getvalue()
        return
    findings = json.loads(out.getvalue())
    assert status == any(finding["severity"] == "ERROR" for finding in findings), status
    for finding in findings:
        assert finding["message"], finding
        assert finding["remedy"], finding
