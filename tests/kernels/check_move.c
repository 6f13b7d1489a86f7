/* Operators that move data, as models in text: what they give, and that bad contents are
 * refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/regex.h"
#include "src/ir/tensor.h"
#include "tests/unit/main.h"

#define SMALLEST "-9223372036854775808"
#define LARGEST  "9223372036854775807"

typedef struct move_case {
    const char *body;   /* nodes that make y */
    const char *inputs; /* "name type[dims] values...;" each */
    const char *want;   /* "type[dims] values..."; NULL: PLN_E_RUN */
} move_case;

/* ---- tensors as text ------------------------------------------------------------- */

static pln_tensor *read_tensor(const char **s, char *name)
{
    char type[16];
    int used = 0, rank = 0;
    int64_t dims[8];
    if (name) {
        ck_assert_int_eq(sscanf(*s, " %31s%n", name, &used), 1);
        *s += used;
    }
    ck_assert_int_eq(sscanf(*s, " %15[a-z0-9][%n", type, &used), 1);
    *s += used;
    while (**s != ']') {
        long long d;
        ck_assert_int_eq(sscanf(*s, " %lld%n", &d, &used), 1);
        dims[rank++] = d;
        *s += used + ((*s)[used] == ',');
    }
    (*s)++;
    pln_tensor *t = NULL;
    const pln_dtype dt = pln_dtype_from_name(type, strlen(type));
    ck_assert_int_eq(pln_tensor_make(NULL, dt, rank, dims, &t, NULL), PLN_OK);
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        long long v;
        double f;
        if (pln_dtype_is_float(dt)) {
            ck_assert_int_eq(sscanf(*s, " %lf%n", &f, &used), 1);
            pln_tensor_set_f64(t, i, f);
        } else {
            ck_assert_int_eq(sscanf(*s, " %lld%n", &v, &used), 1);
            pln_tensor_set_i64(t, i, v);
        }
        *s += used;
    }
    return t;
}

/* The model of a case: every input has its type and rank, but no sizes. */
static pln_model *model_of(const move_case *c)
{
    char text[4096], name[32];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "<ir_version: 10, opset_import: [\"\" : 21]> g (");
    for (const char *s = c->inputs; *s;) {
        pln_tensor *t = read_tensor(&s, name);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                              pln_dtype_name((pln_dtype)t->dtype));
        for (int i = 0; i < t->rank; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s?%s", i ? "," : "[",
                                  i + 1 == t->rank ? "]" : "");
        s += strspn(s, "; ");
        n += (size_t)snprintf(text + n, sizeof text - n, " %s%s", name, *s ? ", " : "");
        pln_tensor_unref(t);
    }
    const char *want = c->want ? c->want : "float[]";
    snprintf(text + n, sizeof text - n, ") => (%.*s[] y) { %s }", (int)strcspn(want, "["),
             want, c->body);
    pln_model *m = NULL;
    pln_error *err = pln_error_new();
    ck_assert_msg(pln_model_parse(NULL, text, strlen(text), NULL, &m, err) == PLN_OK,
                  "%s: %s", text, pln_error_text(err));
    pln_error_free(err);
    return m;
}

static void check_output(const move_case *c, const pln_tensor *got)
{
    const char *s = c->want;
    pln_tensor *want = read_tensor(&s, NULL);
    ck_assert_ptr_nonnull(got);
    ck_assert_msg(got->dtype == want->dtype && got->rank == want->rank,
                  "%s: type or rank", c->body);
    for (int i = 0; i < got->rank; i++)
        ck_assert_msg(got->dims[i] == want->dims[i], "%s: dimension %d is %lld", c->body,
                      i, (long long)got->dims[i]);
    for (int64_t i = 0; i < pln_tensor_size(got); i++)
        ck_assert_msg(
            fabs(pln_tensor_get_f64(got, i) - pln_tensor_get_f64(want, i)) < 1e-6,
            "%s: element %lld is %g", c->body, (long long)i, pln_tensor_get_f64(got, i));
    pln_tensor_unref(want);
}

static void run_case(const move_case *c)
{
    pln_model *m = model_of(c);
    pln_session *session = NULL;
    pln_run *run = NULL;
    pln_error *err = pln_error_new();
    char name[32];
    pln_tensor *in[8];
    size_t n = 0;
    ck_assert_msg(pln_session_new(m, NULL, &session, err) == PLN_OK, "%s: %s", c->body,
                  pln_error_text(err));
    ck_assert_int_eq(pln_run_new(session, &run, err), PLN_OK);
    for (const char *s = c->inputs; *s; s += strspn(s, "; ")) {
        in[n] = read_tensor(&s, name);
        ck_assert_int_eq(pln_run_bind_input(run, name, in[n++], err), PLN_OK);
    }
    const pln_status st = pln_run_execute(run, NULL, err);
    ck_assert_msg(st == (c->want ? PLN_OK : PLN_E_RUN), "%s: %s %s", c->body,
                  pln_status_name(st), pln_error_text(err));
    if (c->want)
        check_output(c, pln_run_output(run, "y"));
    pln_run_free(run);
    pln_session_free(session);
    pln_model_free(m);
    for (size_t i = 0; i < n; i++)
        pln_tensor_unref(in[i]);
    pln_error_free(err);
}

