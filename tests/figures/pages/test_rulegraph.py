"""The graph of rules has a box for every rule, and what is needed stands to the left."""

import re
from graphlib import CycleError

import pytest

from relative_stability.figures.pages.rulegraph import svg

EDGES = [("prepare", "train"), ("train", "measure"), ("prepare", "measure"), ("measure", "collect"), ("train", "collect"),
         ("collect", "figure"), ("collect", "check_claims"), ("figure", "report"), ("check_claims", "report")]  # fmt: skip


def boxes(text):
    found = re.findall(r'<rect x="(\d+)" y="(\d+)".*?<text x="\d+" y="\d+" text-anchor="middle">([^<]+)', text)
    return {rule: (int(x), int(y)) for x, y, rule in found}


def test_what_is_needed_stands_to_the_left_and_no_two_boxes_share_a_place():
    place = boxes(svg(EDGES, {}))
    assert set(place) == {rule for edge in EDGES for rule in edge}
    assert all(place[needed][0] < place[by][0] for needed, by in EDGES)
    assert len(set(place.values())) == len(place)


def test_every_edge_is_a_line_and_counts_stand_in_their_boxes():
    text = svg(EDGES, {"train": 15})
    assert text.count("<path") == len(EDGES) and text.count('class="count"') == 1 and "× 15" in text
    assert "measure needs prepare, train" in text


def test_names_are_no_markup():
    assert "<b>" not in svg([("<b>", "report")], {})


def test_a_circle_is_refused():
    with pytest.raises(CycleError):
        svg([("a", "b"), ("b", "a")], {})
