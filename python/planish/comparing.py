"""How far two values are apart: the measures of `planish compare`, on NumPy.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import math
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from . import _types
from .errors import InvalidArgument
from .model import NodeArg

_FLOAT_RANGE, _INTEGER_RANGE = (-1.0, 1.0), (0, 2)


class Tolerance(NamedTuple):
    """|a - b| <= atol + rtol |b|; an atol of None is 1e-7 x max(1, max|b|). `sqnr`, in dB,
    decides alone where it is given."""

    rtol: float = 1e-3
    atol: float | None = None
    sqnr: float | None = None


def _numbers(array: np.ndarray) -> np.ndarray:
    """As doubles; complex numbers as real and imaginary parts."""
    array = np.asarray(array)
    if array.dtype.kind == "c":
        array = np.ascontiguousarray(array)
        return array.view(array.real.dtype).astype(np.float64).ravel()
    return array.astype(np.float64).ravel()


def _top1(a: np.ndarray, b: np.ndarray) -> float:
    if a.ndim == 0 or a.size == 0:
        return math.nan
    rows = [np.real(x).astype(np.float64).reshape(-1, x.shape[-1]).argmax(axis=1)
            for x in (a, b)]
    return float(np.mean(rows[0] == rows[1]))


def _cosine(x: np.ndarray, y: np.ndarray) -> float:
    xx, yy = float(x @ x), float(y @ y)
    if xx > 0 and yy > 0:
        return float(x @ y) / math.sqrt(xx) / math.sqrt(yy)
    return float(xx == yy)


def _distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x - y|, 0 where both are the same infinity or both no number, else infinite there."""
    with np.errstate(invalid="ignore", over="ignore"):
        d = np.abs(x - y)
    d[(x == y) | (np.isnan(x) & np.isnan(y))] = 0
    d[np.isnan(d)] = np.inf
    return d


def _within(a: np.ndarray, b: np.ndarray, y: np.ndarray, d: np.ndarray,
            tol: Tolerance) -> bool:
    finite = np.abs(y[np.isfinite(y)])
    atol = tol.atol
    if atol is None:
        atol = 1e-7 * max(1.0, float(finite.max()) if finite.size else 1.0)
    limit = np.where(np.isfinite(y), atol + tol.rtol * np.abs(y), 0)
    if a.dtype.kind in "iu" and atol == 0 and tol.rtol == 0:
        return bool(np.array_equal(a, b))  # doubles don't hold every 64-bit integer
    return bool((d <= limit).all())


def _array_metrics(b: np.ndarray, a: np.ndarray, tol: Tolerance) -> dict:
    if a.dtype != b.dtype or a.shape != b.shape:
        return {"within": False, "max_abs": None, "max_rel": None, "cosine": None,
                "sqnr_db": None, "top1": None,
                "why": "%s%s is not %s%s" % (b.dtype, list(b.shape), a.dtype, list(a.shape))}
    if a.dtype.kind in "OUST":
        return {"within": bool(np.array_equal(a, b)), "max_abs": 0.0, "max_rel": 0.0,
                "cosine": 1.0, "sqnr_db": None, "top1": None}
    x, y = _numbers(b), _numbers(a)
    d = _distance(x, y)
    there = y != 0
    with np.errstate(invalid="ignore", divide="ignore"):
        rel = np.where(np.isinf(d[there]), np.inf, d[there] / np.abs(y[there]))
    finite = np.isfinite(x) & np.isfinite(y)
    noise = float(np.sum(d[finite] ** 2))
    signal = float(np.sum(y[finite] ** 2))
    sqnr = (math.inf if noise == 0 else
            10 * math.log10(signal / noise) if signal > 0 else -math.inf)
    within = _within(b, a, y, d, tol) if tol.sqnr is None else sqnr >= tol.sqnr
    found = {"within": within, "max_abs": float(d.max(initial=0)),
             "max_rel": float(np.nan_to_num(rel, nan=0, posinf=np.inf).max(initial=0)),
             "cosine": _cosine(x[finite], y[finite]), "sqnr_db": sqnr, "top1": _top1(b, a)}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in found.items()}


def _merge(items: Sequence[dict]) -> dict:
    """Of a sequence: the worst of each."""
    def worst(key, pick):
        values = [m[key] for m in items if m[key] is not None]
        return pick(values) if values else None
    return {"within": all(m["within"] for m in items), "max_abs": worst("max_abs", max),
            "max_rel": worst("max_rel", max), "cosine": worst("cosine", min),
            "sqnr_db": worst("sqnr_db", min), "top1": worst("top1", min)}


def metrics(a: Any, b: Any, tol: Tolerance = Tolerance()) -> dict:
    """Measures of b against the reference a: within, max_abs, max_rel, cosine, sqnr_db, top1
    (the share of rows with the same largest element); None for what is no finite number."""
    if isinstance(a, dict) and isinstance(b, dict):
        if list(a) != list(b):
            return dict(_merge([]), within=False, why="the keys differ")
        return metrics(list(a.values()), list(b.values()), tol)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return dict(_merge([]), within=False, why="%d items, not %d" % (len(b), len(a)))
        return _merge([metrics(x, y, tol) for x, y in zip(a, b)])
    if a is None or b is None:
        return dict(_merge([]), within=a is b)
    return _array_metrics(np.asarray(b), np.asarray(a), tol)


def random_inputs(inputs: Sequence[NodeArg], seed: int = 0,
                  dims: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
    """Inputs as the command makes them where none are given: floats uniform in [-1, 1),
    integers and bool 0 or 1, symbolic and unknown dimensions 1 unless `dims` gives them."""
    rng = np.random.default_rng(seed)
    found = {}
    for arg in inputs:
        t = _types.parse(arg.type)
        if t.kind != _types.TENSOR or not t.dtype or t.dtype == _types.STRING:
            raise InvalidArgument("input %r is %s and can't be random: give it"
                                  % (arg.name, arg.type))
        shape = [d if isinstance(d, int) else (dims or {}).get(d, 1) for d in arg.shape]
        dtype = _types.numpy_dtype(t.dtype)
        if dtype.kind in "iub" or "int" in dtype.name:
            found[arg.name] = rng.integers(*_INTEGER_RANGE, shape).astype(dtype)
        else:
            found[arg.name] = rng.uniform(*_FLOAT_RANGE, shape).astype(dtype)
    return found
