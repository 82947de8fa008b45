"""The steps of a submitted pipeline, laid out from top to bottom.

Reads only the fields of the submitted proto that matter here, without Beam. Nodes are the
top-level steps, or the substeps of those that are opened.
https://github.com/apache/beam/blob/v2.77.0/model/pipeline/src/main/proto/org/apache/beam/model/pipeline/v1/beam_runner_api.proto
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

RESHUFFLE = "beam:transform:reshuffle:v1"
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 190, 46, 26, 44, 12
_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: Mapping[str, Sequence[tuple[str, int, str]]] = {
    # name of the field, its number, its type: a scalar, "map", or a message of this table
    "Pipeline": (("components", 1, "Components"), ("root_transform_ids", 2, "strings")),
    "Components": (("transforms", 1, "map:PTransform"),),
    "FunctionSpec": (("urn", 1, "string"),),
    "PTransform": (
        ("spec", 1, "FunctionSpec"),
        ("subtransforms", 2, "strings"),
        ("inputs", 3, "map"),
        ("outputs", 4, "map"),
        ("unique_name", 5, "string"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the pipeline.

    Attributes:
        name: in full, with slashes.
        inputs, outputs: ids of the collections that it reads and makes.
        is_leaf: whether it has no steps below it.
    """

    id: str
    name: str
    urn: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    children: tuple[str, ...]

    @property
    def is_leaf(self) -> bool:
        return not self.children


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline.

    Attributes:
        steps: by id.
        roots: ids of the top-level steps.
        names: the metrics' name of each collection, by the collection's id.
    """

    steps: Mapping[str, Step]
    roots: tuple[str, ...]
    names: Mapping[str, str]

    def walk(self, ids: Sequence[str]) -> Iterator[Step]:
        """Yield steps and all below them."""
        for each in ids:
            yield self.steps[each]
            yield from self.walk(self.steps[each].children)

    def list_spread(self) -> list[tuple[str, str]]:
        """Return the inputs and outputs of each step that distributes work, by name."""
        return [
            (self.names[step.inputs[0]], self.names[step.outputs[0]])
            for step in self.walk(self.roots)
            if step.urn == RESHUFFLE
            and step.inputs
            and step.outputs
            and {step.inputs[0], step.outputs[0]} <= self.names.keys()
        ]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A box of the picture, in pixels; ``made`` are the names of its output collections."""

    step: Step
    label: str
    x: float
    y: float
    width: int
    height: int
    made: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A line between boxes: an SVG path, and the names of the collections."""

    path: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A graph after its layout."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def parse_pipeline(content: bytes) -> Pipeline:
    """Return the pipeline of a serialized proto.

    Raises:
        ValueError: it is not a pipeline.
    """
    message = _load_messages()["Pipeline"]()
    try:
        message.ParseFromString(content)
    except Exception as error:  # protobuf's own errors, from several modules
        raise ValueError(f"not a pipeline: {error}") from error
    steps = {}
    names: dict[str, str] = {}
    for identifier, transform in message.components.transforms.items():
        steps[identifier] = Step(
            id=identifier,
            name=transform.unique_name,
            urn=transform.spec.urn,
            inputs=tuple(transform.inputs.values()),
            outputs=tuple(value for _, value in sorted(transform.outputs.items())),
            children=tuple(transform.subtransforms),
        )
        if not transform.subtransforms:
            for number, (_, made) in enumerate(sorted(transform.outputs.items())):
                if made not in transform.inputs.values():
                    names[made] = f"{transform.unique_name}-out{number}"
    roots = tuple(message.root_transform_ids)
    # One step above the top-level steps stands for the pipeline itself.
    while len(roots) == 1 and not (steps[roots[0]].inputs or steps[roots[0]].outputs):
        roots = steps[roots[0]].children
    return Pipeline(steps=steps, roots=roots, names=names)


def lay_out(pipeline: Pipeline, opened: frozenset[str]) -> Picture:
    """Return the picture of a pipeline.

    Rows run from top to bottom; a line that passes a row gets its own place in it.

    Args:
        opened: names of steps shown as their substeps.
    """
    shown = {step.id: step for step in _list_shown(pipeline, pipeline.roots, opened)}
    links = _find_links(list(shown.values()))
    ranks = _rank(list(shown), links)
    rows: list[list[str]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for step_id in shown:
        rows[ranks[step_id]].append(step_id)
    above: dict[str, list[str]] = {step_id: [] for step_id in shown}
    routes: dict[tuple[str, str], list[str]] = {}
    for maker, reader in links:
        passed = [f"{maker} > {reader} {rank}" for rank in range(ranks[maker] + 1, ranks[reader])]
        for rank, place in enumerate(passed, ranks[maker] + 1):
            rows[rank].append(place)
        route = routes[maker, reader] = [maker, *passed, reader]
        for upper, lower in itertools.pairwise(route):
            above.setdefault(lower, []).append(upper)
    ordered = _order(rows, above)
    widths = [sum(_width(each, shown) for each in row) + _GAP_X * (len(row) - 1) for row in ordered]
    width = 2 * _MARGIN + max(widths, default=0)
    middles: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(ordered):
        left = (width - widths[number]) / 2
        for each in row:
            own = _width(each, shown)
            middles[each] = left + own / 2, _MARGIN + number * (_HEIGHT + _GAP_Y)
            left += own + _GAP_X
    nodes = tuple(
        Node(
            step=step,
            label=step.name.rpartition("/")[2] or step.id,
            x=middles[step.id][0] - _WIDTH / 2,
            y=middles[step.id][1],
            width=_WIDTH,
            height=_HEIGHT,
            made=tuple(pipeline.names[each] for each in step.outputs if each in pipeline.names),
        )
        for step in shown.values()
    )
    edges = tuple(
        Edge(
            path=_draw([middles[each] for each in route]),
            names=tuple(pipeline.names[each] for each in links[link] if each in pipeline.names),
        )
        for link, route in routes.items()
    )
    height = 2 * _MARGIN + len(ordered) * _HEIGHT + max(0, len(ordered) - 1) * _GAP_Y
    return Picture(width=width, height=height, nodes=nodes, edges=edges)


def _list_shown(pipeline: Pipeline, ids: Sequence[str], opened: frozenset[str]) -> Iterator[Step]:
    for each in ids:
        step = pipeline.steps[each]
        if step.name in opened and step.children:
            yield from _list_shown(pipeline, step.children, opened)
        elif step.inputs or step.outputs:
            yield step


def _find_links(shown: Sequence[Step]) -> dict[tuple[str, str], list[str]]:
    """Return the collections between steps, by writer and reader."""
    makers: dict[str, str] = {}
    for step in shown:
        for made in step.outputs:
            if made not in step.inputs:
                makers.setdefault(made, step.id)
    links: dict[tuple[str, str], list[str]] = {}
    for step in shown:
        for read in dict.fromkeys(step.inputs):
            if makers.get(read, step.id) != step.id:
                links.setdefault((makers[read], step.id), []).append(read)
    return links


def _rank(ids: Sequence[str], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the row of each step: one below the lowest step that it reads from."""
    makers: dict[str, list[str]] = {}
    for maker, reader in links:
        makers.setdefault(reader, []).append(maker)
    order = TopologicalSorter({each: makers.get(each, ()) for each in ids}).static_order()
    ranks: dict[str, int] = {}
    for each in order:
        ranks[each] = max((ranks[maker] for maker in makers.get(each, ())), default=-1) + 1
    return ranks


