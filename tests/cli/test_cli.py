import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from relative_stability.cli.main import main
from relative_stability.plan.grid import build_grid
from tests.plan.test_config import BASE, changed


@pytest.fixture
def workplace(tmp_path, root, schema, monkeypatch):
    """Results of two configs, of which only one is kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.yaml").write_text(yaml.safe_dump(BASE))
    runs = {}
    for name, config in (("kept", BASE), ("gone", changed("training.momentum", 0.5))):
        runs[name] = [m.run for m in build_grid(config, schema).sweeps[0].measurements]
        for run in runs[name]:
            for path in (run.curves, run.weights):
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text("x")
    (tmp_path / "results/figures").mkdir()
    for plain in ("results/figures/error_vs_P.nc", "results/training/digits/notes.txt"):
        (tmp_path / plain).write_text("mine")
    return tmp_path, runs, ["--schema", str(root / "workflow/schemas/config.schema.yaml")]


def test_prune_lists_and_deletes_only_when_told(workplace, capsys):
    folder, runs, schema = workplace
    assert main(["prune", "kept.yaml", *schema]) == 0
    listed = capsys.readouterr()
    assert set(listed.out.split()) == {path for run in runs["gone"] for path in (run.curves, run.weights)}
    assert "4 files" in listed.err and "nothing was" in listed.err
    assert all((folder / run.curves).exists() for run in runs["gone"])
    assert main(["prune", "kept.yaml", "--delete", *schema]) == 0
    assert not any((folder / run.curves).exists() for run in runs["gone"])
    assert all((folder / run.weights).exists() for run in runs["kept"])
    assert (folder / "results/figures/error_vs_P.nc").exists()
    assert (folder / "results/training/digits/notes.txt").exists()


def test_the_file_of_a_living_writer_is_left_alone(workplace, capsys):
    """Of two temporary files, only the one whose process is gone is listed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    host, place = os.uname().nodename, workplace[0] / "results/training"
    for pid in (os.getpid(), gone.pid):
        (place / f".x.nc.{host}.{pid}.tmp").write_text("half")
    main(["prune", "kept.yaml", *workplace[2]])
    listed = capsys.readouterr().out
    assert f"{gone.pid}.tmp" in listed and f".{os.getpid()}.tmp" not in listed


def test_checkpoints_of_gone_runs_are_listed_and_those_of_running_ones_left_alone(workplace, capsys):
    folder, runs, schema = workplace
    kept, idle, running = (folder / run.checkpoints for run in (runs["kept"][0], *runs["gone"][:2]))
    for place in (kept, idle, running):
        place.mkdir(parents=True)
        (place / "seed0.safetensors").write_text("x")
        (place / "lock").write_text('{"host": "node7"}')
    os.utime(idle / "lock", (0, 0))
    assert main(["prune", "kept.yaml", "--delete", *schema]) == 0
    listed = capsys.readouterr().out
    assert f"checkpoints/{idle.name}/seed0.safetensors" in listed
    assert f"checkpoints/{kept.name}" not in listed and f"checkpoints/{running.name}" not in listed
    assert not idle.exists() and len(list(kept.iterdir())) == len(list(running.iterdir())) == 2


def test_a_broken_config_deletes_nothing(workplace, capsys):
    folder, runs, schema = workplace
    (folder / "broken.yaml").write_text("sweps: {}")
    assert main(["prune", "kept.yaml", "broken.yaml", "--delete", *schema]) == 2
    assert "broken.yaml: sweeps is missing" in capsys.readouterr().err
    assert all((folder / run.curves).exists() for run in runs["gone"])


def test_a_missing_config_is_named(workplace, capsys):
    assert main(["prune", "nowhere.yaml", *workplace[2]]) == 2
    assert "nowhere.yaml does not exist" in capsys.readouterr().err


def test_marks_of_configs_that_are_gone_and_old_scripts_are_listed(workplace, capsys):
    folder, _, schema = workplace
    marks = folder / "results/.requests"
    for name in ("claims.md.0123456789", "sweeps/default.nc.0123456789", "sweeps/old.nc.0123456789"):
        (marks / name).parent.mkdir(parents=True, exist_ok=True)
        (marks / name).write_text("made")
    scripts = folder / ".snakemake/scripts"
    scripts.mkdir(parents=True)
    for name, age in (("tmpold.train.py", 0), ("tmpnew.train.py", time.time())):
        (scripts / name).write_text("x")
        os.utime(scripts / name, (age, age))
    assert main(["prune", "kept.yaml", *schema]) == 0
    listed = {Path(line).name for line in capsys.readouterr().out.split()}
    assert {"old.nc.0123456789", "tmpold.train.py"} <= listed
    assert listed.isdisjoint({"claims.md.0123456789", "default.nc.0123456789", "tmpnew.train.py"})


def test_a_reader_that_has_seen_enough_is_no_error(root):
    command = "from relative_stability.cli.main import main; raise SystemExit(main())"
    shell = f'"{sys.executable}" -c "{command}" status config/paper.yaml | head -n 1'
    ran = subprocess.run(["bash", "-c", shell], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.count("\n") == 1 and not ran.stderr
