"""The explorer is one page, complete in itself, that shows what sweeps hold and deforms an image, without the internet."""

import json
import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from relative_stability import InputError, datasets
from relative_stability.core.store import open_dataset, write_dataset
from relative_stability.datasets.prepared import write_prepared
from relative_stability.figures.pages.explorer import FRAMES, deformed, described, explorer, page
from relative_stability.figures.style import look
from relative_stability.perturbations.base import probes
from relative_stability.perturbations.diffeomorphism import Diffeomorphism
from tests.figures.pages.test_report import BROWSER, Parts, browse
from tests.sweeps import made_up
from tests.training.gradient_flow.flows import swept

pytestmark = pytest.mark.slow

SWEEPS = ("made_up", "flows")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    facts, samples = datasets.facts("digits", image_size=12), datasets.load("digits", image_size=12)
    write_prepared(folder / "digits.nc", samples, facts, {})
    return open_dataset(folder / "digits.nc")


@pytest.fixture(scope="module")
def sweeps():
    flows, _ = swept()
    flows.attrs |= {"sweep": "flows"}
    return made_up(inside=True, diverged={("cnn", 128, 2)}), flows


@pytest.fixture(scope="module")
def html(sweeps, pictures):
    return page(
        {"sweeps": [described(sweep) for sweep in sweeps], "pictures": {"digits": deformed(pictures), "stripe": {}}}
    )


def decoded(packed, shape):
    return np.frombuffer(b64decode(packed["data"]), "<f4").reshape(shape)


def test_what_is_embedded_is_what_the_sweep_holds(html, sweeps):
    found = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])
    assert [one["name"] for one in found["sweeps"]] == list(SWEEPS)
    for one, sweep in zip(found["sweeps"], sweeps, strict=True):
        assert {"R", "D", "G", "test_error", "R_dynamics"} <= set(one["variables"])
        assert not any("interval" in name or "over_seeds" in name or "weight" in name for name in one["variables"])
        for name, packed in one["variables"].items():
            assert packed["dims"] == list(sweep[name].dims)
            np.testing.assert_array_equal(decoded(packed, sweep[name].shape), sweep[name].values.astype("f4"))
        for dim, labels in one["dims"].items():
            assert len(labels) == sweep.sizes[dim]
            assert dim not in sweep.coords or labels == sweep[dim].values.tolist()
        assert decoded(one["failed"]["diverged"], sweep["diverged"].shape).sum() == sweep["diverged"].sum()
    first = found["sweeps"][0]
    assert first["first"] == {"P": 2, "state": 1, "displacement": 1}  # the largest P, trained, one pixel
    assert first["titles"]["P"] == "training-set size P (samples)"
    assert {net: style["color"] for net, style in first["styles"].items()} == {
        net: to_hex(look(net)["color"]) for net in ("fc", "cnn")
    }
    assert (
        len({style["symbol"] for style in first["styles"].values()})
        == len({style["dash"] for style in first["styles"].values()})
        == 2
    )


def test_pictures_are_those_that_the_package_deforms(pictures):
    found = deformed(pictures)
    assert len(found["samples"]) == 4 and [one["cut"] for one in found["cuts"]] == [2, 3, 5]
    images = torch.from_numpy(pictures["images"].values[pictures["split"].values == 1]).float() / 255
    for cut, frames in zip(found["cuts"], found["frames"], strict=True):
        assert len(cut["displacements"]) == len(frames) == FRAMES and cut["displacements"][0] == 0
        shown = [
            [np.asarray(Image.open(BytesIO(b64decode(text.split(",")[1])))) / 255 for text in step] for step in frames
        ]
        first = torch.tensor(shown[0][0]).float()
        index = int(((images[:, 0] - first) ** 2).sum((1, 2)).argmin())
        np.testing.assert_allclose(shown[0][0], images[index, 0], atol=0.003)
        family = Diffeomorphism(cut["cut"])
        prepared = family.prepare(probes(family, (1, 12, 12), 0, range(1)), images[index : index + 1])
        moved = family.apply(images[index : index + 1], prepared, cut["displacements"][-1])
        np.testing.assert_allclose(shown[-1][0], moved[0, 0].clip(0, 1), atol=0.01)
        changes = [np.abs(step[0] - shown[0][0]).mean() for step in shown]
        assert (np.diff(changes) > 0).all()