def _order(rows: Sequence[Sequence[str]], above: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the rows, each ordered by the steps that it reads from, so that few lines cross."""
    places: dict[str, float] = {}
    ordered = []
    for row in rows:

        def place(each: str) -> float:
            found = [places[maker] for maker in above.get(each, ()) if maker in places]
            return sum(found) / len(found) if found else 0.5

        sorted_row = sorted(row, key=place)
        for index, each in enumerate(sorted_row):
            places[each] = (index + 0.5) / len(sorted_row)
        ordered.append(sorted_row)
    return ordered


def _width(each: str, shown: Mapping[str, Step]) -> int:
    return _WIDTH if each in shown else 0


def _draw(middles: Sequence[tuple[float, float]]) -> str:
    """Return the SVG path of a line through its points, from box to box."""
    x, y = middles[0]
    parts = [f"M{x:.1f},{y + _HEIGHT:.1f}"]
    for number, (next_x, next_y) in enumerate(middles[1:], 1):
        start = y + _HEIGHT
        bend = (next_y - start) / 2
        points = ((x, start + bend), (next_x, next_y - bend), (next_x, next_y))
        parts.append("C" + " ".join(f"{across:.1f},{down:.1f}" for across, down in points))
        if number < len(middles) - 1:
            parts.append(f"V{next_y + _HEIGHT:.1f}")
        x, y = next_x, next_y
    return " ".join(parts)


@functools.cache
def _load_messages() -> Mapping[str, Any]:
    """Return classes for the few messages, with the fields that matter here."""
    package = "launcher.console.graph"
    file = descriptor_pb2.FileDescriptorProto(
        name="launcher/console/graph.proto", package=package, syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            entry = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind.startswith("map"):
                nested_name = f"{name.capitalize()}Entry"
                nested = message.nested_type.add(name=nested_name)
                nested.options.map_entry = True
                nested.field.add(
                    name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL
                )
                value = nested.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL)
                _set_type(value, kind.partition(":")[2] or "string", package)
                entry.label = _FIELD.LABEL_REPEATED
                entry.type = _FIELD.TYPE_MESSAGE
                entry.type_name = f".{package}.{message_name}.{nested_name}"
            elif kind == "strings":
                entry.label = _FIELD.LABEL_REPEATED
                entry.type = _FIELD.TYPE_STRING
            else:
                _set_type(entry, kind, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in _MESSAGES
    }


def _set_type(entry: Any, kind: str, package: str) -> None:
    if kind == "string":
        entry.type = _FIELD.TYPE_STRING
    else:
        entry.type = _FIELD.TYPE_MESSAGE
        entry.type_name = f".{package}.{kind}"
