"""A sweep that is half done is drawn as far as it is there, and its figures and claims say how much is missing."""

import copy
import json

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relative_stability import InputError
from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.analysis.claims.page import to_markdown
from relative_stability.analysis.sweep import open_sweep
from relative_stability.figures import draw
from relative_stability.jobs import stages
from relative_stability.plan.grid import build_grid
from tests.runs import make_runs

pytestmark = pytest.mark.slow

SWEEP = {"datasets": ["digits"], "nets": ["fc", "cnn"], "P": [16, 64, 256], "seeds": ["0-1", "2-3"]}
CONFIG = {
    "datasets": {"digits": {"image_size": 12}},
    "sweeps": {
        "s": {**SWEEP, "observables": ["output", "depth"]},
        "moved": {**SWEEP, "P": [256], "stability": {"perturbation": "translation", "displacement": [1]}},
    },
    "figures": {
        "error_vs_P": {"sweep": "s"}, "error_vs_R": {"sweep": "s"}, "stability_vs_P": {"sweep": "s"}, "depth": {"sweep": "s"},
        "stability_vs_displacement": {"sweep": "s"}, "families": {"sweep": ["s", "moved"]}, "claims": {"sweep": ["s", "moved"]},
        "largest": {"kind": "error_vs_P", "sweep": "s", "select": {"P": [64, 256]}},
    },
}  # fmt: skip


@pytest.fixture
def grids(schema, tmp_path, monkeypatch):
    """The whole grid, and that of what is there: of s, 5 of 12 runs, of which one lacks its depth; of moved, nothing."""
    monkeypatch.chdir(tmp_path)
    whole = build_grid(CONFIG, schema)
    ready = [m for m in whole.sweep("s").measurements if m.run.P < 256 and (m.run.net, m.run.P) != ("cnn", 64)]
    make_runs([m for m in ready if not (m.observable == "depth" and (m.run.net, m.run.P) == ("fc", 64))][:-2])
    return whole, build_grid({**copy.deepcopy(CONFIG), "partial": True}, schema)


def collect(grid, name):
    sweep = grid.sweep(name)
    stages.collect(json.loads(sweep.json), json.loads(sweep.runs_json), sweep.mark, sweep.path)
    return open_sweep(sweep.path)


def test_a_half_done_sweep_has_what_is_there_and_says_what_is_not(grids):
    whole, half = grids
    (sweep,) = half.sweeps  # nothing is there of the other one
    assert (sweep.missing, sweep.planned) == (14, 24)
    assert sweep.path == whole.sweep("s").path and sweep.mark != whole.sweep("s").mark
    assert any("sweeps.s: 14 of 24 nets are not there yet" in warning for warning in half.warnings)
    collected = collect(half, "s")
    assert (
        collected.P.values.tolist() == [16, 64]
        and int(collected.R.notnull().any(("state", "cut", "displacement")).sum()) == 10
    )
    page = to_markdown(check_all([collected]), [collected])
    assert "**14 of 24 nets are not there yet**" in page and "None of the 10 trained nets diverged" in page


def test_figures_of_it_are_drawn_and_say_so(grids):
    _, half = grids
    collect(half, "s")
    assert {figure.name for figure in half.figures} == {*CONFIG["figures"]}
    for figure in half.figures:
        paths, digests = zip(*figure.sources, strict=True)
        _, drawn = draw(figure.kind, paths, digests, figure.select, figure.size)
        FigureCanvasAgg(drawn).draw()
        words = " ".join(text.get_text() for text in drawn.findobj(Text)).replace("\n", " ")
        assert "14 of 24 nets are not there yet" in words, figure.name


def test_without_a_single_run_there_is_one_sentence(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="partial: no run of any sweep is there yet; run snakemake without it first"):
        build_grid({**CONFIG, "partial": True}, schema)
