import csv
import io

import numpy as np
import pytest
import xarray as xr

from relative_stability.analysis.claims.diffeomorphisms import check, check_all
from relative_stability.analysis.claims.page import from_csv, spoken, to_csv, to_markdown
from relative_stability.analysis.claims.verdicts import SIGNS, Row
from tests.sweeps import made_up
from tests.training.gradient_flow.flows import swept


def rows(sweep, claim="", quantity=""):
    return [r for r in check(sweep) if r.claim.startswith(claim) and quantity in r.quantity]


def test_known_laws_are_found_with_their_verdicts():
    sweep = made_up(nets=("fc", "lenet", "cnn"))
    for row in rows(sweep, "1."):
        assert row.verdict == "holds" and row.value == pytest.approx(1, abs=0.05)
    (fc,) = rows(sweep, "2. Fully")
    _, cnn = rows(sweep, "2. Training makes convolutional")
    assert [row.verdict for row in rows(sweep, "Trend of a fully connected net")] == ["no claim"] * 3
    assert len(rows(sweep, "4.")) == 2 * 3
    assert (fc.verdict, cnn.verdict) == ("fails", "holds")  # here even the fully connected net gets R below 1
    for row in rows(sweep, "4.", "exponent of R"):
        assert row.verdict == "holds" and row.value == pytest.approx(-0.5, abs=0.03) and row.runs == 12
    for row in rows(sweep, "4.", "exponent of D"):
        assert row.verdict == "holds" and row.value == pytest.approx(0, abs=0.03)
    for row in rows(sweep, "4.", "exponent of G"):
        assert row.verdict == "holds" and row.value == pytest.approx(0.5, abs=0.03)


def test_r_in_depth_is_compared_between_the_last_layer_and_the_first():
    sweep = made_up(inside=True, nets=("fc", "cnn"))
    before, after = rows(sweep, "5.")
    assert "cnn" in before.subject and "at init" in before.quantity and "after training" in after.quantity
    assert before.value == pytest.approx(1, abs=0.05) and before.verdict == "holds"
    assert after.value == pytest.approx(512**-0.5 / 512**-0.125, rel=0.05) and after.verdict == "holds"
    assert [row.verdict for row in rows(sweep, "R in depth")] == ["no claim"] * 2
    pretrained = rows(made_up(inside=True, nets=("cnn",), pretrained=("cnn",)), "5.")
    assert [("after training" in row.quantity) for row in pretrained] == [True]


def test_the_law_of_error_against_r_is_fitted_over_all_points():
    """In the made-up sweep error = R/2."""
    found = {row.quantity.split(",")[0]: row for row in rows(made_up(), "Error across nets and P")}
    assert found["exponent of the error in R"].value == pytest.approx(1, abs=0.05)
    assert found["error at R = 1"].value == pytest.approx(0.5, rel=0.1)
    assert found["rank correlation with R"].value > 0.8 and abs(found["rank correlation with D"].value) < 0.7


def test_what_a_small_sweep_cannot_tell_is_undecided_and_says_why():
    (row,) = rows(made_up(), "3. log error and log R")
    assert row.verdict == "undecided" and row.why == "2 nets show no correlation across nets; 5 are needed"
    for row in rows(made_up(sizes=(32, 128)), "4."):
        assert row.verdict == "undecided" and "2 values of P" in row.why
    for row in rows(made_up(seeds=1), "1."):
        assert row.verdict == "undecided" and row.why == "one seed has no spread"


def test_a_contradicted_claim_fails():
    sweep = made_up()
    sweep["R"] = sweep.R * 5
    for row in rows(sweep, "1."):
        assert row.verdict == "fails"


def test_diverged_runs_are_left_out_counted_and_named():
    sweep = made_up(diverged={("cnn", 128, 2), ("cnn", 512, 0)})
    (row,) = (r for r in rows(sweep, "4.", "exponent of R") if "cnn" in r.subject)
    assert row.runs == 10
    assert row.value == pytest.approx(-0.5, abs=0.03)
    page = to_markdown(check(sweep), [sweep])
    assert "**2 of the 24 trained nets diverged**" in page
    assert "digits, cnn, P = 128, seed 2 (epoch 7)" in page


def test_collapsed_runs_are_left_out_and_named():
    sweep = made_up(collapsed={("cnn", 128, 2)})
    page = to_markdown(check(sweep), [sweep])
    assert "None of the 24 trained nets diverged." in page
    assert "**1 of the 24 trained nets collapsed**" in page and "digits, cnn, P = 128, seed 2." in page
    assert "collapsed" not in to_markdown(check(made_up()), [made_up()])


