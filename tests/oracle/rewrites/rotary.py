"""Rotary position embeddings as exporters spell them.
SPDX-License-Identifier: Apache-2.0
"""
import numpy as np

from . import Case

ANGLES = np.outer(np.arange(16), 1 / 10000 ** (np.arange(4) / 4))
WHOLE = np.concatenate([ANGLES, ANGLES], -1)
EACH = np.repeat(ANGLES, 2, -1)
FREQ = (1 / 10000 ** (np.arange(4) / 4)).reshape(1, 4, 1)
PLANISH = ["-O3", "--target", "planish"]
ORT = ["-O3", "--target", "ort"]
INTS = """int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] last = {-1},
    int64[1] half = {4}, int64[1] full = {8}, int64[1] many = {9223372036854775807},
    int64[2] halves = {4, 4}"""

SLICES = """ X1 = Slice(x, zero, half, last) X2 = Slice(x, half, many, last)
    XN = Neg(X2) XR = Concat<axis=-1>(XN, X1) """
SPLIT = """ X1, X2 = Split<axis=-1>(x, halves) XN = Neg(X2) XR = Concat<axis=-1>(XN, X1) """
SUM = " XA = Mul(x, cos) XB = Mul(XR, sin) y = Add(XA, XB) "
MODERN = """ p1 = Unsqueeze(pos, one) pf = Cast<to=1>(p1) fr = MatMul(inv, pf)
    ft = Transpose<perm=[0, 2, 1]>(fr) emb = Concat<axis=-1>(ft, ft)
    ec = Cos(emb) es = Sin(emb) cos = Unsqueeze(ec, one) sin = Unsqueeze(es, one) """
SCALED = MODERN.replace("cos = Unsqueeze(ec, one) sin = Unsqueeze(es, one)",
                        "ecs = Mul(ec, f) ess = Mul(es, f) ecc = Cast<to=1>(ecs) "
                        "cos = Unsqueeze(ecc, one) sin = Unsqueeze(ess, one)")
GATHERED = """ gc = Gather(wc, pos) gs = Gather(ws, pos) cos = Unsqueeze(gc, one)
    sin = Unsqueeze(gs, one) """
VALUES = {"inv": FREQ, "wc": np.cos(WHOLE), "ws": np.sin(WHOLE), "ec4": np.cos(EACH),
          "es4": np.sin(EACH)}
HEADS = "(float[B, 2, S, 8] x, int64[B, S] pos) => (float[B, 2, S, 8] y)"
BSHD = "(float[B, S, 2, 8] x, int64[B, S] pos) => (float[B, S, 2, 8] y)"
SIZES = ({"B": 2, "S": 3}, {"B": 1, "S": 6})


def case(name, text, most, opset=23, **kw):
    kw.setdefault("values", VALUES)
    return Case(name, text, most=most, opset=opset, ir=10, sizes=SIZES, **kw)


def stack(a, b, out, shape="shape"):
    return " U1 = Unsqueeze(%s, last) U2 = Unsqueeze(%s, last) UC = Concat<axis=-1>(U1, U2) " \
        "%s = Reshape(UC, %s) " % (a, b, out, shape)


PAIRS = """ shape = Shape(x) X1 = Slice(x, zero, many, last, two)
    X2 = Slice(x, one, many, last, two) XN = Neg(X2) """ + stack("XN", "X1", "XR")
REPEATED = """ gc = Gather(wc, pos) gs = Gather(ws, pos) uc = Unsqueeze(gc, last)
    us = Unsqueeze(gs, last) tc = Tile(uc, reps) ts = Tile(us, reps) cd = Reshape(tc, flat)
    sd = Reshape(ts, flat) cos = Unsqueeze(cd, axis) sin = Unsqueeze(sd, axis) """
GPTJ = """ <float[16, 4] wc, float[16, 4] ws, int64[4] reps = {1, 1, 1, 2},
    int64[3] flat = {0, 0, 8}, int64[1] axis = {%d}, """ + INTS + "> {"
GPTJ_VALUES = {"wc": np.cos(ANGLES), "ws": np.sin(ANGLES)}

