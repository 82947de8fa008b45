"""The results of a job: the first predictions, pictures, dead letters, files and topics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from launcher.console import results
from launcher.console.apis import ApiRefusal, Apis, Unreachable
from launcher.console.page import Answer, Console, Picture, Visit
from launcher.console.results import Reason, Table, UnreadableError

_FIRST_BYTES = 1 << 20
_LARGEST_TABLE_BYTES = 32 << 20
_LARGEST_IMAGE_BYTES = 32 << 20
_MOST_FILES = 200
_PART = re.compile(r"-\d{5}-of-\d{5}\.")
_IDX_KEY = re.compile(r"(?P<name>[^#]+)#(?P<number>\d+)")
_IMAGE = re.compile(r"\.(png|jpe?g|webp|bmp|gif|tiff?)$", re.IGNORECASE)
_IDX = re.compile(r"idx[34]-ubyte(\.gz)?$")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of results."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a job has written so far.

    Attributes:
        output: prefix of its files; "" if the job names none.
        topics: where a stream's predictions and dead letters go, by parameter.
        table: the first predictions; None if there are none yet.
        pictures: whether each row has a picture.
        problem: the reason why no table is shown although there are files.
        commands: the commands that fetch files, each with a description.
    """

    output: str = ""
    topics: Mapping[str, str]
    files: Sequence[StoredFile] = ()
    dead_files: Sequence[StoredFile] = ()
    table: Table | None = None
    pictures: bool = False
    problem: str = ""
    reasons: Sequence[Reason] = ()
    commands: Sequence[tuple[str, str]] = ()


def find_results(console: Console, visit: Visit, job: Mapping[str, Any]) -> Results:
    """Return what a job has written; blocks for some calls."""
    options = _read_parameters(job)
    topics = {
        name: str(options[name])
        for name in ("output_topic", "dead_letter_topic", "output_table")
        if options.get(name)
    }
    commands = [
        (f"{name.replace('_', ' ')}", f"gcloud pubsub topics describe {value}")
        for name, value in topics.items()
        if name.endswith("topic")
    ]
    output = str(options.get("output") or "")
    dead_output = str(options.get("dead_letter_output") or (f"{output}-errors" if output else ""))
    if not output.startswith("gs://") and not dead_output.startswith("gs://"):
        return Results(output=output, topics=topics, commands=commands)
    made = _list_files(console.apis, output, since=job["createTime"]) if output else []
    dead_files = [each for each in made if each.path.startswith(f"{output}-errors-")]
    if not output:
        dead_files = _list_files(console.apis, dead_output, since=job["createTime"])
    files = [
        each
        for each in made
        if each not in dead_files and _PART.search(each.path.removeprefix(output))
    ]
    table, problem = _read_first(console.apis, files)
    if files:
        pattern = f"{output}-*{files[0].path[files[0].path.rindex('.') :]}"
        command = f"gcloud storage cat '{pattern}'"
        if pattern.endswith(".parquet"):
            command = f"flexpack storage cat '{pattern}' --lines 20"
        commands.append(("predictions", command))
    if dead_files:
        commands.append(("dead letters", f"gcloud storage cat '{dead_output}-*'"))
    if any(each.path == f"{output}-run.json" for each in made):
        commands.append(("record of the run", f"gcloud storage cat '{output}-run.json'"))
    return Results(
        output=output,
        topics=topics,
        files=files,
        dead_files=dead_files,
        table=table,
        pictures=table is not None and _has_pictures(str(options.get("input", "")), table),
        problem=problem,
        reasons=_read_reasons(console.apis, output, dead_files),
        commands=commands,
    )


def show_picture(console: Console, visit: Visit) -> Answer:
    """Return the picture of a row, encoded again: the browser never gets an object's own bytes.

    The row must be in the job's own input.
    """
    job = console.apis.dataflow("GET", visit.job_path, view="JOB_VIEW_ALL")
    location = str(_read_parameters(job).get("input", ""))
    key = visit.query.get("key", "")
    try:
        if _IDX.search(location) or "idx" in location.rpartition("/")[2]:
            found = _IDX_KEY.fullmatch(key)
            if found is None:
                raise ApiRefusal(404, "There is no such picture.")
            path = _find_input(console, location, found["name"])
            content = _read_kept(console, path)
            return Picture(results.draw_idx_image(content, int(found["number"])))
        if _IMAGE.search(key) and key.startswith(_fixed_prefix(location)):
            content = console.apis.read_object(key, limit=_LARGEST_IMAGE_BYTES)
            return Picture(results.draw_thumbnail(content))
    except UnreadableError as error:
        raise ApiRefusal(404, str(error)) from error
    raise ApiRefusal(404, "There is no such picture.")


