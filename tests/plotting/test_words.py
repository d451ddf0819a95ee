"""The sentences say what the figures say, and no more."""

import dataclasses

import numpy as np
import pytest

from keras_koopman import decompose
from keras_koopman.plotting import words
from keras_koopman.plotting.run import Figures, Layer, Trust

SETTLED = Figures(
    records=40,
    unit="epoch",
    rho=0.9,
    speed=0.4,
    leading=0.95,
    residual=0.05,
    half_life=13.5,
    near_one=1,
    near_one_clear=1,
    span=39.0,
)


def changed(**figures):
    return dataclasses.replace(SETTLED, **figures)


def told(**figures):
    return " ".join(words.sentences(changed(**figures)))


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, "The weights keep their direction, but their steps have died down."),
        ({"speed": 0.5}, "The weights are still drifting."),
        ({"speed": None}, "The weights are still drifting."),
        ({"rho": 0.33, "speed": 0.9}, "The drift of this run is drowned in noise."),
        ({"rho": 0.33}, "The drift of this run is drowned in noise and its steps have died down."),
        ({"rho": 0.334, "speed": 0.9}, "The weights are still drifting."),
        ({"rho": None}, "The steps have died down."),
        ({"rho": None, "speed": 0.9}, "The weights are still moving."),
        ({"rho": None, "speed": None, "records": 8}, "It is too early to say how this run moves."),
        (
            {"rho": None, "speed": None},
            "Whether this run still drifts cannot be told from what was recorded.",
        ),
        (
            {"rho": None, "speed": None, "no_spectrum": "the weights stand still"},
            "The weights stand still.",
        ),
    ],
)
def test_headline(figures, expected):
    assert words.headline(changed(**figures)) == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (
            {},
            "to half in 13.5 epochs (|λ| = 0.95 per record); its residual, 0.05, says it can be trusted",
        ),
        ({"residual": 0.3}, "do not rely on it: noise alone could give its residual, 0.3"),
        ({"half_life": 60.0}, "longer than what was recorded, so take it as a rough guess"),
        ({"leading": 1.01, "half_life": None}, "does not fade (|λ| = 1.01 per record)"),
        ({"leading": None, "residual": None, "half_life": None}, "No mode of the motion stands out"),
        ({"near_one": 0, "near_one_clear": 0}, "No eigenvalue lies within 0.1 of 1."),
        (
            {"near_one": 3, "near_one_clear": 3},
            "3 eigenvalues lie within 0.1 of 1; all of them can be trusted.",
        ),
        ({"near_one": 3, "near_one_clear": 1}, "1 of them can be trusted."),
        ({"near_one_clear": 0}, "1 eigenvalue lies within 0.1 of 1, but with a residual that noise alone"),
        ({"rho": 0.2}, "below 1/3, noise moves them more than any drift"),
        ({"rho": 0.4}, "a weak drift above the noise"),
        ({"rho": None}, "too small beside the rounding of the weights"),
        ({"unit": "batch"}, "over the last 8 records"),
        ({"rho": None, "speed": None, "records": 1}, "they need 9 records and there is 1 so far"),
        ({"rho": None, "speed": None, "monitored": False}, "record with KoopmanMonitor"),
        ({"rho": None, "speed": None}, "KoopmanMonitor(average=True)"),
        ({"no_spectrum": "it needs 4 records and there are 2 so far"}, "no spectrum yet: it needs 4 records"),
    ],
)
def test_sentences(figures, expected):
    assert expected in told(**figures)


def test_a_figure_that_is_missing_is_not_invented():
    text = told(rho=None, speed=None, leading=None, residual=None, half_life=None, near_one=0)
    assert "Drift and speed cannot be told" in text
    assert "half-life to tell" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (np.nan, "–"),
        (0, "0"),
        (1, "1"),
        (0.12345, "0.123"),
        (12345.6, "12346"),
        (1e-5, "1.0e-05"),
    ],
)
def test_number(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(("value", "text"), [(1.0, "1 epoch"), (1.004, "1 epoch"), (2.5, "2.5 epochs")])
def test_duration(value, text):
    assert words.duration(value, "epoch") == text


@pytest.mark.parametrize(
    ("eigenvalue", "residual", "trust"),
    [
        (0.9, 0.18, Trust.CLEAR),
        (0.9j, 0.19, Trust.DOUBTFUL),
        (0.5, 0.26, Trust.NOISE),
        (0, 0, Trust.NOISE),
    ],
)
def test_trust(eigenvalue, residual, trust):
    assert Trust.of(eigenvalue, residual) is trust


@pytest.mark.parametrize("count", [10, 20, 40])
def test_a_random_walk_is_never_trusted(count):
    """Means over intervals of pure noise have a slow leading mode: the limit of `CLEAR` lies below it."""
    rng = np.random.default_rng(count)
    means = rng.normal(size=(3000, (count + 1) * 20)).cumsum(axis=1).reshape(3000, count + 1, 20).mean(axis=2)
    found = decompose(np.diff(means), rank="svht")
    trusts = [Trust.of(v, r) for v, r in zip(found.eigenvalues, found.residuals, strict=True)]
    assert Trust.CLEAR not in trusts


def layer(name, rate, share):
    return Layer(name, 2, share, decompose(np.outer([1.0, 2.0], rate ** np.arange(8))))


def test_layers_are_ranked_by_clear_half_lives():
    text = words.layer_sentence([layer("a", 0.5, 0.9), layer("b", 0.9, 0.1)], "epoch")
    assert text == (
        "Most of the motion, 90% of its squared length, is in a. By the leading modes that can be trusted, "
        "b settles the slowest (half-life 6.58 epochs) and a the quickest (1 epoch)."
    )


def test_one_layer_is_no_comparison():
    assert words.layer_sentence([layer("a", 0.5, 1.0)], "epoch") is None


def test_layers_that_do_not_settle_are_not_ranked():
    text = words.layer_sentence([layer("a", 1.1, 0.6), layer("b", 0.9, 0.4)], "epoch")
    assert text == "Most of the motion, 60% of its squared length, is in a."


def test_every_figure_has_its_meaning():
    names = [meaning.name for meaning in words.MEANINGS]
    assert names == ["rho", "speed", "leading", "residual", "half_life", "near_one"]
    assert all(
        hasattr(SETTLED, name) and m.text.endswith(".") for name, m in zip(names, words.MEANINGS, strict=True)
    )
