"""The pages of templates: the list of them, the launch form, and a launch."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from launcher.console import launches
from launcher.console.apis import ApiRefusal, Apis
from launcher.console.launch_form import SILENT, Form, build_form
from launcher.console.launches import FilledForm, Verdict
from launcher.console.page import Answer, Console, Page, Redirect, Visit
from launcher.errors import FormatError, InputError
from launcher.google.rest import from_rest
from launcher.package.metadata import TemplateMetadata

DEFAULT_REGION = "us-central1"
_LARGEST_SPEC_BYTES = 1 << 20
_MISSING = "Missing required parameter"
_OUTPUT = re.compile(r"p\.(output|\w+_output)")
_JOB_NAME_STAMP = re.compile(r"-\d{8}-\d{6}$|-\d+$")


@dataclass(frozen=True)
class StoredTemplate:
    """A container spec in Cloud Storage."""

    path: str
    name: str
    description: str
    image: str
    kind: str
    updated: str
    parameters: int


def list_templates(console: Console, visit: Visit) -> Answer:
    """Show the templates in the local storage."""
    found: list[StoredTemplate] = []
    buckets = [bucket["name"] for bucket in console.apis.list_all("b", project=visit.project)]
    for bucket in buckets:
        for each in console.apis.list_all(f"b/{quote(bucket, '')}/o"):
            if each["name"].endswith(".json") and int(each["size"]) <= _LARGEST_SPEC_BYTES:
                template = _read_template(console, each)
                if template is not None:
                    found.append(template)
    found.sort(key=lambda each: each.updated, reverse=True)
    return Page("templates.html", {"templates": found, "buckets": buckets}, "templates")


def _read_template(console: Console, stored: Mapping[str, Any]) -> StoredTemplate | None:
    path = f"gs://{stored['bucket']}/{stored['name']}"
    key = ("template", path, stored["generation"])
    kept = console.find_kept(key)
    if kept is None:
        kept = console.keep(key, [_parse_template(console.apis, path, stored["updated"])])
    template: StoredTemplate | None = kept[0]
    return template


def _parse_template(apis: Apis, path: str, updated: str) -> StoredTemplate | None:
    try:
        spec = json.loads(apis.read_object(path, limit=_LARGEST_SPEC_BYTES))
        image = spec["image"]
        if not isinstance(image, str) or not ("sdkInfo" in spec or "sdk_info" in spec):
            return None
        metadata = spec.get("metadata") or {}
        return StoredTemplate(
            path=path,
            name=str(metadata.get("name") or path.rpartition("/")[2]),
            description=str(metadata.get("description") or ""),
            image=image,
            kind="Streaming" if metadata.get("streaming") else "Batch",
            updated=updated,
            parameters=len(metadata.get("parameters") or ()),
        )
    except (ApiRefusal, ValueError, KeyError, TypeError, AttributeError):
        return None


def show_form(console: Console, visit: Visit) -> Answer:
    """Show the launch form of a template; values may stand in the address."""
    path = visit.query.get("template", "")
    if not path:
        return Redirect("/templates")
    filled = FilledForm(
        template=path,
        project=visit.project,
        region=visit.query.get("region") or DEFAULT_REGION,
        job_name=visit.query.get("job_name") or suggest_job_name(path),
        values=_pick_values(visit.query),
    )
    form, metadata = _read_form(console.apis, filled)
    options = {n: v for n, v in filled.values.items() if n.startswith(launches.OPTION)}
    values = {f"{launches.PARAMETER}{name}": value for name, value in form.read_shown().items()}
    shown = dataclasses.replace(filled, values=values | options)
    return Page(
        "launch.html",
        {
            "filled": filled,
            "form": form,
            "metadata": metadata,
            "options": launches.list_option_inputs(filled.values),
            "has_options": bool(options),
            "defaults": _read_defaults(console.apis, path),
            "previous": _find_previous(console, visit, path),
            "silent": SILENT,
            "verdict": _show_quietly(launches.check(console.apis, shown, form)),
        },
        "templates",
    )


def check_form(console: Console, visit: Visit) -> Answer:
    """Show the service's verdict on a form, and the same launch as a command and a request."""
    filled = _read_filled(visit)
    form, _ = _read_form(console.apis, filled)
    verdict = launches.check(console.apis, filled, form)
    touched = set(visit.form.get("touched", "").split())
    if "all" not in touched:
        names = {each.name for each in form.fields if each.id in touched}
        verdict = _show_quietly(verdict, touched=names)
    return Page("verdict.html", {"verdict": verdict, "form": form})


