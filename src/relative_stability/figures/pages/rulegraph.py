"""The graph of the workflow's rules as a picture in SVG: what is made from what, from left to right."""

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from html import escape

WIDTH, HEIGHT = 108, 40  # of a box
ACROSS, DOWN = 150, 74  # from one box to the next
MARGIN = 34


def svg(edges: Iterable[tuple[str, str]], counts: Mapping[str, int]) -> str:
    """An <svg> element. edges: (what is needed, what needs it), names of rules; counts: results of some of them.

    A rule stands to the right of all that it needs; lines that pass over other rules bend around them. Raises
    graphlib.CycleError for a circle, which no workflow has.
    """
    needs: dict[str, list[str]] = {}
    for needed, by in sorted(edges):
        needs.setdefault(by, []).append(needed)
    sorter, layers = TopologicalSorter(needs), []
    sorter.prepare()
    while sorter.is_active():
        layers.append(sorted(sorter.get_ready()))
        sorter.done(*layers[-1])
    place = {rule: (column, row) for column, layer in enumerate(layers) for row, rule in enumerate(layer)}
    lowest = max((len(layer) for layer in layers), default=1)
    width = 2 * MARGIN + ACROSS * (max(len(layers), 1) - 1) + WIDTH
    height = 2 * MARGIN + DOWN * (lowest - 1) + HEIGHT
    parts = [_line(place[needed], place[by]) for by in needs for needed in needs[by]]
    parts += [_box(rule, at, counts.get(rule)) for rule, at in place.items()]
    label = "; ".join(f"{by} needs {', '.join(needs[by])}" for by in place if by in needs)
    return (
        f'<svg class="graph" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" width="{width}">'
        f"{''.join(parts)}</svg>"
    )


def _corner(at: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + ACROSS * at[0], MARGIN + DOWN * at[1]


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the right side of a box to the left one of another, with an arrow's head."""
    (x0, y0), (x1, y1) = _corner(start), _corner(end)
    x0, y0, y1 = x0 + WIDTH, y0 + HEIGHT // 2, y1 + HEIGHT // 2
    skipped = end[0] - start[0] - 1
    # Above the boxes between them, higher the more there are.
    bend = -(HEIGHT // 2 + 4 + 7 * skipped) * 4 // 3 if skipped and start[1] == end[1] == 0 else 0
    reach = (x1 - x0) // 2 if not bend else (x1 - x0) // 4
    if skipped and end[1] > start[1]:  # down first, so as not to pass behind other boxes
        x0, y0 = x0 - WIDTH // 2, y0 + HEIGHT // 2
        curve = f"M {x0} {y0} C {x0} {y1} {x0 + ACROSS // 2} {y1} {x1} {y1}"
    else:
        curve = f"M {x0} {y0} C {x0 + reach} {y0 + bend} {x1 - reach} {y1 + bend} {x1} {y1}"
    head = f"M {x1 - 7} {y1 - 4} L {x1} {y1} L {x1 - 7} {y1 + 4}"
    return f'<path d="{curve} {head}" fill="none" stroke="currentColor" stroke-width="1.3"/>'


def _box(rule: str, at: tuple[int, int], count: int | None) -> str:
    (x, y), middle = _corner(at), WIDTH // 2
    box = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#fff" stroke="currentColor"/>'
    up = 17 if count is not None else 24
    name = f'<text x="{x + middle}" y="{y + up}" text-anchor="middle">{escape(rule)}</text>'
    number = f'<text x="{x + middle}" y="{y + 33}" text-anchor="middle" class="count">× {count}</text>'
    return box + name + (number if count is not None else "")
