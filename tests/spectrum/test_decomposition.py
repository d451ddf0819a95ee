import json

import numpy as np
import pytest

from keras_koopman.spectrum import KoopmanDecomposition, decompose
from tests.oracle import path_of, random_system

T = np.arange(9)
PLANE = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 3)))[0]


def damped(dt=1.0, **options):
    """A decay by half every 4 steps and a turn of an eighth of a circle a step, much less important."""
    decay = 0.5 ** (T / 4)
    circle = 0.1 * np.stack([np.cos(np.pi / 4 * T), np.sin(np.pi / 4 * T)])
    return decompose(PLANE @ np.vstack([decay, circle]), dt=dt, rank=3, **options)


def test_half_lives_and_frequencies_have_the_unit_of_dt():
    found = damped(dt=0.5)
    assert found.half_lives[0] == pytest.approx(2.0)
    assert np.all(found.half_lives[1:] > 1e5)
    assert found.frequencies == pytest.approx([0.0, 0.25, -0.25], abs=1e-8)


def test_half_life_of_what_grows_and_of_what_is_gone():
    grows = decompose(1.1 ** T[None, :])
    assert grows.half_lives.tolist() == [np.inf]
    gone = decompose(np.array([[1.0, 0.0, 0.0]]))
    assert gone.eigenvalues.tolist() == [0]
    assert gone.half_lives.tolist() == [0.0]
    assert gone.frequencies.tolist() == [0.0]


def test_sorted_by_importance():
    found = damped()
    assert found.eigenvalues == pytest.approx([0.5**0.25, np.exp(0.25j * np.pi), np.exp(-0.25j * np.pi)])
    # The circle of radius 0.1 is the sum of two conjugate unit modes.
    assert found.importance == pytest.approx([1.0, 0.1 / np.sqrt(2), 0.1 / np.sqrt(2)])
    assert np.abs(found.amplitudes) == pytest.approx(found.importance)
    many = decompose(random_system(0), tol=1e-3)
    assert np.all(np.diff(many.importance) <= 1e-7 * many.importance[0])


def test_modes_are_unit_and_eigenvectors():
    operator = np.array([[0.8, 0.5, 0.0], [-0.5, 0.8, 0.0], [0.3, 0.0, 0.6]])
    found = decompose(path_of(operator, [1.0, 0.0, 2.0], 7))
    for i, value in enumerate(found.eigenvalues):
        mode = found.mode(i)
        assert np.iscomplexobj(mode) == bool(value.imag)
        assert np.linalg.norm(mode) == pytest.approx(1)
        np.testing.assert_allclose(operator @ mode, value * mode, atol=1e-7)
    np.testing.assert_array_equal(found.mode(-1), found.mode(2))


def test_modes_and_amplitudes_give_the_path_back():
    path = path_of(np.array([[0.8, 0.5], [-0.5, 0.8]]), [1.0, 2.0], 7)
    found = decompose(path)
    modes = np.stack([found.mode(i) for i in range(2)], axis=1)
    powers = found.eigenvalues[:, None] ** np.arange(8)
    np.testing.assert_allclose((modes * found.amplitudes) @ powers, path, atol=1e-10)


@pytest.mark.parametrize("index", [3, -4, 100])
def test_refuses_a_mode_that_is_not_there(index):
    with pytest.raises(IndexError, match=rf"index={index} is out of range.*3 modes"):
        damped().mode(index)


def test_near_one():
    found = damped()
    gaps = np.abs(found.eigenvalues - 1)
    assert found.near_one(0.2).tolist() == [0]
    assert found.near_one(0.1).tolist() == []
    assert found.near_one(gaps.max() + 0.01).tolist() == [0, 1, 2]


@pytest.mark.parametrize("options", [{}, {"delays": 2}, {"center": True}, {"method": "qr"}])
def test_predict(options):
    path = path_of(np.array([[0.8, 0.5], [-0.5, 0.8]]), [1.0, 2.0], 12)
    found = decompose(path[:, :10], tol=1e-5, **options)
    np.testing.assert_allclose(found.predict([0, 1, 2, 3]), path[:, 9:], atol=1e-7)
    np.testing.assert_allclose(found.predict(3), path[:, 12], atol=1e-7)


def test_predict_between_two_steps():
    assert decompose(0.25 ** T[None, :]).predict(0.5)[0] == pytest.approx(0.25**8.5)


@pytest.mark.parametrize("steps", [-1, np.nan, np.inf, [1, -2], [[1]]])
def test_predict_refuses(steps):
    with pytest.raises(ValueError, match="steps must be a number >= 0"):
        damped().predict(steps)


def test_refined_pairs():
    path = random_system(0, "walk")
    found = decompose(path, rank=4)
    refined = found.refined
    assert refined is found.refined
    np.testing.assert_array_equal(refined.eigenvalues, found.eigenvalues)
    assert np.all(refined.residuals <= found.residuals)
    # By definition: on the snapshots themselves.
    shifted = np.roll(refined.coefficients, 1, axis=0)
    assert np.all(refined.coefficients[-1] == 0)
    vectors, images = path @ refined.coefficients, path @ shifted
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-6)
    by_hand = np.linalg.norm(images - vectors * refined.eigenvalues, axis=0)
    np.testing.assert_allclose(refined.residuals, by_hand, rtol=1e-6, atol=1e-8)


def test_summary_is_a_table_to_read():
    text = damped(dt=0.5).summary()
    assert text.startswith("Koopman spectrum, rank 3 from 9 snapshots, dt = 0.5")
    assert "half-life" in text
    assert "0.7071 + 0.7071i" in text
    assert "0.7071 - 0.7071i" in text
    assert "0.8409" in text
    assert text.splitlines()[-1].split()[0] == "2"


def test_summary_says_how_many_it_leaves_out():
    text = damped().summary(limit=1)
    assert text.splitlines()[-1] == "... and 2 more"
    assert "0.7071" not in text


def test_to_dict_is_json():
    found = decompose(np.array([1.1**T, 0.5**T]), delays=2, dt=0.5)
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back["rank"] == len(back["eigenvalues"]) == 2
    assert np.ravel(back["eigenvalues"]) == pytest.approx([1.1, 0.0, 0.5, 0.0])
    assert back["half_lives"] == [None, pytest.approx(0.5)]
    assert (back["snapshots"], back["delays"], back["center"], back["dt"]) == (9, 2, False, 0.5)


def test_repr():
    assert repr(damped()) == "<KoopmanDecomposition of rank 3 from 9 snapshots, dt=1>"
    assert isinstance(damped(), KoopmanDecomposition)


def test_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        damped().eigenvalues = np.zeros(3)


def test_plot_shows_every_eigenvalue():
    plt = pytest.importorskip("matplotlib.pyplot")
    found = damped()
    figure, ax = plt.subplots()
    try:
        assert found.plot(ax) is ax
        points = ax.collections[0]
        wanted = np.stack([found.eigenvalues.real, found.eigenvalues.imag], axis=1)
        np.testing.assert_allclose(points.get_offsets(), wanted)
        assert points.get_sizes()[0] > points.get_sizes()[1]
        assert max(ax.get_xlim()) > 1
    finally:
        plt.close("all")
    assert figure is ax.figure
