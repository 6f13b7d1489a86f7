"""Blocks of pixels that move into channels and back, in the spellings of exporters.
SPDX-License-Identifier: Apache-2.0
"""
from . import Case

B8 = "(float[N, 8, 3, 5] x) => (float[N, 2, 6, 10] y)"
S8 = "(float[N, 2, 6, 10] x) => (float[N, 8, 3, 5] y)"
FOCUS = "(float[N, 3, 8, 12] x) => (float[N, 12, 4, 6] y)"
YOLO = ("00", "10", "01", "11")


def c(name, head, consts, nodes, most=None, **kw):
    return Case(name, "%s <%s> { %s }" % (head, consts, nodes), most, **kw)


def view(name, head, mid, perm, end, most=None, **kw):
    """Reshape, Transpose, Reshape."""
    return c(name, head, "int64[%d] s = {%s}, int64[%d] t = {%s}" % (
        len(mid.split(",")), mid, len(end.split(",")), end),
        "a = Reshape(x, s) b = Transpose<perm=[%s]>(a) y = Reshape(b, t)" % perm, most, **kw)


def dynamic(name, perm, parts, most=None):
    """The same with sizes that a Shape gives."""
    return c(name, "(float[N, 8, H, W] x) => (float[N, 2, H2, W2] y)",
             "int64 i0 = {0}, int64 i2 = {2}, int64 i3 = {3}, int64[1] ax = {0}, int64[1] two = {2}, "
             "int64 k = {2}",
             "s = Shape(x) n0 = Gather(s, i0) h0 = Gather(s, i2) w0 = Gather(s, i3) "
             "n = Unsqueeze(n0, ax) h = Unsqueeze(h0, ax) w = Unsqueeze(w0, ax) "
             "h1 = Mul(h0, k) w1 = Mul(w0, k) h2 = Unsqueeze(h1, ax) w2 = Unsqueeze(w1, ax) "
             "to = Concat<axis=0>(%s) a = Reshape(x, to) b = Transpose<perm=[%s]>(a) "
             "end = Concat<axis=0>(n, two, h2, w2) y = Reshape(b, end)" % (parts, perm), most,
             sizes=({"N": 1, "H": 3, "W": 4}, {"N": 2, "H": 5, "W": 1}))


ENDS = "int64[1] big = {9223372036854775807}, int64[1] a1 = {1}, int64[1] a2 = {2}, " \
       "int64[1] a3 = {3}, int64[1] o0 = {0}, int64[1] o1 = {1}, int64[1] two = {2}"


def cuts(order, h="a2", w="a3"):
    """x[..., i::2, j::2] for each "ij", one axis after the other."""
    made = ""
    for k, (i, j) in enumerate(order):
        made += "r%d = Slice(x, o%s, big, %s, two) p%d = Slice(r%d, o%s, big, %s, two) " % (
            k, i, h, k, k, j, w)
    return made


def focus(name, order, more="", head=FOCUS, most=None, axis=1, consts="", out="y", **kw):
    parts = ", ".join("p%d" % k for k in range(len(order)))
    return c(name, head, ENDS + consts, cuts(order) + "%s = Concat<axis=%d>(%s) %s" % (
        out, axis, parts, more), most, **kw)


