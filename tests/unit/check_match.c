/* Patterns: all that passes state compile; the language; matches and near misses.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "passes/pass.h"
#include "tests/unit/main.h"

static pln_model *model;
static pln_arena *arena;

static void set_up(void)
{
    ck_assert_int_eq(pln_model_new(NULL, &model, NULL), PLN_OK);
    arena = pln_arena_new(NULL);
}

static void tear_down(void)
{
    pln_arena_free(arena);
    pln_model_free(model);
}

static pln_pattern compile(const char *text)
{
    pln_pattern p;
    pln_error err = { .code = PLN_OK };
    const pln_status st = pln_pattern_compile(text, model->names, arena, &p, &err);
    ck_assert_msg(st == PLN_OK, "%s", err.text);
    return p;
}

static pln_value *input(const char *name)
{
    const int64_t dims[2] = { 2, 4 };
    const pln_type t = pln_type_tensor(PLN_DT_F32, pln_shape_of(model->arena, 2, dims));
    return pln_graph_add_input(model->graph, pln_model_name(model, name), &t);
}

static pln_value *scalar(const char *name, float f)
{
    pln_tensor *t = NULL;
    ck_assert_int_eq(pln_tensor_from_f32(model->alloc, 0, &f, 1, &t), PLN_OK);
    return pln_graph_add_initializer(model->graph, pln_model_name(model, name), t);
}

static pln_value *node(const char *op, pln_value *a, pln_value *b, const char *name)
{
    pln_value *in[2] = { a, b };
    pln_node *n = pln_graph_add_node(model->graph, NULL, "", op, "", in, b ? 2 : 1, 1);
    pln_value_rename(n->out[0], pln_model_name(model, name));
    return n->out[0];
}

static bool matches(const char *pattern, const pln_value *v, pln_match *m)
{
    pln_pattern *p = PLN_NEW(arena, pln_pattern);
    *p = compile(pattern);
    return pln_match_at(p, v->def, NULL, m);
}

START_TEST(all_compile)
{
    for (size_t i = 0; pln_pass_at(i); i++)
        for (size_t k = 0; k < pln_pass_at(i)->n_rules; k++)
            compile(pln_pass_at(i)->rules[k].match);
}
END_TEST

START_TEST(mistakes)
{
    static const char *const bad[] = {
        "",        "x",           "Add(x",        "Add(x,)y",   "Add~(x)",
        "Relu?()", "a=a=Relu(x)", "Add<axis>(x)", "Add<a=>(x)", "Relu(..., x)",
        "3",       "{Add(x, y) | x}", "{Relu(x)", "$a = Relu(x) Add($a, x)", "Add($a, x)",
        "$a = Relu(x); Add(b=$a, x)"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pln_pattern p;
        pln_error err = { .code = PLN_OK };
        ck_assert_msg(pln_pattern_compile(bad[i], model->names, arena, &p, &err) ==
                          PLN_E_FORMAT,
                      "'%s' compiles", bad[i]);
        ck_assert_ptr_nonnull(strstr(err.text, "column"));
    }
}
END_TEST

START_TEST(commutes_and_binds)
{
    pln_match m;
    pln_value *x = input("x"), *c = scalar("c", 3);
    pln_value *r = node("Relu", x, NULL, "r");
    pln_value *y = node("Add", c, r, "y");
    ck_assert(matches("Add~(inner=Relu(x), k#)", y, &m));
    ck_assert_ptr_eq(pln_match_val(&m, "x"), x);
    ck_assert_ptr_eq(pln_match_val(&m, "k"), c);
    ck_assert_ptr_eq(pln_match_node(&m, "inner"), r->def);
    ck_assert(!matches("Add(Relu(x), k#)", y, &m));
    ck_assert(matches("Add~(Relu(x), 3)", y, &m));
    ck_assert(!matches("Add~(Relu(x), 4)", y, &m));
}
END_TEST

START_TEST(same_name_is_same_value)
{
    pln_match m;
    pln_value *x = input("x"), *z = input("z");
    pln_value *s = node("Sigmoid", x, NULL, "s");
    pln_value *y = node("Mul", s, x, "y"), *other = node("Mul", s, z, "other");
    ck_assert(matches("Mul~(x, Sigmoid(x))", y, &m));
    ck_assert(!matches("Mul~(x, Sigmoid(x))", other, &m));
    ck_assert_ptr_nonnull(strstr(m.why, "not the same value"));
}
END_TEST

START_TEST(single_use)
{
    pln_match m;
    pln_value *x = input("x");
    pln_value *r = node("Relu", x, NULL, "r"), *t = node("Tanh", r, NULL, "t");
    ck_assert(matches("Tanh(Relu!(x))", t, &m));
    pln_graph_add_output(model->graph, r, NULL);
    ck_assert(!matches("Tanh(Relu!(x))", t, &m));
    ck_assert(matches("Tanh(Relu(x))", t, &m));
}
END_TEST

START_TEST(optional_and_repeated)
{
    pln_match m;
    pln_value *x = input("x"), *c = scalar("c", 1);
    pln_value *a = node("Relu", x, NULL, "a"), *b = node("Tanh", a, NULL, "b");
    pln_value *d = node("Add", c, b, "d"), *e = node("Exp", d, NULL, "e");
    ck_assert(matches("Exp(Add?~(v=Relu|Tanh*(x), k#))", e, &m));
    ck_assert_ptr_eq(pln_match_val(&m, "x"), x);
    ck_assert_ptr_eq(pln_match_val(&m, "v"), b);
    pln_value *f = node("Exp", b, NULL, "f");
    ck_assert(matches("Exp(Add?~(v=Relu|Tanh*(x), k#))", f, &m));
    ck_assert_ptr_null(pln_match_val(&m, "k"));
}
END_TEST

START_TEST(attributes_and_inputs)
{
    pln_match m;
    pln_value *x = input("x");
    pln_value *t = node("Transpose", x, NULL, "t");
    const int64_t perm[2] = { 1, 0 };
    pln_node_set_ints(t->def, "perm", perm, 2);
    ck_assert(matches("Transpose<perm=[1,0]>(x)", t, &m));
    ck_assert(!matches("Transpose<perm=[0,1]>(x)", t, &m));
    ck_assert(!matches("Transpose(x, y)", t, &m));
    ck_assert(matches("Transpose(x, y?)", t, &m));
    ck_assert(matches("Transpose(...)", t, &m));
    pln_value *g = node("Gelu", x, NULL, "g");
    ck_assert(matches("Gelu<approximate=\"none\">(x)", g, &m) || !g->def->op);
}
END_TEST

START_TEST(alternatives)
{
    pln_match m;
    pln_value *x = input("x"), *two = scalar("two", 2), *half = scalar("half", 0.5f);
    pln_value *d = node("Div", x, two, "d"), *h = node("Mul", half, x, "h");
    pln_value *s = node("Add", d, h, "s");
    const char *text = "$half = {Mul~(x, 0.5) | Div(x, 2)}; Add($half, other={$half})";
    ck_assert(matches(text, s, &m));
    ck_assert_ptr_eq(pln_match_val(&m, "x"), x);
    ck_assert_ptr_eq(pln_match_val(&m, "other"), h);
    ck_assert_int_eq(m.n_nodes, 3);
    ck_assert(!matches("Add({Mul(x, 2) | Div(x, 0.5)}, _)", s, &m));
    /* of the first alternative nothing stays bound */
    ck_assert(matches("Add({Div(a, 0.5) | Div(b, 2)}, _)", s, &m));
    ck_assert_ptr_null(pln_match_val(&m, "a"));
    ck_assert(matches("{Relu(x) | Add(x, x) | Add(a, b)}", s, &m));
}
END_TEST

