/* state-fused: gives the fused operators of a file their meaning as model-local functions
 * of standard operators, so that other runtimes, which inline those, can run the file.
 * This library goes by its own rows and does not look at them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/util/map.h"
#include "src/util/text.h"

/* A function under construction. */
typedef struct body {
    pln_model *m;
    pln_graph *g;
    int64_t opset;
    unsigned n_names;
    bool failed;
} body;

/* Counted in each function, so that the same function is always the same text. */
static const char *new_name(body *b, const char *prefix)
{
    char buf[24];
    snprintf(buf, sizeof buf, "%s%u", prefix, b->n_names++);
    return pln_model_name(b->m, buf);
}

static pln_value *named(body *b, pln_node *n)
{
    const char *name = n ? new_name(b, "v") : NULL;
    if (!name || !pln_value_rename(n->out[0], name)) {
        b->failed = true;
        return NULL;
    }
    return n->out[0];
}

static pln_node *op(body *b, const char *type, pln_value *x, pln_value *y, pln_value *z)
{
    pln_value *in[3] = { x, y, z };
    const uint32_t n = z ? 3 : y ? 2 : 1;
    pln_node *node =
        b->failed ? NULL : pln_graph_add_node(b->g, NULL, "", type, NULL, in, n, 1);
    b->failed |= !node;
    return node;
}

static pln_value *op1(body *b, const char *type, pln_value *x)
{
    return named(b, op(b, type, x, NULL, NULL));
}

static pln_value *op2(body *b, const char *type, pln_value *x, pln_value *y)
{
    return named(b, op(b, type, x, y, NULL));
}

static pln_value *number(body *b, float f)
{
    pln_tensor *t = NULL;
    pln_node *n = b->failed
                      ? NULL
                      : pln_graph_add_node(b->g, NULL, "", "Constant", NULL, NULL, 0, 1);
    if (!n || pln_tensor_from_f32(b->m->alloc, 0, &f, 1, &t) != PLN_OK ||
        pln_node_set_tensor(n, "value", t) != PLN_OK)
        b->failed = true;
    pln_tensor_unref(t);
    return named(b, n);
}

/* ---- post-ops ------------------------------------------------------------------- */

static pln_value *with_float(body *b, const char *type, pln_value *x, const char *attr,
                             float f, const char *attr2, float f2)
{
    pln_node *n = op(b, type, x, NULL, NULL);
    if (n && (pln_node_set_float(n, attr, f) != PLN_OK ||
              (attr2 && pln_node_set_float(n, attr2, f2) != PLN_OK)))
        b->failed = true;
    return named(b, n);
}

static pln_value *clip(body *b, pln_value *x, float lo, float hi)
{
    pln_value *y = lo > -INFINITY ? op2(b, "Max", x, number(b, lo)) : x;
    return hi < INFINITY ? op2(b, "Min", y, number(b, hi)) : y;
}

static pln_value *gelu(body *b, pln_value *x)
{
    pln_value *e = op1(b, "Erf", op2(b, "Mul", x, number(b, 0.70710678f)));
    pln_value *sum = op2(b, "Add", e, number(b, 1));
    return op2(b, "Mul", op2(b, "Mul", x, number(b, 0.5f)), sum);
}

static pln_value *gelu_tanh(body *b, pln_value *x)
{
    pln_value *cube = op2(b, "Mul", x, op2(b, "Mul", x, x));
    pln_value *s = op2(b, "Add", x, op2(b, "Mul", cube, number(b, 0.044715f)));
    pln_value *t = op1(b, "Tanh", op2(b, "Mul", s, number(b, 0.79788456f)));
    pln_value *sum = op2(b, "Add", t, number(b, 1));
    return op2(b, "Mul", op2(b, "Mul", x, number(b, 0.5f)), sum);
}

static pln_value *linear(body *b, pln_value *x, float alpha, float beta)
{
    pln_value *y = alpha != 1 ? op2(b, "Mul", x, number(b, alpha)) : x;
    return beta != 0 ? op2(b, "Add", y, number(b, beta)) : y;
}

/* Post-ops that are one operator: with the value alone, or before or behind the operand.
 */
static const struct {
    const char *post, *op;
    int operand; /* 0: none, 1: behind, -1: before */
} plain[] = {
    { "relu", "Relu", 0 },   { "sigmoid", "Sigmoid", 0 },   { "tanh", "Tanh", 0 },
    { "exp", "Exp", 0 },     { "sqrt", "Sqrt", 0 },         { "abs", "Abs", 0 },
    { "neg", "Neg", 0 },     { "softplus", "Softplus", 0 }, { "add", "Add", 1 },
    { "sub", "Sub", 1 },     { "rsub", "Sub", -1 },         { "mul", "Mul", 1 },
    { "div", "Div", 1 },     { "max", "Max", 1 },           { "min", "Min", 1 },
    { "prelu", "PRelu", 1 },
};

static bool takes_operand(const char *post)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (!strcmp(plain[i].post, post))
            return plain[i].operand != 0;
    return false;
}

