"""How closely do `kk.decompose`'s two roads agree with LAPACK's `dgedmd`?

Over random systems of five kinds, at equal truncation. A difference is the largest distance between matched
eigenvalues of one system, or between their residuals. Systems of which the two keep different numbers of
singular values are counted apart.

    python benchmarks/dgedmd_agreement.py
    python benchmarks/dgedmd_agreement.py --systems 40
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from _report import report

import keras_koopman as kk
from tests.oracle import dgedmd, gap, matched, random_system

KINDS = ("noisy", "decay", "walk", "steep", "deep")


def differences(found, wanted):
    """Largest difference of eigenvalues and of residuals; None if their numbers differ."""
    if len(found.eigenvalues) != len(wanted.eigenvalues):
        return None
    order = matched(found.eigenvalues, wanted.eigenvalues)
    residuals = np.max(np.abs(found.residuals[order] - wanted.residuals), initial=0.0)
    return gap(found.eigenvalues, wanted.eigenvalues), float(residuals)


def statistics(pairs):
    """Median and largest over all systems, and how many had another rank."""
    counted = np.array([pair for pair in pairs if pair is not None])
    return {
        "eigenvalues": {"median": float(np.median(counted[:, 0])), "max": float(counted[:, 0].max())},
        "residuals": {"median": float(np.median(counted[:, 1])), "max": float(counted[:, 1].max())},
        "other_rank": len(pairs) - len(counted),
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    gram, qr, qr_deep, itself, refined = [], [], [], [], []
    for number in range(arguments.systems):
        seed = arguments.seed + number
        path = random_system(seed, KINDS[number % len(KINDS)])
        x, y = path[:, :-1], path[:, 1:]
        of_gram = kk.decompose(path, tol=1e-4)
        of_qr = kk.decompose(path, tol=1e-6, method="qr")
        of_qr_deep = kk.decompose(path, tol=1e-12, method="qr")
        gram.append(differences(of_gram, dgedmd(x, y, 1e-4)))
        qr.append(differences(of_qr, dgedmd(x, y, 1e-6)))
        deep = dgedmd(x, y, 1e-12)
        rows = np.random.default_rng(seed).permutation(len(path))
        qr_deep.append(differences(of_qr_deep, deep))
        itself.append(differences(dgedmd(x[rows], y[rows], 1e-12), deep))
        refined += [np.max(d.refined.residuals - d.residuals) for d in (of_gram, of_qr, of_qr_deep)]
    found = {
        "gram, tol 1e-4": statistics(gram),
        "qr, tol 1e-6": statistics(qr),
        "qr, tol 1e-12": statistics(qr_deep),
        "dgedmd itself, rows permuted, tol 1e-12": statistics(itself),
    }
    of_gram, of_qr, of_deep, of_itself = found.values()
    report(
        "dgedmd_agreement",
        {**found, "refined_above_plain": float(max(refined))},
        {
            f"{name}, {part}": bool(met)
            for part in ("eigenvalues", "residuals")
            for name, met in (
                ("gram within 1e-7 at 1e-4", of_gram[part]["max"] <= 1e-7),
                ("qr within 1e-8 at 1e-6", of_qr[part]["max"] <= 1e-8),
                (
                    "qr at most 10 times dgedmd itself at 1e-12, median and max",
                    all(of_deep[part][k] <= 10 * of_itself[part][k] for k in ("median", "max")),
                ),
            )
        }
        | {
            "refined never above plain": bool(max(refined) <= 0),
            "equal ranks": not any(part["other_rank"] for part in (of_gram, of_qr)),
        },
        systems=arguments.systems,
        kinds=KINDS,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