START_TEST(roots)
{
    static const struct {
        const char *text, *want[4];
    } cases[] = {
        { "y=Relu|com.microsoft.Gelu(x)", { "Relu", "Gelu" } },
        { "{Mul~(x, {A(x) | B(y)}) | Mul|Div(x, 2) | Add(x, y)}",
          { "Mul", "Div", "Add" } },
        { "$a = {Mul(x, y) | Div(x, y)}; $b = Exp<t=\"|;\">(x); {$a | Log($b) | $b}",
          { "Mul", "Div", "Log", "Exp" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *ops[PLN_PAT_OPS];
        const int n = pln_pattern_roots(cases[i].text, model->names, ops);
        for (int k = 0; k < 4; k++)
            ck_assert_pstr_eq(k < n ? ops[k] : NULL, cases[i].want[k]);
        compile(cases[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("match");
    TCase *c = tcase_create("match");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, all_compile);
    tcase_add_test(c, mistakes);
    tcase_add_test(c, commutes_and_binds);
    tcase_add_test(c, same_name_is_same_value);
    tcase_add_test(c, single_use);
    tcase_add_test(c, optional_and_repeated);
    tcase_add_test(c, attributes_and_inputs);
    tcase_add_test(c, alternatives);
    tcase_add_test(c, roots);
    suite_add_tcase(s, c);
    return unit_main(s);
}
