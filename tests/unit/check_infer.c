/* Inference: types, symbolic shapes, contents of shape tensors, bodies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/infer.h"
#include "src/ir/op.h"
#include "tests/unit/text_model.h"

static pln_model *inferred(const char *text)
{
    pln_model *m = model_of(text);
    const pln_infer_options o = { .strict = true };
    pln_error e = { .code = PLN_OK };
    ck_assert_msg(pln_graph_infer(m->graph, &o, &e) == PLN_OK, "%s", e.text);
    return m;
}

START_TEST(broadcasts_symbols)
{
    pln_model *m = inferred("g (float[batch, 1, seq] a, float[7, 1] b, float[seq] c)"
                            " => (y, z) { y = Add (a, b) z = Add (a, c) }");
    expect_type(m, "y", "float[batch,7,seq]");
    expect_type(m, "z", "float[batch,1,seq]");
    pln_model_free(m);
}
END_TEST

/* As exporters write a reshape to [batch, seq, heads, size]. */
START_TEST(follows_shape_arithmetics)
{
    pln_model *m = inferred(
        "g (float[batch, seq, 384] x) => (y, w)"
        " <int64 i0 = {0}, int64 i1 = {1}, int64[1] ax = {0}, int64[1] h = {12},"
        "  int64[1] d = {32}, int64[1] rest = {-1}, int64 two = {2}, int64 one = {1}> {"
        " s = Shape (x) b = Gather (s, i0) q = Gather (s, i1)"
        " b1 = Unsqueeze (b, ax) q1 = Unsqueeze (q, ax)"
        " to = Concat <axis: int = 0> (b1, q1, h, d) y = Reshape (x, to)"
        " q2 = Mul (q, two) q3 = Add (q2, one) q4 = Unsqueeze (q3, ax)"
        " all = Concat <axis: int = 0> (b1, q4) w = ConstantOfShape (all) }");
    expect_type(m, "y", "float[batch,seq,12,32]");
    expect_type(m, "w", "float[batch,2*seq+1]");
    const pln_symval *s = value_of(m, "to")->sym;
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(s->n, 4);
    ck_assert_str_eq(pln_dim_symbol_name(s->v[1]), "seq");
    pln_model_free(m);
}
END_TEST

START_TEST(decides_where_on_symbols)
{
    pln_model *m = inferred(
        "g (int64[batch, seq] x, float[1, 1] t) => (y)"
        " <int64[2] ones = {1, 1}, int64[2] minus = {-1, -1}> {"
        " s = Shape (x) e = Equal (s, minus) w = Where (e, ones, s) y = Expand (t, w) }");
    expect_type(m, "y", "float[batch,seq]");
    pln_model_free(m);
}
END_TEST

START_TEST(computes_constants)
{
    pln_model *m = inferred("g (float[4, 6] x) => (y) <float[2] f = {0.5, 2}> {"
                            " s = Shape (x) c = Cast <to: int = 1> (s) p = Mul (c, f)"
                            " r = Floor (p) i = Cast <to: int = 7> (r)"
                            " y = ConstantOfShape (i) }");
    expect_type(m, "y", "float[2,12]");
    pln_model_free(m);
}
END_TEST

START_TEST(reads_outer_values_in_bodies)
{
    pln_model *m = inferred(
        "g (bool c, float[N, 3] x) => (y) { y = If (c)"
        " <then_branch = t () => (a) { a = Relu (x) },"
        "  else_branch = e () => (b) { n = Neg (x) b = Abs (n) }> }");
    expect_type(m, "y", "float[N,3]");
    const pln_graph *body = pln_node_find_attr(m->graph->first, "else_branch")->g;
    ck_assert_int_eq(body->first->out[0]->type.shape.rank, 2);
    pln_model_free(m);
}
END_TEST

/* The other branch, of another rank, is not looked at. */
START_TEST(knows_which_branch)
{
    pln_model *m = inferred(
        "g (float[N, 3] x) => (y) <int64[1] zero = {0}, int64 two = {2}> {"
        " s = Shape (x) r = Size (s) c = Equal (r, two) y = If (c)"
        " <then_branch = t () => (a) { a = Unsqueeze (x, zero) },"
        "  else_branch = e () => (b) { b = Relu (x) }> }");
    expect_type(m, "y", "float[1,N,3]");
    pln_model_free(m);
}
END_TEST

START_TEST(unnamed_sizes_are_told_apart)
{
    pln_model *m = inferred("g (float[?, ?] x) => (y, z) { a = Relu (x) b = Neg (x)"
                            " y = Add (a, b) z = Transpose (x) }");
    expect_type(m, "y", "float[?0.0,?0.1]");
    expect_type(m, "z", "float[?0.1,?0.0]");
    expect_type(m, "x", "float[?,?]");
    pln_model_free(m);
}
END_TEST