def test_nothing_is_claimed_of_the_weights_that_training_starts_from():
    rows = {row.subject: row for row in check(made_up(pretrained=("cnn",))) if "at init" in row.quantity}
    assert rows["digits, cnn"].verdict == "no claim" and rows["digits, cnn"].claim.startswith("R of the weights that")
    assert rows["digits, fc"].verdict == "holds" and rows["digits, fc"].claim.startswith("1.")


def test_all_runs_diverged_is_undecided():
    sweep = made_up(nets=("cnn",), sizes=(32,), seeds=2, diverged={("cnn", 32, 0), ("cnn", 32, 1)})
    (row,) = rows(sweep, "2.")
    assert row.verdict == "undecided" and row.why == "no run gives the number" and row.runs == 0


def test_the_linear_model_has_claims_of_its_own():
    found = rows(made_up(nets=("one_hidden",), linear=True), "7.")
    assert any(
        "compression" in row.quantity and row.value == pytest.approx(0.5) and row.verdict == "holds" for row in found
    )
    assert any("exponent of R" in row.quantity and row.verdict == "holds" for row in found)


def test_csv_and_page_hold_every_row():
    sweep = made_up()
    found = check(sweep)
    table = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(table) == len(found)
    assert np.isfinite([float(row["value"]) for row in table]).all()
    page = to_markdown(found, [sweep])
    assert page.count("\n| ") == len(found) + page.count("\n| sweep |")  # and a header for each claim
    assert page.count("\n| sweep |") == len({row.claim for row in found if row.verdict in SIGNS}) + 1
    counts = [sum(row.verdict == verdict for row in found) for verdict in ("holds", "fails", "undecided")]
    assert "statements {} hold, {} fail and {} are undecided.".format(*counts) in page
    assert from_csv(to_csv(found)) == found
    assert "None of the 24 trained nets diverged." in page


def test_the_page_says_first_what_was_found_of_each_claim():
    rows = [
        Row("2. Nets are stable", "a", net, "R after training, cut 3", value, value, value, "below 1", 4, verdict, "")
        for net, value, verdict in (("x", 0.5, "holds"), ("y", 3.14159, "fails"), ("z", 0.9, "undecided"))
    ]
    said = "R after training (below 1): holds in 1 of 3. Fails: y (3.14). Undecided: z (0.9)"
    assert spoken(rows) == [said]
    again = spoken([*rows, rows[1]._replace(sweep="b")])
    assert again[0].endswith("Fails: y in sweep a (3.14); y in sweep b (3.14). Undecided: z (0.9)")
    page = to_markdown([*rows, rows[0]._replace(claim="1. First")], [])
    assert page.index("- **1. First**") < page.index("- **2. Nets are stable**") < page.index("A claim **holds** where")
    assert f"  - {said}" in page and "A convolutional net above 1" in page


@pytest.mark.slow
def test_claims_on_gradient_flows_name_their_regime_and_the_exponents_of_theory():
    sweep, _ = swept()
    found = rows(sweep, "7. Linear model")
    assert {row.claim.split(", ")[1] for row in found} == {"features are learnt", "lazy"}
    (feature,) = (r for r in found if "test error" in r.quantity and "alpha = 0.01 (feature)" in r.subject)
    (lazy,) = (r for r in found if "test error" in r.quantity and "alpha = 100 (lazy)" in r.subject)
    assert feature.expected == "-(2d - 1)/(3d - 2) = -0.7, within 0.1"  # d = 4
    assert lazy.expected == "-d/(3d - 2) = -0.4, within 0.1"
    (flat,) = (r for r in found if "compression" in r.quantity and "lazy" in r.subject)
    assert flat.expected == "0, within 0.1" and abs(flat.value) < 0.1 and flat.runs == 6
    page = to_markdown(check(sweep), [sweep])
    assert "All other nets were followed until every margin was met." in page
    assert page.count("\n| ") == len(check(sweep)) + page.count("\n| sweep |")


def test_known_exponents_of_a_flow_are_found():
    sweep = swept()[0].copy(deep=True).assign_coords(P=[512, 1024, 2048], alpha=[1e-5, 100])
    sizes = sweep.P.values.astype(float)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal((3, 2)))
    for name, state, exponent in (
        ("compression", "fitted", 0.5),
        ("test_error", "trained", -0.7),
        ("R", "trained", -1.0),
    ):
        where = {"alpha": 1e-5, "state": state}
        values = (sizes**exponent)[:, None] * noise
        shape = sweep[name].sel(where).transpose("P", "seed", ...)
        target = np.broadcast_to(values.reshape(*values.shape, *[1] * (shape.ndim - 2)), shape.shape)
        sweep[name].loc[where] = shape.copy(data=target).transpose(*sweep[name].sel(where).dims)
    found = [r for r in rows(sweep, "7. Linear model, features") if "exponent" in r.quantity]
    assert [round(r.value, 1) for r in found] == [0.5, -0.7, -1.0]
    assert [r.verdict for r in found] == ["holds"] * 3