CASES = []
for target, args in (("", []), ("planish_", PLANISH)):
    for opset in (23, 17) if args else (23,):
        o = "" if opset == 23 else "17_"
        CASES += [
            # 1 MatMul, 1 Transpose, 1 Cast, 1 Unsqueeze, Cos, Sin
            case(target + o + "llama_slices", HEADS + " <float[1, 4, 1] inv, " + INTS + "> {" +
                 MODERN + SLICES + SUM + "}", 7, args=args, opset=opset),
            case(target + o + "llama_split", HEADS + " <float[1, 4, 1] inv, " + INTS + "> {" +
                 MODERN + SPLIT + SUM + "}", 7, args=args, opset=opset),
            case(target + o + "llama_scaled", HEADS + " <float[1, 4, 1] inv, float f = {1.3}, " +
                 INTS + "> {" + SCALED + SLICES + SUM + "}", 9, args=args, opset=opset),
            case(target + o + "gathered", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS +
                 "> {" + GATHERED + SLICES + SUM + "}", 1 if args else 3, args=args,
                 opset=opset),
            case(target + o + "positions_heads", BSHD + " <float[1, 4, 1] inv, " + INTS + "> {" +
                 MODERN.replace("ec, one", "ec, two").replace("es, one", "es, two") + SLICES +
                 SUM + "}", 9, args=args, opset=opset),
            case(target + o + "gptj", BSHD + GPTJ % 2 + REPEATED + PAIRS + SUM + "}",
                 3 if args else 5, args=args, opset=opset, values=GPTJ_VALUES),
            case(target + o + "gptj_heads", HEADS + GPTJ % 1 + REPEATED + PAIRS + SUM + "}",
                 1 if args else 3, args=args, opset=opset, values=GPTJ_VALUES),
        ]

