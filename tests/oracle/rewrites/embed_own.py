"""Embeddings: rows of tables, added and normalized, as one node of our own.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

PLANISH = ("-O3", "--target", "planish")
TABLES = "float[9, 4] w, float[8, 4] p, float[2, 4] k, float[4] g, float[4] c"
Y = "float[b, n, 4] y"
CASES = []


def c(name, inputs, nodes, most=1, outputs=Y, consts="", values=None, **more):
    more.setdefault("opset", 17)
    CASES.append(Case(name, "(%s) => (%s) <%s%s> { %s }" % (inputs, outputs, TABLES, consts,
                                                            nodes), most,
                      args=PLANISH, values=values, **more))


def ids(*shape, below):
    """Indices, some of which count from the end."""
    def feed(run):
        rng = np.random.default_rng(run)
        size = [(3, 5)[run] if isinstance(d, str) else d for d in shape]
        return rng.integers(-below, below, size).astype(np.int64)
    return feed


NORM = " y = LayerNormalization(s, g, c) "
BERT = "int64[b, n] i, int64[b, n] t, int64[1, n] j"
FEEDS = {"i": ids("b", "n", below=9), "t": ids("b", "n", below=2), "j": ids(1, "n", below=8)}
SUM = "a = Gather(w, i) d = Gather(k, t) e = Gather(p, j) u = Add(a, d) s = Add(u, e) "
c("bert", BERT, SUM + NORM, feeds=FEEDS)
c("bert_swapped", BERT, SUM.replace("Add(u, e)", "Add(e, u)") + NORM, feeds=FEEDS)
SPELLED = """ m = ReduceMean<axes = [-1]>(s) d1 = Sub(s, m) d2 = Pow(d1, two)
    v = ReduceMean<axes = [-1]>(d2) v1 = Add(v, eps) r = Sqrt(v1) n1 = Div(d1, r) n2 = Mul(n1, g)
    y = Add(n2, c) """
c("bert_spelled_out", BERT, SUM + SPELLED, opset=13, feeds=FEEDS, consts=", float two, float eps",
  values={"two": 2.0, "eps": 1e-12})
c("positions_from_shape", "int64[b, n] i", """ z = Shape(i) l = Gather(z, one) e1 = Unsqueeze(l, ax)
    r = Slice(count, ax, e1, one1) a = Gather(w, i) e = Gather(p, r) s = Add(a, e) """ + NORM, most=3,
  feeds=FEEDS, consts=", int64 one, int64[1] ax, int64[1] one1, int64[1, 8] count",
  values={"one": 1, "ax": np.array([0]), "one1": np.array([1]), "count": np.arange(8)[None]})
# The sum goes on behind the norm.
c("gpt", "int64[b, n] i, int64[1, n] j", "a = Gather(w, i) e = Gather(p, j) s = Add(a, e) "
  "z = LayerNormalization(s, g, c) h = MatMul(z, q) y = Add(h, s)", 2, feeds=FEEDS,
  consts=", float[4, 4] q")
c("one_table", "int64[b, n] i", "s = Gather(w, i)" + NORM, feeds=FEEDS)
c("rms", "int64[b, n] i", "s = Gather(w, i) m = Mul(s, s) v = ReduceMean<axes = [-1]>(m) "
  "v1 = Add(v, eps) r = Sqrt(v1) t = Div(s, r) z = Mul(g, t) h = MatMul(z, q) y = Add(s, h)", 2,
  feeds=FEEDS, consts=", float[4, 4] q, float eps", values={"eps": 1e-6}, opset=13)
c("table_by_itself", "int64[b, n] i, float[n, 4] e", "a = Gather(w, i) s = Add(e, a)" + NORM,
  feeds={"i": FEEDS["i"]})
c("trap_rows_are_read", BERT, SUM + NORM, 2, outputs=Y + ", float[b, n, 4] a", feeds=FEEDS)
c("trap_columns", "float[b, n, 4] x", "s = Gather<axis = 2>(x, o)" + NORM, 2,
  consts=", int64[4] o", values={"o": np.array([2, 1, 0, 3])})
c("trap_outer_axis", "int64[b, 4] i", "s = Gather(w, i) y = LayerNormalization<axis = -2>"
  "(s, f, h)", 2, outputs="float[b, 4, 4] y", consts=", float[4, 4] f, float[4, 4] h",
  feeds={"i": ids("b", 4, below=9)})