static pln_value *post_op(body *b, const char *post, float alpha, float beta,
                          pln_value *x, pln_value *operand)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(plain[i].post, post) != 0)
            continue;
        if (!plain[i].operand)
            return op1(b, plain[i].op, x);
        return plain[i].operand > 0 ? op2(b, plain[i].op, x, operand)
                                    : op2(b, plain[i].op, operand, x);
    }
    if (!strcmp(post, "leaky_relu"))
        return with_float(b, "LeakyRelu", x, "alpha", alpha, NULL, 0);
    if (!strcmp(post, "elu"))
        return with_float(b, "Elu", x, "alpha", alpha, NULL, 0);
    if (!strcmp(post, "hard_sigmoid"))
        return with_float(b, "HardSigmoid", x, "alpha", alpha, "beta", beta);
    if (!strcmp(post, "hard_swish"))
        return op2(b, "Mul", x,
                   with_float(b, "HardSigmoid", x, "alpha", alpha, "beta", beta));
    if (!strcmp(post, "swish"))
        return op2(b, "Mul", x, op1(b, "Sigmoid", linear(b, x, alpha, 0)));
    if (!strcmp(post, "mish"))
        return op2(b, "Mul", x, op1(b, "Tanh", op1(b, "Softplus", x)));
    if (!strcmp(post, "gelu"))
        return gelu(b, x);
    if (!strcmp(post, "gelu_tanh"))
        return gelu_tanh(b, x);
    if (!strcmp(post, "clip"))
        return clip(b, x, alpha, beta);
    if (!strcmp(post, "linear"))
        return linear(b, x, alpha, beta);
    b->failed = true;
    return NULL;
}

static pln_value *all_posts(body *b, const pln_node *n, pln_value *x)
{
    const pln_attr *names = pln_node_find_attr(n, "post");
    const pln_attr *alpha = pln_node_find_attr(n, "post_alpha");
    const pln_attr *beta = pln_node_find_attr(n, "post_beta");
    uint32_t next = 3;
    for (size_t i = 0; names && i < names->n; i++) {
        const bool takes = takes_operand(names->strings[i]);
        if (!alpha || !beta || alpha->n <= i || beta->n <= i ||
            (takes && next >= b->g->n_inputs)) {
            b->failed = true;
            return NULL;
        }
        x = post_op(b, names->strings[i], alpha->floats[i], beta->floats[i], x,
                    takes ? b->g->inputs[next++] : NULL);
    }
    return x;
}

/* ---- products ------------------------------------------------------------------- */

static pln_value *swapped(body *b, pln_value *v, int rank)
{
    int64_t perm[PLN_MAX_RANK];
    if (rank < 2) {
        b->failed = true;
        return NULL;
    }
    for (int i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : i == rank - 2 ? rank - 1 : rank - 2;
    pln_node *n = op(b, "Transpose", v, NULL, NULL);
    b->failed |= n && pln_node_set_ints(n, "perm", perm, (size_t)rank) != PLN_OK;
    return named(b, n);
}

static pln_value *matmul(body *b, const pln_node *n)
{
    pln_value *x = b->g->inputs[0], *w = b->g->inputs[1];
    if (pln_node_get_int(n, "transA", 0))
        x = swapped(b, x, pln_value_rank(n->in[0]));
    if (pln_node_get_int(n, "transB", 0))
        w = swapped(b, w, pln_value_rank(n->in[1]));
    pln_value *y =
        linear(b, op2(b, "MatMul", x, w), pln_node_get_float(n, "alpha", 1), 0);
    if (n->n_in < 3 || !n->in[2])
        return y;
    return op2(b, "Add", y,
               linear(b, b->g->inputs[2], pln_node_get_float(n, "beta", 1), 0));
}

static pln_value *same_product(body *b, const pln_node *n, const char *type)
{
    pln_value *bias = n->n_in > 2 && n->in[2] ? b->g->inputs[2] : NULL;
    pln_node *y = op(b, type, b->g->inputs[0], b->g->inputs[1], bias);
    for (uint32_t i = 0; y && i < n->n_attrs; i++)
        if (strncmp(n->attrs[i]->name, "post", 4) != 0)
            b->failed |= pln_node_set_attr(y, n->attrs[i]) != PLN_OK;
    return named(b, y);
}

static pln_value *product(body *b, const pln_node *n)
{
    if (!strcmp(n->op_type, "FusedMatMul"))
        return matmul(b, n);
    return same_product(b, n, n->op_type + strlen("Fused"));
}

/* ---- functions ------------------------------------------------------------------ */

static bool is_fused(const pln_node *n)
{
    return !strcmp(n->domain, "planish") && !strncmp(n->op_type, "Fused", 5);
}

/* Nodes with the same text have the same meaning. */
static void describe(pln_text *t, const pln_node *n)
{
    pln_text_printf(t, "%s/%u", n->op_type, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        pln_text_printf(t, ",%d", n->in[i] ? pln_value_rank(n->in[i]) : -2);
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        const pln_attr *a = n->attrs[i];
        pln_text_printf(t, ";%s:%lld:%a", a->name,
                        (long long)(a->type == PLN_ATTR_INT ? a->i : 0),
                        a->type == PLN_ATTR_FLOAT ? (double)a->f : 0);
        for (size_t k = 0; k < a->n; k++) {
            if (a->type == PLN_ATTR_INTS)
                pln_text_printf(t, ",%lld", (long long)a->ints[k]);
            else if (a->type == PLN_ATTR_FLOATS)
                pln_text_printf(t, ",%a", (double)a->floats[k]);
            else if (a->type == PLN_ATTR_STRINGS)
                pln_text_printf(t, ",%s", a->strings[k]);
        }
        if (a->type == PLN_ATTR_STRING)
            pln_text_printf(t, ",%s", a->s);
    }
}

static pln_status add_function(pln_model *m, pln_function *f)
{
    pln_function **all = PLN_NEW_ARRAY(m->arena, pln_function *, m->n_functions + 1);
    if (!all)
        return PLN_E_NOMEM;
    if (m->n_functions)
        memcpy(all, m->functions, m->n_functions * sizeof *all);
    all[m->n_functions++] = f;
    m->functions = all;
    return PLN_OK;
}

static bool name_inputs(body *b, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const char *name = new_name(b, "x");
        if (!name || !pln_graph_add_input(b->g, name, NULL))
            return false;
    }
    return true;
}

