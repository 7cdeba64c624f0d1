"""Writes src/simd/tables.h: the piecewise polynomials of math.h, 16 pieces each.

    python3 kernels/scripts/fit-tables.py        (needs numpy and scipy; only to change a table)

Each piece is fitted for the smallest error in units of the last place (least squares, reweighted until the errors are
level), and its coefficients are rounded to f32 from the lowest on, the rest refitted after each.
"""
import os
import numpy as np
from scipy.special import erf, erfc, erfcx


def tail(t):
    """The weight of the normal distribution beyond t."""
    return erfc(t / np.sqrt(2)) / 2


def below(t):
    """-GELU(-t)."""
    return t * tail(t)


def below_ratio(t):
    """That over exp(-t^2 / 2)."""
    return t * erfcx(t / np.sqrt(2)) / 2


def slope(t):
    """The derivative of GELU at -t."""
    return tail(t) - t * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)


def fit(f, anchor, low, high, degree, fixed, least=0):
    """Coefficients of a polynomial in x - anchor, and its worst error in ulp of f, or of `least` where f is smaller."""
    n = 400
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    y, d = f(x), x - anchor
    ulps = 2.0 ** (23 - np.floor(np.log2(np.maximum(np.abs(y), least))))
    size = np.abs(d).max()

    def best(fixed):
        free = [i for i in range(degree + 1) if i not in fixed]
        basis = np.stack([(d / size) ** i for i in free], 1)
        rest = y - sum(c * d**i for i, c in fixed.items())
        weight, worst, found = np.ones(n), np.inf, None
        for _ in range(200):
            w = np.sqrt(weight) * ulps
            c = np.linalg.lstsq(basis * w[:, None], rest * w, rcond=None)[0]
            e = np.abs(basis @ c - rest) * ulps
            if e.max() < worst:
                worst, found = e.max(), c
            weight = np.maximum(weight * e / e.max(), 1e-12)
            weight /= weight.sum()
        return {i: c / size**i for i, c in zip(free, found)}

    fixed = dict(fixed)
    for i in range(degree + 1):
        if i not in fixed:
            fixed[i] = float(np.float32(best(fixed)[i]))
    c = [fixed[i] for i in range(degree + 1)]
    p = sum(v * d**i for i, v in enumerate(c))
    return c, np.max(np.abs(p - y) * ulps)


def octaves(f, degree, odd=False, least=0):
    """Pieces are the quarters of the octaves of 1 + t, in the order of the low four bits of (bits of 1 + t) >> 21."""
    rows, worst = [None] * 16, 0
    for i in range(16):
        octave, quarter = divmod(i, 4)
        low, high = (2.0**octave * (1 + (quarter + k) / 4) - 1 for k in (0, 1))
        if odd and i == 0:
            anchor, first = 0.0, 0.0
            low = 1e-9
        else:
            # Near the middle, where the value happens to lie very near to a float.
            step = 2.0**-14
            near = np.round((low + high) / 2 / step) * step + step * np.arange(-400, 401)
            near = near[np.abs(near - (low + high) / 2) < 0.03 * (high - low)]
            lost = np.abs(np.float32(f(near)).astype(float) - f(near))
            anchor = near[np.argmin(lost)]
            first = float(np.float32(f(anchor)))
        c, e = fit(f, anchor, low, high, degree, {0: first}, least)
        rows[((127 + octave) * 4 + quarter) % 16] = [anchor, *c]
        worst = max(worst, e)
    return rows, worst


def steps(f, degree, first):
    """Pieces around the multiples of 17/64; the first is of the function `first`, which is 0 at 0."""
    step = 17 / 64
    rows, worst = [], 0
    for k in range(16):
        low, high = max(1e-9, (k - 0.5) * step), (k + 0.5) * step
        c, e = fit(first, 0, low, high, degree, {0: 0.0}) if k == 0 else fit(f, k * step, low, high, degree, {})
        rows.append(c)
        worst = max(worst, e)
    return rows, worst


def literal(v):
    s = f"{v:.9g}"
    return (s if "." in s or "e" in s else s + ".0") + "f"


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "../src/simd/tables.h"), "w") as out:
    out.write("// Written by scripts/fit-tables.py. A column is a piece; see math.h for how a piece is found.\n#pragma once\n#include \"../runtime/op.h\"\n\n")
    out.write("namespace SHAKTI_ISA_NS {\nnamespace {\n\n// clang-format off\n")
    anchors = "the anchors of the pieces of octaves, then "
    for name, what, (rows, worst) in (
        ("kErf", "erf, in steps", steps(erf, 6, lambda t: erf(t) - t)),
        ("kTanh", anchors + "tanh", octaves(np.tanh, 6, odd=True)),
        ("kGelu", "-GELU(-t), in steps", steps(below, 6, below)),
        ("kGeluRatio", anchors + "-GELU(-t) over exp(-t^2 / 2)", octaves(below_ratio, 6)),
        ("kGeluSlope", anchors + "GELU'(-t)", octaves(slope, 6, least=0.25)),
    ):
        out.write(f"// {what}: within {worst:.2f} ulp before rounding\n")
        out.write(f"constexpr float {name}[{len(rows[0])}][16] = {{\n")
        for line in zip(*rows):
            out.write("    {" + ", ".join(map(literal, line)) + "},\n")
        out.write("};\n")
    out.write("// clang-format on\n\n}  // namespace\n}  // namespace SHAKTI_ISA_NS\n")
