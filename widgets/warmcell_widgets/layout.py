"""Where the boxes of a small graph go: layers from left to right, few crossings, no overlap.

Pure arithmetic over names and upstream names. Layers are longest paths from the sources; an edge
over several layers is given a bend in each, so that it runs around the boxes between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BOX_HEIGHT = 36.0
ROW_GAP = 14.0
LAYER_GAP = 44.0
SWEEPS = 6


@dataclass(slots=True)
class Box:
    """A placed node: its top left corner and its size, in pixels."""

    name: str
    x: float
    y: float
    width: float
    height: float = BOX_HEIGHT


@dataclass(slots=True)
class Layout:
    """A placed graph. ``edges`` are ``(source, target, points)``, the points from left to right."""

    boxes: dict[str, Box]
    edges: list[tuple[str, str, list[tuple[float, float]]]]
    width: float
    height: float


@dataclass(slots=True)
class _Slot:
    """A place in a layer: a box, or the bend of a long edge (``name`` is ``None``)."""

    name: str | None
    width: float
    height: float
    layer: int
    y: float = 0.0
    left: list[_Slot] = field(default_factory=list)
    right: list[_Slot] = field(default_factory=list)


def place(upstream: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """Place every name of ``upstream`` (name -> the names it takes values from).

    Names that are no key are ignored, and so is an edge that would close a cycle.
    """
    parents = _acyclic(upstream)
    layers = _layers(parents)
    rows, chains = _slots(parents, layers, widths)
    _order(rows)
    _settle(rows)
    return _measure(rows, chains)


def _acyclic(upstream: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The graph without unknown names, doubles, and edges back into what is being visited.

    Visits with a stack of its own: a chain may be longer than Python's recursion allows.
    """
    parents: dict[str, list[str]] = {name: [] for name in upstream}
    state: dict[str, int] = {}
    for root in upstream:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(dict.fromkeys(upstream[root])))]
        while stack:
            name, rest = stack[-1]
            source = next(rest, None)
            if source is None:
                state[name] = 2
                stack.pop()
            elif source in parents and state.get(source) != 1:
                parents[name].append(source)
                if source not in state:
                    state[source] = 1
                    stack.append((source, iter(dict.fromkeys(upstream[source]))))
    return parents


def _layers(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Each name's layer: sources in 0, every other right of all it needs."""
    children: dict[str, list[str]] = {name: [] for name in parents}
    waits = {name: len(sources) for name, sources in parents.items()}
    for name, sources in parents.items():
        for source in sources:
            children[source].append(name)
    layer = dict.fromkeys(parents, 0)
    ready = [name for name, count in waits.items() if not count]
    for name in ready:  # grows while it is walked
        for child in children[name]:
            layer[child] = max(layer[child], layer[name] + 1)
            waits[child] -= 1
            if not waits[child]:
                ready.append(child)
    for name in reversed(ready):  # sources move next to what they feed
        if not parents[name] and children[name]:
            layer[name] = min(layer[child] for child in children[name]) - 1
    return layer


def _slots(
    parents: Mapping[str, Sequence[str]], layers: Mapping[str, int], widths: Mapping[str, float]
) -> tuple[list[list[_Slot]], list[list[_Slot]]]:
    rows: list[list[_Slot]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    slots: dict[str, _Slot] = {}
    for name, layer in layers.items():
        slots[name] = _Slot(name, widths.get(name, 80.0), BOX_HEIGHT, layer)
        rows[layer].append(slots[name])
    chains: list[list[_Slot]] = []
    for name, sources in parents.items():
        for source in sources:
            chain = [slots[source]]
            for layer in range(layers[source] + 1, layers[name]):
                bend = _Slot(None, 0.0, 4.0, layer)
                rows[layer].append(bend)
                chain.append(bend)
            chain.append(slots[name])
            for before, after in pairwise(chain):
                before.right.append(after)
                after.left.append(before)
            chains.append(chain)
    return rows, chains


def _order(rows: list[list[_Slot]]) -> None:
    """Sort each layer by the middle of its neighbours, forth and back: few crossings."""
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for row in rows if forth else rows[::-1]:
            position = _positions(rows, row[0].layer)
            keys: dict[int, float] = {}
            for index, slot in enumerate(row):
                near = slot.left if forth else slot.right
                places = [position[id(other)] for other in near]
                keys[id(slot)] = sum(places) / len(places) if places else float(index)
            row.sort(key=lambda slot: keys[id(slot)])


def _positions(rows: list[list[_Slot]], layer: int) -> dict[int, int]:
    near = rows[max(layer - 1, 0) : layer + 2]
    return {id(slot): index for row in near for index, slot in enumerate(row)}


def _settle(rows: list[list[_Slot]]) -> None:
    """Give each slot a height: pulled to its neighbours, pushed apart where two would touch."""
    for row in rows:
        y = 0.0
        for slot in row:
            slot.y = y + slot.height / 2
            y += slot.height + ROW_GAP
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for row in rows if forth else rows[::-1]:
            for slot in row:
                near = slot.left if forth else slot.right
                if near:
                    slot.y = sum(other.y for other in near) / len(near)
            _spread(row)
    top = min((slot.y - slot.height / 2 for row in rows for slot in row), default=0.0)
    for row in rows:
        for slot in row:
            slot.y -= top


def _spread(row: list[_Slot]) -> None:
    """Push a layer's slots apart in their order; groups that collide share the shift."""
    groups: list[tuple[float, float, list[_Slot]]] = []  # (centre, height, slots)
    for slot in row:
        centre, height, members = slot.y, slot.height, [slot]
        while groups and groups[-1][0] + groups[-1][1] / 2 + ROW_GAP > centre - height / 2:
            other, tall, others = groups.pop()
            count, size = len(others), len(members)
            centre = (other * count + centre * size) / (count + size)
            height, members = tall + ROW_GAP + height, others + members
        groups.append((centre, height, members))
    for centre, height, members in groups:
        y = centre - height / 2
        for slot in members:
            slot.y = y + slot.height / 2
            y += slot.height + ROW_GAP


def _measure(rows: list[list[_Slot]], chains: list[list[_Slot]]) -> Layout:
    lefts: list[float] = []
    wides: list[float] = []
    x = 0.0
    for row in rows:
        wide = max((slot.width for slot in row), default=0.0)
        lefts.append(x)
        wides.append(wide)
        x += wide + LAYER_GAP
    boxes = {
        slot.name: Box(
            slot.name,
            lefts[slot.layer] + (wides[slot.layer] - slot.width) / 2,
            slot.y - slot.height / 2,
            slot.width,
        )
        for row in rows
        for slot in row
        if slot.name is not None
    }
    edges = []
    for chain in chains:
        source, target = chain[0].name, chain[-1].name
        assert source is not None
        assert target is not None
        points = [(boxes[source].x + boxes[source].width, chain[0].y)]
        for bend in chain[1:-1]:
            points.append((lefts[bend.layer], bend.y))
            points.append((lefts[bend.layer] + wides[bend.layer], bend.y))
        points.append((boxes[target].x, chain[-1].y))
        edges.append((source, target, points))
    bottom = max((slot.y + slot.height / 2 for row in rows for slot in row), default=0.0)
    return Layout(boxes, edges, max(x - LAYER_GAP, 0.0), bottom)
