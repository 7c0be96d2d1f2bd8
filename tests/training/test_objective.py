import math

import pytest
import torch

from relative_stability import InputError
from relative_stability.training.objective import Objective, output_count


def test_by_hand():
    outputs, labels = torch.tensor([[[0.5], [-2.0], [3.0]]]), torch.tensor([[1, 0, 0]])
    hinge = Objective("hinge", None)
    assert hinge.losses(outputs, labels).tolist() == [[0.5, 0, 4]]
    assert hinge.errors(outputs, labels).tolist() == [[False, False, True]]
    scaled = Objective("hinge", 2.0)
    assert scaled.losses(scaled.outputs(outputs, outputs - 0.25), labels).tolist() == [[0.5 / 4, 1.5 / 4, 1.5 / 4]]
    logits = torch.tensor([[[2.0, 1.0], [math.nan, 0.0]]])
    assert Objective("cross_entropy", None).errors(logits, torch.tensor([[0, 1]])).tolist() == [[False, True]]


def test_cross_entropy_and_smoothing_are_torchs():
    outputs = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2, 1, 0], [2, 2, 0, 1, 1]])
    for smoothing in (0.0, 0.2):
        ours = Objective("cross_entropy", None, smoothing).losses(outputs, labels).mean(1)
        torchs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
        torch.testing.assert_close(ours, torch.stack([torchs(o, t) for o, t in zip(outputs, labels, strict=True)]))
    by_hand = -(0.8 * outputs[0].log_softmax(-1)[0, 0] + 0.2 * outputs[0].log_softmax(-1)[0].mean())
    torch.testing.assert_close(Objective("cross_entropy", None, 0.2).losses(outputs, labels)[0, 0], by_hand)


def test_hinge_on_many_classes_is_refused():
    assert output_count("hinge", 2) == 1
    with pytest.raises(InputError, match="hinge needs a dataset of two classes, and this one has 10"):
        output_count("hinge", 10)
