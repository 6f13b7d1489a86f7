"""Attention in the spellings of exporters, and what must not become one node.

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

TARGETS = {"onnx": (23, ()), "planish": (17, ("-O3", "--target", "planish")),
           "ort": (17, ("-O3", "--target", "ort"))}
SIZES = ({"b": 2, "n": 3, "t": 5, "p": 2, "u": 5}, {"b": 1, "n": 6, "t": 4, "p": 1, "u": 7})
VALUES = {"two": 2.0, "half": 0.5, "root": 0.5 ** 0.5, "one": 1.0, "low": -3.4028234663852886e38,
          "inf": -np.inf, "zero": 0.0, "ax1": np.array([1]), "ax2": np.array([2]),
          "split": np.array([0, 0, 2, 4]), "join": np.array([0, 0, 8]),
          "parts": np.array([0, 0, 3, 2, 4]), "thirds": np.array([8, 8, 8])}
NUMBERS = "float two, float half, float root, float one, float low, float inf, float zero, " \
    "int64[1] ax1, int64[1] ax2, int64[4] split, int64[3] join, int64[5] parts, int64[3] thirds"
WEIGHTS = NUMBERS + ", float[8, 8] wq, float[8, 8] wk, float[8, 8] wv, float[8, 8] wo, " \
    "float[8] bq, float[8] bk, float[8] bv, float[8] bo"
X = "float[b, n, 8] x"
Y = "float[b, n, 8] y"

# Queries, keys and values of one input, with heads.
PROJECT = """ q0 = MatMul(x, wq) q1 = Add(q0, bq) k0 = MatMul(x, wk) k1 = Add(k0, bk)
    v0 = MatMul(x, wv) v1 = Add(v0, bv) """
HEADS = """ q2 = Reshape(q1, split) q = Transpose<perm = [0, 2, 1, 3]>(q2)
    k2 = Reshape(k1, split) v2 = Reshape(v1, split) v = Transpose<perm = [0, 2, 1, 3]>(v2) """
KEYS = " kt = Transpose<perm = [0, 2, 3, 1]>(k2) "
KEYS_TWICE = " k = Transpose<perm = [0, 2, 1, 3]>(k2) kt = Transpose<perm = [0, 1, 3, 2]>(k) "
DIVIDED = " s0 = MatMul(q, kt) s = Div(s0, two) "
BOTH_SCALED = " qs = Mul(q, root) ks = Mul(kt, root) s = MatMul(qs, ks) "
SCALED = " qs = Mul(q, half) s = MatMul(qs, kt) "
PLAIN = " s = MatMul(q, kt) "
SOFT = " p = Softmax<axis = -1>(z) o0 = MatMul(p, v) "
JOIN = " o1 = Transpose<perm = [0, 2, 1, 3]>(o0) o2 = Reshape(o1, join) "
OUT = " o3 = MatMul(o2, wo) y = Add(o3, bo) "
SELF = PROJECT + HEADS + KEYS
NO_MASK = " z = Identity(s) "
ADDED = " z = Add(s, mask) "
BERT_MASK = """ m1 = Unsqueeze(mask, ax1) m2 = Unsqueeze(m1, ax2) m3 = Cast<to = 1>(m2)
    m4 = Sub(one, m3) m5 = Mul(m4, low) z = Add(s, m5) """
SDPA_MASK = " m1 = Where(mask, zero, inf) z = Add(s, m1) "
HIDING = " z = Where(mask, s, inf) "
KEY_MASK = "int64[b, n] mask"


def zeros_and_ones(run):
    b, n = SIZES[run]["b"], SIZES[run]["n"]
    m = np.ones((b, n), np.int64)
    m[0, n - 1] = 0
    return m


def keeping(*shape):
    """A mask that hides some keys of each query, though never all of them."""
    def feed(run):
        m = np.ones([SIZES[run].get(d, d) for d in shape], bool)
        m[..., -1] = False
        return m
    return feed


CASES = []


def case(name, inputs, outputs, nodes, weights=WEIGHTS, values=None, targets=TARGETS, **kw):
    """One case for each target; `most` by target."""
    most = kw.pop("most", {})
    for target, (opset, args) in targets.items():
        CASES.append(Case("%s_%s" % (name, target),
                          "(%s) => (%s) <%s> {%s}" % (inputs, outputs, weights, nodes),
                          most=most.get(target), args=args, opset=opset,
                          ir=10 if opset > 20 else 8,
                          values=dict(VALUES, **(values or {})), sizes=SIZES, **kw))


MASK01 = {"mask": zeros_and_ones}
case("bert", X + ", " + KEY_MASK, Y, SELF + DIVIDED + BERT_MASK + SOFT + JOIN + OUT,
     feeds=MASK01)
case("bert_any_mask", X + ", " + KEY_MASK, Y, SELF + DIVIDED + BERT_MASK + SOFT + JOIN + OUT,
     values={"low": -10000.0})
case("bert_fixed", "float[2, 6, 8] x, int64[2, 6] mask", "float[2, 6, 8] y",
     SELF + DIVIDED + BERT_MASK + SOFT + JOIN + OUT, feeds={"mask": np.eye(2, 6, dtype=np.int64)})
case("bert_added", X + ", float[b, 1, n, n] mask", Y,
     SELF + DIVIDED + ADDED + SOFT + JOIN + OUT)
case("bert_no_mask", X, Y, SELF + DIVIDED + NO_MASK + SOFT + JOIN + OUT)
case("sdpa", X + ", bool[b, 1, n, n] mask", Y,
     PROJECT + HEADS + KEYS_TWICE + BOTH_SCALED + SDPA_MASK + SOFT + JOIN + OUT,
     feeds={"mask": keeping("b", 1, "n", "n")})
case("hidden", X + ", bool[b, 1, 1, n] mask", Y,
     SELF + SCALED + HIDING + SOFT + JOIN + OUT, feeds={"mask": keeping("b", 1, 1, "n")})
case("no_bias", X, Y, " q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv) " + HEADS +
     KEYS + SCALED + NO_MASK + SOFT + JOIN + OUT)
# Whisper: keys have no bias.
case("no_key_bias", X, Y, PROJECT.replace("k1 = Add(k0, bk)", "k1 = Identity(k0)") + HEADS +
     KEYS + SCALED + NO_MASK + SOFT + JOIN + OUT)
case("bare", X, Y, " q1 = Identity(x) k1 = Identity(x) v1 = Identity(x) " + HEADS + KEYS +
     SCALED + NO_MASK + SOFT + JOIN + " y = Identity(o2) ")
case("cross", X + ", float[b, t, 8] e", Y, PROJECT.replace("k0 = MatMul(x", "k0 = MatMul(e")
     .replace("v0 = MatMul(x", "v0 = MatMul(e") + HEADS + KEYS + SCALED + NO_MASK + SOFT + JOIN +
     OUT)
case("t5_bias", X + ", float[1, 2, n, n] mask", Y, SELF.replace("Add(q0, bq)", "Identity(q0)") +
     PLAIN + ADDED + SOFT + JOIN + OUT)
# GPT-2: one product, split; a constant mask of causal order.
SPLIT_PROJECT = " a0 = MatMul(x, w) a = Add(a0, c) q1, k1, v1 = Split<axis = 2>(a, thirds) "
PACKED_PROJECT = """ a0 = MatMul(x, w) a1 = Add(a0, c) a2 = Reshape(a1, parts)
    a = Transpose<perm = [2, 0, 3, 1, 4]>(a2) q = Gather<axis = 0>(a, i0)
    k = Gather<axis = 0>(a, i1) v = Gather<axis = 0>(a, i2)
    kt = Transpose<perm = [0, 1, 3, 2]>(k) """
ONE = WEIGHTS + ", float[8, 24] w, float[24] c, int64 i0, int64 i1, int64 i2"
INDEX = {"i0": 0, "i1": 1, "i2": 2}
FIXED = "float[2, 6, 8] x"
TRIL = {"tril": np.tri(6, dtype=bool).reshape(1, 1, 6, 6),
        "added": np.where(np.tri(6, dtype=bool), 0, -np.inf)}
case("split", X, Y, SPLIT_PROJECT + HEADS + KEYS + SCALED + NO_MASK + SOFT + JOIN + OUT,
     weights=ONE, values=INDEX)
case("vit_packed", X, Y, PACKED_PROJECT + SCALED + NO_MASK + SOFT + JOIN + OUT, weights=ONE,
     values=INDEX)
case("causal", FIXED, "float[2, 6, 8] y", SPLIT_PROJECT + HEADS + KEYS + SCALED +
     " z = Where(tril, s, inf) " + SOFT + JOIN + OUT,
     weights=ONE + ", bool[1, 1, 6, 6] tril", values=dict(INDEX, **TRIL))
case("causal_added", FIXED, "float[2, 6, 8] y", SELF + SCALED + " z = Add(s, added) " + SOFT +
     JOIN + OUT, weights=WEIGHTS + ", float[6, 6] added", values=TRIL)
case("causal_low", FIXED, "float[2, 6, 8] y", SELF + SCALED + " z = Where(tril, s, low) " + SOFT +
     JOIN + OUT, weights=WEIGHTS + ", bool[1, 1, 6, 6] tril", values=TRIL, most={"ort": 3})
# A decoder with a cache.
CACHE = """ k3 = Transpose<perm = [0, 2, 1, 3]>(k2) pk = Concat<axis = 2>(ok, k3)
    pv = Concat<axis = 2>(ov, v) kt = Transpose<perm = [0, 1, 3, 2]>(pk) """
PAST = ", float[b, 2, p, 4] ok, float[b, 2, p, 4] ov"
PRESENT = ", float[b, 2, q, 4] pk, float[b, 2, q, 4] pv"
case("cache", X + PAST, Y + PRESENT, PROJECT + HEADS + CACHE + SCALED + NO_MASK +
     SOFT.replace("(p, v)", "(p, pv)") + JOIN + OUT)
# Fewer heads of keys and values.
GROUPS = """ q2 = Reshape(q1, split) q = Transpose<perm = [0, 2, 1, 3]>(q2)
    k2 = Reshape(k1, single) k3 = Transpose<perm = [0, 2, 1, 3]>(k2)
    v2 = Reshape(v1, single) v3 = Transpose<perm = [0, 2, 1, 3]>(v2)
    k4 = Unsqueeze(k3, ax2) k5 = Expand(k4, five) k = Reshape(k5, four)
    v4 = Unsqueeze(v3, ax2) v5 = Expand(v4, five) v = Reshape(v5, four)
    kt = Transpose<perm = [0, 1, 3, 2]>(k) """
GROUP_WEIGHTS = WEIGHTS.replace("float[8, 8] wk", "float[8, 4] wk") \
    .replace("float[8, 8] wv", "float[8, 4] wv").replace("float[8] bk", "float[4] bk") \
    .replace("float[8] bv", "float[4] bv") + \
    ", int64[4] single, int64[5] five, int64[4] four"
case("groups", X, Y, PROJECT + GROUPS + SCALED + NO_MASK + SOFT + JOIN + OUT,
     weights=GROUP_WEIGHTS, values={"single": np.array([0, 0, 1, 4]),
                                    "five": np.array([1, 1, 2, 1, 1]),
                                    "four": np.array([0, 2, -1, 4])})
# Heads before everything; the plain function.
FOUR = "float[b, 2, n, 4] q, float[b, 2, t, 4] k, float[b, 2, t, 4] v"
case("function", FOUR, "float[b, 2, n, 4] y", " kt = Transpose<perm = [0, 1, 3, 2]>(k) " +
     DIVIDED + NO_MASK + " p = Softmax<axis = -1>(z) y = MatMul(p, v) ", weights=NUMBERS)
case("function_mask", FOUR + ", float[b, 1, n, t] mask", "float[b, 2, n, 4] y",
     " kt = Transpose<perm = [0, 1, 3, 2]>(k) " + DIVIDED + ADDED +
     " p = Softmax<axis = -1>(z) y = MatMul(p, v) ", weights=NUMBERS)
# nn.MultiheadAttention: the sequence is the first dimension, heads go with the batch.
SEQ = """ a0 = MatMul(x, w) a = Add(a0, c) q1, k1, v1 = Split<axis = 2>(a, thirds)
    q2 = Reshape(q1, flat) q3 = Transpose<perm = [1, 0, 2]>(q2)
    k2 = Reshape(k1, flat) k3 = Transpose<perm = [1, 0, 2]>(k2)
    v2 = Reshape(v1, flat) v3 = Transpose<perm = [1, 0, 2]>(v2)
    qs = Mul(q3, half) kt = Transpose<perm = [0, 2, 1]>(k3) s = MatMul(qs, kt)
    p = Softmax<axis = -1>(s) o0 = MatMul(p, v3) o1 = Transpose<perm = [1, 0, 2]>(o0)
    o2 = Reshape(o1, back) o3 = MatMul(o2, wo) y = Add(o3, bo) """
case("seq_first", "float[6, 2, 8] x", "float[6, 2, 8] y", SEQ, weights=ONE +
     ", int64[3] flat, int64[3] back", values=dict(INDEX, flat=np.array([6, 4, 4]),
                                                   back=np.array([6, 2, 8])))
# The same as it calls the function of PyTorch: [batch, heads, len, dim] between.
SEQ4 = """ a0 = MatMul(x, w) a = Add(a0, c) q1, k1, v1 = Split<axis = 2>(a, thirds)
    q2 = Reshape(q1, flat) q3 = Transpose<perm = [1, 0, 2]>(q2) q = Reshape(q3, apart)
    k2 = Reshape(k1, flat) k3 = Transpose<perm = [1, 0, 2]>(k2) k = Reshape(k3, apart)
    v2 = Reshape(v1, flat) v3 = Transpose<perm = [1, 0, 2]>(v2) v = Reshape(v3, apart)
    qs = Mul(q, root) kt = Transpose<perm = [0, 1, 3, 2]>(k) ks = Mul(kt, root)
    s = MatMul(qs, ks) p = Softmax<axis = -1>(s) o0 = MatMul(p, v)
    o1 = Transpose<perm = [2, 0, 1, 3]>(o0) o2 = Reshape(o1, rows) o3 = MatMul(o2, wo)
    o4 = Add(o3, bo) y = Reshape(o4, back) """
case("seq_first_function", "float[6, 2, 8] x", "float[6, 2, 8] y", SEQ4, weights=ONE +
     ", int64[3] flat, int64[3] back, int64[4] apart, int64[2] rows",
     values=dict(INDEX, flat=np.array([6, 4, 4]), back=np.array([6, 2, 8]),
                 apart=np.array([2, 2, 6, 4]), rows=np.array([12, 8])))
case("seq_first_mask", "float[6, 2, 8] x, float[4, 6, 6] mask", "float[6, 2, 8] y",
     SEQ.replace("Softmax<axis = -1>(s)", "Softmax<axis = -1>(sm)").replace(
         " p = Softmax", " sm = Add(s, mask) p = Softmax"), weights=ONE +
     ", int64[3] flat, int64[3] back", values=dict(INDEX, flat=np.array([6, 4, 4]),
                                                   back=np.array([6, 2, 8])))
# Llama: rotated queries and keys, fewer heads of keys and values, a cache.
ROTATED = """ %(v)sa, %(v)sb = Split<axis = 3>(%(v)s6, halves) %(v)sn = Neg(%(v)sb)
    %(v)sr = Concat<axis = 3>(%(v)sn, %(v)sa) %(v)sc = Mul(%(v)s6, cosu)
    %(v)ss = Mul(%(v)sr, sinu) %(v)s7 = Add(%(v)sc, %(v)ss) """
LLAMA = """ q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv) q2 = Reshape(q1, split)
    q6 = Transpose<perm = [0, 2, 1, 3]>(q2) k2 = Reshape(k1, single)
    k6 = Transpose<perm = [0, 2, 1, 3]>(k2) v2 = Reshape(v1, single)
    v3 = Transpose<perm = [0, 2, 1, 3]>(v2) cosu = Unsqueeze(cos, ax1) sinu = Unsqueeze(sin, ax1)
    """ + ROTATED % {"v": "q"} + ROTATED % {"v": "k"} + """
    pk = Concat<axis = 2>(ok, k7) pv = Concat<axis = 2>(ov, v3)
    k4 = Unsqueeze(pk, ax2) k5 = Expand(k4, five) k = Reshape(k5, four)
    v4 = Unsqueeze(pv, ax2) v5 = Expand(v4, five) v = Reshape(v5, four)
    kt = Transpose<perm = [0, 1, 3, 2]>(k) s0 = MatMul(q7, kt) s = Mul(s0, half) """
case("llama", X + ", float[b, n, 4] cos, float[b, n, 4] sin, float[b, 1, p, 4] ok, "
     "float[b, 1, p, 4] ov", Y + ", float[b, 1, u, 4] pk, "
     "float[b, 1, u, 4] pv", LLAMA + NO_MASK + SOFT + JOIN + " y = MatMul(o2, wo) ",
     weights=GROUP_WEIGHTS + ", int64[2] halves",
     values={"single": np.array([0, 0, 1, 4]), "five": np.array([1, 1, 2, 1, 1]),
             "four": np.array([0, 2, -1, 4]), "halves": np.array([2, 2])})
# GPT-2: products of rows, between views.
CONV1D = """ r0 = Reshape(x, rows) r1 = Gemm(r0, w, c) a = Reshape(r1, wide)
    q1, k1, v1 = Split<axis = 2>(a, thirds) """
case("gpt2", "float[b, 6, 8] x", "float[b, 6, 8] y", CONV1D + HEADS + KEYS + DIVIDED +
     " z = Where(tril, s, low) " + SOFT + JOIN + " o3 = Reshape(o2, rows) o4 = Gemm(o3, wo, bo) "
     "y = Reshape(o4, narrow) ", weights=ONE + ", bool[1, 1, 6, 6] tril, int64[2] rows, "
     "int64[3] wide, int64[3] narrow",
     values=dict(INDEX, rows=np.array([-1, 8]), wide=np.array([-1, 6, 24]),
                 narrow=np.array([-1, 6, 8]), **TRIL))
# Traps: what looks like attention and is none, or must keep more than one node.
case("trap_axis", "float[2, 6, 8] x", "float[2, 6, 8] y", SELF + SCALED +
     " p = Softmax<axis = 2>(s) o0 = MatMul(p, v) " + JOIN + OUT)
case("trap_scores_read", X, Y + ", float[b, 2, n, n] p", SELF + SCALED + NO_MASK + SOFT + JOIN +
     OUT)
case("trap_scale_varies", X + ", float[b, 1, 1, 1] f", Y, SELF + " s0 = MatMul(q, kt) "
     "z = Mul(s0, f) " + SOFT + JOIN + OUT)
# Masks that broadcast otherwise: one for each head, where there are as many heads as batches;
# one number for all keys.
case("trap_mask_by_head", "float[2, 3, 8] x, float[2, 3, 3] mask", "float[2, 3, 8] y",
     SELF + SCALED + ADDED + SOFT + JOIN + OUT)
case("trap_mask_by_query", X + ", float[b, 1, n, 1] mask", Y, SELF + SCALED + ADDED + SOFT +
     JOIN + OUT)
case("trap_mask_scaled", X + ", float[b, 1, n, n] mask", Y, SELF + " s0 = MatMul(q, kt) "
     "s1 = Add(s0, mask) z = Mul(s1, half) " + SOFT + JOIN + OUT)
case("trap_not_causal", FIXED, "float[2, 6, 8] y", SELF + SCALED + " z = Add(s, added) " + SOFT +
     JOIN + OUT, weights=WEIGHTS + ", float[6, 6] added",
     values={"added": np.where(np.tri(6, k=1, dtype=bool), 0, -np.inf)})
case("trap_other_inputs", X + ", float[b, n, 8] e", Y,
     PROJECT.replace("v0 = MatMul(x", "v0 = MatMul(e") + HEADS + KEYS + SCALED + NO_MASK + SOFT +
     JOIN + OUT)
case("trap_keys_as_values", X, Y, PROJECT + HEADS.replace("Reshape(v1", "Reshape(k1") + KEYS +
     SCALED + NO_MASK + SOFT + JOIN + OUT)
# Masks of keys, which com.microsoft takes as they are: all that has certainly two values.
BASE = SELF + DIVIDED
SEEN = " m1 = Unsqueeze(mask, ax1) m2 = Unsqueeze(m1, ax2) "


def hidden_rows(run):
    """No key is seen in the first batch."""
    b, n = SIZES[run]["b"], SIZES[run]["n"]
    m = np.ones((b, n), np.int64)
    m[0] = 0
    return m


FILLED = SEEN + """ m3 = Cast<to = 1>(m2) m4 = Sub(one, m3) m5 = Cast<to = 9>(m4)
    m6 = Where(m5, low, m4) z = Add(s, m6) """
# ONNX Runtime's Attention of the standard gives a query that sees no key no uniform mean.
NOT_STANDARD = {t: TARGETS[t] for t in ("planish", "ort")}
case("keys_filled", X + ", " + KEY_MASK, Y, BASE + FILLED + SOFT + JOIN + OUT, feeds=MASK01,
     most={"ort": 5})
case("keys_filled_any", X + ", " + KEY_MASK, Y, BASE + FILLED + SOFT + JOIN + OUT,
     most={"ort": 5}, targets=NOT_STANDARD)
case("keys_filled_hidden", X + ", " + KEY_MASK, Y, BASE + FILLED + SOFT + JOIN + OUT,
     feeds={"mask": hidden_rows}, most={"ort": 5}, targets=NOT_STANDARD)
case("keys_of_bool", X + ", bool[b, n] mask", Y, BASE + SEEN + " m3 = Where(m2, zero, low) "
     " z = Add(s, m3) " + SOFT + JOIN + OUT, most={"ort": 4})
case("keys_of_bool_scaled", X + ", bool[b, n] mask", Y, BASE + SEEN + """ m3 = Cast<to = 1>(m2)
     m4 = Sub(one, m3) m5 = Mul(m4, low) z = Add(s, m5) """ + SOFT + JOIN + OUT, most={"ort": 4},
     values={"low": -10000.0})
# DistilBERT: scores are replaced.
case("keys_replaced", X + ", " + KEY_MASK, Y, BASE + """ e = Equal(mask, none)
     shape = Shape(s) e1 = Unsqueeze(e, ax1) e2 = Unsqueeze(e1, ax2) e3 = Expand(e2, shape)
     z = Where(e3, low, s) """ + SOFT + JOIN + OUT, feeds={"mask": hidden_rows},
     weights=WEIGHTS + ", int64 none", values={"none": 0}, most={"ort": 5})
case("keys_replaced_inf", X + ", bool[b, n] mask", Y, BASE + SEEN + " z = Where(m2, s, inf) " +
     SOFT + JOIN + OUT, feeds={"mask": keeping("b", "n")}, most={"ort": 4})
case("keys_cross", X + ", float[b, t, 8] e, bool[b, 1, 1, t] mask", Y,
     PROJECT.replace("k0 = MatMul(x", "k0 = MatMul(e").replace("v0 = MatMul(x", "v0 = MatMul(e") +
     HEADS + KEYS + SCALED + HIDING + SOFT + JOIN + OUT, feeds={"mask": keeping("b", 1, 1, "t")},
     most={"ort": 8})
case("keys_and_bias", X + ", bool[b, 1, 1, n] mask, float[1, 2, n, n] bias", Y, SELF + SCALED +
     " s1 = Add(s, bias) z = Where(mask, s1, inf) " + SOFT + JOIN + OUT,
     feeds={"mask": keeping("b", 1, 1, "n")})
case("causal_and_keys", FIXED + ", bool[2, 1, 1, 6] mask", "float[2, 6, 8] y", SELF + SCALED +
     " s1 = Where(tril, s, low) z = Where(mask, s1, low) " + SOFT + JOIN + OUT,
     weights=WEIGHTS + ", bool[1, 1, 6, 6] tril", values=TRIL,
     feeds={"mask": np.array([0, 1, 1, 1, 1, 1] * 2, bool).reshape(2, 1, 1, 6)})
case("trap_low_rows", FIXED + ", bool[2, 1, 6, 6] mask", "float[2, 6, 8] y", SELF + SCALED +
     " z = Where(mask, s, low) " + SOFT + JOIN + OUT,
     feeds={"mask": np.eye(12, 6, dtype=bool).reshape(2, 1, 6, 6)})
case("trap_not_low", FIXED + ", bool[2, 1, 6, 6] mask", "float[2, 6, 8] y", SELF + SCALED +
     " z = Where(mask, s, low) " + SOFT + JOIN + OUT, values={"low": -3.0})
case("trap_keys_of_one_batch", X + ", bool[1, 1, 1, n] mask", Y, SELF + SCALED + HIDING + SOFT +
     JOIN + OUT, feeds={"mask": keeping(1, 1, 1, "n")})
# Fewer heads of keys and values, of sizes that com.microsoft takes: 4 and 2, of 16 numbers.
NUMBERS_G = "float fourth, int64[1] ax1, int64[1] ax2, int64[4] split_q, int64[4] split_k, " \
    "int64[3] join_g, int64[5] five_g, int64[4] four_g, int64[2] halves_g, float low, float inf, " \
    "float zero"
WEIGHTS_G = NUMBERS_G + ", float[64, 64] wq, float[64, 32] wk, float[64, 32] wv, float[64, 64] wo"
VALUES_G = {"fourth": 0.25, "split_q": np.array([0, 0, 4, 16]), "split_k": np.array([0, 0, 2, 16]),
            "join_g": np.array([0, 0, 64]), "five_g": np.array([1, 1, 2, 1, 1]),
            "four_g": np.array([0, 4, -1, 16]), "halves_g": np.array([8, 8])}
X_G = "float[b, n, 64] x"
Y_G = "float[b, n, 64] y"
QKV_G = """ q1 = MatMul(x, wq) k1 = MatMul(x, wk) v1 = MatMul(x, wv) q2 = Reshape(q1, split_q)
    q6 = Transpose<perm = [0, 2, 1, 3]>(q2) k2 = Reshape(k1, split_k)
    k6 = Transpose<perm = [0, 2, 1, 3]>(k2) v2 = Reshape(v1, split_k)
    v3 = Transpose<perm = [0, 2, 1, 3]>(v2) """
PLAIN_G = " q7 = Identity(q6) k7 = Identity(k6) "
NO_CACHE_G = " pk = Identity(k7) pv = Identity(v3) "
CACHE_G = " pk = Concat<axis = 2>(ok, k7) pv = Concat<axis = 2>(ov, v3) "
REPEAT_G = """ k4 = Unsqueeze(pk, ax2) k5 = Expand(k4, five_g) k = Reshape(k5, four_g)
    v4 = Unsqueeze(pv, ax2) v5 = Expand(v4, five_g) v = Reshape(v5, four_g)
    kt = Transpose<perm = [0, 1, 3, 2]>(k) s0 = MatMul(q7, kt) s = Mul(s0, fourth) """
END_G = SOFT + " o1 = Transpose<perm = [0, 2, 1, 3]>(o0) o2 = Reshape(o1, join_g) " \
    "y = MatMul(o2, wo) "
ROTATED_G = " cosu = Unsqueeze(cos, ax1) sinu = Unsqueeze(sin, ax1) " + \
    (ROTATED % {"v": "q"} + ROTATED % {"v": "k"}).replace("halves", "halves_g")
ANGLES_G = np.outer(np.arange(32), 1 / 100 ** (np.arange(8) / 8))
TABLES_G = {"wc": np.cos(np.concatenate([ANGLES_G] * 2, -1)),
            "ws": np.sin(np.concatenate([ANGLES_G] * 2, -1)),
            "inv": (1 / 100 ** (np.arange(8) / 8)).reshape(1, 8, 1)}
BY_POSITION_G = " cos = Gather(wc, pos) sin = Gather(ws, pos) " + ROTATED_G
MODERN_G = """ p1 = Unsqueeze(pos, ax1) pf = Cast<to = 1>(p1) fr = MatMul(inv, pf)
    ft = Transpose<perm = [0, 2, 1]>(fr) emb = Concat<axis = -1>(ft, ft) cos = Cos(emb)
    sin = Sin(emb) """ + ROTATED_G
PAST_G = ", float[%s, 2, p, 16] ok, float[%s, 2, p, 16] ov"
PRESENT_G = ", float[%s, 2, u, 16] pk, float[%s, 2, u, 16] pv"


def group_case(name, inputs, outputs, nodes, most, weights="", **kw):
    case(name, inputs, outputs, nodes, weights=WEIGHTS_G + weights, values=dict(VALUES_G, **TABLES_G),
         targets={"ort": TARGETS["ort"]}, most={"ort": most}, **kw)


# 4 MatMul, and of the lengths: 2 Shape, Cast, Sub, Expand
group_case("group_query", X_G, Y_G, QKV_G + PLAIN_G + NO_CACHE_G + REPEAT_G + NO_MASK + END_G, 10)
group_case("group_query_mask", X_G + ", float[b, 1, n, n] mask", Y_G, QKV_G + PLAIN_G + NO_CACHE_G +
           REPEAT_G + ADDED + END_G, 10)
group_case("group_query_low", X_G + ", bool[b, 1, n, n] mask", Y_G, QKV_G + PLAIN_G + NO_CACHE_G +
           REPEAT_G + " z = Where(mask, s, low) " + END_G, 11)
group_case("group_query_decode", "float[b, 1, 64] x" + PAST_G % ("b", "b"),
           "float[b, 1, 64] y" + PRESENT_G % ("b", "b"), QKV_G + PLAIN_G + CACHE_G + REPEAT_G +
           NO_MASK + END_G, 11)
group_case("group_query_one_batch", "float[1, n, 64] x" + PAST_G % ("1", "1"), "float[1, n, 64] y" +
           PRESENT_G % ("1", "1"), QKV_G + PLAIN_G + CACHE_G + REPEAT_G + NO_MASK + END_G, 10)
group_case("group_query_any_cache", X_G + PAST_G % ("b", "b"), Y_G + PRESENT_G % ("b", "b"),
           QKV_G + PLAIN_G + CACHE_G + REPEAT_G + NO_MASK + END_G, None)
group_case("group_query_rotary", X_G + ", int64[b, n] pos", Y_G, QKV_G + BY_POSITION_G + NO_CACHE_G +
           REPEAT_G + NO_MASK + END_G, 13, weights=", float[32, 16] wc, float[32, 16] ws")
group_case("group_query_llama", X_G + ", int64[b, n] pos, float[b, 1, n, n] mask", Y_G, QKV_G +
           MODERN_G + NO_CACHE_G + REPEAT_G + ADDED + END_G, 21, weights=", float[1, 8, 1] inv")
group_case("group_query_one_row", X_G + ", int64[1, n] pos, float[b, 1, n, n] mask", Y_G, QKV_G +
           MODERN_G + NO_CACHE_G + REPEAT_G + ADDED + END_G, 15, weights=", float[1, 8, 1] inv")
group_case("group_query_llama_cache", "float[1, n, 64] x, int64[1, n] pos" + PAST_G % ("1", "1"),
           "float[1, n, 64] y" + PRESENT_G % ("1", "1"), QKV_G + MODERN_G + CACHE_G + REPEAT_G +
           NO_MASK + END_G, 17, weights=", float[1, 8, 1] inv")
# Operator set 23 has Attention; at target ort the products go into com.microsoft's.
ORT23 = {"ort23": (23, ("-O3", "--target", "ort"))}
case("bert_no_mask", X, Y, SELF + DIVIDED + NO_MASK + SOFT + JOIN + OUT, targets=ORT23)
case("bert_added", X + ", float[b, 1, n, n] mask", Y, SELF + DIVIDED + ADDED + SOFT + JOIN + OUT,
     targets=ORT23)
case("causal_added", FIXED, "float[2, 6, 8] y", SELF + SCALED + " z = Add(s, added) " + SOFT +
     JOIN + OUT, weights=WEIGHTS + ", float[6, 6] added", values=TRIL, targets=ORT23)
# Keys transposed within batch x heads, values split as usual: one rank for both in one node.
CASES.append(Case("keys_by_batch_ort", """(float[2, 5, 32] q, float[7, 2, 32] k, float[2, 7, 32] v)
    => (float[2, 5, 32] y) <int64[4] hq = {2, 5, 4, 8}, int64[4] hv = {2, 7, 4, 8},
    int64[3] hk = {7, 8, 8}, int64[4] hkt = {2, 4, 8, 7}, int64[3] j = {2, 5, 32}, float scale> {
    q4 = Reshape(q, hq) q1 = Transpose<perm=[0, 2, 1, 3]>(q4) k3 = Reshape(k, hk)
    kt3 = Transpose<perm=[1, 2, 0]>(k3) kt = Reshape(kt3, hkt) v4 = Reshape(v, hv)
    v1 = Transpose<perm=[0, 2, 1, 3]>(v4) s0 = MatMul(q1, kt) s = Mul(s0, scale)
    p = Softmax<axis=-1>(s) o = MatMul(p, v1) ot = Transpose<perm=[0, 2, 1, 3]>(o)
    y = Reshape(ot, j) }""", opset=17, args=("-O3", "--target", "ort"), values={"scale": 8 ** -0.5}))