def test_the_claim_on_lambda_needs_a_small_alpha_and_enough_sizes():
    sweep = swept()[0].assign_coords(P=[512, 1024, 2048])
    (row,) = (r for r in rows(sweep, "7. Linear model, features") if "λ at t*" in r.quantity)
    assert (row.verdict, row.why) == ("undecided", "αP = 20 at the largest P is not small, where λ saturates")
    (row,) = (
        r for r in rows(swept()[0].assign_coords(alpha=[1e-6, 100]), "7. Linear model, features") if "λ" in r.quantity
    )
    assert row.verdict == "undecided" and "0 values of P fix no exponent" in row.why


def test_of_a_sweep_that_was_left_at_t_star_nothing_is_said_of_its_end():
    sweep = swept()[0].copy(deep=True)
    assert any("test error" in row.quantity for row in check(sweep))
    sweep["stop_time"] = sweep["fitted_time"]
    assert {row.claim for row in check(sweep)} <= {
        "7. Linear model, features are learnt",
        "7. Linear model, lazy",
        "Compression",
    }
    assert not any("test error" in row.quantity or "R " in row.quantity for row in check(sweep))
    assert "followed to t*, where over a tenth" in to_markdown(check(sweep), [sweep])


def test_flows_that_were_left_or_lost_are_named():
    sweep = swept()[0].copy(deep=True)
    sweep["met"][0, 0, 1, 0, 1] = False
    sweep["diverged"][0, 0, 2, 1, 0] = True
    sweep["diverged_epoch"][0, 0, 2, 1, 0] = 12.5
    page = to_markdown(check(sweep), [sweep])
    assert "stripe, one_hidden, P = 96, seed 1, alpha 0.01 (time 12.5)" in page
    assert "**Left at max_time with margins unmet**" in page and "P = 48, seed 0, alpha 100 (t = " in page


def test_correlations_across_nets_at_one_P_are_sure_as_far_as_other_nets_would_agree():
    """Error follows R net by net but for one outlier; seeds hardly differ, so that resampling them would say nothing."""
    names = ("fc", "lenet", "cnn", "alexnet", "vgg11", "resnet18")
    sweep = made_up(nets=names, sizes=(64,))
    factors = sweep.net.copy(data=10.0 ** np.array([-2, -1.5, -1, -0.5, 0, 0.5]))
    sweep["R"] = sweep.R * factors
    lawful = sweep.assign(test_error=sweep.test_error * factors**0.5)
    (row,) = rows(lawful, "3. log error and log R across nets at P = 64")
    assert row.value > 0.99 and row.low > 0.9 and row.runs == 6 and row.verdict == "holds"
    upset = lawful.assign(test_error=lawful.test_error.where(sweep.net != "fc", 0.4))
    (row,) = rows(upset, "3. log error and log R across nets at P = 64")
    assert row.low < row.value < 0.8 < row.high and row.high - row.low > 0.5 and row.verdict == "undecided"


def test_a_sweep_of_one_P_is_not_asked_for_trends():
    found = rows(made_up(sizes=(64,)))
    assert found and not [row for row in found if "exponent of" in row.quantity and "in P" in row.quantity]


def test_translations_are_compared_on_the_same_nets_measured_alike():
    deformed = made_up(sizes=(64,))
    moved = deformed.isel(cut=0, drop=True).assign(R=0.5 * deformed.R.isel(cut=0, drop=True))
    moved.attrs |= {"perturbation": "translation", "sweep": "moved"}

    def compared(other):
        return {row.subject: row.value for row in check_all([other, moved]) if row.claim.startswith("6.")}

    both = {"digits, fc": pytest.approx(0.5), "digits, cnn": pytest.approx(0.5)}
    assert compared(deformed) == both
    other_fc = deformed.assign(test_error=deformed.test_error * xr.where(deformed.net == "fc", 0.9, 1))
    assert compared(other_fc) == {"digits, cnn": both["digits, cnn"]}  # another training under the same name
    lost = deformed.test_error.where((deformed.net != "fc") | (deformed.seed != 1))
    moved["test_error"] = lost
    assert compared(deformed.assign(test_error=lost)) == both
    assert compared(deformed.assign(test_error=lost).assign_attrs(estimator="median")) == {}
