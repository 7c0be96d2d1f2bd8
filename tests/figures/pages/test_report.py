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

from relative_stability import datasets
from relative_stability.analysis.claims.diffeomorphisms import check
from relative_stability.analysis.claims.page import RULES, left_out, to_csv
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.analysis.statistics import geometric_mean
from relative_stability.core.store import write_dataset
from relative_stability.datasets.prepared import write_prepared
from relative_stability.figures import R_vs_P, caption, draw
from relative_stability.figures.pages.report import EXPLORER, page, picture, seen, stage
from tests.sweeps import made_up

pytestmark = pytest.mark.slow

FACTS = {
    "sweep": "made_up", "datasets": ["digits"], "nets": ["fc", "cnn"], "P": [32, 128, 512], "seeds": 4,
    "perturbation": "diffeomorphism",
}  # fmt: skip
KINDS = ("diffeomorphisms", "stability_vs_P", "depth", "error_vs_R", "claims")
SHOWN = ("error_vs_R", "stability_vs_P", "depth", "diffeomorphisms")  # beside the claims in their order, then the rest
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
    facts, samples = datasets.facts("digits", image_size=28), datasets.load("digits", image_size=28)
    write_prepared(folder / "digits.nc", samples, facts, {})
    for kind in KINDS:
        numbers, figure = draw(kind, [str(folder / ("digits.nc" if kind == "diffeomorphisms" else "sweep.nc"))])
        write_dataset(folder / f"{kind}.nc", numbers)
        figure.savefig(folder / f"{kind}.png", dpi=200)
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
    assert len(images) == len(SHOWN)
    for image in images:
        head, data = image["src"].split(",")
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(b64decode(data))).verify()
    # A point of their letters is a pixel of the page, in all of them.
    widths = [Image.open(io.BytesIO(b64decode(image["src"].split(",")[1]))).width for image in images]
    assert [int(image["width"]) for image in images] == [round(width * 72 / 200) for width in widths]
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


def test_each_claim_has_its_figure_and_what_shows_none_comes_after_them(html):
    order = re.findall(r'<h3 id="claim-\d+">(\S+)|<figure id="figure-(\w+)"|<h2 id="(runs|figures-\w+)"', html)
    order = [next(filter(None, found)) for found in order]
    assert order == [
        "1.", "2.", "2.", "3.", "error_vs_R", "3.", "4.", "stability_vs_P", "5.", "depth", "Learning", "figures-made_up",
        "diffeomorphisms", "runs",
    ]  # fmt: skip


def test_the_words_for_a_picture_say_what_is_seen_in_it(html):
    told = dict(zip(SHOWN, (image["alt"] for image in Parts(html).all("img")), strict=True))
    sweep = made_up(inside=True, diverged={("cnn", 128, 2)})
    ends = geometric_mean(sweep["R"].sel(net="cnn", state="trained", displacement=1).squeeze().values, axis=-1)
    assert f"cnn from {ends[0]:.2g} to {ends[-1]:.2g}" in told["stability_vs_P"]
    assert told["stability_vs_P"].startswith("R along P: fc from ") and told["depth"].startswith(
        "R in depth along layer"
    )
    assert re.fullmatch(
        r"Correlation of log test error with log R on digits: (\S+), D on digits: (\S+)\.", told["error_vs_R"]
    )
    assert told["diffeomorphisms"].startswith("One image deformed at several temperatures")
    many = R_vs_P.numbers(made_up(nets=tuple(f"net{k}" for k in range(13))))
    assert seen(many) == "R along P: 13 lines."


def test_nothing_is_fetched_and_nothing_of_the_config_becomes_code(html):
    parts = Parts(html)
    links = [a.get("href") or a.get("src") or "" for _, a in parts.tags]
    assert all(link.startswith(("#", "data:")) or link == EXPLORER for link in links if link)
    inside = {a["id"] for _, a in parts.tags if "id" in a}
    assert all(link[1:] in inside for link in links if link.startswith("#"))
    assert not re.search(r"@import|url\(|<script", html) and "<script>alert(1)</script>" in parts.text


def test_times_are_those_of_the_jobs_that_were_timed(html):
    (row,) = re.findall(r'<tr><th scope="row">train</th>(.*?)</tr>', html)
    assert re.findall(r">([^<]+)</td>", row) == ["3", "2", "68 min", "67 min"]
    (row,) = re.findall(r'<tr><th scope="row">prepare</th>(.*?)</tr>', html)
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
        const verdicts = [...inner.querySelectorAll(".verdict")].every(v => v.getBoundingClientRect().right <= {width});
        const wide = inner.documentElement.scrollWidth <= {width};
        document.body.dataset.seen = `${{shown}} pictures, ${{wide}}, verdicts ${{verdicts}}`;
      }};
      document.body.append(frame);
    }});</script></body>"""
    (tmp_path / "report.html").write_text(html.replace("</body>", probe), encoding="utf-8")
    assert f'data-seen="{len(SHOWN)} pictures, true, verdicts true"' in browse(tmp_path / "report.html", "--dump-dom")


def browse(page, *options):
    """What a browser prints of a page, without the internet and with nothing to complain of."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=10000", *options,
        f"file://{page}",
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "CONSOLE" not in found.stderr
    return found.stdout


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_in_print_every_verdict_is_whole(html, tmp_path):
    """Nothing of a table is cut off at the width of a page, and what can only be clicked at is left out."""
    probe = """<script>addEventListener("load", () => {
      const wide = [...document.querySelectorAll(".scroll table")].filter(t => t.scrollWidth > t.parentElement.clientWidth + 1);
      document.body.dataset.seen = `${wide.length} cut off, ${document.querySelector("nav").offsetHeight} high`;
    });</script></body>"""
    style = html.replace("@media print", "@media screen").replace(
        "padding: 0; max-width: none", "padding: 0; width: 180mm"
    )
    (tmp_path / "report.html").write_text(style.replace("</body>", probe), encoding="utf-8")
    assert 'data-seen="0 cut off, 0 high"' in browse(tmp_path / "report.html", "--dump-dom")
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    browse(tmp_path / "page.html", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes()))
    assert 2 <= pages <= 10
