"""Outputs, Jᵀc, Jv and JJᵀ of stacked nets, against autograd in double precision."""

import pytest
import torch

from relative_stability.nets import build_net
from relative_stability.training.gradient_flow import tangent_kernel
from relative_stability.training.gradient_flow.tangent_kernel import squared, stacked

M, P, D = 3, 40, 5
NETS = [("one_hidden", {"width": 30}), ("fc", {"depth": 1, "width": 20}), ("fc", {"depth": 3, "width": 20})]


@pytest.fixture(params=NETS, ids=str)
def case(request):
    """A stack, its inputs, and for every net its outputs and Jacobian as autograd gives them."""
    name, options = request.param
    models = [build_net(name, D, 1, 1, seed=seed, **options).double() for seed in range(M)]
    nets, names = stacked(models, torch.float64)
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(M, P, D, generator=generator, dtype=torch.float64)
    outputs, jacobians = [], []
    for model, x in zip(models, X, strict=True):
        out = model(x[..., None, None])[:, 0]
        parameters = [model.get_parameter(name) for name in names]
        rows = [torch.autograd.grad(value, parameters, retain_graph=True) for value in out]
        outputs.append(out.detach())
        jacobians.append(torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]))
    return nets, X, torch.stack(outputs), torch.stack(jacobians), generator


def flat(tensors):
    return torch.cat([t.flatten(1) for t in tensors], 1)


@pytest.mark.parametrize("size", [None, 7 * 30 * M])
def test_outputs_and_derivatives_are_those_of_autograd(case, monkeypatch, size):
    """Also where samples are taken some at a time."""
    nets, X, outputs, J, generator = case
    if size:
        monkeypatch.setattr(tangent_kernel, "CACHED", size)
    c = torch.randn(M, P, generator=generator, dtype=torch.float64)
    c[:, ::3] = 0
    v = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in nets.parameters]
    close = {"rtol": 1e-12, "atol": 1e-14}
    torch.testing.assert_close(nets.outputs(X), outputs, **close)
    torch.testing.assert_close(flat(nets.pull(X, c)), (J.mT @ c[..., None])[..., 0], **close)
    torch.testing.assert_close(nets.push(X, v), (J @ flat(v)[..., None])[..., 0], **close)
    torch.testing.assert_close(nets.kernel(X), J @ J.mT, **close)


def test_no_sample_pulls_nowhere(case):
    nets, X, *_ = case
    assert not flat(nets.pull(X, torch.zeros(M, P, dtype=torch.float64))).any()


@pytest.mark.parametrize("n", [1, 5, 255, 256, 301])
def test_a_symmetric_product_is_whole(n):
    A = torch.randn(2, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    torch.testing.assert_close(squared(A), A @ A.mT)