def test_nothing_is_fetched_and_no_name_becomes_code(pictures):
    sweep = made_up().assign_coords(net=["</script><b>x</b>", "fc"])
    text = page({"sweeps": [described(sweep)], "pictures": {}})
    parts = Parts(text)
    assert not parts.all("b") and len(parts.all("script")) == 3
    links = [attributes.get("href") or attributes.get("src") or "" for _, attributes in parts.tags]
    assert all(link.startswith("data:") for link in links if link)


def test_what_is_too_large_is_named(monkeypatch):
    monkeypatch.setattr("relative_stability.figures.pages.explorer.LARGEST", 100)
    found = described(made_up(inside=True))
    assert (
        "R_depth" in found["too_large"] and "R_depth" not in found["variables"] and "test_error" in found["variables"]
    )


def test_without_a_sweep_there_is_one_sentence():
    with pytest.raises(InputError, match="the explorer has no sweep to show"):
        page({"sweeps": [], "pictures": {}})


def test_it_is_written_only_from_what_it_was_planned_from(tmp_path):
    sweep = made_up()
    sweep.attrs["digest"] = "a" * 10
    write_dataset(tmp_path / "sweep.nc", sweep)
    with pytest.raises(InputError, match=r"sweep\.nc"):
        explorer(["c" * 10], [str(tmp_path / "sweep.nc")], [])
    assert "made_up" in explorer(["a" * 10], [str(tmp_path / "sweep.nc")], [])


def probed(page):
    """What a page leaves in `data-seen` of its body."""
    return json.loads(Parts(browse(page, "--allow-file-access-from-files", "--dump-dom")).all("body")[0]["data-seen"])


