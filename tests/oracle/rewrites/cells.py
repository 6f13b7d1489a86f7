"""Recurrent networks as exporters write them: steps one after the other, Loop and Scan.
SPDX-License-Identifier: Apache-2.0
"""
from . import Case

N4 = "float[N, 4] "
SIZES = (2, 3)
LSTM, GRU = ("h", "c"), ("h",)  # the states that are carried


def at(step, t, x, h="h", c="c"):
    """Step t: `@` is its number, `$x`, `$h` and `$c` what it gets."""
    return step.replace("@", str(t)).replace("$x", x).replace("$h", h).replace("$c", c)


def steps(step, places=(0, 1, 2), axis=0):
    """One after the other, over places of x; what step t gives is ht and ct."""
    out, h, c = [], "h", "c"
    for t, place in enumerate(places):
        out.append("i%d = Constant<value = int64 {%d}>() x%d = Gather<axis = %d>(x, i%d)" % (t, place, t, axis, t))
        out.append(at(step, t, "x%d" % t, h, c))
        h, c = "h%d" % t, "c%d" % t
    return " ".join(out)


def stack(names, axis, to):
    parts = ["e%d = Unsqueeze(%s, ax)" % (i, n) for i, n in enumerate(names)]
    return "ax = Constant<value = int64[1] {%d}>() %s %s = Concat<axis = %d>(%s)" % (
        axis, " ".join(parts), to, axis, ", ".join("e%d" % i for i in range(len(names))))


def unrolled(name, step, weights, behind="y = Identity(h2)", most=None, places=(0, 1, 2), axis=0, x="float[3, N, 3]",
             outs=N4 + "y", carried=LSTM, state=N4, **more):
    ins = ", ".join([x + " x"] + [state + s for s in carried])
    return Case(name, "(%s) => (%s) <%s> { %s %s }" % (ins, outs, weights, steps(step, places, axis), behind),
                most=most, sizes=SIZES, **more)


def loop(name, step, weights, most=None, index="Identity(i)", trips="m", before="", x="float[3, N, 3]", outs=N4 + "y",
         collects=None, carried=LSTM, goes_on="k2 = Identity(k)"):
    """The body gets the states as hp and cp and gives them as h1 and c1."""
    names = ["y", "c9"][:len(carried)] + (["z"] if collects else [])
    inner = ", ".join(N4 + s + "p" for s in carried)
    res = ", ".join([N4 + s + "1" for s in carried] + ([N4 + "q"] if collects else []))
    body = " ".join([goes_on, "j = %s x1 = Gather<axis = 0>(x, j)" % index, at(step, 1, "x1", "hp", "cp"),
                     "q = Identity(%s)" % collects if collects else ""])
    return Case(name, "(%s) => (%s) <%s, int64 m = {3}, bool on = {1}, int64 two = {2}, int64[1] ax = {0}> { %s %s = Loop(%s, on, %s)"
                "<body = b (int64 i, bool k, %s) => (bool k2, %s) { %s }> }" % (
                    ", ".join([x + " x"] + [N4 + s for s in carried]), outs, weights, before, ", ".join(names), trips,
                    ", ".join(carried), inner, res, body), most=most, sizes=SIZES)


def scan(name, step, weights, most=None, attrs="", x="float[L, N, 3]", z="float[L, N, 4]", carried=LSTM):
    names = ["y", "c9"][:len(carried)] + ["z"]
    inner = ", ".join([N4 + s + "p" for s in carried] + ["float[N, 3] x1"])
    res = ", ".join([N4 + s + "1" for s in carried] + [N4 + "q"])
    return Case(name, "(%s) => (%sy, %s z) <%s> { %s = Scan<num_scan_inputs = 1%s, body = b (%s) => (%s) { %s q = Identity(h1) }>(%s) }" % (
        ", ".join([x + " x"] + [N4 + s for s in carried]), N4, z, weights, ", ".join(names), attrs, inner, res,
        at(step, 1, "x1", "hp", "cp"), ", ".join(list(carried) + ["x"])),
                most=most, sizes=({"N": 2, "L": 5}, {"N": 3, "L": 1}))


# ---- LSTM ------------------------------------------------------------------------------

