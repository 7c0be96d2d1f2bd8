"""A training that is stopped anywhere goes on to the same numbers, bit by bit."""

import os
import signal
import threading

import pytest
import torch

from relative_stability import InputError
from relative_stability.core.errors import Stopped
from relative_stability.core.store import read_tensors
from relative_stability.training import run
from relative_stability.training.checkpoints import Checkpoints
from relative_stability.training.engine import Training
from tests.training.small import ADAM, CNN, FC, HIDDEN, HINGE, digits, same, stripe, train

pytestmark = pytest.mark.slow

MOBILE = {"architecture": "mobilenet_v2", "width": 0.25}
EVERYTHING = {
    "snapshots": 4, "augmentation": ["crop", "flip", "diffeomorphism"], "schedule": "one_cycle", "label_smoothing": 0.1,
}  # fmt: skip


def side(folder, minutes=1e9, digest="0123456789"):
    return Checkpoints(folder / "side", digest, minutes)


def interrupted(monkeypatch, data, at, checkpoints, *arguments, **options):
    """The run again and again, stopped each time after so many more pieces of work, until it is done."""
    advance, stops, pieces = Training.advance, 0, iter(at)
    left = [next(pieces)]

    def stopping(self):
        if left[0] == 0:
            checkpoints.asked = "SIGTERM"
        left[0] -= 1
        advance(self)

    monkeypatch.setattr(Training, "advance", stopping)
    while True:
        try:
            return train(data, *arguments, checkpoints=checkpoints, **options), stops
        except Stopped:
            checkpoints.asked, left[0], stops = "", next(pieces, 10**9), stops + 1