static pln_status make_function(pln_model *m, const pln_node *n, const char *overload)
{
    body b = { .m = m,
               .g = pln_graph_new(m, NULL, NULL),
               .opset = pln_model_opset(m, "") };
    pln_function *f = PLN_NEW(m->arena, pln_function);
    const char **attrs = PLN_NEW_ARRAY(m->arena, const char *, n->n_attrs + 1);
    pln_opset *opset = PLN_NEW(m->arena, pln_opset);
    if (!b.g || !f || !attrs || !opset || !name_inputs(&b, n))
        return PLN_E_NOMEM;
    pln_value *y = all_posts(&b, n, product(&b, n));
    if (b.failed || !y || pln_graph_add_output(b.g, y, NULL) != PLN_OK)
        return PLN_E_UNSUPPORTED;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        attrs[i] = n->attrs[i]->name;
    *opset = (pln_opset){ pln_model_name(m, ""), b.opset };
    *f = (pln_function){ .name = n->op_type,
                         .domain = n->domain,
                         .overload = overload,
                         .body = b.g,
                         .attr_names = attrs,
                         .n_attr_names = n->n_attrs,
                         .opsets = opset,
                         .n_opsets = 1 };
    return add_function(m, f);
}

typedef struct stating {
    pln_pass_ctx *ctx;
    pln_map seen; /* description (interned) to overload */
    unsigned n;
} stating;

static pln_status state(stating *s, pln_node *n)
{
    pln_model *m = s->ctx->model;
    pln_text t;
    char buf[24];
    pln_text_init(&t, m->alloc);
    describe(&t, n);
    const char *key = t.failed ? NULL : pln_model_name(m, t.data);
    pln_text_done(&t);
    const char *overload = key ? pln_map_get(&s->seen, key) : NULL;
    if (!key)
        return PLN_E_NOMEM;
    if (!overload) {
        snprintf(buf, sizeof buf, "f%u", s->n++);
        overload = pln_model_name(m, buf);
        const pln_status st = overload ? make_function(m, n, overload) : PLN_E_NOMEM;
        if (st == PLN_E_UNSUPPORTED)
            return PLN_OK;
        PLN_TRY(st);
        if (!pln_map_put(&s->seen, key, (void *)(uintptr_t)overload))
            return PLN_E_NOMEM;
    }
    n->overload = overload;
    return PLN_OK;
}

static pln_status state_graph(pln_graph *g, void *user)
{
    for (pln_node *n = g->first; n; n = n->next)
        if (is_fused(n))
            PLN_TRY(state(user, n));
    return PLN_OK;
}

static void drop_old(pln_model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->functions[i]->domain, "planish") != 0 ||
            strncmp(m->functions[i]->name, "Fused", 5) != 0)
            m->functions[n++] = m->functions[i];
    m->n_functions = n;
}

static pln_status find_fused(pln_graph *g, void *user)
{
    for (const pln_node *n = g->first; n; n = n->next)
        *(size_t *)user += is_fused(n);
    return PLN_OK;
}

/* Functions with overloads need IR version 10; before 4, initializers were inputs. */
static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    pln_model *m = ctx->model;
    size_t n_fused = 0;
    pln_graph_walk(m->graph, find_fused, &n_fused);
    if (g != m->graph || !n_fused || m->ir_version < 4 || !pln_pass_begin(ctx, NULL))
        return PLN_OK;
    ctx->changed = false; /* nothing to infer anew */
    drop_old(m);
    stating s = { .ctx = ctx };
    pln_map_init(&s.seen, m->alloc);
    const pln_status st = pln_graph_walk(g, state_graph, &s);
    pln_map_done(&s.seen);
    if (m->ir_version < 10)
        m->ir_version = 10;
    return st == PLN_OK ? st : pln_oom(err);
}

const pln_pass pln_pass_state_fused = {
    .name = "state-fused",
    .brief = "states fused operators as model-local functions, for other runtimes",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_PLANISH,
};
