import pytest
import torch

from relative_stability.training.schedule import Schedule, learning_rate, recorded_epochs, snapshot_steps


def test_epochs_cover_the_steps_and_end_with_the_last():
    assert recorded_epochs({"steps": 60, "batch_size": 16, "evaluations": 4}, P=64) == [0, 4, 8, 11, 15]
    assert recorded_epochs({"steps": 1, "batch_size": 128, "evaluations": 20}, P=1000) == [0, 1]
    assert recorded_epochs({"steps": 10, "batch_size": 100, "evaluations": 100}, P=5) == list(range(11))


def test_epochs_go_before_steps_and_max_epochs_bounds_both():
    options = {"steps": 60, "batch_size": 16, "evaluations": 4}
    assert recorded_epochs({**options, "epochs": 40}, P=64) == [0, 10, 20, 30, 40]
    assert recorded_epochs({**options, "epochs": None}, P=64)[-1] == 15
    assert recorded_epochs({**options, "max_epochs": 8}, P=64) == [0, 2, 4, 6, 8]
    assert recorded_epochs({**options, "max_epochs": 800}, P=64)[-1] == 15
    assert recorded_epochs({**options, "epochs": 40, "max_epochs": 20}, P=64)[-1] == 20
    assert Schedule({**options, "epochs": 40}, P=65).steps == 200


@pytest.mark.parametrize(("total", "count"), [(1, 5), (7, 5), (1000, 20), (50, 1), (50, 0)])
def test_snapshot_steps_end_with_the_last_and_none_stands_twice(total, count):
    steps = snapshot_steps(total, count)
    assert steps == sorted(set(steps)) and len(steps) <= count
    assert not steps or steps[-1] == total
    assert count < 2 or steps[0] == 1


@pytest.mark.parametrize("total", [3, 10, 97, 1000])
def test_one_cycle_is_torchs(total):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1)
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total, cycle_momentum=False)
    for step in range(total):
        ours = learning_rate({"learning_rate": 0.3, "schedule": "one_cycle"}, step, total)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < total - 1:
            torchs.step()


@pytest.mark.parametrize("total", [1, 2])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_the_shortest_runs_have_a_rate(schedule, total):
    rates = [learning_rate({"learning_rate": 0.3, "schedule": schedule}, step, total) for step in range(total)]
    assert all(0 < rate <= 0.3 for rate in rates)