def cell(act="Sigmoid", new="Tanh", last="Tanh"):
    """The states from the gates gi, gf, go, gg."""
    return (" si@ = %s(gi@) sf@ = %s(gf@) so@ = %s(go@) tg@ = %s(gg@) p@ = Mul(sf@, $c) q@ = Mul(si@, tg@)"
            " c@ = Add(p@, q@) tc@ = %s(c@) h@ = Mul(so@, tc@) " % (act, act, act, new, last))


def gemms(order="ifgo"):
    return ("a@ = Gemm<transB = 1>($x, w, bw) r@ = Gemm<transB = 1>($h, u, bu) s@ = Add(a@, r@) %s"
            " = Split<axis = 1, num_outputs = 4>(s@)" % ", ".join("g%s@" % g for g in order))


W = "float[16, 3] w, float[16, 4] u, float[16] bw, float[16] bu"
TORCH = gemms() + cell()
SLICES = ("a@ = Gemm<transB = 1>($x, w, bw) r@ = Gemm<transB = 1>($h, u, bu) s@ = Add(a@, r@)" +
          "".join(" g%s@ = Slice(s@, k%d, k%d, on)" % (g, i, i + 1) for i, g in enumerate("ifgo")) + cell())
SLICED = W + ", int64[1] on = {1}, " + ", ".join("int64[1] k%d = {%d}" % (i, 4 * i) for i in range(5))
TENSORFLOW = ("z@ = Concat<axis = 1>($x, $h) m@ = MatMul(z@, k) s@ = Add(m@, b) gi@, gg@, f1@, go@ ="
              " Split<axis = 1, num_outputs = 4>(s@) gf@ = Add(f1@, one)" + cell())
SEPARATE = " ".join("w%s@ = MatMul($x, w%s) u%s@ = MatMul($h, u%s) v%s@ = Add(w%s@, u%s@) g%s@ = Add(b%s, v%s@)" %
                    ((g,) * 10) for g in "ifog") + cell()
SEPARATED = ", ".join("float[3, 4] w%s, float[4, 4] u%s, float[4] b%s" % (g, g, g) for g in "ifog")
PROJECTED = ("r@ = Gemm<transB = 1>($h, u, bu) s@ = Add($x, r@) gi@, gf@, gg@, go@ ="
             " Split<axis = 1, num_outputs = 4>(s@)" + cell())


def peepholes(of):
    return ("a@ = Gemm<transB = 1>($x, w, bw) r@ = Gemm<transB = 1>($h, u, bu) s@ = Add(a@, r@)"
            " ni@, nf@, gg@, no@ = Split<axis = 1, num_outputs = 4>(s@) ki@ = Mul($c, pi) gi@ = Add(ni@, ki@)"
            " kf@ = Mul(pf, $c) gf@ = Add(kf@, nf@) si@ = Sigmoid(gi@) sf@ = Sigmoid(gf@) tg@ = Tanh(gg@)"
            " p@ = Mul(sf@, $c) q@ = Mul(si@, tg@) c@ = Add(p@, q@) ko@ = Mul(%s, po) go@ = Add(no@, ko@)"
            " so@ = Sigmoid(go@) tc@ = Tanh(c@) h@ = Mul(so@, tc@)" % of)


PEEPS = W + ", float[4] pi, float[4] pf, float[4] po"

# ---- GRU and RNN -----------------------------------------------------------------------

GATES = ("a@ = Gemm<transB = 1>($x, w, bw) r@ = Gemm<transB = 1>($h, u, bu)"
         " ar@, az@, an@ = Split<axis = 1, num_outputs = 3>(a@) rr@, rz@, rn@ = Split<axis = 1, num_outputs = 3>(r@)"
         " sr@ = Add(ar@, rr@) R@ = Sigmoid(sr@) sz@ = Add(az@, rz@) Z@ = Sigmoid(sz@)"
         " m@ = Mul(R@, rn@) sn@ = Add(an@, m@) n@ = Tanh(sn@) ")