@pytest.mark.parametrize(
    ("data", "net", "options"),
    [
        (digits, CNN, EVERYTHING),
        (digits, FC, {**ADAM, "snapshots": 4}),
        (digits, CNN, {"how": "together", **EVERYTHING}),
        (digits, MOBILE, {"learning_rate": 0.01, "steps": 12, "P": 48}),  # dropout, drawn from torch's own generator
        (digits, {"architecture": "lenet"}, {"learning_rate": 1e6, "snapshots": 4}),  # diverges
        (stripe, HIDDEN, {**HINGE, "learning_rate": 20, "alpha": 0.5}),
        (stripe, HIDDEN, {**HINGE, "learning_rate": 100, "P": 16, "steps": 300, "zero_loss_epochs": 2}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_resumed_training_is_the_undisturbed_one(monkeypatch, tmp_path, data, net, options):
    undisturbed = train(data(), net, seeds=range(2), **options)
    with monkeypatch.context() as patched:
        again, stops = interrupted(
            patched, data(), [0, 1, 2, 5, 7, 11, 30, 3, 1], side(tmp_path), net, seeds=range(2), **options
        )
    assert stops >= 3 and same(undisturbed, again)
    assert again.attributes["restarts"] >= stops - 1  # one may have come before the first checkpoint of a seed


def test_it_resumes_inside_an_epoch_and_does_no_step_twice(monkeypatch, tmp_path):
    taken, step = [], Training._step

    def counted(self):
        taken.append(self.taken)
        step(self)

    monkeypatch.setattr(Training, "_step", counted)
    _, stops = interrupted(monkeypatch, digits(), [3, 4, 6, 8], side(tmp_path), P=512, steps=32)
    assert stops == 4 and taken == list(range(32))


def test_seeds_that_are_done_are_not_trained_again(monkeypatch, tmp_path):
    trained, advance = [], Training.advance

    def counted(self):
        trained.append(self.seeds[0])
        advance(self)

    monkeypatch.setattr(Training, "advance", counted)
    once = train(digits(), seeds=range(3))
    pieces = len(trained) // 3
    trained.clear()
    result, stops = interrupted(monkeypatch, digits(), [2 * pieces + 5], side(tmp_path), seeds=range(3))
    assert stops == 1 and same(once, result) and result.attributes["restarts"] == 1
    assert trained.count(0) == trained.count(1) == pieces


def test_a_checkpoint_of_seeds_together_is_gone_on_with_together(monkeypatch, tmp_path):
    """Or the other way round, whatever the config says by now."""
    checkpoints = side(tmp_path)
    undisturbed = train(digits(), FC, seeds=range(2), how="together", **ADAM)
    advance, left = Training.advance, [9]

    def stopping(self):
        left[0] -= 1
        if left[0] == 0:
            raise Stopped("SIGTERM")
        advance(self)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "advance", stopping)
        with pytest.raises(Stopped):
            train(digits(), FC, seeds=range(2), how="together", checkpoints=checkpoints, **ADAM)
    assert checkpoints.groups() == ["seeds0-1"]
    result = train(digits(), FC, seeds=range(2), how="alone", checkpoints=checkpoints, **ADAM)
    assert result.attributes["seeds_together"] == 2 and same(result, undisturbed)


def test_they_come_by_the_clock(monkeypatch, tmp_path):
    saved, checkpoints = [], side(tmp_path, minutes=0)
    save = Checkpoints.save

    def counted(self, group, tensors, facts):
        saved.append(facts["taken"])
        save(self, group, tensors, facts)

    monkeypatch.setattr(Checkpoints, "save", counted)
    plain = train(digits(), steps=8)
    assert same(plain, train(digits(), steps=8, checkpoints=checkpoints))
    assert saved[0] == 0 and saved[-1] == 8 and set(saved) == set(range(9))
    monkeypatch.setattr(checkpoints, "every", 1e9)
    checkpoints.clear(), saved.clear()
    train(digits(), steps=8, checkpoints=checkpoints)
    assert saved == []


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    checkpoints = side(tmp_path, minutes=0)
    train(digits(), steps=4, checkpoints=checkpoints)
    other = side(tmp_path, digest="aaaaaaaaaa")
    with pytest.raises(
        InputError,
        match=r"seed0\.safetensors is the checkpoint of another configuration \(its digest is 0123456789, expected aaaaaaaaaa\); delete it to train from the start$",
    ):
        train(digits(), steps=4, checkpoints=other)
    (other.folder / "seed0.safetensors").write_bytes(b"half of it")
    with pytest.raises(InputError, match=r"seed0\.safetensors is not a complete result file"):
        train(digits(), steps=4, checkpoints=other)


def test_a_full_disk_costs_a_checkpoint_and_no_training(monkeypatch, tmp_path, caplog):
    from relative_stability.training import checkpoints as module

    def full(path, *_):
        raise InputError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr(module, "write_tensors", full)
    with caplog.at_level("WARNING", "relative_stability"):
        result = train(digits(), steps=4, checkpoints=side(tmp_path, minutes=0))
    assert same(result, train(digits(), steps=4))
    assert "no checkpoint this time: " in caplog.text and "No space left on device" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_ask_and_a_second_interrupt_leaves_at_once(tmp_path, number):
    checkpoints, before = side(tmp_path), signal.getsignal(number)
    with checkpoints.catching_signals():
        checkpoints.check_stopped()
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped, match=number.name):
            checkpoints.check_stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) == before


def test_a_signal_is_noticed_in_the_middle_of_an_evaluation(monkeypatch, tmp_path):
    checkpoints, fetch = side(tmp_path), run.Pool.fetch
    batches = []

    def slow(self, *arguments):
        batches.append(1)
        if len(batches) == 3:
            checkpoints.asked = "SIGUSR1"
        return fetch(self, *arguments)

    undisturbed = train(digits(), P=512, steps=10)
    monkeypatch.setattr(run.Pool, "fetch", slow)
    with pytest.raises(Stopped):
        train(digits(), P=512, steps=10, checkpoints=checkpoints)
    assert len(batches) == 3
    checkpoints.asked = ""
    assert same(undisturbed, train(digits(), P=512, steps=10, checkpoints=checkpoints))


def test_outside_the_main_thread_signals_stay_as_they_are(tmp_path):
    done = []

    def work():
        with side(tmp_path).catching_signals():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_what_a_checkpoint_holds(tmp_path):
    checkpoints = side(tmp_path, minutes=0)
    train(digits(), FC, steps=4, checkpoints=checkpoints, **ADAM)
    tensors, metadata = read_tensors(checkpoints.folder / "seed0.safetensors")
    assert metadata["digest"] == "0123456789"
    assert {"now/1.weight", "optimizer/mean", "optimizer/square", "curves/test_error", "kept/best/1.weight"} <= set(
        tensors
    )
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    checkpoints.clear_if_empty()
    assert checkpoints.folder.is_dir()
    checkpoints.clear()
    assert not checkpoints.folder.exists()