CASES = [
    # depth to space
    view("d2s_dcr", B8, "-1, 2, 2, 2, 3, 5", "0,3,4,1,5,2", "-1, 2, 6, 10", 1),
    view("d2s_crd", B8, "-1, 2, 2, 2, 3, 5", "0,1,4,2,5,3", "-1, 2, 6, 10", 1),
    view("d2s_dcr_static", "(float[1, 8, 3, 5] x) => (float[1, 2, 6, 10] y)", "1, 2, 2, 2, 3, 5",
         "0,3,4,1,5,2", "1, 2, 6, 10", 1),
    view("d2s_crd_zero_batch", B8, "0, 2, 2, 2, 3, 5", "0,1,4,2,5,3", "0, 2, 6, 10", 1),
    view("d2s_crd_wide_rows", "(float[N, 4, 3, 5] x) => (float[N, 2, 3, 10] y)", "-1, 2, 2, 3, 5",
         "0,1,3,4,2", "-1, 2, 3, 10", 3),
    view("d2s_crd_one_channel", "(float[N, 9, 3, 5] x) => (float[N, 1, 9, 15] y)",
         "-1, 3, 3, 3, 5", "0,3,1,4,2", "-1, 1, 9, 15", 1),
    view("d2s_crd_reshaped_batch", "(float[2, 3, 8, 3, 5] x) => (float[2, 3, 2, 6, 10] y)",
         "6, 2, 2, 2, 3, 5", "0,1,4,2,5,3", "2, 3, 2, 6, 10"),
    view("trap_d2s_swapped", B8, "-1, 2, 2, 2, 3, 5", "0,1,4,3,5,2", "-1, 2, 6, 10"),
    view("trap_d2s_uneven", "(float[N, 12, 3, 5] x) => (float[N, 2, 6, 15] y)",
         "-1, 2, 2, 3, 3, 5", "0,1,4,2,5,3", "-1, 2, 6, 15", 3),
    view("trap_d2s_other_end", "(float[N, 8, 3, 5] x) => (float[N, 2, 60] y)",
         "-1, 2, 2, 2, 3, 5", "0,1,4,2,5,3", "-1, 2, 60"),
    dynamic("d2s_dcr_dynamic", "0,3,4,1,5,2", "n, two, two, two, h, w", 1),
    dynamic("d2s_crd_dynamic", "0,1,4,2,5,3", "n, two, two, two, h, w", 1),
    c("d2s_multi_use", "(float[N, 8, 3, 5] x) => (float[N, 2, 6, 10] y, float[N, 2, 3, 2, 5, 2] z)",
      "int64[6] s = {-1, 2, 2, 2, 3, 5}, int64[4] t = {-1, 2, 6, 10}",
      "a = Reshape(x, s) b = Transpose<perm=[0,1,4,2,5,3]>(a) y = Reshape(b, t) z = Relu(b)"),
    c("d2s_nhwc", "(float[N, 3, 5, 8] x) => (float[N, 6, 10, 2] y)",
      "int64[6] s = {-1, 3, 5, 2, 2, 2}, int64[4] t = {-1, 6, 10, 2}",
      "a = Reshape(x, s) b = Transpose<perm=[0,1,3,2,4,5]>(a) y = Reshape(b, t)"),
    c("d2s_between_convs", "(float[N, 3, 4, 6] x) => (float[N, 4, 8, 12] y)",
      "float[8, 3, 1, 1] w, float[4, 2, 3, 3] v, int64[6] s = {-1, 2, 2, 2, 4, 6}, "
      "int64[4] t = {-1, 2, 8, 12}",
      "d = Conv(x, w) a = Reshape(d, s) b = Transpose<perm=[0,1,4,2,5,3]>(a) e = Reshape(b, t) "
      "y = Conv<pads=[1,1,1,1]>(e, v)", 3),
    # space to depth
    view("s2d", S8, "-1, 2, 3, 2, 5, 2", "0,3,5,1,2,4", "-1, 8, 3, 5", 1),
    view("s2d_one_channel", "(float[N, 1, 6, 10] x) => (float[N, 4, 3, 5] y)", "-1, 3, 2, 5, 2",
         "0,2,4,1,3", "-1, 4, 3, 5", 1),
    view("pixel_unshuffle", S8, "-1, 2, 3, 2, 5, 2", "0,1,3,5,2,4", "-1, 8, 3, 5"),
    view("space_to_patches", S8.replace("[N, 8, 3, 5] y", "[N, 15, 8] y"), "-1, 2, 3, 2, 5, 2",
         "0,2,4,1,3,5", "-1, 15, 8", 3),
    c("pixel_unshuffle_conv", "(float[N, 2, 6, 10] x) => (float[N, 4, 3, 5] y)",
      "float[4, 8, 3, 3] w, float[4] b, int64[6] s = {-1, 2, 3, 2, 5, 2}, "
      "int64[4] t = {-1, 8, 3, 5}",
      "a = Reshape(x, s) d = Transpose<perm=[0,1,3,5,2,4]>(a) e = Reshape(d, t) "
      "y = Conv<pads=[1,1,1,1]>(e, w, b)", 2),
    c("trap_pixel_unshuffle_group_conv", "(float[N, 2, 6, 10] x) => (float[N, 4, 3, 5] y)",
      "float[4, 4, 3, 3] w, int64[6] s = {-1, 2, 3, 2, 5, 2}, int64[4] t = {-1, 8, 3, 5}",
      "a = Reshape(x, s) d = Transpose<perm=[0,1,3,5,2,4]>(a) e = Reshape(d, t) "
      "y = Conv<pads=[1,1,1,1], group=2>(e, w)"),
    # slices of every second row and column
    focus("focus_rows_first", ("00", "01", "10", "11"), most=1),
    focus("focus_yolo", YOLO, most=2),
    focus("focus_yolo_conv", YOLO, "y = Conv<pads=[1,1,1,1]>(e, w)", out="e",
          head="(float[N, 3, 8, 12] x) => (float[N, 5, 4, 6] y)", consts=", float[5, 12, 3, 3] w",
          most=2),
    focus("focus_yolo_conv_bn", YOLO, "d = Conv<pads=[1,1,1,1]>(e, w) "
          "y = BatchNormalization(d, pos_s, o, u, pos_v)", out="e",
          head="(float[N, 3, 8, 12] x) => (float[N, 5, 4, 6] y)",
          consts=", float[5, 12, 3, 3] w, float[5] pos_s, float[5] o, float[5] u, float[5] pos_v",
          most=2),
    focus("focus_conv_two_users", YOLO, "y = Conv<pads=[1,1,1,1]>(e, w) z = Relu(e)", out="e",
          head="(float[N, 3, 8, 12] x) => (float[N, 5, 4, 6] y, float[N, 12, 4, 6] z)",
          consts=", float[5, 12, 3, 3] w"),
    focus("focus_dynamic", YOLO, head="(float[N, 3, H, W] x) => (float[N, 12, P, Q] y)",
          most=2,
          sizes=({"N": 1, "H": 4, "W": 6}, {"N": 2, "H": 8, "W": 2})),
    c("trap_focus_odd", "(float[N, 3, 7, 12] x) => (float[N, 6, 4, 6] y)", ENDS,
      "r0 = Slice(x, o0, big, a2, two) p0 = Slice(r0, o0, big, a3, two) "
      "p1 = Slice(r0, o1, big, a3, two) y = Concat<axis=1>(p0, p1)"),
    focus("trap_focus_repeated", ("00", "10", "01", "10")),
    focus("trap_focus_three", ("00", "10", "01"),
          head="(float[N, 3, 8, 12] x) => (float[N, 9, 4, 6] y)"),
    focus("trap_focus_other_axis", YOLO, axis=2,
          head="(float[N, 3, 8, 12] x) => (float[N, 3, 16, 6] y)"),
    c("focus_two_axes_at_once", FOCUS, ENDS + ", int64[2] ax = {2, 3}, int64[2] b2 = "
      "{9223372036854775807, 9223372036854775807}, int64[2] st = {2, 2}, int64[2] s00 = {0, 0}, "
      "int64[2] s01 = {0, 1}, int64[2] s10 = {1, 0}, int64[2] s11 = {1, 1}",
      "p = Slice(x, s00, b2, ax, st) q = Slice(x, s10, b2, ax, st) r = Slice(x, s01, b2, ax, st) "
      "t = Slice(x, s11, b2, ax, st) y = Concat<axis=1>(p, q, r, t)"),
    c("focus_shared_rows", FOCUS, ENDS,
      "r0 = Slice(x, o0, big, a2, two) r1 = Slice(x, o1, big, a2, two) "
      "p0 = Slice(r0, o0, big, a3, two) p1 = Slice(r1, o0, big, a3, two) "
      "p2 = Slice(r0, o1, big, a3, two) p3 = Slice(r1, o1, big, a3, two) "
      "y = Concat<axis=1>(p0, p1, p2, p3)", 2),
    c("focus_part_used", "(float[N, 3, 8, 12] x) => (float[N, 12, 4, 6] y, float[N, 3, 4, 6] z)",
      ENDS, cuts(YOLO) + "y = Concat<axis=1>(p0, p1, p2, p3) z = Relu(p1)"),
    c("focus_of_block_3", "(float[N, 2, 6, 9] x) => (float[N, 18, 2, 3] y)",
      ENDS + ", int64[1] o2 = {2}, int64[1] three = {3}",
      "".join("r%d%d = Slice(x, o%d, big, a2, three) p%d%d = Slice(r%d%d, o%d, big, a3, three) "
              % (i, j, i, i, j, i, j, j) for i in range(3) for j in range(3))
      + "y = Concat<axis=1>(%s)" % ", ".join("p%d%d" % (i, j) for i in range(3) for j in range(3)),
      1),
    c("patch_merging", "(float[N, 8, 12, 4] x) => (float[N, 4, 6, 16] y)", ENDS,
      cuts(YOLO, "a1", "a2") + "y = Concat<axis=3>(p0, p1, p2, p3)", 3),
    c("patch_merging_norm", "(float[N, 8, 12, 4] x) => (float[N, 24, 8] y)",
      ENDS + ", int64[3] t = {-1, 24, 16}, float[16] s, float[16] o, float[16, 8] w",
      cuts(YOLO, "a1", "a2") + "d = Concat<axis=-1>(p0, p1, p2, p3) e = Reshape(d, t) "
      "f = LayerNormalization(e, s, o) y = MatMul(f, w)", 5),
    # shuffled channels
    view("channel_shuffle_3d", "(float[N, 8, 15] x) => (float[N, 8, 15] y)", "-1, 2, 4, 15",
         "0,2,1,3", "-1, 8, 15", 3),
    c("channel_shuffle_conv", "(float[N, 8, 3, 5] x) => (float[N, 4, 3, 5] y)",
      "float[4, 8, 1, 1] w, int64[5] s = {-1, 2, 4, 3, 5}, int64[4] t = {-1, 8, 3, 5}",
      "a = Reshape(x, s) b = Transpose<perm=[0,2,1,3,4]>(a) d = Reshape(b, t) y = Conv(d, w)", 1),
    c("conv_channel_shuffle", "(float[N, 4, 3, 5] x) => (float[N, 8, 3, 5] y)",
      "float[8, 4, 1, 1] w, float[8] o, int64[5] s = {-1, 2, 4, 3, 5}, int64[4] t = {-1, 8, 3, 5}",
      "d = Conv(x, w, o) a = Reshape(d, s) b = Transpose<perm=[0,2,1,3,4]>(a) y = Reshape(b, t)", 1),
    c("channel_shuffle_split", "(float[N, 8, 3, 5] x) => (float[N, 4, 3, 5] y, float[N, 4, 3, 5] z)",
      "int64[5] s = {-1, 2, 4, 3, 5}, int64[4] t = {-1, 8, 3, 5}",
      "a = Reshape(x, s) b = Transpose<perm=[0,2,1,3,4]>(a) d = Reshape(b, t) "
      "e, f = Split<axis=1, num_outputs=2>(d) y = Relu(e) z = Relu(f)"),
    # repeated pixels
    c("upsample_expand", "(float[N, 4, 3, 5] x) => (float[N, 4, 6, 10] y)",
      "int64[6] s = {-1, 4, 3, 1, 5, 1}, int64[6] e = {1, 4, 3, 2, 5, 2}, "
      "int64[4] t = {-1, 4, 6, 10}", "a = Reshape(x, s) b = Expand(a, e) y = Reshape(b, t)", 1),
    c("upsample_unsqueeze_expand", "(float[N, 4, 3, 5] x) => (float[N, 4, 6, 10] y)",
      "int64[2] u = {3, 5}, int64[6] e = {1, 1, 1, 2, 1, 2}, int64[4] t = {-1, 4, 6, 10}",
      "a = Unsqueeze(x, u) b = Expand(a, e) y = Reshape(b, t)", 1),
    c("upsample_tile", "(float[N, 4, 3, 5] x) => (float[N, 4, 6, 10] y)",
      "int64[2] u = {3, 5}, int64[6] e = {1, 1, 1, 2, 1, 2}, int64[4] t = {-1, 4, 6, 10}",
      "a = Unsqueeze(x, u) b = Tile(a, e) y = Reshape(b, t)", 1),
    c("upsample_concat", "(float[N, 4, 5] x) => (float[N, 4, 10] y)",
      "int64[1] u = {3}, int64[3] t = {-1, 4, 10}",
      "a = Unsqueeze(x, u) b = Concat<axis=3>(a, a) y = Reshape(b, t)", 1),
    c("trap_upsample_rows", "(float[N, 4, 3, 5] x) => (float[N, 4, 6, 5] y)",
      "int64[1] u = {2}, int64[5] e = {1, 1, 2, 1, 1}, int64[4] t = {-1, 4, 6, 5}",
      "a = Unsqueeze(x, u) b = Expand(a, e) y = Reshape(b, t)", 3),
    c("repeat_kv", "(float[N, 2, S, 5] x) => (float[N, 6, S, 5] y)",
      "int64[1] u = {2}, int64[5] e = {1, 1, 3, 1, 1}, int64[4] t = {0, 6, -1, 5}",
      "a = Unsqueeze(x, u) b = Expand(a, e) y = Reshape(b, t)"),
    c("trap_tile_not_repeat", "(float[N, 4, 3, 5] x) => (float[N, 4, 6, 10] y)",
      "int64[4] r = {1, 1, 2, 2}", "y = Tile(x, r)", 1),
]
