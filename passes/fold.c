/* fold: computes what depends on constants alone, by the reference kernels.
 *
 * A result that is larger than what it makes unnecessary counts against a budget. Where
 * it is too large it is still kept aside while the pass runs, so that something small
 * behind it can be folded. Never folded: random operators, dequantization (its nodes say
 * what the file means), and narrow weights that are widened before use (they are a
 * compression).
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/pass.h"

#include <string.h>

#include "src/ir/eval.h"
#include "src/util/map.h"
#include "src/util/size.h"

#define MAX_ASIDE    (UINT64_C(64) << 20) /* bytes of one result kept aside */
#define NARROW_COUNT 1024                 /* elements: smaller ones are no weights */
#define MAX_DEPTH    16                   /* of a chain whose inputs are counted */
#define SHARED_BYTES 1024                 /* a constant that ties its users together */

extern const pln_pass pln_pass_unpack;

typedef struct folder {
    pln_pass_ctx *ctx;
    bool unpack; /* also what says how the weights of a file are packed */
    pln_graph *graph;
    pln_map aside; /* value to pln_tensor */
    uint64_t aside_bytes;
    bool *planned;   /* by node id: it can be computed */
    bool *accepted;  /* by node id: and its group does not grow too much */
    bool planning;   /* what is planned counts as known */
    uint32_t *group; /* by node id: another node of its group, in the end its first */
    int64_t *growth; /* by the id of a group's first node */
} folder;

static uint64_t bytes_of(const pln_tensor *t)
{
    size_t bytes = 0;
    if (!t || t->kind != PLN_KIND_TENSOR ||
        !pln_dims_bytes((pln_dtype)t->dtype, t->rank, t->dims, &bytes))
        return 0;
    const unsigned bits = pln_dtype_bits((pln_dtype)t->dtype);
    return bits && bits < 8 ? bytes * bits / 8 : bytes;
}

static pln_tensor *contents(const folder *f, const pln_value *v)
{
    if (pln_value_is_const(v))
        return v->cst;
    return pln_map_get(&f->aside, v);
}

static bool is_known(const folder *f, const pln_value *v)
{
    return contents(f, v) || (f->planning && v->def && f->planned[v->def->id]);
}

static bool is_narrow(pln_dtype dt)
{
    const unsigned bits = pln_dtype_bits(dt);
    return bits > 0 && bits <= 16 && dt != PLN_DT_BOOL;
}

static bool widens_weights(const pln_node *n)
{
    if (!pln_node_is(n, "Cast") && !pln_node_is(n, "CastLike"))
        return false;
    const pln_type *a = &n->in[0]->type, *b = &n->out[0]->type;
    const int64_t count = pln_value_count(n->in[0]);
    return is_narrow(a->dtype) && pln_dtype_bits(b->dtype) > pln_dtype_bits(a->dtype) &&
           (count < 0 || count > NARROW_COUNT);
}

/* Weights that are quantized at every run: their integers say the same in less. */
static bool narrows_weights(const pln_node *n)
{
    return pln_node_is(n, "QuantizeLinear") && n->out[0] &&
           !pln_dtype_is_float(n->out[0]->type.dtype);
}

static bool is_foldable(const folder *f, const pln_node *n)
{
    const uint32_t qdq = f->unpack || narrows_weights(n) ? 0 : PLN_OP_QDQ;
    const uint32_t never = PLN_OP_RANDOM | PLN_OP_EFFECT | PLN_OP_CONTROL | qdq;
    if (!n->op || (n->op->traits & never) || !pln_node_is_pure(n))
        return false;
    if (!n->n_in || pln_node_is(n, "Constant"))
        return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] && !is_known(f, n->in[i]))
            return false;
    return f->unpack || !widens_weights(n);
}

static bool is_used_by_only(const pln_value *v, const pln_node *n)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (u->node != n)
            return false;
    return true;
}

/* Bytes of constants that nobody needs once n is gone. Inputs stay, whoever needs them.
 */