START_TEST(goes_through_functions)
{
    pln_model *m = inferred(
        "<ir_version: 10, opset_import: [\"\" : 21, \"l\" : 1]>\n"
        "g (float[N] x) => (y, z) { y = l.f (x) k = Shape (x) z = l.f (k) }\n"
        "<domain: \"l\", opset_import: [\"\" : 21]> f (a) => (b) { b = Neg (a) }");
    expect_type(m, "y", "float[N]");
    expect_type(m, "z", "int64[1]");
    pln_model_free(m);
}
END_TEST

START_TEST(functions_refer_to_attributes_of_the_call)
{
    pln_model *m = inferred(
        "<ir_version: 10, opset_import: [\"\" : 25, \"l\" : 1]>\n"
        "g (float[N] x, float[2, 3] s) => (y, z, u) {"
        " y = l.f <to = 7> (x) z = l.f <to = 6> (x) u = l.t (s) }\n"
        "<domain: \"l\", opset_import: [\"\" : 25]> f <to> (a) => (b) {"
        " b = Cast <to: int = @to> (a) }\n"
        "<domain: \"l\", opset_import: [\"\" : 25]> t <perm> (a) => (b) {"
        " b = Transpose <perm: ints = @perm> (a) }");
    expect_type(m, "y", "int64[N]");
    expect_type(m, "z", "int32[N]");
    expect_type(m, "u", "float[3,2]");
    pln_model_free(m);
}
END_TEST

START_TEST(contradictions_fail_when_strict)
{
    pln_model *m = model_of("g (float[2, 3] x) => (float[2, 4] y) { y = Relu (x) }");
    const pln_infer_options strict = { .strict = true };
    pln_error e = { .code = PLN_OK };
    ck_assert_int_eq(pln_graph_infer(m->graph, &strict, &e), PLN_E_FORMAT);
    ck_assert_msg(strstr(e.text, "y (Relu): output 'y' is declared float[2,4] but is "
                                 "float[2,3]"),
                  "%s", e.text);
    ck_assert_int_eq(pln_graph_infer(m->graph, NULL, NULL), PLN_OK);
    expect_type(m, "y", "float[2,3]");
    pln_model_free(m);
}
END_TEST

START_TEST(bad_shapes_fail_with_the_node)
{
    pln_model *m =
        model_of("g (float[2, 3] x, float[4] b) => (y) { [sum] y = Add (x, b) }");
    pln_error e = { .code = PLN_OK };
    ck_assert_int_eq(pln_graph_infer(m->graph, NULL, &e), PLN_E_FORMAT);
    ck_assert_msg(strstr(e.text, "sum (Add): shapes [2,3] and [4] don't broadcast"), "%s",
                  e.text);
    pln_model_free(m);
}
END_TEST

START_TEST(one_node_says_what_is_new)
{
    pln_model *m = model_of("g (float[N, 3] x) => (y) { y = Relu (x) }");
    bool changed;
    ck_assert_int_eq(pln_node_infer(m->graph->first, &changed, NULL), PLN_OK);
    ck_assert(changed);
    expect_type(m, "y", "float[N,3]");
    ck_assert_int_eq(pln_node_infer(m->graph->first, &changed, NULL), PLN_OK);
    ck_assert(!changed);
    pln_model_free(m);
}
END_TEST

START_TEST(unknown_operators_leave_the_rest)
{
    pln_model *m = inferred("<ir_version: 10, opset_import: [\"\" : 21, \"other\" : 1]>\n"
                            "g (float[N] x) => (z) { y = other.Op (x) z = Relu (x) }");
    ck_assert_int_eq(value_of(m, "y")->type.kind, PLN_KIND_NONE);
    expect_type(m, "z", "float[N]");
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("infer");
    TCase *t = tcase_create("infer");
    tcase_add_test(t, broadcasts_symbols);
    tcase_add_test(t, follows_shape_arithmetics);
    tcase_add_test(t, decides_where_on_symbols);
    tcase_add_test(t, computes_constants);
    tcase_add_test(t, reads_outer_values_in_bodies);
    tcase_add_test(t, knows_which_branch);
    tcase_add_test(t, unnamed_sizes_are_told_apart);
    tcase_add_test(t, goes_through_functions);
    tcase_add_test(t, functions_refer_to_attributes_of_the_call);
    tcase_add_test(t, contradictions_fail_when_strict);
    tcase_add_test(t, bad_shapes_fail_with_the_node);
    tcase_add_test(t, one_node_says_what_is_new);
    tcase_add_test(t, unknown_operators_leave_the_rest);
    suite_add_tcase(s, t);
    return unit_main(s);
}