/* ---- cases ----------------------------------------------------------------------- */

#define X6  "x float[6] 0 1 2 3 4 5; "
#define X23 "x float[2,3] 0 1 2 3 4 5; "
#define X0  "x float[0,3]; "

static const move_case cases[] = {
    /* indices */
    { "y = Gather(x, i)", X6 "i int64[2] -1 2", "float[2] 5 2" },
    { "y = Gather(x, i)", X6 "i int64[1] 6", NULL },
    { "y = Gather(x, i)", X6 "i int32[1] -7", NULL },
    { "y = Gather(x, i)", X6 "i int64[1] " SMALLEST, NULL },
    { "y = Gather<axis = 1>(x, i)", X23 "i int64[] 1", "float[2] 1 4" },
    { "y = Gather(x, i)", X0 "i int64[0]", "float[0,3]" },
    { "y = Gather(x, i)", X0 "i int64[1] 0", NULL },
    { "y = GatherElements<axis = 1>(x, i)", X23 "i int64[2,2] 0 -1 1 0",
      "float[2,2] 0 2 4 3" },
    { "y = GatherElements(x, i)", X23 "i int64[1,3] 0 2 0", NULL },
    { "y = GatherND(x, i)", X23 "i int64[2,2] 0 -1 -1 0", "float[2] 2 3" },
    { "y = GatherND(x, i)", X23 "i int64[1,1] -3", NULL },
    { "y = ScatterElements<reduction = \"add\">(x, i, u)",
      X6 "i int64[3] 0 0 -1; u float[3] 1 2 3", "float[6] 3 1 2 3 4 8" },
    { "y = ScatterElements<reduction = \"max\">(x, i, u)",
      X23 "i int64[2,3] 1 1 1 0 0 0; u float[2,3] 9 0 9 9 0 9",
      "float[2,3] 9 1 9 9 4 9" },
    { "y = ScatterElements(x, i, u)", X6 "i int64[1] 6; u float[1] 1", NULL },
    { "y = ScatterElements(x, i, u)", X23 "i int64[1,3] 2 2 2; u float[1,3] 1 1 1",
      NULL },
    { "y = ScatterND(x, i, u)", X23 "i int64[1,1] -1; u float[1,3] 7 8 9",
      "float[2,3] 0 1 2 7 8 9" },
    { "y = ScatterND(x, i, u)", X23 "i int64[1,1] 2; u float[1,3] 7 8 9", NULL },
    { "y = OneHot(i, d, v)", "i int64[3] 1 -1 7; d int64[] 2; v float[2] 0 1",
      "float[3,2] 0 1 0 1 0 0" },
    /* slices */
    { "y = Slice(x, s, e, a, t)",
      X6 "s int64[1] " LARGEST "; e int64[1] " SMALLEST "; a int64[1] 0; t int64[1] -2",
      "float[3] 5 3 1" },
    { "y = Slice(x, s, e)", X6 "s int64[1] " SMALLEST "; e int64[1] " LARGEST,
      "float[6] 0 1 2 3 4 5" },
    { "y = Slice(x, s, e, a, t)",
      X6 "s int64[1] 0; e int64[1] 6; a int64[1] -1; t int64[1] " LARGEST, "float[1] 0" },
    { "y = Slice(x, s, e, a, t)",
      X6 "s int64[1] -1; e int64[1] " SMALLEST "; a int64[1] 0; t int64[1] " SMALLEST,
      "float[1] 5" },
    { "y = Slice(x, s, e, a, t)",
      X6 "s int64[1] 0; e int64[1] 6; a int64[1] 0; t int64[1] 0", NULL },
    { "y = Slice(x, s, e, a)", X6 "s int64[1] 0; e int64[1] 6; a int64[1] 1", NULL },
    { "y = Slice(x, s, e)", X6 "s int64[1] 4; e int64[1] 2", "float[0]" },
    { "y = Slice(x, s, e)", X0 "s int64[1] 0; e int64[1] 5", "float[0,3]" },
    /* shapes */
    { "y = Reshape(x, s)", X23 "s int64[2] -1 2", "float[3,2] 0 1 2 3 4 5" },
    { "y = Reshape(x, s)", X23 "s int64[2] -1 4", NULL },
    { "y = Reshape(x, s)", X23 "s int64[2] -1 -1", NULL },
    { "y = Reshape(x, s)", X23 "s int64[1] -2", NULL },
    { "y = Reshape(x, s)", X0 "s int64[2] 0 -1", "float[0,0]" },
    { "y = Squeeze(x, s)", X23 "s int64[1] 0", NULL },
    { "y = Unsqueeze(x, s)", X6 "s int64[2] 0 0", NULL },
    { "y = Expand(x, s)", "x float[1] 7; s int64[2] 2 0", "float[2,0]" },
    { "y = Expand(x, s)", X6 "s int64[1] 4", NULL },
    { "y = Tile(x, s)", X6 "s int64[1] 0", "float[0]" },
    { "y = Tile(x, s)", "x float[2] 1 2; s int64[1] 2", "float[4] 1 2 1 2" },
    { "y = Tile(x, s)", X6 "s int64[1] -1", NULL },
    { "y = ConstantOfShape(s)", "s int64[2] 2 -1", NULL },
    { "y = Range(a, b, c)", "a int64[] 5; b int64[] 0; c int64[] -2", "int64[3] 5 3 1" },
    { "y = Range(a, b, c)", "a float[] 0; b float[] 1; c float[] 0", NULL },
    { "y = Range(a, b, c)",
      "a int64[] " LARGEST "; b int64[] " SMALLEST "; c int64[] " SMALLEST,
      "int64[2] " LARGEST " -1" },
    /* joining and splitting */
    { "y = Concat<axis = 0>(x, z)", X0 "z float[1,3] 1 2 3", "float[1,3] 1 2 3" },
    { "y = Concat<axis = -1>(x, z)", X23 "z float[2,1] 8 9",
      "float[2,4] 0 1 2 8 3 4 5 9" },
    { "y = Concat<axis = 0>(x, z)", X23 "z float[1,2] 8 9", NULL },
    { "a, y = Split<num_outputs = 2>(x)", "x float[5] 1 2 3 4 5", "float[2] 4 5" },
    { "a, y = Split(x, s)", X6 "s int64[2] 5 1", "float[1] 5" },
    { "a, y = Split(x, s)", X6 "s int64[2] 5 2", NULL },
    { "a, y = Split(x, s)", X6 "s int64[2] 7 -1", NULL },
    { "y = Transpose<perm = [1, 0]>(x)", X23, "float[3,2] 0 3 1 4 2 5" },
    /* pads */
    { "y = Pad(x, p)", "x float[3] 1 2 3; p int64[2] -1 1", "float[3] 2 3 0" },
    { "y = Pad<mode = \"reflect\">(x, p)", "x float[3] 1 2 3; p int64[2] 3 1",
      "float[7] 2 3 2 1 2 3 2" },
    { "y = Pad<mode = \"edge\">(x, p)", "x float[2,2] 1 2 3 4; p int64[4] 1 0 0 1",
      "float[3,3] 1 2 2 1 2 2 3 4 4" },
    { "y = Pad<mode = \"wrap\">(x, p)", "x float[3] 1 2 3; p int64[2] 1 2",
      "float[6] 3 1 2 3 1 2" },
    { "y = Pad(x, p)", "x float[3] 1 2 3; p int64[2] -2 -2", NULL },
    { "y = Pad(x, p)", "x float[3] 1 2 3; p int64[2] " LARGEST " " LARGEST, NULL },
    { "y = Pad<mode = \"edge\">(x, p)", "x float[0] ; p int64[2] 1 1", NULL },
    /* choosing */
    { "y, i = TopK(x, k)", X6 "k int64[1] 7", NULL },
    { "y, i = TopK(x, k)", X6 "k int64[1] 0", "float[0]" },
    { "v, y = TopK(x, k)", "x float[4] 3 9 9 1; k int64[1] 3", "int64[3] 1 2 0" },
    { "y = Compress<axis = 0>(x, c)", X23 "c bool[3] 0 1 1", NULL },
    { "y = Compress(x, c)", X23 "c bool[2] 0 1", "float[1] 1" },
    { "y = NonZero(x)", "x float[2,2] 0 1 1 0", "int64[2,2] 0 1 1 0" },
    { "y = ReverseSequence(x, n)", X23 "n int64[3] 1 2 3", NULL },
    { "y, i, j, c = Unique<sorted = 0>(x)", "x int64[5] 7 2 7 1 2", "int64[3] 7 2 1" },
    /* pools */
    { "y = MaxPool<kernel_shape = [2], strides = [2], ceil_mode = 1>(x)",
      "x float[1,1,5] 1 4 2 3 9", "float[1,1,3] 4 3 9" },
    { "v, y = MaxPool<kernel_shape = [2, 2]>(x)", "x float[1,1,2,3] 1 5 2 3 4 6",
      "int64[1,1,1,2] 1 5" },
    { "y = AveragePool<kernel_shape = [3], pads = [1, 1]>(x)", "x float[1,1,3] 3 6 9",
      "float[1,1,3] 4.5 6 7.5" },
    { "y = MaxPool<kernel_shape = [4]>(x)", "x float[1,1,3] 3 6 9", NULL },
    { "y = MaxUnpool<kernel_shape = [2], strides = [2]>(x, i)",
      "x float[1,1,2] 5 6; i int64[1,1,2] 1 4", NULL },
    /* control flow */
    { "a, y = Loop(n, c, x) <body = b (int64 i, bool ci, float[?] s) => (bool co, "
      "float[?] t, "
      "float[?] u) { co = Identity(ci) t = Add(s, s) u = Identity(t) }>",
      "n int64[] 2; c bool[] 1; x float[2] 1 2", "float[2,2] 2 4 4 8" },
    { "y = Loop(n, c, x) <body = b (int64 i, bool ci, float[?] s) => (bool co, float[?] "
      "t) "
      "{ co = Identity(ci) t = Add(s, s) }>",
      "n int64[] 0; c bool[] 1; x float[2] 1 2", "float[2] 1 2" },
    { "s = SequenceConstruct(x, x) y = SequenceAt(s, i)", X6 "i int64[] -1",
      "float[6] 0 1 2 3 4 5" },
    { "s = SequenceConstruct(x, x) y = SequenceAt(s, i)", X6 "i int64[] 2", NULL },
};