TORCH_BLEND = "d@ = Sub($h, n@) v@ = Mul(Z@, d@) h@ = Add(n@, v@)"
TWO = "o@ = Sub(one, Z@) v@ = Mul(o@, n@) w@ = Mul(Z@, $h) h@ = Add(v@, w@)"
MINUS = "d@ = Sub(n@, $h) v@ = Mul(Z@, d@) h@ = Sub(n@, v@)"
FLIPPED = "o@ = Sub(one, Z@) v@ = Mul($h, o@) w@ = Mul(Z@, n@) h@ = Add(w@, v@)"
G = "float[12, 3] w, float[12, 4] u, float[12] bw, float[12] bu, float one = {1.0}"
BEFORE = (" q@ = Mul(R@, $h) e@ = Concat<axis = 1>($x, q@) f@ = MatMul(e@, kn) sn@ = Add(f@, bn) n@ = Tanh(sn@) ")
FIRST = "z@ = Concat<axis = 1>($x, $h) m@ = MatMul(z@, k) s@ = Add(m@, b) "
SPLIT_THEN = FIRST + "gr@, gz@ = Split<axis = 1, num_outputs = 2>(s@) R@ = Sigmoid(gr@) Z@ = Sigmoid(gz@)" + BEFORE
THEN_SPLIT = FIRST + "S@ = Sigmoid(s@) R@, Z@ = Split<axis = 1, num_outputs = 2>(S@)" + BEFORE
K = "float[7, 8] k, float[8] b, float[7, 4] kn, float[4] bn, float one = {1.0}"
KERAS = ("a@ = Gemm($x, wk, bw) az@, ar@, an@ = Split<axis = -1, num_outputs = 3>(a@) r@ = Gemm($h, uk, bu)"
         " rz@ = Slice(r@, s0, e0, rc) rr@ = Slice(r@, s1, e1, rc) rn@ = Slice(r@, s2, e2, rc) sz@ = Add(az@, rz@) Z@ = Sigmoid(sz@) sr@ = Add(ar@, rr@) R@ = Sigmoid(sr@)"
         " m@ = Mul(R@, rn@) sn@ = Add(an@, m@) n@ = Tanh(sn@) " + TWO)
KERAS_G = ("float[3, 12] wk, float[4, 12] uk, float[12] bw, float[12] bu, float one = {1.0}, float zero = {0.0}, int64[2] rc = {0, 1}, "
           "int64[2] s0 = {0, 0}, int64[2] e0 = {2147483647, 4}, int64[2] s1 = {0, 4}, int64[2] e1 = {2147483647, 8}, "
           "int64[2] s2 = {0, 8}, int64[2] e2 = {2147483647, 2147483647}, int64[1] four = {4}, int64[1] ax = {0}")
RNN = "a@ = MatMul($x, w) r@ = MatMul($h, u) s@ = Add(a@, r@) v@ = Add(s@, b) h@ = Tanh(v@)"
R = "float[3, 4] w, float[4, 4] u, float[4] b"
SECOND = " A@ = MatMul($x, v) B@ = MatMul($h, u) C@ = Add(A@, B@) D@ = Add(C@, b) k@ = Tanh(D@)"

HS = ["h0", "h1", "h2"]
BOTH = N4 + "y, float[3, N, 4] z"
ZEROS = "float[2, 4] h = {0,0,0,0,0,0,0,0}, float[2, 4] c = {0,0,0,0,0,0,0,0}"
LENGTH = "sh = Shape<start = 0, end = 1>(x) len = Squeeze(sh, ax)"
OTHER = "float[16, 3] w, float[16, 4] u, float[16] bw, float[16] bu0, float[16] bu1, float[16] bu2"

FLIP = "%s = Slice(%s, n1, lo, ax0, n1) "
BACK = (" Z, H3, C3 = LSTM<hidden_size = 4, direction = \"reverse\">(x, w2, u2, b2, , h, c) t = Squeeze(Z, ax1)")


def around(name, nodes, most=None, outs="float[3, N, 4] y", batch="N", more=""):
    weights = "".join("float[1, 16, 3] w%s, float[1, 16, 4] u%s, float[1, 32] b%s, " % ((k,) * 3) for k in ("", "2"))
    return Case(name, "(float[3, {0}, 3] x, float[1, {0}, 4] h, float[1, {0}, 4] c) => ({1}) <{2}int64[1] n1 = {{-1}}, "
                "int64[1] lo = {{-2147483648}}, int64[1] ax0 = {{0}}, int64[1] ax1 = {{1}}{3}> {{ {4} }}".format(
                    batch, outs, weights, more, nodes), most=most, sizes=SIZES)


