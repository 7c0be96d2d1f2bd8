import logging
import re
import sys

from relative_stability.training import progress
from tests.training.small import CNN, digits, train

LINE = re.compile(
    r"cnn P=64 seed0: epoch [\d.]+ of 15, training loss [\d.]+, test error [\d.]+, [\d,]+ images/s, \d\d:\d\d left$"
)


def test_a_log_gets_a_line_for_every_tenth(caplog, capsys):
    with caplog.at_level(logging.INFO, "relative_stability"):
        train(digits(), CNN)
    lines = [record.message for record in caplog.records if "images/s" in record.message]
    assert len(lines) == 10 and all(LINE.match(line) for line in lines)
    assert lines[4].startswith("cnn P=64 seed0: epoch 7.5 of 15") and lines[-1].endswith(" 00:00 left")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_goes_again(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    clock = iter(range(10**6))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress.Progress.__init__, "__defaults__", (lambda: float(next(clock)),))
    train(digits(), CNN)
    shown = capsys.readouterr().err
    assert "cnn P=64 seed0 |" in shown and " %, epoch " in shown and "images/s" in shown
    assert shown.rstrip("\n").endswith("\r")  # the line is cleared
