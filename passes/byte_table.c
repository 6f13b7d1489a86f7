/* byte-table: elementwise nodes between bytes are a table of 256 entries.
 *
 *     QuantizeLinear(Sigmoid(DequantizeLinear(q, s, z)), t, u) => ByteTable(q, table)
 *
 * They may be any that depend on one tensor of bytes and on numbers, as x Sigmoid(x)
 * does. The reference kernels fill the table, so the bytes are those that they would
 * give. Vectors do a few sums and products sooner than the look-ups: those stay in a
 * session, while a file has the fewer nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/qdq_unit.h"

#include <string.h>

#include "src/ir/eval.h"
#include "src/util/map.h"

#define MAX_NODES 32
#define WORTH     4 /* cheap nodes between that cost as much as the look-ups */

typedef struct region {
    pln_node *node[MAX_NODES]; /* what is read comes first */
    size_t n;
    pln_value *bytes; /* what all depend on */
} region;

static bool is_number(const pln_value *v)
{
    return pln_value_is_const(v) && pln_value_count(v) == 1;
}

static bool has_node(const region *r, const pln_node *n)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->node[i] == n)
            return true;
    return false;
}

static bool is_quantizer(const pln_node *n)
{
    return pln_node_is(n, "QuantizeLinear") || pln_node_is(n, "DequantizeLinear");
}

/* Each element of what it gives depends on one of what it reads. */
static bool is_by_element(const pln_node *n)
{
    return n->op && n->n_out == 1 && pln_node_is_pure(n) &&
           ((n->op->traits & PLN_OP_ELEMENTWISE) || is_quantizer(n) ||
            pln_node_is(n, "Clip") || pln_node_is(n, "Cast")) &&
           !pln_node_get_int(n, "block_size", 0);
}

/* Adds n and what it reads. `why` says what stands in the way. */
static bool gather(region *r, pln_node *n, const pln_graph *g, const char **why)
{
    if (has_node(r, n))
        return true;
    *why = "something between is not elementwise";
    if (!is_by_element(n) || n->graph != g)
        return false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        pln_value *v = n->in[i];
        if (!v || is_number(v))
            continue;
        if (i == 0 && pln_is_byte(v) && (!r->bytes || r->bytes == v) &&
            (pln_node_is(n, "DequantizeLinear") || pln_node_is(n, "Cast"))) {
            r->bytes = v;
            continue;
        }
        *why = "it depends on more than one tensor of bytes";
        if (!v->def || v->slot != 0 || !gather(r, v->def, g, why))
            return false;
    }
    *why = "too many nodes";
    if (r->n == MAX_NODES)
        return false;
    r->node[r->n++] = n;
    return true;
}

static bool is_read_outside(const region *r, const pln_node *n)
{
    for (const pln_use *u = n->out[0]->uses; u; u = u->next)
        if (!u->node || !has_node(r, u->node))
            return true;
    return false;
}

/* Nobody else needs what is between; the dequantizer may serve others. */
static bool stays_within(const region *r, const pln_node *root)
{
    for (size_t i = 0; i < r->n; i++) {
        const pln_node *n = r->node[i];
        if (n == root || pln_node_is(n, "DequantizeLinear"))
            continue;
        if (is_read_outside(r, n))
            return false;
    }
    return true;
}

/* About a pass over memory each; others compute for longer. */
static bool is_cheap(const pln_node *n)
{
    static const char *const ops[] = { "Relu", "Clip",      "Add",  "Sub",
                                       "Mul",  "Neg",       "Abs",  "Max",
                                       "Min",  "LeakyRelu", "Cast", "Identity" };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (pln_node_is(n, ops[i]))
            return true;
    return is_quantizer(n);
}

static bool is_worth_it(const pln_pass_ctx *ctx, const region *r)
{
    int work = 0, gone = 1; /* the root goes */
    for (size_t i = 0; i < r->n; i++) {
        work += is_quantizer(r->node[i]) ? 0 : is_cheap(r->node[i]) ? 1 : WORTH;
        gone += !is_read_outside(r, r->node[i]);
    }
    return work >= WORTH || (!ctx->options->session && gone > 1);
}

