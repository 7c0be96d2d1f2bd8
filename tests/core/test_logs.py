import logging

import pytest

from relative_stability import InputError
from relative_stability.core.errors import Stopped
from relative_stability.core.logs import job_log


@pytest.fixture(autouse=True)
def quiet_again():
    log = logging.getLogger("relative_stability")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("P is too large; take less"), 1, "ERROR P is too large; take less"),
        (
            Stopped("SIGUSR1"),
            75,
            "ERROR stopped by SIGUSR1; what was done is kept, and the next start goes on from there",
        ),
    ],
    ids=str,
)
def test_what_is_expected_is_one_sentence(tmp_path, capsys, error, code, words):
    with pytest.raises(SystemExit) as left, job_log(str(tmp_path / "a/job.log"), "job"):
        raise error
    text = (tmp_path / "a/job.log").read_text()
    assert left.value.code == code and words in text and "Traceback" not in text
    assert capsys.readouterr().err == f"job: {words.removeprefix('ERROR ')}\n"


def test_what_is_not_expected_keeps_its_traceback(tmp_path):
    with pytest.raises(SystemExit), job_log(str(tmp_path / "job.log"), "job"):
        raise KeyError("what")
    assert "Traceback" in (tmp_path / "job.log").read_text()


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.raises(SystemExit) as left, job_log(str(tmp_path / "logs/job.log"), "job"):
        raise AssertionError("the job must not start")
    said = capsys.readouterr().err
    assert left.value.code == 1 and said.startswith("job: ") and "job.log cannot be written (" in said
    assert len(said.splitlines()) == 1
