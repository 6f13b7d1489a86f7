/* The textual form: what is printed is read back alike, and bad text is refused with its
 * place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "src/ir/op.h"
#include "tests/unit/text_model.h"

#define HEAD "<ir_version: 10, opset_import: [\"\" : 21]>\n"

/* Each reads, prints, reads and prints alike. */
static const char *const good[] = {
    HEAD "g (float[N, 3] x) => (float[N, 3] y) { y = Relu (x) }",
    HEAD "\"odd name\" (x) => (\"y:0\") { [\"node 1\"] \"y:0\", \"\" = Dropout (x, \"\", "
         "\"\") }",
    HEAD "g (float[\"2*seq+1\", \"batch size\", ?] x, float s, float[] u) => (y)"
         " { y = Add (x, s) }",
    HEAD "g (seq(float[]) a, optional(seq(int64[3])) b, map(string, seq(float)) c,"
         " sparse_tensor(double[2, 2]) d) => (a) { }",
    HEAD "g () => (y) <float[2, 2] w = {1, -2.5, nan, -inf}, double k = {0.1},"
         " int8[2] q = {-128, 127}, uint64[1] u = {18446744073709551615},"
         " bool[2] f = {0, 1}, string[3] s = {\"a\", \"b\\\"c\", \"\"},"
         " complex64[1] z = {1, 2}, float16[2] h = {15360, 65535}, int4[3] p = {241, 15},"
         " uint2[5] p2 = {228, 1}, float8e4m3fn[1] e = {255}, int64[0] none = {}>"
         " { y = Identity (w) }",
    HEAD "g (int64[2] x = {1, 2}, float[1] z) => (y) { y = Add (x, x) }",
    HEAD "g (bool c, float[2] x) => (y) { y = If (c) <then_branch = t () => (a)"
         " { a = Relu (x) }, else_branch = e () => (b) <float[2] k = {1, 2}>"
         " { b = Add (x, k) }> }",
    HEAD
    "g (x) => (y) { y = my.own.domain.Op : over <a: int = 1, b: float = 2, c = \"s\","
    " d: ints = [], e = [1, 2], f: floats = [1, 2.5], h = [\"x\", \"y\"],"
    " i: tensor = float[2] = {1, 2}, j: type_proto = seq(float[3, N]),"
    " k: tensors = [int64 = {1}, float[1] = {2}],"
    " l: type_protos = [float, int64[?]]> (x) }",
    HEAD
    "g (x) => (y) { y = l.f <alpha: float = 0.5> (x) }\n"
    "<domain: \"l\", overload: \"\", opset_import: [\"\" : 21]> f <alpha, beta: int = 3>"
    " (x) => (y) { y = LeakyRelu <alpha: float = @alpha> (x) }",
    "<ir_version: 10, opset_import: [\"\" : 21, \"ai.onnx.ml\" : 5],"
    " producer_name: \"p\", model_version: 7, doc_string: \"two\nlines\","
    " metadata_props: [\"k\" : \"v\", \"k2\" : \"\"]> g (x) => (y) { y = Relu (x) }",
    /* values before the nodes that make them */
    HEAD "g (x) => (y) { y = Relu (t) t = Neg (x) }",
    /* what only our own parser reads */
    HEAD "#%+ @model x\"0a0b\"\n"
         "g (x) => (y) {\n#%+ @graph x\"00ff\"\n#%+ @node x\"01\"\n#%+ @attr \"alpha\" "
         "x\"02\"\n"
         "y = LeakyRelu <alpha: float = nan #%+ x\"7fc00001\"\n> (x)\n"
         "#%+ @value \"x\" x\"03\"\n}",
    HEAD "g (x) => (y) { y, \"b?\" #%+ x\"62ff\"\n = Dropout (x) }",
    HEAD "g () => (y) { y = Constant #%+ <sparse_value: sparse_tensor ="
         " sparse(float[2, 3], float[1] = {5}, int64[1] = {4})>\n () }",
};

START_TEST(prints_as_it_reads)
{
    pln_model *m = model_of(good[_i]);
    char *once = text_of(m, false);
    pln_model *again = model_of(once);
    char *twice = text_of(again, false);
    ck_assert_str_eq(once, twice);
    free(once);
    free(twice);
    pln_model_free(again);
    pln_model_free(m);
}
END_TEST