static uint64_t freed_by(const folder *f, const pln_node *n, int depth)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pln_value *v = n->in[i];
        bool only_here = v && is_used_by_only(v, n);
        for (uint32_t k = 0; k < i && only_here; k++)
            only_here = n->in[k] != v;
        if (only_here && pln_value_is_const(v))
            bytes += v->kind == PLN_VALUE_INPUT ? 0 : bytes_of(v->cst);
        else if (only_here && v->def && depth < MAX_DEPTH && is_known(f, v))
            bytes += freed_by(f, v->def, depth + 1);
    }
    return bytes;
}

/* About what the node itself takes in a file. */
static uint64_t node_bytes(const pln_node *n)
{
    uint64_t bytes = strlen(n->op_type) + strlen(n->name) + 16 * (uint64_t)n->n_attrs;
    for (uint32_t i = 0; i < n->n_in; i++)
        bytes += n->in[i] ? strlen(n->in[i]->name) + 2 : 2;
    return bytes;
}

static uint64_t result_bytes(const pln_node *n, pln_tensor *const *out)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->n_uses)
            bytes += bytes_of(out[i]);
    return bytes;
}

/* The size of the result before it is computed; 0 where it is not known. */
static bool is_too_large_to_try(const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const int64_t count = n->out[i] ? pln_value_count(n->out[i]) : 0;
        size_t bytes = 0;
        if (count > 0 && (!pln_size_mul(&bytes, (size_t)count,
                                        pln_dtype_size(n->out[i]->type.dtype)) ||
                          bytes > 4 * MAX_ASIDE))
            return true;
    }
    return false;
}

static pln_status compute(folder *f, pln_node *n, pln_tensor **out, bool *done)
{
    pln_tensor *in[64];
    pln_error local = { .code = PLN_OK };
    *done = false;
    if (n->n_in > 64 || n->n_out > PLN_PATCH_MAX)
        return PLN_OK;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i] ? contents(f, n->in[i]) : NULL;
        if (in[i] && pln_tensor_materialize(in[i], &local) != PLN_OK)
            return PLN_OK; /* left to fail where it is used */
    }
    const pln_status st = pln_node_eval(n, in, out, &local);
    if (st == PLN_OK)
        *done = true;
    else
        pln_pass_explain(f->ctx, n, NULL, local.text);
    return PLN_OK;
}

static pln_status keep_aside(folder *f, pln_node *n, pln_tensor **out, pln_error *err)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        const uint64_t bytes = bytes_of(out[i]);
        if (!n->out[i] || !out[i] || f->aside_bytes + bytes > 4 * MAX_ASIDE)
            continue;
        if (!pln_map_put(&f->aside, n->out[i], out[i]))
            return pln_oom(err);
        f->aside_bytes += bytes;
        out[i] = NULL;
    }
    return PLN_OK;
}

static pln_status replace_outputs(folder *f, pln_node *n, pln_tensor **out, bool *applied,
                                  pln_error *err)
{
    pln_patch p;
    char why[256] = "";
    pln_value *in[64];
    *applied = false;
    memcpy(in, n->in, n->n_in * sizeof in[0]);
    const uint32_t n_in = n->n_in;
    pln_patch_begin(&p, f->ctx, n);
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i] || !n->out[i]->n_uses || !out[i])
            continue;
        pln_value *c = pln_patch_const(&p, out[i], n->out[i]->name);
        out[i] = NULL;
        pln_patch_replace_proven(&p, n->out[i], c);
    }
    pln_status st = pln_patch_commit(&p, NULL, n, NULL, NULL, why, sizeof why, err);
    if (st != PLN_OK) {
        if (why[0])
            pln_pass_explain(f->ctx, n, NULL, why);
        return st == PLN_E_UNSUPPORTED ? PLN_OK : st;
    }
    *applied = true;
    for (uint32_t i = 0; i < n_in; i++) {
        pln_value *v = in[i];
        for (uint32_t k = 0; k < i && v; k++)
            v = in[k] == v ? NULL : v;
        if (v && v->kind == PLN_VALUE_INITIALIZER && v->cst && !v->n_uses)
            pln_graph_remove_value(v);
    }
    return PLN_OK;
}

/* What the file gains when `result` bytes stand for node n. */
static uint64_t growth_of(const folder *f, const pln_node *n, uint64_t result)
{
    const uint64_t freed = freed_by(f, n, 0) + node_bytes(n);
    return f->unpack || result <= freed ? 0 : result - freed;
}

