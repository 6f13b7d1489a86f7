"""What the oracle checks share: TAP output, running the command, measures of difference.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import subprocess
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, ".deps", "models")


class Fault(Exception):
    """A check did not hold; the text says what was found."""


class Tap:
    """Test results in the Test Anything Protocol, one line each, the plan at the end."""

    def __init__(self):
        self.n = 0
        self.failed = 0

    def _line(self, word, name, note=""):
        self.n += 1
        print("%s %d - %s%s" % (word, self.n, name.replace("#", r"\#"), note), flush=True)

    def ok(self, name):
        self._line("ok", name)

    def fail(self, name, why):
        self.failed += 1
        self._line("not ok", "%s: %s" % (name, why))

    def skip(self, name, why):
        self._line("ok", name, " # SKIP " + why)

    def check(self, name, function, *args):
        """Runs function, whose result (or Fault) is the remark on the test called name."""
        try:
            remark = function(*args)
        except Fault as e:
            self.fail(name, str(e))
            return False
        except Exception as e:  # a file that is not there, a model that can't be parsed, ...
            self.fail(name, "%s: %s" % (type(e).__name__, " ".join(str(e).split())[:300]))
            return False
        self.ok("%s: %s" % (name, remark) if remark else name)
        return True

    def done(self):
        if self.n == 0:
            self.fail("anything was checked", "no test ran")
        print("1..%d" % self.n)
        return 1 if self.failed else 0


def models(only=()):
    """The entries of tools/models.json."""
    with open(os.path.join(ROOT, "tools", "models.json")) as f:
        found = json.load(f)["models"]
    unknown = set(only) - {m["id"] for m in found}
    if unknown:
        sys.exit("no such model: %s" % ", ".join(sorted(unknown)))
    return [m for m in found if not only or m["id"] in only]


def command(args, timeout=180, env=None, ok=(0,)):
    """Runs a command; a Fault with its first line of stderr unless it exits with one of ok."""
    try:
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, env=dict(os.environ, **(env or {})))
    except subprocess.TimeoutExpired:
        raise Fault("%s: no end after %d s" % (short(args), timeout)) from None
    except OSError as e:
        raise Fault("%s: %s" % (args[0], e.strerror)) from None
    if done.returncode not in ok:
        text = done.stderr.decode("utf-8", "replace").strip().splitlines()
        lines = [l for l in text if "error" in l.lower()] or text or ["nothing on stderr"]
        raise Fault("%s: exit %d: %s" % (short(args), done.returncode, lines[0][:300]))
    return done


def short(args):
    return " ".join(os.path.basename(str(a)) for a in args[:3])


def load_npz(path):
    try:
        with np.load(path, allow_pickle=False) as z:
            return {k: z[k] for k in z.files}
    except (OSError, ValueError) as e:
        raise Fault("%s: %s" % (os.path.basename(path), e)) from None


def golden(path):
    """Inputs and outputs of a golden run."""
    arrays = load_npz(path)
    return ({k[3:]: v for k, v in arrays.items() if k.startswith("in:")},
            {k[4:]: v for k, v in arrays.items() if k.startswith("out:")})


# ---- measures ----

def sqnr_db(want, got):
    """Signal to noise in dB; infinite when both are the same."""
    want, got = want.astype(np.float64), got.astype(np.float64)
    noise = np.sum((want - got) ** 2)
    signal = np.sum(want ** 2)
    if noise == 0:
        return np.inf
    return 10 * np.log10(signal / noise) if signal > 0 else -np.inf


def cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0 else float(not a.any() and not b.any())


def same_form(name, want, got):
    """Raises unless the array `got` is there, with the type and shape of `want`."""
    if got is None:
        raise Fault("output %r is missing" % name)
    if got.shape != want.shape:
        raise Fault("output %r has shape %s, want %s"
                    % (name, list(got.shape), list(want.shape)))
    kinds = (want.dtype.kind, got.dtype.kind)
    if want.dtype != got.dtype and kinds != ("U", "U"):
        raise Fault("output %r has type %s, want %s" % (name, got.dtype, want.dtype))


def relative_to_max(want, got):
    """max|got - want| / max|want|, where NaN and infinities must be in the same places."""
    if want.size == 0:
        return 0.0
    wild = ~np.isfinite(want)
    if not (np.array_equal(wild, ~np.isfinite(got))
            and np.array_equal(want[wild], got[wild], equal_nan=True)):
        return np.inf
    want, got = want[~wild].astype(np.float64), got[~wild].astype(np.float64)
    if want.size == 0:
        return 0.0
    top = np.max(np.abs(want))
    diff = np.max(np.abs(got - want))
    return float(diff / top) if top > 0 else float(diff > 0 and np.inf)


def accept(rule, want, got):
    """Compares outputs (name: array) as models.json's `accept` says; returns a remark."""
    extra = set(got) - set(want)
    if extra:
        raise Fault("outputs that the model has not: %s" % ", ".join(sorted(extra)))
    worst = None
    for name, w in want.items():
        g = got.get(name)
        same_form(name, w, g)
        if w.dtype.kind != "f":
            if not np.array_equal(w, g):
                at = np.argwhere(w != g)
                raise Fault("output %r: %d of %d values differ, first at %s: %s, want %s"
                            % (name, len(at), w.size, list(map(int, at[0])),
                               g[tuple(at[0])], w[tuple(at[0])]))
            continue
        if "sqnr_db" in rule:
            db = sqnr_db(w, g)
            worst = db if worst is None else min(worst, db)
            if not db >= rule["sqnr_db"]:
                raise Fault("output %r: SQNR %.2f dB, want %g" % (name, db, rule["sqnr_db"]))
            continue
        parts = [(repr(name), w, g)]
        for part in rule.get("slices", {}).get(name, []):
            cut = (slice(None),) * part["axis"] + (slice(part["from"], None),)
            parts.append(("%r (%s)" % (name, part["what"]), w[cut], g[cut]))
        for what, pw, pg in parts:
            rel = relative_to_max(pw, pg)
            worst = rel if worst is None else max(worst, rel)
            if not rel <= rule["rel_to_max"]:
                raise Fault("output %s: off by %.3g x max|golden|, want %g"
                            % (what, rel, rule["rel_to_max"]))
    if worst is None:
        return "exact"
    return "SQNR %.1f dB" % worst if "sqnr_db" in rule else "%.1e x max" % worst
