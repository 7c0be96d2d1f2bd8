import os
from pathlib import Path

import pytest
import xarray as xr

from relative_stability import InputError
from relative_stability.core.store import write_dataset
from relative_stability.plan import digests, stage_code
from relative_stability.plan.digests import STAGES, stage_digest
from relative_stability.plan.stage_code import LOOKED_AT, confirm, confirmed, notices

SENTENCE = (
    "the code of {0} has changed. If its numbers change with it, raise its version in STAGES of plan/digests.py. Then, or "
    "if they do not, record why: relative-stability confirm {0} --reason '…'"
)


@pytest.mark.parametrize("stage", STAGES)
def test_code_that_changes_changes_the_version_or_is_confirmed(stage):
    assert stage_digest(stage) in confirmed(stage), SENTENCE.format(stage)


def forget():
    """What was read of sources that have changed since."""
    for function in vars(digests).values():
        getattr(function, "cache_clear", bool)()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in which `train` is made with three modules and a registry; writes one of its files."""

    def put(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        forget()

    put(
        "training/run.py",
        "from relative_stability.training.step import step\nfrom relative_stability.core.logs import log\n",
    )
    put(
        "training/step.py",
        "def step(x):\n    from relative_stability import nets, core\n    from relative_stability.nets import a\n",
    )
    put("nets/__init__.py", "from importlib import import_module\ndef build(name):\n    return import_module(name)\n")
    for name in ("nets/a.py", "nets/b.py", "core/logs.py", "figures/c.py"):
        put(name, "x = 1\n")
    monkeypatch.setattr(digests, "__file__", str(tmp_path / "plan/digests.py"))
    yield put
    forget()


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("training/step.py", "def step(x):\n    from relative_stability.nets import build\n    return 2 * x\n", True),
        ("nets/a.py", "x = 2\n", True),
        ("nets/a.py", '"""Words."""\n\nx = 1  # more words\n', False),
        ("core/logs.py", "x = 2\n", False),
        ("figures/c.py", "x = 2\n", False),
    ],
)
def test_what_is_imported_counts_and_nothing_else(package, name, text, counts):
    before = stage_digest("train")
    package(name, text)
    assert (stage_digest("train") != before) == counts


def test_modules_of_a_registry_count_though_they_are_imported_by_name(package):
    package("training/step.py", "from relative_stability.nets import build\n")
    before = stage_digest("train")
    package("nets/b.py", "x = 2\n")
    assert stage_digest("train") != before


def test_modules_of_the_stages_are_found():
    """Nets by name, the step of the optimiser, what deforms; and no figure, no command."""
    counted = {}
    for stage in STAGES:
        found, left = set(), list(digests.FIRST[stage])
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += digests._imported(digests._file(name))
        counted[stage] = found
        assert all(digests._file(name).is_file() for name in found)
        assert not any(name.startswith(("figures", "cli", "plan")) for name in found), stage
    assert {"training/optimizer", "training/engine", "nets/convolutional", "nets/adapted"} <= counted["train"]
    assert {"perturbations/rotation", "stability/forward_passes"} <= counted["measure"]
    assert {"datasets/downloaded", "datasets/transforms"} <= counted["prepare"]
    assert all(digests._file(name).is_file() for name in digests.UNCOUNTED)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "code.csv"
    path.write_text("stage,version,code,reason\n")
    return path


def test_confirming_records_the_code_once_with_its_reason(file):
    assert confirm(["train", "measure"], "first, and so on", file) == ["train", "measure"]
    assert confirm(["train"], "again", file) == []
    rows = file.read_text().splitlines()
    assert rows[1] == f'train,{STAGES["train"]},{stage_digest("train")},"first, and so on"'
    assert confirmed("train", file) == [stage_digest("train")] and confirmed("flow", file) == []
    for stages, reason, sentence in ((["trian"], "x", "did you mean 'train'"), (["train"], " ", "--reason is empty")):
        with pytest.raises(InputError, match=sentence):
            confirm(stages, reason, file)


def test_a_version_has_digests_of_its_own(file, monkeypatch):
    confirm(["train"], "first", file)
    monkeypatch.setitem(STAGES, "train", 99)
    assert confirmed("train", file) == []


def made(folder: Path, codes):
    """Results, one a day, by these codes."""
    paths = []
    for day, code in enumerate(codes):
        path = folder / f"{day}.nc"
        write_dataset(path, xr.Dataset(attrs={"code": code} if code else {"stage": "train"}))
        os.utime(path, (86400 * day, 86400 * day))
        paths.append(str(path))
    return paths


def test_results_of_other_code_are_spoken_of(tmp_path, file, monkeypatch):
    monkeypatch.setattr(stage_code, "confirmed", lambda stage, path=file: confirmed(stage, path))
    now = stage_digest("train")
    file.write_text("stage,version,code,reason\n" + f"train,{STAGES['train']},0000000000,first\n")
    paths = made(tmp_path, ["", "0000000000", "1111111111", now])
    (sentence,) = notices({"train": [*paths, str(tmp_path / "absent.nc")], "measure": [paths[0]]})
    assert sentence.startswith(f"2 of 4 results of train were made by other code of its version {STAGES['train']}, ")
    confirm(["train"], "the same numbers", file)
    (sentence,) = notices({"train": paths})
    assert sentence.startswith("1 of 4 results of train were made")
    (tmp_path / "2.nc").write_bytes(b"broken")
    assert notices({"train": paths}) == []


def test_of_many_results_a_few_are_looked_at_with_the_oldest_and_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_code, "confirmed", lambda stage: [])
    count = 2 * LOOKED_AT
    for place in (0, count - 1):
        codes = [stage_digest("train")] * count
        codes[place] = "1111111111"
        (sentence,) = notices({"train": made(tmp_path, codes)})
        assert sentence.startswith(f"1 of {LOOKED_AT} results of train looked at, of {count} in use, were made")