/* Something that may become small reads it. */
static bool leads_on(const folder *f, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        for (const pln_use *u = n->out[i] ? n->out[i]->uses : NULL; u; u = u->next)
            if (u->node && u->graph == n->graph && f->planned[u->node->id])
                return true;
    return false;
}

static bool is_read_beyond(const folder *f, const pln_value *v)
{
    for (const pln_use *u = v->uses; u; u = u->next)
        if (!u->node || u->graph != v->graph || !f->planned[u->node->id])
            return true;
    return false;
}

static bool all_users_fold(const folder *f, const pln_node *n)
{
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] && is_read_beyond(f, n->out[i]))
            return false;
    return true;
}

/* By sizes that are known before it is computed. */
static bool is_sure_to_grow(const folder *f, const pln_node *n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const pln_value *v = n->out[i];
        const int64_t count = v && v->n_uses ? pln_value_count(v) : 0;
        size_t part = 0;
        if (count > 0 &&
            !pln_size_mul(&part, (size_t)count, pln_dtype_size(v->type.dtype)))
            return true;
        bytes += part;
    }
    return growth_of(f, n, bytes) > 0;
}

/* ---- the plan ------------------------------------------------------------------- */

static uint32_t group_of(const folder *f, uint32_t id)
{
    while (f->group[id] != id)
        id = f->group[id] = f->group[f->group[id]];
    return id;
}

static void unite(folder *f, const pln_node *a, const pln_node *b)
{
    const uint32_t x = group_of(f, a->id), y = group_of(f, b->id);
    f->group[x < y ? y : x] = x < y ? x : y;
}

/* A constant goes when all that read it become constant; what reads a large one stands or
 * falls together. */
static uint64_t plan_input(folder *f, const pln_node *n, const pln_value *v)
{
    const uint64_t bytes = pln_value_is_const(v) ? bytes_of(v->cst) : 0;
    if (v->def && v->def->graph == n->graph && f->planned[v->def->id])
        unite(f, n, v->def);
    if (!bytes || v->kind == PLN_VALUE_INPUT)
        return 0;
    const pln_node *last = NULL; /* in the list of uses, so that it counts once */
    bool goes = true;
    for (const pln_use *u = v->uses; u; u = u->next) {
        const bool within = u->node && u->graph == n->graph && f->planned[u->node->id];
        goes &= within;
        last = u->node;
        if (within && bytes > SHARED_BYTES)
            unite(f, n, u->node);
    }
    return goes && last == n ? bytes : 0;
}

static int64_t planned_growth(folder *f, const pln_node *n)
{
    int64_t growth = -(int64_t)node_bytes(n);
    for (uint32_t i = 0; i < n->n_in; i++)
        growth -= n->in[i] ? (int64_t)plan_input(f, n, n->in[i]) : 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        size_t bytes = 0;
        const pln_value *v = n->out[i];
        const int64_t count = v && is_read_beyond(f, v) ? pln_value_count(v) : 0;
        if (count > 0 &&
            !pln_size_mul(&bytes, (size_t)count, pln_dtype_size(v->type.dtype)))
            return INT32_MAX;
        growth += bytes < INT32_MAX ? (int64_t)bytes : INT32_MAX;
    }
    return growth;
}

/* Takes from the budget what the groups that grow would take together; if it does not
 * suffice, none of them is folded: a second run, which has a new budget, must not go on.
 */
static void spend(folder *f)
{
    uint64_t total = 0;
    const uint64_t budget = f->ctx->fold_left;
    for (const pln_node *n = f->graph->first; n; n = n->next) {
        const int64_t g =
            f->planned[n->id] && f->group[n->id] == n->id ? f->growth[n->id] : 0;
        total += g > 0 && (uint64_t)g <= budget ? (uint64_t)g : 0;
    }
    const uint64_t most = total <= budget ? budget : 0;
    for (const pln_node *n = f->graph->first; n; n = n->next) {
        const int64_t g = f->growth[group_of(f, n->id)];
        f->accepted[n->id] =
            f->planned[n->id] && (f->unpack || g <= 0 || (uint64_t)g <= most);
    }
    f->ctx->fold_left -= most ? total : 0;
}

