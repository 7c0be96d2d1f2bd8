"""Config files as they reach the verbs: what is written wrongly is one sentence, at once."""

import os
import shutil

import pytest
import yaml

from relative_stability import InputError
from relative_stability.cli.main import main
from relative_stability.plan.files import read_config, read_layers
from relative_stability.plan.grid import read_grid
from tests.plan.test_config import BASE, changed

TEXT = """
nets: {fc: {depth: 2, width: 32}}
training: {steps: 60}
stability: {images: 100}
sweeps:
  default: {datasets: [digits], nets: [fc], P: [16, 64], seeds: 0-1}
"""
BOMB = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12))
MERGED = "".join(f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 10)}]}}\n" for k in range(1, 30))


def edited(old, new):
    assert old in TEXT
    return TEXT.replace(old, new)


BAD = {
    "a key twice": (edited("stability:", "nets: {}\nstability:"), "bad.yaml, line 4: key 'nets' stands here again, after line 2"),
    "a key of a sweep twice": (edited("P: [16, 64]", "P: [16], P: [64]"), "bad.yaml, line 6: key 'P' stands here again, after line 6"),
    "base sixty": (edited("0-1}", "1:30}"), "seeds '1:30' is no range; write first-last, such as 0-3"),
    "base eight": (edited("[16, 64]", "[0100]"), "bad.yaml, line 6: 0100 is refused, as some read it in base eight; write 100"),
    "base two": (edited("[16, 64]", "[0b11]"), "sweeps.default.P.0 = '0b11' is refused: a whole number is needed"),
    "base sixteen": (edited("[16, 64]", "[0x10]"), "sweeps.default.P.0 = '0x10' is refused: a whole number is needed"),
    "underscores": (edited("[16, 64]", "[1_000]"), "sweeps.default.P.0 = '1_000' is refused: a whole number is needed"),
    "underscores in seeds": (edited("0-1}", "0_3}"), "seeds '0_3' is no range"),
    "a word for true": (TEXT + "partial: yes\n", "partial = 'yes' is refused: true or false is needed"),
    "no layers": (edited("images: 100", "layers: ''"), "stability.layers"),
    "infinite": (edited("steps: 60", "learning_rate: .inf"), "training.learning_rate = inf is refused: a finite number is needed"),
    "too large a number": (edited("steps: 60", "learning_rate: 1e999"), "training.learning_rate = inf is refused"),
    "no number": (edited("images: 100", "displacement: [.nan]"), "stability.displacement.0 = nan is refused"),
    "alpha": (edited("steps: 60", "alpha: 1e308"), "training.alpha = 1e+308 is refused"),
    "snapshots": (edited("steps: 60", "snapshots: 1000000000"), "training.snapshots = 1000000000 is refused: 1000 or less is needed"),
    "seeds without an end": (edited("0-1}", "0-2000000000}"), "seeds '0-2000000000' is refused: a range of at most 100000 seeds is needed"),
    "digits": (edited("steps: 60", f"steps: {'9' * 5000}"), "bad.yaml, line 3: a whole number of 5000 digits is refused; at most 18"),
    "name of two lines": (edited("[fc]", '["fc\\n"]'), "sweeps.default.nets.0 = 'fc\\n' is refused: a text of one line"),
    "long name": (edited("{fc:", f"{{{'f' * 300}: {{architecture: fc}}, fc:"), "is refused: at most 64 characters are needed"),
    "name of a number": (edited("{fc:", "{1: {architecture: fc}, fc:"), "nets = 1 is refused: a text is needed"),
    "recursive": (TEXT + "engine: &a {seeds: *a}\n", "engine is refused: its aliases repeat themselves"),
    "recursive list": (edited("[fc]", "&a [fc, *a]"), "sweeps is refused: its aliases repeat themselves"),
    "bomb": (f"{TEXT}a0: &a0 [x]\n{BOMB}", "is refused: its aliases repeat themselves or make over 100000 values"),
    "bomb of merges": (f"{TEXT}a0: &a0 {{x: 1}}\n{MERGED}", "key 'a0' is unknown"),
    "nested": (f"{TEXT}engine: {'[' * 5000}", "bad.yaml is nested too deeply"),
    "latin-1": (edited("\nnets", "# é\nnets").encode("latin-1"), "bad.yaml is no text in UTF-8 (byte 3); save it in that encoding"),
    "UTF-16": (TEXT.encode("utf-16"), "bad.yaml is no text in UTF-8"),
    "bytes": (bytes(range(128)), "bad.yaml is no YAML"),
    "syntax": (edited("[16, 64]", "[16, 64"), "bad.yaml, line 6: expected ',' or ']'"),
    "tab": (edited("  default", "\tdefault"), "bad.yaml, line 6: found character '\\t'"),
    "an unknown alias": (edited("[fc]", "*nets"), "bad.yaml, line 6: found undefined alias 'nets'"),
    "a tag": (edited("[fc]", "!!python/name:os.system ''"), "bad.yaml, line 6: could not determine a constructor"),
    "empty": ("", "bad.yaml: keys with values are needed, such as `sweeps:`"),
    "a list": ("- sweeps\n", "bad.yaml: keys with values are needed, such as `sweeps:`"),
    "two documents": (f"{TEXT}---\n{TEXT}", "bad.yaml, line 7: but found another document"),
    "much": (TEXT + "#" * 2_000_000, "bad.yaml has more than 1000000 bytes"),
}  # fmt: skip


