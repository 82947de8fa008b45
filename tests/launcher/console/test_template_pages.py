"""Templates and launch forms, as the console serves them."""

from __future__ import annotations

import html
import json
import re
import shutil
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher.console.launches import FilledForm, build_body, build_gcloud, fill_from_launch
from launcher.console.template_pages import next_job_name, suggest_job_name
from tests.launcher.preflight.test_corpus import CASES, read_case
from tests.launcher.preflight.test_foreign_templates import GENERATED_METADATA, OLD_METADATA
from tests.support import PROJECT, run

METADATA = {
    f"{path.parent.name}/{path.stem}": read_case(path)[2]["metadata.json"]
    for path in CASES
    if "metadata.json" in read_case(path)[2]
} | {"old": json.dumps(OLD_METADATA), "generated": json.dumps(GENERATED_METADATA)}
PARAMETERS = [
    {"name": "input", "label": "In", "helpText": "In.", "regexes": ["^gs://.+$"]},
    {"name": "odd", "label": "Odd", "helpText": "Odd.", "isOptional": True},
]


@pytest.fixture
def template(put):
    spec = {
        "image": "local/none",
        "sdkInfo": {"language": "PYTHON"},
        "metadata": {"name": "Two", "parameters": PARAMETERS},
        "defaultEnvironment": {"maxWorkers": 3},
    }
    return put("templates/two.json", json.dumps(spec))


def read(answer):
    return html.unescape(re.sub(r"<[^>]+>", "", answer.text))


def list_shown(metadata):
    """Return the labels that a form of the metadata must show, if they are texts."""
    parameters = metadata.get("parameters") or []
    return [
        each["label"]
        for each in parameters
        if isinstance(each.get("label"), str) and each.get("hiddenUi") is not True
    ]


@pytest.mark.parametrize("name", METADATA)
def test_every_fixture_of_the_checks_is_rendered(console, put, name):
    text = METADATA[name]
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    spec = {"image": "local/none", "sdkInfo": {"language": "PYTHON"}, "metadata": metadata}
    path = put(f"fixtures/{name}.json", json.dumps(spec) if metadata is not None else text)

    answer = console.get("/launch", params={"template": path})

    if answer.status_code == 200:
        shown = read(answer)
        for label in list_shown(metadata):
            assert label in shown
        return
    # If the service cannot read the metadata, there is no form, and the page shows the service's
    # own error.
    assert answer.status_code == 400, read(answer)
    assert path in read(answer)
    assert name.startswith("wrong/")


def test_templates_are_listed_and_other_objects_are_not(console, put, template):
    put("templates/not-one.json", '{"image": 7}')
    put("templates/broken.json", "{")
    shown = read(console.get("/templates"))
    assert "Two" in shown
    assert template in shown
    assert "not-one" not in shown
    assert "broken" not in shown


def test_a_template_that_is_not_there_is_an_error(console):
    answer = console.get("/launch", params={"template": "gs://flexpack-console/nothing.json"})
    assert answer.status_code == 404
    assert "Unable to open template file" in read(answer)


def send(console, template, path="/launch/check", **values):
    form = {"template": template, "project": PROJECT, "region": "us-central1", "job_name": "j"}
    answer = console.post(path, data={**form, "touched": "all", **values})
    problems = {
        found[1]: html.unescape(re.sub(r"<[^>]+>", "", found[2]).strip())
        for found in re.finditer(
            r'hx-target="#(\S+)-problem"[^>]*>(.*?)</hx-partial>', answer.text, re.DOTALL
        )
    }
    return answer, {name: text for name, text in problems.items() if text}


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"p.input": "gs://b/x"}, {}),
        ({"p.input": "x"}, {"f0": "Parameter didn't match regex '^gs://.+$'"}),
        ({"p.odd": "x"}, {"f0": "Missing required parameter"}),
        (
            {"p.input": "gs://b/x", "job_name": "No"},
            {"job_name": "JobName invalid; the name must consist of only the characters"},
        ),
        (
            {"p.input": "x", "job_name": "No"},
            {"f0": "Parameter didn't match", "job_name": "JobName invalid"},
        ),
        (
            {"p.input": "gs://b/x", "e.num_workers": "x"},
            {"options": "--num-workers 'x': expected a whole number"},
        ),
        (
            {"p.input": "gs://b/x", "e.num_workers": "3", "e.max_workers": "2"},
            {"options": "--num-workers 3: more than --max-workers 2"},
        ),
        (
            {"p.input": "gs://b/x", "e.accelerator": "nvidia-l44:1"},
            {"options": "--accelerator 'nvidia-l44:1': no such accelerator; did you mean"},
        ),
        (
            {"p.input": "gs://b/x", "e.additional_user_labels": "a"},
            {"options": "--additional-user-labels 'a': expected KEY=VALUE"},
        ),
    ],
    ids=["good", "regex", "missing", "name", "both", "number", "workers", "gpu", "label"],
)
def test_a_form_is_checked(console, template, values, problems):
    answer, found = send(console, template, **values)
    assert answer.status_code == 200
    assert found.keys() == problems.keys(), found
    for name, text in problems.items():
        assert found[name].startswith(text)


