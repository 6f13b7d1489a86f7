"""Functions for pipelines: a path, bytes or an onnx.ModelProto in, the same kind out.
SPDX-License-Identifier: Apache-2.0
"""
from __future__ import annotations

import os
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from . import comparing
from .comparing import Tolerance
from .errors import InvalidArgument, ResultsDiffer
from .model import Model, ModelLike, as_model
from .options import GraphOptimizationLevel, SessionOptions
from .session import InferenceSession

__all__ = ["Rewritten", "check", "compare", "convert", "info", "optimize", "quantize"]


class Rewritten(NamedTuple):
    """What a rewrite gives: the model, of the kind that came in, and the report."""

    model: Any
    report: dict


def _deliver(model: Model, source: ModelLike, output: Any, save: Mapping[str, Any]) -> Any:
    if output is not None:
        model.save(output, **save)
        return output
    if isinstance(source, Model):
        return model
    if isinstance(source, (bytes, bytearray, memoryview)):
        return model.to_bytes()
    return model.to_proto()


def _open(source: ModelLike, output: Any) -> Model:
    """A model of its own: the caller's stays as it is."""
    if isinstance(source, (str, os.PathLike)) and output is None:
        raise InvalidArgument("a model that is a file needs `output`, the file to write")
    return source.copy() if isinstance(source, Model) else Model(source)


def optimize(model: ModelLike, output: str | os.PathLike | None = None, *, level: int = 2,
             target: str = "onnx", dims: Mapping[str, int] | None = None,
             verify: int = 0, external_data: str | None = None,
             **options: Any) -> Rewritten:
    """Rewrites a model.

    `model` is a path (then `output` names the file to write), bytes, or an onnx.ModelProto;
    the result's `model` is the same kind, or `output`. `dims` gives symbolic dimensions a
    size. `verify` compares original and result on that many sets of random inputs, and raises
    if they differ. Other options are those of Model.optimize. The report is a dict."""
    m = _open(model, output)
    for symbol, size in (dims or {}).items():
        m.set_dim(symbol, size)
    before = m.copy()
    report = m.optimize(level, target=target, **options)
    _verify(before, m, verify)
    return Rewritten(_deliver(m, model, output, {"external_data": external_data}), report)


def _verify(before: Model, after: Model, times: int) -> None:
    for seed in range(times):
        found = compare(before, after, seed=seed)
        worst = [o for o in found["outputs"] if not o["within"]]
        if worst:
            raise ResultsDiffer("output '%s' of the rewritten model differs (seed %d): %s"
                                % (worst[0]["name"], seed, worst[0]))


def convert(model: ModelLike, output: str | os.PathLike | None = None, *,
            opset: int | None = None,
            extract: tuple[Sequence[str], Sequence[str]] | None = None,
            rename: Mapping[str, str] | None = None, dims: Mapping[str, int] | None = None,
            verify: int = 0, external_data: str | None = None) -> Any:
    """Another operator set, a part, other names and sizes, in the command's order; kinds of
    models as for optimize, but the result is the model alone.

    `extract` is (inputs, outputs), either of which may be empty. `verify` compares original
    and result on that many sets of random inputs, where names and inputs stay the same."""
    if verify and (extract or rename):
        raise InvalidArgument("a part, or a model of other names, can't be verified")
    m = _open(model, output)
    if extract:
        m.extract(*extract)
    for symbol, size in (dims or {}).items():
        m.set_dim(symbol, size)
    before = m.copy()
    if opset is not None:
        m.convert_opset(opset)
    for old, new in (rename or {}).items():
        m.rename(old, new)
    _verify(before, m, verify)
    return _deliver(m, model, output, {"external_data": external_data})


def quantize(model: ModelLike, output: str | os.PathLike | None = None, *,
             calibration: Iterable[Mapping[str, Any]] | None = None,
             external_data: str | None = None, **options: Any) -> Rewritten:
    """Quantizes a model; kinds of models as for optimize. `calibration` yields sets of inputs
    (name: array). Other options are those of Model.quantize."""
    m = _open(model, output)
    report = m.quantize(calibration, **options)
    return Rewritten(_deliver(m, model, output, {"external_data": external_data}), report)


def check(model: ModelLike) -> dict:
    """Checks a model against the ONNX standard: {"valid", "findings"}, each finding with
    node, op, text and severity."""
    findings = as_model(model).check()
    return {"schema": 1, "findings": findings,
            "valid": not any(f["severity"] == "error" for f in findings)}


def info(model: ModelLike) -> dict:
    """Facts about a model and what it costs: see docs/json.md."""
    return as_model(model).info()


def _session(model: Model, as_is: bool, threads: int) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = threads
    if as_is:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    return InferenceSession(model, options)


def compare(a: ModelLike | Mapping[str, Any], b: ModelLike | Mapping[str, Any],
            inputs: Mapping[str, Any] | None = None, *, rtol: float = 1e-3,
            atol: float | None = None, sqnr: float | None = None, seed: int = 0,
            dims: Mapping[str, int] | None = None, optimize: bool = True,
            threads: int = 0) -> dict:
    """Runs two models on the same inputs, or takes two dicts of arrays: {"same", "outputs"},
    each output with name, within, max_abs, max_rel, cosine, sqnr_db and top1.

    `a` is the reference. Inputs that are not given are random from `seed`. `atol` is
    1e-7 x max(1, max|a|) unless given; `sqnr`, in dB, decides alone where it is given."""
    tol = Tolerance(rtol, atol, sqnr)
    results = []
    for source in (a, b):
        if isinstance(source, Mapping):
            results.append(dict(source))
            continue
        session = _session(as_model(source), not optimize, threads)
        if not results:
            feed = _complete(session, inputs, seed, dims)
        elif isinstance(a, Mapping):
            raise InvalidArgument("arrays are compared with arrays, models with models")
        names = [o.name for o in session.get_outputs()]
        results.append(dict(zip(names, session.run(names, feed))))
    missing = dict(comparing.metrics(None, 0), why="only one has it")
    rows = [dict(name=name, **(comparing.metrics(results[0][name], results[1][name], tol)
                               if name in results[1] and name in results[0] else missing))
            for name in dict.fromkeys([*results[0], *results[1]])]
    return {"schema": 1, "same": all(r["within"] for r in rows), "outputs": rows}


def _complete(session: InferenceSession, inputs: Mapping[str, Any] | None, seed: int,
              dims: Mapping[str, int] | None) -> dict[str, Any]:
    given = dict(inputs or {})
    rest = [i for i in session.get_inputs() if i.name not in given]
    return {**comparing.random_inputs(rest, seed, dims), **given}
