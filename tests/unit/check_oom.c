/* Every allocation fails once, for each step of reading, inferring, checking, inlining
 * and printing a model: a clean PLN_E_NOMEM, and nothing is left behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/ir/env.h"
#include "src/ir/infer.h"
#include "src/ir/inline.h"
#include "src/ir/optimize.h"
#include "src/ir/text.h"
#include "src/ir/validate.h"
#include "tests/unit/main.h"

static long left, live;

static void *counting_alloc(void *user, size_t size, size_t align)
{
    void *p = NULL;
    if (left-- <= 0 ||
        posix_memalign(&p, align < sizeof p ? sizeof p : align, size ? size : 1))
        return NULL;
    live++;
    return p;
}

static void counting_free(void *user, void *p)
{
    live -= p != NULL;
    free(p);
}

static const char *const texts[] = {
    "<ir_version: 10, opset_import: [\"\" : 11, \"l\" : 1], metadata_props: [\"k\" : "
    "\"v\"]>\n"
    "g (float[N, 2] x, bool c) => (y) <float[2, 2] w = {1, 2, 3, 4}, string[1] s = "
    "{\"a\\\"\"},"
    " float[N, 2] u> { u = MatMul (x, w) v = Squeeze <axes = [0]> (u) h = Shape (v)"
    " t = l.f <a = 0.5> (v) y = If (c) <then_branch = p () => (q) { q = Relu (t) },"
    " else_branch = e () => (r) { r = Reshape (t, h) }> }\n"
    "<domain: \"l\", opset_import: [\"\" : 11]> f <a, b: int = 3> (i) => (o)"
    " { o = LeakyRelu <alpha: float = @a> (i) }",
    "<ir_version: 10, opset_import: [\"\" : 24, \"ai.onnx.preview.training\" : 1]>\n"
    "g (float[N, 2] x) => (float[N, 2] y, float[N, 2] d) <float[2, 2] w = {1, 2, 3, 4}> {"
    " u = MatMul (x, w) v = Softmax (u) n = RMSNormalization (v, w) y = Mul (n, w)"
    " d = ai.onnx.preview.training.Gradient <xs = [\"x\"], y = \"y\"> (x) }",
};

static pln_status use(pln_env *env, pln_model *m)
{
    pln_text out;
    pln_status st = pln_graph_infer(m->graph, NULL, NULL);
    if (st == PLN_OK)
        st = pln_model_expand_gradients(m, NULL);
    if (st != PLN_OK)
        return st;
    pln_faults faults = { .arena = pln_arena_new(&env->alloc) };
    if (!faults.arena)
        return PLN_E_NOMEM;
    st = pln_model_validate(m, &faults, NULL);
    pln_arena_free(faults.arena);
    if (st == PLN_OK)
        st = pln_model_inline(m, NULL);
    if (st != PLN_OK)
        return st;
    const pln_text_style style = { .inline_limit = UINT32_MAX };
    pln_text_init(&out, &env->alloc);
    st = pln_text_print_model(m, &style, &out, NULL);
    pln_text_done(&out);
    return st;
}

/* True when nothing failed. */
static bool attempt(const char *text, long n)
{
    pln_env_desc desc = PLN_ENV_DESC_INIT;
    pln_env *env = NULL;
    pln_model *m = NULL;
    desc.allocator = (pln_allocator){ counting_alloc, counting_free, NULL };
    left = n;
    pln_status st = pln_env_new(&desc, &env, NULL);
    if (st == PLN_OK)
        st = pln_text_parse_model(env, text, strlen(text), NULL, &m, NULL);
    if (st == PLN_OK)
        st = use(env, m);
    pln_model_free(m);
    pln_env_free(env);
    ck_assert_msg(st == PLN_OK || st == PLN_E_NOMEM, "allocation %ld: %s", n,
                  pln_status_name(st));
    ck_assert_msg(live == 0, "allocation %ld: %ld blocks are left", n, live);
    return st == PLN_OK && left >= 0;
}

START_TEST(every_allocation_fails_once)
{
    long n = 0;
    while (!attempt(texts[_i], n))
        ck_assert_int_lt(n++, 100000);
    ck_assert_int_gt(n, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("oom");
    TCase *t = tcase_create("oom");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, every_allocation_fails_once, 0,
                        (int)(sizeof texts / sizeof texts[0]));
    suite_add_tcase(s, t);
    return unit_main(s);
}