def test_a_refused_launch_launches_nothing_and_says_why(console, template, apis):
    answer, found = send(console, template, "/launch", **{"p.input": "x", "job_name": "refused"})
    assert answer.status_code == 422
    assert found["f0"].startswith("Parameter didn't match regex")
    page = apis.dataflow("GET", f"/v1b3/projects/{PROJECT}/jobs:aggregated")
    assert "refused" not in {job["name"] for job in page.get("jobs", ())}


def test_a_job_is_launched_as_the_body_says_and_launched_again(console, template, apis):
    values = {
        "p.input": "gs://b/x",
        "p.odd": "a,b=c\nd",
        "e.max_workers": "2",
        "e.additional_user_labels": "team=vision, cost=12",
        "e.additional_experiments": "one\ntwo=a,b",
        "e.staging_location": "gs://flexpack-console/staging",
    }
    answer, _ = send(console, template, "/launch", job_name="first-1", **values)
    assert answer.status_code == 303
    job_id = answer.headers["location"].rpartition("/")[2]
    launched = apis.dataflow("GET", f"/emulator/jobs/{job_id}/launch")["launchParameter"]
    assert launched["parameters"] == {"input": "gs://b/x", "odd": "a,b=c\nd"}
    environment = launched["environment"]
    assert environment["maxWorkers"] == 2
    assert environment["additionalUserLabels"] == {"team": "vision", "cost": "12"}
    assert environment["additionalExperiments"] == ["one", "two=a,b"]

    again = console.get(f"/jobs/us-central1/{job_id}/again")
    query = {k: v[0] for k, v in parse_qs(urlsplit(again.headers["location"]).query).items()}
    assert query["template"] == template
    assert query["p.odd"] == "a,b=c\nd"
    assert query["e.additional_experiments"] == "one\ntwo=a,b"
    assert re.fullmatch(r"first-\d{8}-\d{6}", query["job_name"])
    assert console.get(again.headers["location"]).status_code == 200


@pytest.mark.gcloud
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_the_gcloud_command_launches_the_same(template, apis, emulator_env):
    filled = FilledForm(
        template=template,
        project=PROJECT,
        region="us-central1",
        job_name="same",
        values={
            "p.input": "gs://b/x",
            "p.odd": "a,b=c ~;'\"$(echo)",
            "e.max_workers": "2",
            "e.worker_machine_type": "n1-standard-8",
            "e.accelerator": "nvidia-tesla-t4:1",
            "e.worker_zone": "us-central1-a",
            "e.disable_public_ips": "true",
            "e.enable_streaming_engine": "true",
            "e.staging_location": "gs://flexpack-console/staging",
            "e.additional_experiments": "one\ntwo=a,b",
            "e.additional_pipeline_options": "alpha=1\nbeta=2,3",
            "e.additional_user_labels": "team=vision,cost=12",
        },
    )
    parameter = build_body(filled)["launchParameter"]
    command = build_gcloud(filled, parameter)

    printed = run("bash", "-c", f"{command} '--format=value(job.id)'", env=emulator_env).stdout

    launched = apis.dataflow("GET", f"/emulator/jobs/{printed.strip()}/launch")["launchParameter"]
    if "diskSizeGb" in parameter["environment"]:
        assert "# gcloud has no flag for diskSizeGb" in command
        del parameter["environment"]["diskSizeGb"]
    assert launched == parameter


def test_a_form_filled_from_a_launch_launches_the_same():
    filled = FilledForm(
        template="gs://bucket/t.json", project="p", region="r", job_name="j",
        values={"p.a": "1", "e.max_workers": "2", "e.accelerator": "nvidia-l4:1"}
        | {"e.additional_user_labels": "a=b", "e.disable_public_ips": "true"},
    )  # fmt: skip
    parameter = build_body(filled)["launchParameter"]
    again = FilledForm(
        template="gs://bucket/t.json", project="p", region="r", job_name="j",
        values=fill_from_launch(parameter),
    )  # fmt: skip
    assert build_body(again)["launchParameter"] == parameter


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("gs://b/templates/batch.json", "batch-"),
        ("gs://b/1 Große_Vorlage.JSON", "gro-e-vorlage-json-"),
        ("gs://b/" + "x" * 99 + ".json", "x" * 40 + "-"),
        ("gs://b/123.json", "job-"),
    ],
)
def test_a_job_name_is_suggested_that_the_service_takes(path, name):
    found = suggest_job_name(path)
    assert found.startswith(name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", found)


def test_names_of_jobs_do_not_grow():
    once = next_job_name("churn-1")
    assert re.fullmatch(r"churn-\d{8}-\d{6}", once)
    assert len(next_job_name(once)) == len(once)