START_TEST(test_case)
{
    run_case(&cases[_i]);
}
END_TEST

/* ---- regular expressions --------------------------------------------------------- */

static const struct {
    const char *pattern, *text;
    bool match;
} texts[] = {
    { "a*b+c?", "aabb", true },
    { "a*b+c?", "aac", false },
    { "(ab|a)(bc|c)", "abc", true },
    { "(a|b|cd)*", "acdbcd", true },
    { "(a|b|cd)*", "acd b", false },
    { "x{2,3}", "xxxx", false },
    { "x{2,3}", "xx", true },
    { "(xy){2}z{0}", "xyxy", true },
    { "x{,2}", "x{,2}", true },
    { "[^a-c]+", "xyz", true },
    { "[^a-c]+", "xbz", false },
    { "[]a]+", "]a", true },
    { "\\d{4}-\\d\\d", "2024-05", true },
    { "\\w+@\\w+\\.com", "me@site.com", true },
    { "(?i)HeLLo", "hEllO", true },
    { "a.c", "a\nc", false },
    { "(?s)a.c", "a\nc", true },
    { ".", "\xc3\xa4", true },
    { "^a$", "a", true },
    { "a|", "", true },
    { "\\bfoo\\b.*", "foo bar", true },
    { "(a*)*", "aaaa", true },
    { "(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false },
    { "[[:alpha:]_]+", "ab_c", true },
    { "\\x41\\x{42}", "AB", true },
    { "a{0,2}b", "aab", true },
    { "a{0,2}b", "aaab", false },
    { "(a{2}){2}", "aaaa", true },
    { "\\Qa.b\\E+", "a.bb", true },
    { "((a|b)(c|d)?)+", "acbda", true },
};

START_TEST(test_regex)
{
    pln_regex *re = NULL;
    ck_assert_int_eq(
        pln_regex_new(NULL, texts[_i].pattern, strlen(texts[_i].pattern), &re, NULL),
        PLN_OK);
    ck_assert_msg(pln_regex_full_match(re, texts[_i].text, strlen(texts[_i].text)) ==
                      texts[_i].match,
                  "%s on %s", texts[_i].pattern, texts[_i].text);
    pln_regex_free(re);
}
END_TEST

START_TEST(test_regex_refused)
{
    static const char *const bad[] = { "(",     ")",          "a**(",   "[",   "[z-a]",
                                       "*",     "\\",         "(?=a)",  "\\1", "x{5,2}",
                                       "(?P<n", "[[:nope:]]", "x{2000}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pln_regex *re = NULL;
        ck_assert_msg(pln_regex_new(NULL, bad[i], strlen(bad[i]), &re, NULL) != PLN_OK,
                      "%s", bad[i]);
        ck_assert_ptr_null(re);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("move");
    TCase *t = tcase_create("cases");
    tcase_add_loop_test(t, test_case, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(t, test_regex, 0, (int)(sizeof texts / sizeof *texts));
    tcase_add_test(t, test_regex_refused);
    suite_add_tcase(s, t);
    return unit_main(s);
}