PROBE = """<script>addEventListener("load", () => {
  const frame = document.createElement("iframe"), seen = {};
  frame.style = "border: 0; height: 3000px; width: %(width)dpx";
  frame.src = "explorer.html#sweep=made_up";
  const choose = (inner, id, value) => {
    const select = inner.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event(select.tagName === "SELECT" && select.onchange ? "change" : "input", {bubbles: true}));
  };
  const points = inner => inner.getElementById("plot").data.filter(t => t.mode === "markers").map(t => t.x.length).join();
  frame.onload = () => {
    const inner = frame.contentDocument;
    seen.R = points(inner);
    seen.line = inner.getElementById("plot").layout.shapes.filter(shape => shape.y0 === 1 && shape.y1 === 1).length;
    seen.choices = [...inner.querySelectorAll("#choice-y option")].map(option => option.textContent).join("|");
    seen.table = [...inner.querySelectorAll("#rows tr")].length;
    seen.cells = inner.querySelector("#rows tr").textContent;
    choose(inner, "choice-state", "1");
    seen.trained = points(inner);
    seen.hover = inner.getElementById("plot").data[1].text[0];
    seen.failed = inner.getElementById("failed").textContent;
    seen.width = inner.documentElement.scrollWidth;
    const before = inner.getElementById("deformed").src;
    choose(inner, "displacement", "1");
    seen.moved = inner.getElementById("deformed").src !== before && inner.getElementById("deformed").naturalWidth;
    seen.original = inner.getElementById("original").src !== inner.getElementById("deformed").src;
    seen.pixels = inner.getElementById("pixels").textContent;
    choose(inner, "choice-y", "R_depth");
    const layout = inner.getElementById("plot").layout;
    seen.depth = [layout.xaxis.type, layout.xaxis.title.text, Math.min(...inner.getElementById("plot").data[1].x)].join();
    seen.layer = inner.getElementById("plot").data[1].text[0];
    choose(inner, "choice-y", "R_dynamics");
    seen.dynamics = inner.getElementById("plot").layout.xaxis.title.text;
    choose(inner, "choice-y", "R");
    choose(inner, "choice-x", "displacement");
    seen.displacements = [...new Set(inner.getElementById("plot").data[1].x)].join();
    choose(inner, "choice-y", "test_error");
    choose(inner, "choice-x", "R");
    seen.scatter = points(inner);
    seen.hash = frame.contentWindow.location.hash;
    choose(inner, "choice-sweep", "flows");
    seen.flows = points(inner) + inner.getElementById("nothing").textContent;
    document.body.dataset.seen = JSON.stringify(seen);
  };
  document.body.append(frame);
});</script>"""


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_without_the_internet_explores(html, width, tmp_path):
    """At the width of a phone and of a screen: choices change the plot, the slider the picture; nothing is complained of."""
    (tmp_path / "explorer.html").write_text(html, encoding="utf-8")
    (tmp_path / "probe.html").write_text(f"<body>{PROBE % {'width': width}}</body>", encoding="utf-8")
    seen = probed(tmp_path / "probe.html")
    assert seen["R"] == "12,11,12,12"  # after training and before, 3 values of P and 4 seeds, of which one diverged
    assert seen["trained"] == "12,11" and seen["table"] == 47 and seen["line"] == 1
    assert seen["cells"].startswith("digitsfc320after training")
    assert "R, of each layer" in seen["choices"] and "_" not in seen["choices"]
    assert seen["hover"].startswith("digits, fc, P = 32, seed 0, after training<br><b>R = ")
    assert "test error after training = " in seen["hover"]
    assert seen["depth"] == "linear,layer, in the order of execution,1" and "<br>layer 1: " in seen["layer"]
    assert "step" in seen["dynamics"] and seen["original"]
    assert "cnn, P = 128, seed 2 diverged" in seen["failed"]
    assert seen["width"] <= width
    assert seen["moved"] == 12 and seen["pixels"].endswith("pixel")
    assert seen["displacements"] == "0.5,1"
    assert seen["scatter"] == "12,11" and "x=R" in seen["hash"]
    assert seen["flows"].endswith("The data of stripe are no pictures.") and int(seen["flows"].split("The")[0]) > 0


POOR = {
    "one seed": ({"seeds": 1}, "3,3,3,3"),
    "one P": ({"sizes": (64,)}, "4,4,4,4"),
    "all diverged": ({"diverged": {(net, size, seed) for net in ("fc", "cnn") for size in (32, 128, 512) for seed in range(4)}}, "12,12"),  # at initialisation
    "layers that one net lacks": ({"inside": True}, "12,12,12,12"),
}  # fmt: skip


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_poor_sweeps_are_shown_as_far_as_there_is_anything(tmp_path):
    sweeps = []
    for name, (options, _) in POOR.items():
        sweep = made_up(**options)
        sweep.attrs["sweep"] = name
        sweeps.append(described(sweep))
    script = """<script>addEventListener("load", () => {
      const seen = {}, plot = document.getElementById("plot");
      for (const name of NAMES) {
        state.sweep = name; state.y = "R"; state.x = "P"; update();
        seen[name] = [plot.data.filter(t => t.mode === "markers").map(t => t.x.length).join(), plot.layout.annotations.map(a => a.text).join()];
      }
      state.y = "R_depth"; state.x = "layer"; update();
      seen.layers = plot.data.filter(t => t.mode === "lines").map(t => t.x.length).join();
      document.body.dataset.seen = JSON.stringify(seen);
    });</script></body>""".replace("NAMES", json.dumps(list(POOR)))
    text = page({"sweeps": sweeps, "pictures": {}})
    head, tail = text.rsplit("</body>", 1)
    (tmp_path / "explorer.html").write_text(head + script + tail, encoding="utf-8")
    found = probed(tmp_path / "explorer.html")
    assert found.pop("layers") == "3,4,3,4"
    for name, (_, points) in POOR.items():
        assert found[name] == [points, ""]
