"""The documentation does what it says."""

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

NUMBER = re.compile(r"-?\d+\.\d+")


def test_the_worked_example_prints_what_the_page_shows(root, tmp_path):
    """The same words, and numbers that agree as far as training on another machine lets them."""
    page = (root / "docs/measuring.md").read_text()
    example, shown, more = re.search(
        r"```python\n(.*?)```\n```\n(.*?)```.*?```python\n(.*?)```", page, re.DOTALL
    ).groups()
    (tmp_path / "example.py").write_text(f"{example}\n{more}")
    run = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed = run.stdout.splitlines()
    for line, expected in zip(printed, shown.splitlines(), strict=False):
        assert NUMBER.sub("", line) == NUMBER.sub("", expected)
        found, wanted = (list(map(float, NUMBER.findall(text))) for text in (line, expected))
        assert found == pytest.approx(wanted, rel=0.3, abs=0.03), line
    layers = "\n".join(printed[len(shown.splitlines()) :])
    assert "<xarray.DataArray 'R' (layer: 12)>" in layers


def test_the_code_on_own_nets_runs(root, tmp_path):
    page = (root / "docs/own-nets.md").read_text()
    (tmp_path / "page.py").write_text("".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    run = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, *epochs = run.stdout.splitlines()[:4]
    assert re.fullmatch(r"0\.\d+ \[[\d. ]+\]", first) and [line.split()[0] for line in epochs] == ["0", "1", "2"]
    assert re.search(r"^layer +\n", run.stdout, re.MULTILINE) and (tmp_path / "lenet.png").stat().st_size > 10_000


def test_every_file_that_the_pages_point_to_exists(root):
    for page in [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("results/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_has_every_room_and_names_what_is_there(root):
    rows = re.findall(
        r"^\| (`.*?/`(?:, `.*?/`)*) \| .* \| `(.*?)` \|$", (root / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    rooms = {room: first for names, first in rows for room in re.findall(r"`(.*?)/`", names)}
    source = root / "src/relative_stability"
    assert set(rooms) == {str(path.parent.relative_to(source)) for path in source.glob("*/**/__init__.py")}
    assert all((source / room.split("/")[0] / first).is_file() for room, first in rooms.items())


def test_hooks_run_what_make_lint_runs(root):
    import yaml

    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.MULTILINE)[1]
    (local,) = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == [line.strip() for line in recipe.splitlines()]


def test_options_on_the_page_are_those_of_the_library(root):
    from relative_stability.perturbations import FAMILIES
    from relative_stability.perturbations.diffeomorphism import MODES
    from relative_stability.perturbations.interpolation import INTERPOLATIONS
    from relative_stability.stability.evaluation_mode import BATCH_NORMS
    from relative_stability.stability.measure import NOISE_MATCHINGS

    page = (root / "docs/measuring.md").read_text()
    for word in (*FAMILIES, *BATCH_NORMS, *MODES, *INTERPOLATIONS, *NOISE_MATCHINGS):
        assert f"`{word}`" in page, word


def test_the_training_options_of_the_page_are_those_of_the_schema(root, schema):
    """Its config is valid, and no option of the engine and no attribute of a result is left out."""
    import yaml

    from relative_stability.plan.grid import build_grid
    from tests.training.small import digits, train

    page = (root / "docs/training.md").read_text()
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    sweeps = {"s": {"datasets": ["digits"], "nets": ["cnn"], "P": [10], "seeds": 0}}
    training = build_grid({**config, "sweeps": sweeps}, schema).sweeps[0].measurements[0].run.training
    assert training["schedule"] == "one_cycle" and training["snapshots"] == 30
    assert set(config["engine"]) == set(schema.root["properties"]["engine"]["properties"])
    for word in (*schema.root["properties"]["engine"]["properties"], *train(digits(), steps=1).attributes):
        assert re.search(rf"\b{word}\b", page), word


def test_the_dataset_of_the_page_works_as_it_is_written(root, tmp_path, monkeypatch, schema):
    """Its function, its line and its part of the schema, put where the page says."""
    import yaml

    from relative_stability import datasets
    from relative_stability.plan.config import Schema
    from relative_stability.plan.grid import build_grid

    page = (root / "docs/datasets-and-nets.md").read_text()
    section = page[page.index("### Add a dataset") : page.index("## Nets")]
    code, line, options = re.findall(r"```(?:python|yaml)\n(.*?)```", section, re.DOTALL)
    (tmp_path / "bars.py").write_text(code)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    entry = eval(f"{{{line}}}", {"Source": datasets.Source, "Facts": datasets.Facts})
    monkeypatch.setattr(datasets, "SOURCES", {**datasets.SOURCES, **entry})
    text = (root / "workflow/schemas/config.schema.yaml").read_text()
    (tmp_path / "schema.yaml").write_text(
        text.replace("\n  datasets:\n    mnist:", f"\n  datasets:\n{options}    mnist:")
    )
    config = {
        "datasets": {"bars": {"image_size": 12}},
        "sweeps": {"s": {"datasets": ["bars"], "nets": ["lenet"], "P": [10], "seeds": 0}},
    }
    monkeypatch.setattr("relative_stability.plan.grid.SOURCES", datasets.SOURCES)
    run = (
        build_grid(yaml.safe_load(yaml.safe_dump(config)), Schema(tmp_path / "schema.yaml"))
        .sweeps[0]
        .measurements[0]
        .run
    )
    assert run.dataset.facts == datasets.Facts(1500, 500, 1, 12, 2)
    samples = datasets.load("bars", image_size=12)
    assert samples.images.shape == (2000, 1, 12, 12)
    flat = samples.images.std(3).max((1, 2)) == 0  # lying bars do not change along their rows
    assert (flat == (samples.labels == 0)).mean() > 0.9  # but for those that fill the image


def test_the_net_of_the_page_works_as_it_is_written(root, tmp_path, monkeypatch):
    import torch

    import relative_stability as rs
    from relative_stability import nets
    from relative_stability.plan.config import Schema

    page = (root / "docs/datasets-and-nets.md").read_text()
    code, line, options = re.findall(r"```(?:python|yaml)\n(.*?)```", page[page.index("### Add a net") :], re.DOTALL)
    (tmp_path / "tiny.py").write_text(code)
    monkeypatch.setattr(nets, "__path__", [*nets.__path__, str(tmp_path)])
    entry = eval(f"{{{line}}}", dict(vars(nets)))
    monkeypatch.setattr(nets, "ARCHITECTURES", {**nets.ARCHITECTURES, **entry})
    for size in (entry["tiny"].smallest, 28):
        assert rs.build_net("tiny", 2, 3, size, width=0.5)(torch.randn(4, 2, size, size)).shape == (4, 3)
    with pytest.raises(rs.InputError, match="the smallest it takes is 5"):
        rs.build_net("tiny", 2, 3, 4)
    text = (root / "workflow/schemas/config.schema.yaml").read_text()
    (tmp_path / "schema.yaml").write_text(text.replace("\n  nets:\n    fc:", f"\n  nets:\n{options}    fc:"))
    known = Schema(tmp_path / "schema.yaml").part("nets", "tiny")["properties"]
    assert set(known) == {"width", "training", "pretrained"}


def test_the_pages_configs_are_valid(root, schema):
    import yaml

    from relative_stability.plan.config import check_config

    page = (root / "docs/datasets-and-nets.md").read_text()
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n((?:datasets|nets):.*?)```", page, re.DOTALL)]
    assert len(blocks) == 2
    config = {key: value for block in blocks for key, value in block.items()}
    sweep = {"datasets": list(config["datasets"]), "nets": list(config["nets"]), "P": [16], "seeds": 0}
    checked = check_config({**config, "sweeps": {"s": sweep}}, schema)
    assert set(config["datasets"]) <= set(checked["datasets"])


def test_nets_on_the_page_are_those_of_the_library_with_their_sizes(root):
    import relative_stability as rs
    from relative_stability.nets import ARCHITECTURES
    from relative_stability.stability.activations import blocks

    page = (root / "docs/datasets-and-nets.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| [\d,.]+ \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert {row[0] for row in rows} == set(ARCHITECTURES)
    for name, parameters, count, smallest in rows:
        net = rs.build_net(name, 3, 10, 32)
        assert sum(p.numel() for p in net.parameters()) == int(parameters.replace(",", "")), name
        assert (len(blocks(net)), ARCHITECTURES[name].smallest) == (int(count), int(smallest)), name


@pytest.mark.workflow
def test_weights_of_a_run_are_taken_as_the_page_says(root, finished, tmp_path):
    import relative_stability as rs
    from relative_stability.nets.weights import load_weights

    page = (root / "docs/datasets-and-nets.md").read_text()
    code = re.search(r"```python\n(from safetensors.*?)```", page, re.DOTALL)[1]
    (run,) = finished.path.glob("results/training/digits/cnn/P64/seeds0-1.*.safetensors")
    code = code.replace("results/training/digits/cnn/P64/seeds0-1.safetensors", str(run))
    assert str(run) in code
    (tmp_path / "data").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    net = rs.build_net("cnn", 1, 10, 12, width=0.5)
    assert load_weights(net, tmp_path / "data/start.safetensors", new_head=True).new_head is False


def test_datasets_on_the_page_are_those_of_the_library(root):
    from relative_stability.datasets import SOURCES

    page = (root / "docs/datasets-and-nets.md").read_text()
    for source in SOURCES:
        assert f"`{source}`" in page, source