PARTIAL = HEADS.replace("8]", "12]") + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" + \
    GATHERED + "%s" + SLICES.replace("(x,", "(u,") + SUM.replace("Mul(x", "Mul(u").replace(
        "y =", "v =") + " y = Concat<axis=-1>(v, w) }"
THREE = """(float[B, S, 16] q, int64[B, S] pos) => (float[B, 2, S, 8] y)
    <float[1, 4, 1] inv, int64[4] cut = {0, 0, 2, 8}, """ + INTS + "> { x = Reshape(q, cut)"
CASES += [
    case("neox_partial", PARTIAL % """ u = Slice(x, zero, full, last)
         w = Slice(x, full, many, last) """, 3),
    case("neox_partial_split", (PARTIAL % " u, w = Split<axis=-1>(x, parts) ").replace(
        "int64[1] zero", "int64[2] parts = {8, 4}, int64[1] zero"), 3),
    case("planish_neox_partial", PARTIAL % """ u = Slice(x, zero, full, last)
         w = Slice(x, full, many, last) """, 1, args=PLANISH, opset=17),
    case("heads_of_three", THREE + MODERN.replace("ec, one", "ec, two").replace(
        "es, one", "es, two") + SLICES + SUM.replace("y =", "z =") +
        " y = Transpose<perm=[0, 2, 1, 3]>(z) }", 9),
    case("halves_apart", HEADS + " <float[16, 4] wc, float[16, 4] ws, " + INTS + "> {" +
         GATHERED + """ X1, X2 = Split<axis=-1>(x, halves) a = Mul(X1, cos) b = Mul(sin, X2)
         c = Mul(X2, cos) d = Mul(X1, sin) e = Sub(a, b) f = Add(d, c)
         y = Concat<axis=-1>(e, f) }""", 3, values=GPTJ_VALUES),
    case("pairs_apart", HEADS + " <float[16, 4] wc, float[16, 4] ws, " + INTS + "> {" +
         GATHERED + """ shape = Shape(x) X1 = Slice(x, zero, many, last, two)
         X2 = Slice(x, one, many, last, two) a = Mul(X1, cos) b = Mul(sin, X2)
         c = Mul(X2, cos) d = Mul(X1, sin) e = Sub(a, b) f = Add(d, c)""" +
         stack("e", "f", "y") + "}", 3, values=GPTJ_VALUES),
    case("flux", HEADS + " <float[16, 8] wc, float[16, 8] ws, int64[5] cut = {0, 0, 0, -1, 2}, "
         "int64[2] ones = {1, 1}, " + INTS + "> {" + GATHERED + """ shape = Shape(x)
         xp = Reshape(x, cut) s0, s1 = Split<axis=-1>(xp, ones) r0 = Squeeze(s0, last)
         r1 = Squeeze(s1, last) XN = Neg(r1) """ + stack("XN", "r0", "XR") + SUM + "}", 3,
         values={"wc": np.cos(EACH), "ws": np.sin(EACH)}),
    case("one_batch_of_angles", """(float[B, 2, S, 8] x, float[1, S, 4] f) => (float[B, 2, S, 8] y)
         <""" + INTS + """> { emb = Concat<axis=-1>(f, f) ec = Cos(emb) es = Sin(emb)
         cos = Unsqueeze(ec, one) sin = Unsqueeze(es, one)""" + SLICES + SUM + "}", 3,
         args=PLANISH),
    case("constant_angles", """(float[B, 2, 16, 8] x) => (float[B, 2, 16, 8] y)
         <float[1, 1, 16, 8] cos, float[1, 1, 16, 8] sin, """ + INTS + "> {" + SPLIT + SUM + "}",
         1, args=PLANISH, values={"cos": np.cos(WHOLE).reshape(1, 1, 16, 8),
                                  "sin": np.sin(WHOLE).reshape(1, 1, 16, 8)}),
    # com.microsoft picks rows by position: a Mod counts them from the front.
    case("ort_gathered", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" +
         GATHERED + SLICES + SUM + "}", 2, args=ORT, opset=17),
    case("ort_gathered_23", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" +
         GATHERED + SLICES + SUM + "}", 2, args=ORT),
    case("ort_gptj_heads", HEADS + GPTJ % 1 + REPEATED + PAIRS + SUM + "}", 2, args=ORT,
         opset=17, values=GPTJ_VALUES),
    case("ort_neox_partial", PARTIAL % """ u = Slice(x, zero, full, last)
         w = Slice(x, full, many, last) """, 2, args=ORT, opset=17),
    # Reshape, Cast, Mul, Cos, Sin; Shape, ReduceProd, Range, Reshape number the rows
    case("ort_llama_slices", HEADS + " <float[1, 4, 1] inv, " + INTS + "> {" + MODERN + SLICES +
         SUM + "}", 10, args=ORT, opset=17),
    case("ort_llama_scaled", HEADS + " <float[1, 4, 1] inv, float f = {1.3}, " + INTS + "> {" +
         SCALED + SLICES + SUM + "}", 12, args=ORT, opset=17),
    case("ort_llama_slices_23", HEADS + " <float[1, 4, 1] inv, " + INTS + "> {" + MODERN +
         SLICES + SUM + "}", 7, args=ORT),
    case("ort_positions_of_one_batch", HEADS.replace("[B, S] pos", "[1, S] pos") +
         " <float[1, 4, 1] inv, " + INTS + "> {" + MODERN + SLICES + SUM + "}", 6, args=ORT,
         opset=17),
    case("ort_heads_of_three", THREE + MODERN.replace("ec, one", "ec, two").replace(
        "es, one", "es, two") + SLICES + SUM.replace("y =", "z =") +
        " y = Transpose<perm=[0, 2, 1, 3]>(z) }", 12, args=ORT, opset=17),
    case("ort_constant_angles", """(float[B, 2, 16, 8] x) => (float[B, 2, 16, 8] y)
         <float[1, 1, 16, 8] cos, float[1, 1, 16, 8] sin, """ + INTS + "> {" + SPLIT + SUM + "}",
         1, args=ORT, opset=17, values={"cos": np.cos(WHOLE).reshape(1, 1, 16, 8),
                                        "sin": np.sin(WHOLE).reshape(1, 1, 16, 8)}),
    case("ort_old_set", HEADS + " <float[1, 4, 1] inv, " + INTS + "> {" + MODERN + SLICES + SUM +
         "}", None, args=ORT, opset=13),
    case("ort_trap_negative_positions", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS +
         "> {" + GATHERED + SLICES + SUM + "}", 2, args=ORT, opset=17,
         feeds={"pos": lambda run: np.full((2, 3) if run == 0 else (1, 6), -1 - run)}),
    # traps
    case("trap_angles_differ", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" +
         GATHERED + SLICES + SUM + "}", None, values={"wc": np.cos(EACH), "ws": np.sin(WHOLE)}),
    case("trap_not_negated", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" +
         GATHERED + SLICES.replace("Neg(X2)", "Abs(X2)") + SUM + "}", None),
    case("trap_swapped", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS + "> {" +
         GATHERED + SLICES.replace("XN, X1", "X1, XN") + SUM + "}", None),
    case("trap_negative_positions", HEADS + " <float[16, 8] wc, float[16, 8] ws, " + INTS +
         "> {" + GATHERED + SLICES + SUM + "}", 1, args=PLANISH,
         feeds={"pos": lambda run: np.full((2, 3) if run == 0 else (1, 6), -1 - run)}),
]
