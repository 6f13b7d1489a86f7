"""Embeddings: rows of tables that are added and normalized, as exporters write them.

SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

ORT = ["-O3", "--target", "ort"]
SIZES = ({"b": 2, "s": 3}, {"b": 1, "s": 6})
VALUES = {"zero": np.array([0]), "one": np.array([1]), "at": np.arange(16).reshape(1, 16), "i1": 1,
          "at1": np.arange(16), "i0": 0}
INTS = "int64[1] zero, int64[1] one, int64[1, 16] at, int64[16] at1, int64 i1, int64 i0"
TABLES = INTS + ", float[30, 8] words, float[16, 8] rows, float[2, 8] kinds, float[8] g, float[8] c"
IDS = "int64[b, s] ids, int64[b, s] types"
Y = "float[b, s, 8] y"
# The numbers of rows
LENGTH = " shape = Shape(ids) len = Gather(shape, i1) "
SLICED = LENGTH + " end = Unsqueeze(len, zero) pos = Slice(at, zero, end, one) "
COUNTED = LENGTH + " range = Range(i0, len, i1) pos = Unsqueeze(range, zero) "
SPREAD = LENGTH + """ range = Range(i0, len, i1) flat = Unsqueeze(range, zero)
    pos = Expand(flat, shape) """
W = " w = Gather(words, ids) "
T = " t = Gather(kinds, types) "
P = " p = Gather(rows, pos) "
NORM = " y = LayerNormalization<axis=-1, epsilon=1e-12>(z, g, c) "
SPELLED = """ m = ReduceMean<axes=[-1]>(z) d = Sub(z, m) d2 = Pow(d, two) v = ReduceMean<axes=[-1]>(d2)
    ve = Add(v, eps) sd = Sqrt(ve) n = Div(d, sd) ng = Mul(n, g) y = Add(ng, c) """


def ids_below(limits):
    """Rows that are there: a feed of each input."""
    def feed(name, n, *shape):
        def make(run):
            rng = np.random.default_rng(run)
            return rng.integers(0, n, [SIZES[run].get(d, d) for d in shape]).astype(
                np.int32 if name.endswith("32") else np.int64)
        return make
    return {name: feed(name, n, *shape) for name, (n, *shape) in limits.items()}


FEEDS = ids_below({"ids": (30, "b", "s"), "types": (2, "b", "s"), "ids32": (30, "b", "s"),
                   "types32": (2, "b", "s"), "given": (16, "b", "s"), "given1": (16, 1, "s")})
CASES = []


def case(name, inputs, nodes, most, outputs=Y, opset=17, weights=TABLES, values=None, **kw):
    given = [i.split()[-1] for i in inputs.split(", ") if i.split()[-1] in FEEDS]
    feeds = kw.pop("feeds", {k: FEEDS[k] for k in given})
    CASES.append(Case(name, "(%s) => (%s) <%s> {%s}" % (inputs, outputs, weights, nodes),
                      most=most, args=ORT, opset=opset, ir=8, sizes=SIZES,
                      values=dict(VALUES, **(values or {})),
                      feeds=feeds, **kw))


SUMS = {"wt_p": " a = Add(w, t) z = Add(a, p) ", "wp_t": " a = Add(w, p) z = Add(a, t) ",
        "tw_p": " a = Add(t, w) z = Add(p, a) ", "w_tp": " a = Add(t, p) z = Add(w, a) ",
        "pw_t": " a = Add(p, w) z = Add(t, a) "}
for name, s in SUMS.items():
    case("bert_" + name, IDS, W + T + SLICED + P + s + NORM, 3)
case("bert_13", IDS, W + T + SLICED + P + SUMS["wt_p"] + SPELLED, 3, opset=13,
     weights=TABLES + ", float two, float eps", values={"two": 2.0, "eps": 1e-12})
case("bert_counted", IDS, W + T + COUNTED + P + SUMS["wt_p"] + NORM, 3)
case("bert_spread", IDS, W + T + SPREAD + P + SUMS["wt_p"] + NORM, 3)
case("bert_fixed", "int64[2, 6] ids, int64[2, 6] types", W + T + SLICED + P + SUMS["wt_p"] + NORM,
     3, outputs="float[2, 6, 8] y", feeds={"types": np.arange(12).reshape(2, 6) % 2})
case("bert_given", IDS + ", int64[b, s] given", W + T + " p = Gather(rows, given) " +
     SUMS["wt_p"] + NORM, 4)
case("bert_given_once", IDS + ", int64[1, s] given1", W + T + " p = Gather(rows, given1) " +
     SUMS["wt_p"] + NORM, 4)
case("bert_32", "int32[b, s] ids32, int32[b, s] types32",
     (W + T + SLICED + P + SUMS["wt_p"] + NORM).replace("ids)", "ids32)").replace(
         "types)", "types32)"), 1)
case("bert_no_types", "int64[b, s] ids", W + """ shape0 = Shape(ids) none = ConstantOfShape<value = int64[1] {0}>(shape0)
     t = Gather(kinds, none) """ + SLICED + P + SUMS["wt_p"] + NORM, 2,)
case("bert_types_of_slice", "int64[b, s] ids", W + LENGTH + """ end = Unsqueeze(len, zero)
     cut = Slice(zeros, zero, end, one) shape1 = Shape(ids) types = Expand(cut, shape1)
     """ + T + " pos = Slice(at, zero, end, one) " + P + SUMS["wt_p"] + NORM, 2,
     weights=TABLES + ", int64[1, 16] zeros", values={"zeros": np.zeros((1, 16), np.int64)})
case("distilbert", "int64[b, s] ids", W + SPREAD + P + " z = Add(w, p) " + NORM, 2)
case("distilbert_13", "int64[b, s] ids", W + SPREAD + P + " z = Add(w, p) " + SPELLED, 2, opset=13,
     weights=TABLES + ", float two, float eps", values={"two": 2.0, "eps": 1e-12})
case("table_sliced", "int64[b, s] ids", W + LENGTH + """ end = Unsqueeze(len, zero)
     p0 = Slice(rows, zero, end, zero) p = Unsqueeze(p0, zero) z = Add(w, p) """ + NORM, 2)
case("sum_read", IDS, W + T + SLICED + P + SUMS["wt_p"] + NORM + " r = Add(y, z) ", 4,
     outputs=Y + ", float[b, s, 8] r")
case("sum_given", IDS, W + T + SLICED + P + SUMS["wt_p"] + NORM, 3,
     outputs=Y + ", float[b, s, 8] z")
# A model behind it: GPT-2 style, the norm is not the only reader of the sum.
case("gpt2", "int64[b, s] ids", W + COUNTED + P + " z = Add(w, p) " + NORM +
     " h = MatMul(y, wo) r = Add(h, z) ", 4, outputs="float[b, s, 8] r",
     weights=TABLES + ", float[8, 8] wo")
# Traps
case("trap_from_two", "int64[b, s] ids", W + LENGTH + """ end0 = Unsqueeze(len, zero)
     end = Add(end0, one) pos = Slice(at, one, end, one) """ + P + " z = Add(w, p) " + NORM, None)
case("trap_part_read", IDS, W + T + SLICED + P + SUMS["wt_p"] + NORM, None,
     outputs=Y + ", float[b, s, 8] a")
case("trap_table_of_other_width", "int64[b, s] ids", W + SLICED + " p = Gather(rows1, pos) "
     " z = Add(w, p) " + NORM, None, weights=TABLES + ", float[16, 1] rows1")
case("trap_axis", "int64[2, 3] ids", W + SLICED + P + """ z = Add(w, p)
     y = LayerNormalization<axis=1>(z, g2, c2) """, None, outputs="float[2, 3, 8] y",
     weights=TABLES + ", float[3, 8] g2, float[3, 8] c2", feeds={})
case("trap_ids_of_one_rank", "int64[6] ids", W + " z0 = Unsqueeze(w, zero) z = Add(z0, rows6) " +
     NORM, None, outputs="float[1, 6, 8] y", weights=TABLES + ", float[1, 6, 8] rows6",
     feeds={})
case("trap_counted_by_batch", "int64[s, s] ids", W + " shape = Shape(ids) len = Gather(shape, i0) "
     " range = Range(i0, len, i1) pos = Unsqueeze(range, one) " + P + " z = Add(w, p) " + NORM,
     None, outputs="float[s, s, 8] y")