static pln_status plan(folder *f, pln_error *err)
{
    const size_t n_nodes = (size_t)f->ctx->model->n_nodes + 1;
    f->planned = PLN_NEW_ARRAY(f->ctx->scratch, bool, n_nodes);
    f->accepted = PLN_NEW_ARRAY(f->ctx->scratch, bool, n_nodes);
    f->group = PLN_NEW_ARRAY(f->ctx->scratch, uint32_t, n_nodes);
    f->growth = PLN_NEW_ARRAY(f->ctx->scratch, int64_t, n_nodes);
    if (!f->planned || !f->accepted || !f->group || !f->growth)
        return pln_oom(err);
    f->planning = true;
    for (pln_node *n = f->graph->first; n; n = n->next) {
        f->planned[n->id] = is_foldable(f, n);
        f->group[n->id] = n->id;
    }
    f->planning = false;
    for (const pln_node *n = f->graph->first; n; n = n->next)
        f->growth[n->id] = f->planned[n->id] ? planned_growth(f, n) : 0;
    for (const pln_node *n = f->graph->first; n; n = n->next)
        if (group_of(f, n->id) != n->id)
            f->growth[group_of(f, n->id)] += f->growth[n->id];
    spend(f);
    return PLN_OK;
}

/* ---- folding -------------------------------------------------------------------- */

/* Small enough, and not only on the way to something else that can be computed. */
static bool may_stay(const folder *f, const pln_node *n, pln_tensor *const *out)
{
    const uint64_t growth = growth_of(f, n, result_bytes(n, out));
    if (!growth)
        return true;
    if (!f->accepted[n->id] || all_users_fold(f, n))
        return false;
    for (uint32_t i = 0; i < n->n_out; i++) /* known only now */
        if (n->out[i] && pln_value_count(n->out[i]) < 0 && growth > f->ctx->fold_left)
            return false;
    return true;
}

static pln_status visit(folder *f, pln_node *n, pln_error *err)
{
    pln_tensor *out[PLN_PATCH_MAX] = { NULL };
    bool done, applied = false;
    if (!is_foldable(f, n) || pln_node_is_dead(n))
        return PLN_OK;
    if (is_too_large_to_try(n)) {
        pln_pass_explain(f->ctx, n, NULL, "the result is too large");
        return PLN_OK;
    }
    if (!f->accepted[n->id] && is_sure_to_grow(f, n) && !leads_on(f, n)) {
        pln_pass_explain(f->ctx, n, NULL, "the model would grow too much");
        return PLN_OK;
    }
    pln_status st = compute(f, n, out, &done);
    if (st == PLN_OK && done) {
        if (may_stay(f, n, out))
            st = replace_outputs(f, n, out, &applied, err);
        else
            st = keep_aside(f, n, out, err);
        if (st == PLN_OK && !applied && !all_users_fold(f, n))
            pln_pass_explain(f->ctx, n, NULL, "the model would grow too much");
    }
    for (uint32_t i = 0; i < n->n_out && i < PLN_PATCH_MAX; i++)
        pln_tensor_unref(out[i]);
    return st;
}

static pln_status run(pln_pass_ctx *ctx, pln_graph *g, pln_error *err)
{
    folder f = { .ctx = ctx, .graph = g, .unpack = ctx->pass == &pln_pass_unpack };
    pln_map_init(&f.aside, ctx->model->alloc);
    pln_status st = plan(&f, err);
    for (pln_node *n = g->first, *next; n && st == PLN_OK; n = next) {
        next = n->next;
        st = visit(&f, n, err);
    }
    for (size_t i = 0; i < f.aside.cap; i++)
        if (f.aside.keys[i])
            pln_tensor_unref(f.aside.values[i]);
    pln_map_done(&f.aside);
    return st;
}

const pln_pass pln_pass_fold = {
    .name = "fold",
    .brief = "computes what depends on constants alone, within a budget of growth",
    .run = run,
    .contract = PLN_EXACT,
};

/* For running only: weights that are stored narrow become what the products read, once
 * instead of at every run. */
const pln_pass pln_pass_unpack = {
    .name = "unpack",
    .brief = "unpacks constant weights (casts, dequantization) whatever they grow",
    .run = run,
    .contract = PLN_EXACT,
    .target = PLN_TARGET_PLANISH,
};
