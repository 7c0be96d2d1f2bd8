"""What goes with the test error: of each quantity the errors of the sweep that it was measured in."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from relative_stability.analysis.explaining import R_MOVED, R, datasets_and_sizes, explanations, rank_correlations
from tests.sweeps import made_up

NETS = ("fc", "cnn", "lenet", "vgg11", "resnet18", "alexnet")


@pytest.fixture
def sweeps():
    """Deformed and moved; the nets of the second are called alike and were trained otherwise."""
    generator, found = np.random.default_rng(1), []
    for family in ("diffeomorphism", "translation"):
        sweep = made_up(nets=NETS, sizes=(64, 512))
        for name in ("R", "test_error"):
            factor = xr.DataArray(np.exp(generator.standard_normal(len(NETS))), {"net": sweep["net"]}, "net")
            sweep[name] = (sweep[name] * factor).transpose(*sweep[name].dims)
        sweep.attrs |= {"perturbation": family, "sweep": family}
        found.append(sweep if family == "diffeomorphism" else sweep.isel(cut=0, drop=True))
    return found


def test_each_goes_with_the_errors_of_its_own_sweep(sweeps):
    found = explanations(sweeps)
    assert list(found)[:2] == [R, R_MOVED] and datasets_and_sizes(found) == (["digits"], [64, 512])
    for name, sweep in zip((R, R_MOVED), sweeps, strict=True):
        there = sweep.sel(state="trained", P=512, dataset="digits", displacement=1).squeeze()
        means = [np.log(there[which].transpose("net", "seed").values).mean(1) for which in ("R", "test_error")]
        estimate = rank_correlations(found, "digits", 512)[name]
        assert estimate.value == pytest.approx(spearmanr(*means).statistic) and estimate.runs == len(NETS)
        assert estimate.low <= estimate.value <= estimate.high
        assert rank_correlations(found, "digits")[name].runs == 2 * len(NETS)
    assert rank_correlations(found, "mnist") == {} == rank_correlations(found, "digits", 32)
