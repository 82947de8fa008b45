"""The coverage that the README shows matches the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from launcher.emulator.service.coverage import build_coverage, find_ignored
from launcher.emulator.service.discovery import Discovery, Method
from launcher.emulator.service.operations import OPERATIONS
from tests.launcher.emulator.service.conftest import SPEC_PATH, Local
from tests.support import BIN, run

PATH = {"projectId": "p", "location": "europe-west1"}
VALUES = {"regionalFanoutRequested": "true", "view": "METADATA_ONLY", "name": "none"}


def call(local: Local, method: Method, job_id: str, **query: str) -> Any:
    path = method.path.format(**PATH, jobId=job_id)
    body = {"name": f"job-{len(local.runner.executed)}"} if method.id.endswith("create") else None
    return local.http.request(method.http_method, path, params=query, json=body)


def test_every_method_is_named_once(discovery: Discovery) -> None:
    text = build_coverage()
    assert f"{len(OPERATIONS)} of {len(discovery.methods)} methods" in text
    for method_id in discovery.methods:
        name = method_id.removeprefix("dataflow.").removeprefix("projects.")
        name = name.removeprefix("locations.")
        shown = [f"`{prefix}{name}`" for prefix in ("", "locations.", "[locations.]")]
        assert sum(text.count(item) for item in shown) == 1, method_id


def test_what_is_ignored_by_a_launch(discovery: Discovery) -> None:
    ignored = find_ignored(discovery, "dataflow.projects.locations.flexTemplates.launch")
    assert "launchParameter.environment.launcherMachineType" in ignored
    assert "launchParameter.launchOptions other than ft_launch_timeout_secs" in ignored
    assert "launchParameter.environment.maxWorkers" not in ignored
    assert "launchParameter.update" not in ignored


def test_parameters_without_effect_are_accepted(local: Local, discovery: Discovery) -> None:
    job_id = local.launch_id()
    for method_id in OPERATIONS:
        method = discovery.methods[method_id]
        ignored = set(find_ignored(discovery, method_id)) & set(method.query)
        for name in ignored - OPERATIONS[method_id].query:
            value = VALUES[name]
            if name == "view" and "templates" not in method_id:
                value = "JOB_VIEW_ALL"
            others = {"gcsPath": SPEC_PATH} if "templates" in method_id else {}
            with_it = call(local, method, job_id, **others, **{name: value})
            assert with_it.status_code == 200, with_it.text
            without = call(local, method, job_id, **others)
            if method.http_method == "GET":
                assert with_it.json() == without.json()
            else:
                assert with_it.json().keys() == without.json().keys()


@pytest.mark.parametrize("method_id", [name for name in OPERATIONS if OPERATIONS[name].refused])
def test_what_is_refused_answers_501(local: Local, discovery: Discovery, method_id: str) -> None:
    method = discovery.methods[method_id]
    job_id = local.launch_id()
    for name in OPERATIONS[method_id].refused:
        if name in method.query:
            query = {
                name: "x",
                **({"location": "europe-west1"} if "location" in method.query else {}),
            }
            answer = call(local, method, job_id, **query)
        else:
            body: dict[str, Any] = {}
            *outer, last = name.split(".")
            inner = body
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = True
            answer = local.http.request(
                method.http_method, method.path.format(**PATH, jobId=job_id), json=body
            )
        assert answer.status_code == 501, answer.text
        assert name in answer.json()["error"]["message"]


def test_the_command_writes_it_into_the_readme_and_checks_it(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    readme = tmp_path / "README.md"
    readme.write_text("Before.\n<!-- coverage -->\n<!-- /coverage -->\nAfter.\n")
    command = ("flexpack", "metadata", "--project-root", str(tmp_path))
    env = os.environ | {"PATH": os.pathsep.join([str(BIN), os.environ["PATH"]])}
    run(*command, env=env)
    text = readme.read_text()
    coverage = build_coverage()
    assert text == f"Before.\n<!-- coverage -->\n{coverage}\n<!-- /coverage -->\nAfter.\n"
    run(*command, "--check", env=env)
    readme.write_text(text.replace("`jobs.aggregated`", "`jobs.disaggregated`"))
    stale = run(*command, "--check", env=env, status=1)
    assert "README.md: out of date; run 'flexpack" in stale.stderr