static pln_status every_byte(const pln_allocator *a, pln_dtype dt, pln_tensor **out,
                             pln_error *err)
{
    const int64_t n = 256;
    PLN_TRY(pln_tensor_make(a, dt, 1, &n, out, err));
    for (int i = 0; i < n; i++)
        PLN_DATA(uint8_t, *out)[i] = (uint8_t)i;
    return PLN_OK;
}

/* What the root makes of every byte. */
static pln_status fill(pln_pass_ctx *ctx, const region *r, const pln_node *root,
                       pln_tensor **out, pln_error *err)
{
    pln_map values;
    pln_tensor *all = NULL;
    *out = NULL;
    pln_map_init(&values, ctx->model->alloc);
    pln_status st = every_byte(ctx->model->alloc, r->bytes->type.dtype, &all, err);
    if (st == PLN_OK && !pln_map_put(&values, r->bytes, all)) {
        pln_tensor_unref(all);
        st = pln_oom(err);
    }
    if (st == PLN_OK)
        st = pln_nodes_eval(r->node, r->n, &values, NULL, err);
    if (st == PLN_OK)
        *out = pln_tensor_ref(pln_map_get(&values, root->out[0]));
    for (size_t i = 0; i < values.cap; i++)
        if (values.keys[i])
            pln_tensor_unref(values.values[i]);
    pln_map_done(&values);
    return st;
}

static pln_status replace(pln_pass_ctx *ctx, pln_node *root, const region *r,
                          pln_tensor *made, pln_error *err)
{
    pln_patch p;
    char why[256] = "";
    const int64_t n = 256;
    pln_tensor *table = NULL;
    PLN_TRY(
        pln_tensor_make(ctx->model->alloc, (pln_dtype)made->dtype, 1, &n, &table, err));
    memcpy(table->data, made->data, 256);
    pln_patch_begin(&p, ctx, root);
    pln_value *in[2] = { r->bytes, pln_patch_const(&p, table, "table") };
    pln_node *t = in[1] ? pln_patch_add_in(&p, "planish", "ByteTable", in, 2, 1) : NULL;
    pln_patch_replace(&p, root->out[0], t ? t->out[0] : NULL);
    const pln_status st =
        pln_patch_commit(&p, NULL, root, NULL, NULL, why, sizeof why, err);
    if (why[0])
        pln_pass_explain(ctx, root, NULL, why);
    return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
}

static pln_status visit(pln_pass_ctx *ctx, pln_node *root, pln_error *err)
{
    region r = { .n = 0 };
    const char *why = "";
    pln_tensor *made = NULL;
    pln_error local = { .code = PLN_OK };
    if (!pln_node_is(root, "QuantizeLinear") || !pln_is_byte(root->out[0]) ||
        pln_node_is_dead(root))
        return PLN_OK;
    if (!gather(&r, root, root->graph, &why) || !r.bytes) {
        pln_pass_explain(ctx, root, NULL, why);
        return PLN_OK;
    }
    if (!stays_within(&r, root)) {
        pln_pass_explain(ctx, root, NULL, "others need what is between");
        return PLN_OK;
    }
    if (!is_worth_it(ctx, &r)) {
        pln_pass_explain(ctx, root, NULL, "what is between is cheap");
        return PLN_OK;
    }
    pln_status st = fill(ctx, &r, root, &made, &local);
    if (st == PLN_OK && pln_tensor_size(made) == 256)
        st = replace(ctx, root, &r, made, err);
    else if (st == PLN_E_NOMEM)
        st = pln_oom(err);
    else
        st = PLN_OK;
    pln_tensor_unref(made);
    return st;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    for (pln_node *n = g->first, *next; n; n = next) {
        next = n->next;
        PLN_TRY(visit(ctx, n, err));
    }
    return PLN_OK;
}

const pln_pass pln_pass_byte_table = {
    .name = "byte-table",
    .brief = "elementwise nodes between bytes become a table",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_PLANISH,
};
