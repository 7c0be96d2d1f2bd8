import csv
import io

import numpy as np
import pytest

from relative_stability.claims import check, to_csv, to_markdown
from tests.sweeps import made_up


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
    assert page.count("\n| ") == len(found) + 1  # and a header
    assert "None of the 24 trained nets diverged." in page
