"""The content of a field's picker: buckets and objects, topics, subscriptions, tables."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from launcher.console import formats
from launcher.console.apis import ApiRefusal, Apis, Unreachable
from launcher.console.launch_form import Picker
from launcher.console.page import Answer, Console, Page, Visit

_MOST_ENTRIES = 1000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a picker.

    Attributes:
        value: what a choice fills in; None if it can only be opened.
        opens: the address of its content; None if it has none.
    """

    label: str
    value: str | None
    opens: str | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One place as a picker shows it.

    Attributes:
        place: the place.
        choice: what choosing the place itself fills in; None if it cannot be chosen.
        above: the place above; None at the top.
        is_cut: whether the list is incomplete.
    """

    place: str
    entries: list[Entry]
    choice: str | None = None
    above: str | None = None
    is_cut: bool = False


def pick(console: Console, visit: Visit) -> Answer:
    """Show a picker, or a place opened in it."""
    try:
        picker = Picker(visit.query.get("kind", ""))
    except ValueError as error:
        raise ApiRefusal(404, "There is no such picker.") from error
    problem = ""
    listing = Listing(place="", entries=[])
    try:
        listing = _list(console.apis, picker, visit.query.get("at", ""), visit.project)
    except (ApiRefusal, Unreachable) as error:
        problem = str(error)
    return Page(
        "picker.html",
        {
            "picker": picker.value,
            "field": visit.query.get("field", ""),
            "title": visit.query.get("title", ""),
            "listing": listing,
            "problem": problem,
        },
    )


def _list(apis: Apis, picker: Picker, place: str, project: str) -> Listing:
    match picker:
        case Picker.TOPIC | Picker.SUBSCRIPTION:
            return _list_pubsub(apis, f"{picker.value}s", project)
        case Picker.TABLE:
            return _list_tables(apis, place, project)
        case _ if not place.startswith("gs://"):
            return _list_buckets(apis, picker, project)
        case _:
            return _list_objects(apis, picker, place)


def _list_buckets(apis: Apis, picker: Picker, project: str) -> Listing:
    names = [bucket["name"] for bucket in apis.list_all("b", project=project)]
    opens = picker is not Picker.BUCKET
    return Listing(
        place="Buckets",
        entries=[
            Entry(
                label=name,
                value=None if picker is Picker.FILE else f"gs://{name}",
                opens=f"gs://{name}/" if opens else None,
            )
            for name in names
        ],
    )


def _list_objects(apis: Apis, picker: Picker, place: str) -> Listing:
    bucket, _, prefix = place.removeprefix("gs://").partition("/")
    folder = prefix[: prefix.rfind("/") + 1]
    page = apis.storage(
        f"b/{quote(bucket, '')}/o", prefix=folder, delimiter="/", maxResults=_MOST_ENTRIES
    )
    root = f"gs://{bucket}/"
    folders = [
        Entry(
            label=name.removeprefix(folder),
            value=None if picker is Picker.FILE else f"{root}{name}",
            opens=f"{root}{name}",
        )
        for name in page.get("prefixes", ())
    ]
    files = [
        Entry(
            label=each["name"].removeprefix(folder),
            value=f"{root}{each['name']}",
            detail=formats.size(int(each["size"])),
        )
        for each in page.get("items", ())
        if each["name"] != folder
    ]
    above = folder.rstrip("/").rpartition("/")
    return Listing(
        place=f"{root}{folder}",
        entries=folders + (files if picker is Picker.FILE else []),
        choice=f"{root}{folder}" if picker is Picker.FOLDER else None,
        above=f"{root}{above[0]}{above[1]}" if folder else "buckets",
        is_cut="nextPageToken" in page,
    )


def _list_pubsub(apis: Apis, kind: str, project: str) -> Listing:
    page = apis.pubsub(f"projects/{quote(project, '')}/{kind}", pageSize=_MOST_ENTRIES)
    return Listing(
        place=f"{kind.capitalize()} of {project}",
        entries=[
            Entry(label=each["name"].rpartition("/")[2], value=each["name"])
            for each in page.get(kind, ())
        ],
        is_cut=bool(page.get("nextPageToken")),
    )


def _list_tables(apis: Apis, place: str, project: str) -> Listing:
    datasets = f"projects/{quote(project, '')}/datasets"
    if not place:
        page = apis.bigquery(datasets, maxResults=_MOST_ENTRIES)
        names = [each["datasetReference"]["datasetId"] for each in page.get("datasets", ())]
        return Listing(
            place=f"Datasets of {project}",
            entries=[Entry(label=name, value=None, opens=name) for name in names],
        )
    page = apis.bigquery(f"{datasets}/{quote(place, '')}/tables", maxResults=_MOST_ENTRIES)
    names = [each["tableReference"]["tableId"] for each in page.get("tables", ())]
    return Listing(
        place=f"Tables of {place}",
        entries=[Entry(label=name, value=f"{project}:{place}.{name}") for name in names],
        above="",
    )