static const struct {
    const char *text, *want;
} bad[] = {
    { "", "1:1: " },
    { "g (x) => (y) { y = Relu (x)", "1:28: " },
    { "g (x) => (y) {\n  y = Relu (z) }", "2:3: the value 'z' is made nowhere" },
    { "g (x) => (y) { y = Relu (x) y = Neg (x) }",
      "the name 'y' is given to two values" },
    { "g (x, x) => (x) { }", "given to two values" },
    { "g (x) => (y) { y = Add (x, t) t = Neg (y) }", "cycle" },
    { "g () => (w) <float[2] w = {1}> { }", "a tensor has 1 values, want 2" },
    { "g () => (w) <float[1] w = {1, 2}> { }", "more than 1 values" },
    { "g () => (w) <float[4611686018427387904, 4] w = {}> { }", "too large" },
    { "g () => (w) <float[N] w = {1}> { }", "known shape" },
    { "g () => (w) <int8[1] w = {128}> { }", "out of range" },
    { "g () => (w) <uint8[1] w = {-1000}> { }", "out of range" },
    { "g () => (w) <int64[1] w = {99999999999999999999}> { }", "integer" },
    { "g () => (w) <float[1] w = {1e999}> { }", "no float" },
    { "g () => (w) <float[1] w = [\"location\": \"/etc/passwd\"]> { }", "refused" },
    { "g () => (w) <float[1] w = [\"address\": \"1\"]> { }", "unknown key" },
    { "g (x) => (y) { y = Op <a: int = 1.5> (x) }", "type float, want int" },
    { "g (x) => (y) { y = Op <a = 1, a = 2> (x) }", "comes twice" },
    { "g (x) => (y) { y = Op <a: ints = 3> (x) }", "type int, want ints" },
    { "g (x) => (y) { y = Op <a = []> (x) }", "needs a type" },
    { "g (x) => (y) { y = Op (\"x", "no end" },
    { "<ir_version: \"a\"> g (x) => (x) { }", "integer" },
    { "<nonsense: 1> g (x) => (x) { }", "no field" },
    { "g (blob[3] x) => (x) { }", "wanted" },
    { "g (float[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] x) => (x) { }",
      "more than 24 dimensions" },
};

START_TEST(refuses_with_the_place)
{
    pln_model *m;
    pln_error e = { .code = PLN_OK };
    const pln_status st =
        pln_text_parse_model(NULL, bad[_i].text, strlen(bad[_i].text), NULL, &m, &e);
    ck_assert_int_eq(st, PLN_E_FORMAT);
    ck_assert_ptr_null(m);
    ck_assert_msg(strstr(e.text, bad[_i].want), "%s", e.text);
}
END_TEST

static char *repeat(const char *head, const char *unit, const char *tail, int n)
{
    const size_t len = strlen(head) + strlen(tail) + (size_t)n * strlen(unit) + 1;
    char *s = calloc(1, len), *p = s;
    p += sprintf(p, "%s", head);
    for (int i = 0; i < n; i++)
        p += sprintf(p, "%s", unit);
    sprintf(p, "%s", tail);
    return s;
}

START_TEST(refuses_deep_nesting)
{
    char *texts[] = {
        repeat("g (x) => (x) { ", "y = If <then_branch = t () => (y) { ", "", 100000),
        repeat("g (", "seq(", "", 100000),
        repeat("g (float[\"", "(", "\"] x) => (x) { }", 100000),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pln_model *m = NULL;
        const pln_status st =
            pln_text_parse_model(NULL, texts[i], strlen(texts[i]), NULL, &m, NULL);
        ck_assert_msg(i == 2 ? st == PLN_OK : st != PLN_OK, "text %zu: %d", i, (int)st);
        pln_model_free(m);
        free(texts[i]);
    }
}
END_TEST

START_TEST(old_meanings_are_raised_and_written_back)
{
    pln_model *m = model_of("<ir_version: 7, opset_import: [\"\" : 11]>\n"
                            "g (float[2, 1] x) => (y) { y = Squeeze <axes = [1]> (x) }");
    ck_assert_uint_eq(m->graph->first->n_in, 2);
    char *t = text_of(m, false);
    ck_assert_ptr_nonnull(strstr(t, "Squeeze <axes: ints = [1]> (x)"));
    ck_assert_ptr_null(strstr(t, "int64[1]"));
    free(t);
    t = text_of(m, true);
    ck_assert_ptr_nonnull(strstr(t, "int64[1]"));
    free(t);
    pln_model_free(m);
}
END_TEST

START_TEST(renamed_outputs_get_an_identity)
{
    pln_model *m = model_of("g (float[2] x) => (y) { y = Relu (x) }");
    pln_graph_set_output(m->graph, 0, m->graph->inputs[0]);
    char *t = text_of(m, true);
    ck_assert_ptr_nonnull(strstr(t, "y = Identity (x)") ? t : NULL);
    free(t);
    pln_model_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("text");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, prints_as_it_reads, 0, sizeof good / sizeof *good);
    tcase_add_loop_test(t, refuses_with_the_place, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, refuses_deep_nesting);
    tcase_add_test(t, old_meanings_are_raised_and_written_back);
    tcase_add_test(t, renamed_outputs_get_an_identity);
    suite_add_tcase(s, t);
    return unit_main(s);
}