def _read_parameters(job: Mapping[str, Any]) -> Mapping[str, Any]:
    environment = job.get("environment", {})
    options: Mapping[str, Any] = environment.get("sdkPipelineOptions", {}).get("options", {})
    return options


def _list_files(apis: Apis, prefix: str, *, since: str) -> list[StoredFile]:
    """Return the files under a prefix written since a time."""
    bucket, _, name = prefix.removeprefix("gs://").partition("/")
    try:
        page = apis.storage(f"b/{quote(bucket, '')}/o", prefix=name, maxResults=_MOST_FILES)
    except ApiRefusal:
        return []
    return [
        StoredFile(path=f"gs://{bucket}/{each['name']}", size=int(each["size"]))
        for each in page.get("items", ())
        if each["timeCreated"] >= since
    ]


def _read_first(apis: Apis, files: Sequence[StoredFile]) -> tuple[Table | None, str]:
    for each in files:
        if not each.size:
            continue
        whole = each.path.endswith(".parquet")
        limit = _LARGEST_TABLE_BYTES if whole else _FIRST_BYTES
        try:
            content = apis.read_object(each.path, limit=limit)
            table = results.read_table(each.path, content, is_cut=each.size > limit)
        except (ApiRefusal, Unreachable, UnreadableError) as error:
            return None, str(error)
        if table.rows:
            return table, ""
    return None, ""


def _read_reasons(apis: Apis, output: str, files: Sequence[StoredFile]) -> Sequence[Reason]:
    import json

    counted: list[tuple[str, int]] = []
    content = b""
    try:
        if output and files:
            record = json.loads(apis.read_object(f"{output}-run.json", limit=_FIRST_BYTES))
            counted = [(each["reason"], each["count"]) for each in record["dead_letter_reasons"]]
    except (ApiRefusal, Unreachable, ValueError, KeyError, TypeError):
        counted = []
    for each in files[:5]:
        try:
            content += apis.read_object(each.path, limit=_FIRST_BYTES) + b"\n"
        except (ApiRefusal, Unreachable):
            continue
    return results.group_dead_letters(content, counted)


def _has_pictures(location: str, table: Table) -> bool:
    column = table.find_column("key")
    if column is None:
        return False
    keys = [row[column] for row in table.rows]
    if "idx" in location.rpartition("/")[2]:
        return all(_IDX_KEY.fullmatch(key) for key in keys)
    return all(key.startswith("gs://") and _IMAGE.search(key) for key in keys)


def _fixed_prefix(pattern: str) -> str:
    """Return a file pattern's fixed beginning, before its first wildcard."""
    return re.split(r"[*?\[{]", pattern)[0]


def _find_input(console: Console, pattern: str, name: str) -> str:
    """Return the path of the input file in a key."""
    if not re.search(r"[*?\[{]", pattern):
        return pattern
    prefix = _fixed_prefix(pattern)
    for each in _list_files(console.apis, prefix, since=""):
        if each.path.endswith(f"/{name}"):
            return each.path
    raise ApiRefusal(404, "There is no such picture.")


def _read_kept(console: Console, path: str) -> bytes:
    """Return a file of images; the last one is cached, since a page shows many of its images."""
    bucket, _, name = path.removeprefix("gs://").partition("/")
    stored = console.apis.storage(f"b/{quote(bucket, '')}/o/{quote(name, '')}")
    key = ("images", path)
    kept: tuple[str, bytes] | None = console.find_kept(key)
    if kept is None or kept[0] != stored["generation"]:
        content = console.apis.read_object(path, limit=_LARGEST_IMAGE_BYTES)
        if content[:2] == b"\x1f\x8b":
            content = results.gunzip(content)
        kept = console.keep(key, (stored["generation"], content))
    return kept[1]