def launch(console: Console, visit: Visit) -> Answer:
    """Launch, and show the job; or show what is wrong with the form."""
    filled = _read_filled(visit)
    try:
        job_id = launches.launch(console.apis, filled)
    except (ApiRefusal, InputError) as error:
        form, _ = _read_form(console.apis, filled)
        verdict = launches.check(console.apis, filled, form)
        if verdict.is_good:  # the reason for the refusal is gone, or the check does not find it
            verdict = Verdict(other=(str(error),), body=verdict.body, gcloud=verdict.gcloud)
        return Page("verdict.html", {"verdict": verdict, "form": form}, status=422)
    return Redirect(_with_project(f"/jobs/{quote(filled.region)}/{quote(job_id)}", console, visit))


def launch_again(console: Console, visit: Visit) -> Answer:
    """Show the form of a job's template, filled in with the job's values."""
    job_id = visit.path["job_id"]
    found = console.apis.dataflow("GET", f"/emulator/jobs/{quote(job_id)}/launch")
    parameter = found["launchParameter"]
    if not parameter or not parameter.get("containerSpecGcsPath"):
        raise ApiRefusal(404, "This job was not launched from a template in Cloud Storage.")
    name, new_name = parameter["jobName"], next_job_name(parameter["jobName"])
    values = launches.fill_from_launch(parameter)
    for each in filter(_OUTPUT.fullmatch, values):  # it must not write over the first job's results
        values[each] = values[each].replace(name, new_name)
    query = {
        "template": parameter["containerSpecGcsPath"],
        "region": visit.path["region"],
        "job_name": new_name,
        **values,
    }
    if visit.project != console.project:
        query["project"] = visit.project
    return Redirect(f"/launch?{urlencode(query)}")


def suggest_job_name(path: str) -> str:
    """Return a job name for a template: its file's name and the time."""
    stem = path.rpartition("/")[2].removesuffix(".json").lower()
    stem = re.sub(r"[^a-z0-9]+", "-", stem).strip("-").lstrip("0123456789-") or "job"
    return f"{stem[:40].strip('-')}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def next_job_name(name: str) -> str:
    """Return a name for a repetition of a job."""
    return f"{_JOB_NAME_STAMP.sub('', name)[:40].strip('-')}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _read_form(apis: Apis, filled: FilledForm) -> tuple[Form, TemplateMetadata]:
    answer = apis.dataflow(
        "GET",
        f"/v1b3/projects/{filled.project}/locations/{filled.region}/templates:get",
        gcsPath=filled.template,
    )
    try:
        metadata = from_rest(TemplateMetadata, answer.get("metadata", {}))
    except FormatError as error:
        raise ApiRefusal(400, f"{filled.template}: {error}") from error
    start = len(launches.PARAMETER)
    given = {
        name[start:]: value
        for name, value in filled.values.items()
        if name.startswith(launches.PARAMETER)
    }
    form = build_form(metadata, given)
    return form, metadata


def _read_defaults(apis: Apis, path: str) -> Mapping[str, Any]:
    """Return the spec's image and default environment, both empty if it cannot be read."""
    try:
        spec = json.loads(apis.read_object(path, limit=_LARGEST_SPEC_BYTES))
        return {
            "image": spec.get("image", ""),
            "environment": spec.get("defaultEnvironment") or {},
        }
    except (ApiRefusal, ValueError, AttributeError):
        return {"image": "", "environment": {}}


def _find_previous(console: Console, visit: Visit, path: str) -> Sequence[Mapping[str, str]]:
    """Return the last jobs of the same template, whose values can fill the form."""
    page = console.apis.dataflow(
        "GET", f"/v1b3/projects/{visit.project}/jobs:aggregated", pageSize=20
    )
    found = []
    for job in page.get("jobs", ()):
        launched = console.apis.dataflow("GET", f"/emulator/jobs/{quote(job['id'])}/launch")
        parameter = launched["launchParameter"] or {}
        if parameter.get("containerSpecGcsPath") == path:
            found.append({"id": job["id"], "name": job["name"], "region": job["location"]})
    return found[:3]


def _show_quietly(verdict: Verdict, touched: Set[str] = frozenset()) -> Verdict:
    """Ignore missing values while the form is still empty."""
    return dataclasses.replace(
        verdict,
        parameters={
            name: problem
            for name, problem in verdict.parameters.items()
            if name in touched or problem != _MISSING
        },
        other=tuple(problem for problem in verdict.other if not problem.endswith(_MISSING)),
    )


def _read_filled(visit: Visit) -> FilledForm:
    form = visit.form
    return FilledForm(
        template=form.get("template", ""),
        project=form.get("project") or visit.project,
        region=form.get("region", "").strip(),
        job_name=form.get("job_name", "").strip(),
        values=_pick_values(form),
    )


def _pick_values(given: Mapping[str, str]) -> dict[str, str]:
    prefixes = (launches.PARAMETER, launches.OPTION)
    return {name: value for name, value in given.items() if name.startswith(prefixes)}


def _with_project(path: str, console: Console, visit: Visit) -> str:
    project = visit.form.get("project") or visit.project
    return path if project == console.project else f"{path}?{urlencode({'project': project})}"