CASES = [
    unrolled("lstm_torch", TORCH, W, most=4),
    unrolled("lstm_batch_first", TORCH, W, most=5, axis=1, x="float[N, 3, 3]"),
    unrolled("lstm_other_order", gemms("iofg") + cell(), W, most=4),
    unrolled("lstm_slices", SLICES, SLICED, most=4),
    unrolled("lstm_tensorflow", TENSORFLOW, "float[7, 16] k, float[16] b, float one = {1.0}", most=4),
    unrolled("lstm_separate", SEPARATE, SEPARATED, most=4),
    unrolled("lstm_all_states", TORCH, W, "y = Identity(h2) " + stack(HS, 0, "z"), 5, outs=BOTH),
    unrolled("lstm_all_states_batch_first", TORCH, W, stack(HS, 1, "z"), 6, axis=1, x="float[N, 3, 3]",
             outs="float[N, 3, 4] z"),
    unrolled("lstm_reverse", TORCH, W, stack(HS[::-1], 0, "z"), 4, places=(2, 1, 0), outs="float[3, N, 4] z"),
    unrolled("lstm_reverse_as_run", TORCH, W, stack(HS, 0, "z"), 5, places=(2, 1, 0), outs="float[3, N, 4] z"),
    unrolled("lstm_zero_state", TORCH, W + ", " + ZEROS, most=2, x="float[3, 2, 3]", carried=(), outs="float[2, 4] y"),
    unrolled("lstm_states_read", TORCH, W, "n = Neg(h0) y = Add(n, h2)", 8),
    unrolled("lstm_memory", TORCH, W, "y = Identity(h2) z = Identity(c2)", 5, outs=N4 + "y, " + N4 + "z"),
    unrolled("lstm_some_places", TORCH, W, most=5, x="float[5, N, 3]", places=(1, 2, 3)),
    unrolled("lstm_peepholes", peepholes("c@"), PEEPS, most=4),
    unrolled("lstm_hard_sigmoid", gemms() + cell("HardSigmoid<alpha = 0.25>"), W, most=4),
    unrolled("lstm_relu", gemms() + cell(new="Relu", last="Relu"), W, most=4),
    unrolled("lstm_swapped_activations", gemms() + cell("Tanh", "Sigmoid"), W, most=4),
    unrolled("lstm_leaky", gemms() + cell("HardSigmoid", "LeakyRelu<alpha = 0.3>", "Elu"), W, most=4),
    unrolled("lstm_soft", gemms() + cell(new="Softsign", last="Softplus"), W, most=4),
    Case("lstm_one_step", "(float[N, 3] x, %sh, %sc) => (%sy, %sz) <%s> { %s y = Identity(h0) z = Identity(c0) }" % (
        N4, N4, N4, N4, W, at(TORCH, 0, "x")), most=6, sizes=SIZES),
    Case("lstm_projected_before", "(float[3, N, 3] X, %sh, %sc) => (%sy) <float[3, 16] w, float[16, 4] u, float[16] bw, "
         "float[16] bu> { m = MatMul(X, w) x = Add(m, bw) %s y = Identity(h2) }" % (N4, N4, N4, steps(PROJECTED)),
         most=4, sizes=SIZES),
    unrolled("gru_torch", GATES + TORCH_BLEND, G, most=3, carried=GRU),
    unrolled("gru_two_products", GATES + TWO, G, most=3, carried=GRU),
    unrolled("gru_minus", GATES + MINUS, G, most=3, carried=GRU),
    unrolled("gru_flipped", GATES + FLIPPED, G, most=3, carried=GRU),
    unrolled("gru_reset_before", SPLIT_THEN + TWO, K, most=3, carried=GRU),
    unrolled("gru_sigmoid_then_split", THEN_SPLIT + TWO, K, most=3, carried=GRU),
    unrolled("gru_all_states", GATES + TORCH_BLEND, G, stack(HS, 0, "y"), 3, outs="float[3, N, 4] y", carried=GRU),
    unrolled("rnn_tanh", RNN, R, most=3, carried=GRU),
    unrolled("rnn_relu", RNN.replace("Tanh", "Relu"), R, most=3, carried=GRU),
    unrolled("gru_keras", KERAS, KERAS_G, most=4, carried=GRU, x="float[N, 3, 3]", axis=1),
    Case("gru_keras_zeros", "(float[N, 3, 3] x) => (%sy) <%s> { sh = Shape<start = 0, end = 1>(x) to = Concat<axis = 0>(sh, four)"
         " h = Expand(zero, to) %s y = Identity(h2) }" % (N4, KERAS_G, steps(KERAS, axis=1).replace("Mul(Z0, h)", "Mul(Z0, zero)")),
         most=3, sizes=SIZES),
    unrolled("gru_relu6", (GATES.replace("R@ = Sigmoid(sr@)", "tr@ = Add(sr@, three) cr@ = Clip(tr@, none, six) R@ = Mul(cr@, sixth)")
             .replace("Z@ = Sigmoid(sz@)", "tz@ = Add(sz@, three) cz@ = Clip(tz@, none, six) Z@ = Mul(cz@, sixth)") + TWO),
             G + ", float three = {3.0}, float none = {0.0}, float six = {6.0}, float sixth = {0.16666667}", most=3, carried=GRU),
    Case("rnn_stacked", "(float[3, N, 3] x, %sh, %sk) => (%sy) <%s, float[4, 4] v> { %s %s y = Identity(k2) }" % (
        N4, N4, N4, R, steps(RNN), "".join(at(SECOND, t, "h%d" % t, "k%d" % (t - 1) if t else "k") for t in range(3))),
         most=6, sizes=SIZES),
    # Loop and Scan
    loop("loop_lstm", TORCH, W, most=4),
    loop("loop_lstm_collects", TORCH, W, most=5, collects="h1", outs=BOTH),
    loop("loop_lstm_of_any_length", TORCH, W, most=5, x="float[L, N, 3]", outs=N4 + "y, float[L, N, 4] z",
         collects="h1", trips="len", before=LENGTH),
    loop("loop_lstm_backwards", TORCH, W, most=4, index="Sub(two, i)"),
    loop("loop_lstm_of_first_steps", TORCH, W, most=5, x="float[5, N, 3]"),
    loop("loop_gru", GATES + TORCH_BLEND, G, most=3, carried=GRU),
    scan("scan_lstm", TORCH, W, most=5),
    scan("scan_gru", GATES + TORCH_BLEND, G, most=4, carried=GRU),
    scan("scan_rnn", RNN, R, most=4, carried=GRU),
    scan("scan_lstm_reverse", TORCH, W, most=5, attrs=", scan_input_directions = [1], scan_output_directions = [1]"),
    scan("scan_lstm_turned", TORCH, W, most=6, attrs=", scan_input_directions = [1]"),
    scan("scan_lstm_axis", TORCH, W, most=7, attrs=", scan_input_axes = [1], scan_output_axes = [1]",
         x="float[N, L, 3]", z="float[N, L, 4]"),
    Case("loop_torch_script", "(float[L, N, 3] x, %sh, %sc) => (%sy, %sm, float[L, N, 4] z) <float[1, 16, 3] w, float[1, 16, 4] u,"
         " float[1, 32] b, int64[1] ax = {0}, bool on = {1}> { %s s0 = SequenceEmpty<dtype = 1>() y, m, s = Loop(len, on, h, c, s0)"
         "<body = e (int64 i, bool k, %shp, %scp, seq(float[N, 4]) p) => (bool k2, %sh1, %sc1, seq(float[N, 4]) p2) { k2 = Identity(k)"
         " x1 = Gather<axis = 0>(x, i) x2 = Unsqueeze(x1, ax) h2 = Unsqueeze(hp, ax) c2 = Unsqueeze(cp, ax)"
         " y3, h3, c3 = LSTM<hidden_size = 4>(x2, w, u, b, , h2, c2) h1 = Squeeze(h3, ax) c1 = Squeeze(c3, ax)"
         " p2 = SequenceInsert(p, h1) }> z = ConcatFromSequence<axis = 0, new_axis = 1>(s) }" % (
             (N4,) * 4 + (LENGTH,) + (N4,) * 4), most=6, sizes=SIZES),
    Case("loop_keras", "(float[N, L, 3] x) => (float[M, 4] y) <%s, float[4] bb, int32 from = {0}, float fz = {0.0}, int32[1] four = {4}, int64 li = {-1},"
         " int32 by = {1}, int64[1] k0 = {0}, int64[1] k1 = {1}, int32 z = {0}> { t = Transpose<perm = [1, 0, 2]>(x) s = Shape(t) s32 = Cast<to = 6>(s)"
         " l1 = Slice(s32, k0, k1, k0) l = Squeeze(l1, k0) f = Cast<to = 1>(l) c0 = Less(fz, f) c = And(c0, c0) m = Cast<to = 7>(l) o = Shape(x)"
         " o32 = Cast<to = 6>(o) o1 = Slice(o32, k0, k1, k0) to = Concat<axis = 0>(o1, four) to2 = Cast<to = 7>(to) h = Expand(fz, to2)"
         " t9, y9, q9 = Loop(m, c, from, h)<body = e (int64 i, bool k, int32 j, float[P, 4] hp) => (bool k4, int32 j2, float[P, 4] h1, float[P, 4] q) {"
         " j2 = Add(j, by) fi = Cast<to = 1>(i) fj = Cast<to = 1>(j2) k2 = Less(fj, f) k3 = Less(fi, f) k4 = And(k3, k2) x1 = Gather(t, j) %s"
         " q = Identity(h1) }> y = Gather<axis = 0>(q9, li) }" % (R, at(RNN, 1, "x1", "hp")), most=4, sizes=({"N": 2, "L": 5}, {"N": 3, "L": 1})),
    loop("loop_slices", TORCH.replace("$x", "X@").replace("a@ = Gemm", "b@ = Unsqueeze(i, ax) z@ = Slice(x, b@, far, ax, far) X@ = Squeeze(z@, ax) a@ = Gemm", 1),
         W + ", int64[1] far = {1000000000}", most=4),
    # directions
    around("turned", FLIP % ("f", "x") + "Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c) s = Squeeze(Y, ax1) " +
           FLIP % ("y", "s"), 2),
    around("turned_batch_first", "r = Transpose<perm = [1, 0, 2]>(x) f = Slice(r, n1, lo, ax1, n1) g = Transpose<perm = [1, 0, 2]>(f)"
           " Y, H2, C2 = LSTM<hidden_size = 4>(g, w, u, b, , h, c) s = Squeeze(Y, ax1) t = Transpose<perm = [1, 0, 2]>(s)"
           " v = Slice(t, n1, lo, ax1, n1) y = Transpose<perm = [1, 0, 2]>(v)", 2),
    around("turned_last_state", FLIP % ("f", "x") + "Y, y, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c)", 1, "float[1, N, 4] y"),
    around("turned_lengths", "f = ReverseSequence<time_axis = 0, batch_axis = 1>(x, lens) Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c)"
           " s = Squeeze(Y, ax1) y = ReverseSequence<time_axis = 0, batch_axis = 1>(s, lens)", 2, "float[3, 2, 4] y", 2,
           ", int64[2] lens = {3, 3}"),
    around("turned_by_shape", "l = Shape<start = 0, end = 1>(x) n = Shape<start = 1, end = 2>(x) lens = Expand(l, n)"
           " f = ReverseSequence<time_axis = 0, batch_axis = 1>(x, lens) Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c)"
           " s = Squeeze(Y, ax1) y = ReverseSequence<time_axis = 0, batch_axis = 1>(s, lens)", 2),
    around("turned_before_alone", "l = Constant<value = int64[1] {3}>() n = Shape<start = 1, end = 2>(x) lens = Expand(l, n)"
           " f = ReverseSequence<time_axis = 0, batch_axis = 1>(x, lens) Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c)"
           " y = Squeeze(Y, ax1)", 3),
    around("turned_twice", "f = ReverseSequence<time_axis = 0, batch_axis = 1>(x, lens) " + FLIP % ("g", "f") +
           "Y, H2, C2 = LSTM<hidden_size = 4>(g, w, u, b, , h, c) y = Squeeze(Y, ax1)", 2, "float[3, 2, 4] y", 2, ", int64[2] lens = {3, 3}"),
    Case("directions_joined", "(float[L, N, 3] x) => (float[L, N, 8] y) <float[2, 16, 3] w, float[2, 16, 4] u, float[2, 32] b, int64 k0 = {0}, int64 k1 = {1}> {"
         " Y = LSTM<hidden_size = 4, direction = \"bidirectional\">(x, w, u, b) s = Gather<axis = 1>(Y, k0) t = Gather<axis = 1>(Y, k1)"
         " y = Concat<axis = 2>(s, t) }", most=3, sizes=SIZES),
    Case("trap_directions_swapped", "(float[L, N, 3] x) => (float[L, N, 8] y) <float[2, 16, 3] w, float[2, 16, 4] u, float[2, 32] b, int64 k0 = {0}, int64 k1 = {1}> {"
         " Y = LSTM<hidden_size = 4, direction = \"bidirectional\">(x, w, u, b) s = Gather<axis = 1>(Y, k1) t = Gather<axis = 1>(Y, k0)"
         " y = Concat<axis = 2>(s, t) }", sizes=SIZES),
    around("two_directions", "Y, H2, C2 = LSTM<hidden_size = 4>(x, w, u, b) s = Squeeze(Y, ax1)" + BACK.replace(", , h, c", "") +
           " y = Concat<axis = -1>(s, t)", 3, "float[3, N, 8] y"),
    around("two_directions_states", "Y, H2, C2 = LSTM<hidden_size = 4>(x, w, u, b, , h, c) s = Squeeze(Y, ax1)" + BACK +
           " y = Concat<axis = -1>(s, t) z = Concat<axis = 0>(H2, H3)", 5, "float[3, N, 8] y, float[2, N, 4] z"),
    around("trap_turned_once", FLIP % ("f", "x") + "Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c) y = Squeeze(Y, ax1)"),
    around("trap_turned_in_part", "f = Slice(x, n1, ax0, ax0, n1) Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c) s = Squeeze(Y, ax1) "
           + FLIP % ("y", "s"), None, "float[T, N, 4] y"),
    around("trap_one_state_read", "Y, H2, C2 = LSTM<hidden_size = 4>(x, w, u, b, , h, c) s = Squeeze(Y, ax1)" + BACK +
           " y = Concat<axis = -1>(s, t) z = Neg(H3)", None, "float[3, N, 8] y, float[1, N, 4] z"),
    around("trap_lengths_differ", "f = ReverseSequence<time_axis = 0, batch_axis = 1>(x, lens) Y, H2, C2 = LSTM<hidden_size = 4>(f, w, u, b, , h, c)"
           " s = Squeeze(Y, ax1) y = ReverseSequence<time_axis = 0, batch_axis = 1>(s, lens)", None, "float[3, 2, 4] y", 2,
           ", int64[2] lens = {3, 2}"),
    # traps
    unrolled("trap_other_weights", TORCH.replace("bu)", "bu@)"), OTHER),
    unrolled("trap_peephole_elsewhere", peepholes("$c"), PEEPS),
    unrolled("trap_other_activation", gemms() + cell().replace("so@ = Sigmoid", "so@ = HardSigmoid"), W),
    unrolled("trap_clip", gemms() + cell().replace("Tanh(c@)", "Tanh(l@)").replace("tc@ =", "l@ = Clip(c@, lo, hi) tc@ ="),
             W + ", float lo = {-0.1}, float hi = {0.1}"),
    unrolled("trap_memory_of_each", TORCH, W, "n = Neg(c0) y = Add(n, h2)"),
    unrolled("trap_gates_read", TORCH, W, "n = Neg(si1) y = Add(n, h2)"),
    unrolled("trap_feeds_itself", "f@ = Slice($h, z0, th, on) " + TORCH.replace("$x", "f@"),
             W + ", int64[1] z0 = {0}, int64[1] th = {3}, int64[1] on = {1}"),
    unrolled("trap_uneven_steps", TORCH, W, x="float[5, N, 3]", places=(0, 1, 3)),
    unrolled("trap_state_broadcasts", TORCH, W, state="float[1, 4] "),
    unrolled("trap_gru_other_blend", GATES + TWO.replace("Mul(Z@, $h)", "Mul(R@, $h)"), G, carried=GRU),
    unrolled("trap_gru_tanh_gate", GATES.replace("Z@ = Sigmoid", "Z@ = Tanh") + FLIPPED, G, carried=GRU),
    unrolled("trap_not_one", GATES + TWO, G.replace("1.0", "1.5"), carried=GRU),
    Case("trap_loop_one_row_at_first", "(float[3, N, 3] x, float[B, 4] h) => (%sy) <%s, int64 m = {3}, bool on = {1}> { y = Loop(m, on, h)"
         "<body = e (int64 i, bool k, float[P, 4] hp) => (bool k2, float[Q, 4] h1) { k2 = Identity(k) x1 = Gather(x, i) %s }> }" % (
             N4, R, at(RNN, 1, "x1", "hp")), sizes=({"N": 2, "B": 1}, {"N": 3, "B": 3})),
    loop("trap_loop_stops", TORCH, W, goes_on="i2 = Add(i, i) k2 = Less(i2, two)"),
    loop("trap_loop_collects_memory", TORCH, W, collects="c1", outs=BOTH),
    loop("trap_loop_uneven", TORCH, W, x="float[5, N, 3]", index="Mul(i, two)"),
]