@pytest.fixture
def here(tmp_path, root, monkeypatch):
    """A folder with the schema in its place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow").symlink_to(root / "workflow")
    return tmp_path


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_config_ends_in_one_sentence(here, capsys, kind):
    text, sentence = BAD[kind]
    (here / "bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["status", "bad.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and len(said) < 600
    assert said.startswith("relative-stability: bad.yaml") and sentence in said


def test_what_is_no_file_is_named(here, capsys):
    os.mkfifo(here / "pipe.yaml")
    for path, reason in (("nowhere.yaml", "does not exist"), ("pipe.yaml", "is no file"), (".", "is no file")):
        assert main(["status", path]) == 2
        assert capsys.readouterr().err.startswith(f"relative-stability: {path} {reason}; give configs like")


def test_words_and_numbers_are_those_of_yaml_1_2(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "{no: 1, on: off, rate: 1e-3, more: [1E5, .5, +3, 0, -0.0], none: ~, day: 2024-01-01, time: 1:30, x: &x {a: 1},"
        " y: {<<: *x, b: 2}, z: {a: 3, <<: *x}}"
    )
    assert read_config(tmp_path / "c.yaml") == {
        "no": 1, "on": "off", "rate": 0.001, "more": [1e5, 0.5, 3, 0, 0.0], "none": None, "day": "2024-01-01",
        "time": "1:30", "x": {"a": 1}, "y": {"a": 1, "b": 2}, "z": {"a": 3},
    }  # fmt: skip


def test_layers_and_settings_lie_over_one_another(tmp_path):
    (tmp_path / "a.yaml").write_text("{training: {steps: 60, momentum: 0.5}, sweeps: {one: {P: [1]}}}")
    (tmp_path / "b.yaml").write_text("{training: {steps: 10}, sweeps: {two: {P: [2]}}}")
    files, settings = [tmp_path / "a.yaml", tmp_path / "b.yaml"], ["engine={compile: true}", "partial=True", "device="]
    assert read_layers(files, settings) == {
        "training": {"steps": 10, "momentum": 0.5},
        "sweeps": {"one": {"P": [1]}, "two": {"P": [2]}},
        "engine": {"compile": True}, "partial": True, "device": None,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"^--config 'partial' is refused: KEY=VALUE is needed"):
        read_layers(files, ["partial"])
    with pytest.raises(InputError, match=r"^--config engine, line 1: "):
        read_layers(files, ["engine={compile"])


def test_every_verb_takes_layers(here, schema, capsys):
    """What one of the layers alone does not ask for is neither missing nor anybody's to delete."""
    (here / "base.yaml").write_text(yaml.safe_dump(BASE))
    (here / "layer.yaml").write_text("training: {steps: 10}")
    grid = read_grid(["base.yaml", "layer.yaml"], schema)
    for m in grid.sweeps[0].measurements:
        for path in [*m.run.files, *m.files]:
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            (here / path).write_text("x")
    layered = ["--configfile", "base.yaml", "layer.yaml"]
    assert main(["prune", *layered]) == 0
    assert capsys.readouterr().err == "0 files, 0.0 MB, would be deleted; nothing was\n"
    assert main(["prune", "base.yaml"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3 * len(grid.sweeps[0].measurements)
    assert main(["prune", "base.yaml", *layered, "--config", "training={steps: 10}"]) == 0
    assert capsys.readouterr().out == ""
    shutil.rmtree("results")
    assert main(["status", *layered]) == 0
    assert capsys.readouterr().out.startswith("base.yaml + layer.yaml, ")
    assert main(["publish", "there", *layered]) == 2
    assert "is not what base.yaml + layer.yaml asks for" in capsys.readouterr().err
    assert main(["status"]) == 2
    assert "a config is missing; name one" in capsys.readouterr().err


def test_verbs_in_another_folder_say_where_they_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(changed("training.steps", 5)))
    for verb in ("status", "estimate", "prune"):
        assert main([verb, "c.yaml"]) == 2
        said = capsys.readouterr().err
        assert "workflow/schemas/config.schema.yaml is not here; run this in the project's folder" in said
