"""The report is one page, complete in itself, which a browser without the internet shows without a complaint."""

import csv
import io
import re
import shutil
import subprocess
from base64 import b64decode
from html.parser import HTMLParser

import pytest
from PIL import Image

from relative_stability.analysis.claims.diffeomorphisms import check
from relative_stability.analysis.claims.page import RULES, left_out, to_csv
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.core.store import write_dataset
from relative_stability.figures import draw
from relative_stability.figures.pages.report import caption, page, picture, stage
from tests.sweeps import made_up

FACTS = {
    "sweep": "made_up", "datasets": ["digits"], "nets": ["fc", "cnn"], "P": [32, 128, 512], "seeds": 4,
    "perturbation": "diffeomorphism",
}  # fmt: skip
KINDS = ("stability_vs_P", "depth", "error_vs_R")
CONFIG = {"sweeps": {"made_up": {"P": [32, 128, 512]}}, "note": "<script>alert(1)</script>"}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Parts(HTMLParser):
    """Tags with their attributes, and the text of all."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    sweep = made_up(inside=True, diverged={("cnn", 128, 2)})
    write_dataset(folder / "sweep.nc", sweep)
    (folder / "claims.csv").write_text(to_csv(check(sweep)), encoding="utf-8")
    (folder / "a.tsv").write_text("s\th:m:s\tmax_rss\n90.12\t0:01:30\t300.5\n")  # as Snakemake writes it
    (folder / "b.tsv").write_text("s\n4000.3\n")
    pictures = []
    for kind in KINDS:
        draw(kind, [str(folder / "sweep.nc")])[1].savefig(folder / f"{kind}.png")
        pictures.append(picture(kind, kind, FACTS, folder / f"{kind}.png"))
    timed = [folder / name for name in ("a.tsv", "b.tsv", "never_ran.tsv")]
    stages = [stage("prepare", 1, []), stage("train", 3, timed)]
    return page(
        folder / "claims.csv",
        pictures,
        stages,
        CONFIG,
        {"sweeps_commit": "abc"},
        RULES,
        {"made_up": left_out(sweep)},
    )


def test_every_claim_stands_there_with_its_verdict(html):
    rows = list(csv.DictReader(io.StringIO(to_csv(check(made_up(inside=True, diverged={("cnn", 128, 2)}))))))
    claimed = [row for row in rows if row["verdict"] in SIGNS]
    parts = Parts(html)
    assert len([a for a in parts.all("span") if a.get("class", "").startswith("verdict ")]) == len(claimed) > 10
    assert all(row["quantity"] in parts.text and row["claim"] in parts.text for row in rows)
    assert "1 of the 24 trained nets diverged** and enter no number above: digits, cnn, P = 128, seed 2" in parts.text
    counts = [sum(row["verdict"] == verdict for row in claimed) for verdict in SIGNS]
    assert "{} hold, {} fail and {} are undecided".format(*counts[:3]) in parts.text


@pytest.mark.parametrize(
    ("poor", "said"),
    [
        ({"seeds": 1}, "one seed has no spread"),
        ({"sizes": (64, 128)}, "2 values of P fix no exponent; 3 are needed"),
        ({"diverged": {(net, size, seed) for net in ("fc", "cnn") for size in (32, 128, 512) for seed in range(4)}},
         "24 of the 24 trained nets diverged"),
        ({"nets": ("fc",)}, "1 nets show no correlation across nets; 5 are needed"),
    ],
)  # fmt: skip
def test_the_page_says_what_a_poor_sweep_lacks(poor, said, tmp_path):
    sweep = made_up(**poor)
    (tmp_path / "claims.csv").write_text(to_csv(check(sweep)), encoding="utf-8")
    assert said in Parts(page(tmp_path / "claims.csv", [], [], {}, {}, RULES, {"made_up": left_out(sweep)})).text


def test_figures_are_inside_and_their_captions_say_of_which_runs(html):
    images = Parts(html).all("img")
    assert [image["alt"] for image in images] == list(KINDS)
    for image in images:
        head, data = image["src"].split(",")
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(b64decode(data))).verify()
    text = Parts(html).text
    assert "P from 32 to 512 (3 values); 4 seeds; perturbation: diffeomorphism." in text
    assert caption("depth", {**FACTS, "P": [32], "seeds": 1}).endswith(
        "Data: digits; nets: fc, cnn; P = 32; 1 seed; perturbation: diffeomorphism."
    )
    assert "P = 512; 4 seeds" in caption("depth", FACTS) and "P from" not in caption("depth", FACTS)
    assert caption("diffeomorphisms", FACTS).endswith("Dataset: digits.")
    assert caption("twins", FACTS).endswith("Data: digits; net: fc; P = 512; the first seed.")
    assert "3 nets are not there yet" in caption("depth", {**FACTS, "missing": 3})
    assert caption("neurons", FACTS).endswith("Data: digits; net: fc; P = 512; the first seed.")


def test_nothing_is_fetched_and_nothing_of_the_config_becomes_code(html):
    parts = Parts(html)
    links = [a.get("href") or a.get("src") or "" for _, a in parts.tags]
    assert all(link.startswith(("#", "data:")) for link in links if link)
    inside = {a["id"] for _, a in parts.tags if "id" in a}
    assert all(link[1:] in inside for link in links if link.startswith("#"))
    assert not re.search(r"@import|url\(|<script", html) and "<script>alert(1)</script>" in parts.text


def test_times_are_those_of_the_jobs_that_were_timed(html):
    (row,) = re.findall(r"<tr><td>train</td>(.*?)</tr>", html)
    assert re.findall(r">([^<]+)</td>", row) == ["3", "2", "68 min", "67 min"]
    (row,) = re.findall(r"<tr><td>prepare</td>(.*?)</tr>", html)
    assert re.findall(r">([^<]+)</td>", row) == ["1", "–", "–", "–"]


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_without_the_internet_shows_it(html, width, tmp_path):
    """At the width of a phone and of a screen: every picture is there, nothing is cut off, nothing is complained of."""
    probe = f"""<script>addEventListener("load", () => {{
      const frame = document.createElement("iframe");
      frame.style.width = "{width}px"; frame.srcdoc = document.documentElement.outerHTML.replace(/<script.*script>/s, "");
      frame.onload = () => {{
        const inner = frame.contentDocument;
        const shown = [...inner.images].filter(i => i.complete && i.naturalWidth > 0 && i.width <= {width}).length;
        document.body.dataset.seen = `${{shown}} pictures, ${{inner.documentElement.scrollWidth <= {width}}}`;
      }};
      document.body.append(frame);
    }});</script></body>"""
    (tmp_path / "report.html").write_text(html.replace("</body>", probe), encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom",
        f"file://{tmp_path / 'report.html'}",
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "CONSOLE" not in found.stderr
    assert f'data-seen="{len(KINDS)} pictures, true"' in found.stdout
