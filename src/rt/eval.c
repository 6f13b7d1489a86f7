/* Runs one node on tensors of the heap: constant folding while a plan is made.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

typedef struct eval {
    pln_session *s;
    pln_tensor **out;
    rt_block *scratch;
    uint64_t random;
} eval;

static pln_status eval_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                              const int64_t *dims, pln_error *err)
{
    eval *e = c->driver;
    pln_tensor *t;
    PLN_TRY(pln_tensor_make(e->s->alloc, dt, rank, dims, &t, err));
    pln_tensor_unref(e->out[i]);
    e->out[i] = t;
    return PLN_OK;
}

static pln_status eval_set_output(pln_call *c, uint32_t i, pln_tensor *t, pln_error *err)
{
    eval *e = c->driver;
    pln_tensor *mine;
    if (t->borrowed)
        PLN_TRY(pln_tensor_dup(t, &mine, err));
    else
        mine = pln_tensor_ref(t);
    pln_tensor_unref(e->out[i]);
    e->out[i] = mine;
    return PLN_OK;
}

static void *eval_scratch(pln_call *c, size_t size)
{
    eval *e = c->driver;
    rt_block *b = pln_alloc(e->s->alloc, sizeof *b);
    if (!b)
        return NULL;
    b->data = pln_alloc_aligned(e->s->alloc, size ? size : 1, PLN_CACHE_LINE);
    if (!b->data) {
        pln_release(e->s->alloc, b);
        return NULL;
    }
    b->next = e->scratch;
    e->scratch = b;
    return b->data;
}

static pln_status eval_body(pln_call *c, const pln_graph *g, pln_tensor *const *in,
                            uint32_t n_in, pln_tensor **out, uint32_t n_out,
                            pln_error *err)
{
    return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "a body can't be folded");
}

static uint64_t *eval_random(pln_call *c)
{
    return &((eval *)c->driver)->random;
}

static bool eval_cancelled(pln_call *c)
{
    return false;
}

static const pln_allocator *eval_allocator(pln_call *c)
{
    return ((eval *)c->driver)->s->alloc;
}

static const pln_services eval_services = {
    .output = eval_output,
    .set_output = eval_set_output,
    .scratch = eval_scratch,
    .body = eval_body,
    .random = eval_random,
    .cancelled = eval_cancelled,
    .allocator = eval_allocator,
};

/* Tensors for the outputs of known shape; empty ones for the kernel to replace else. */
static pln_status eval_outputs(eval *e, const pln_node *n, const pln_type *types,
                               pln_error *err)
{
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        if (!rt_type_is_known(&types[i]) || types[i].kind != PLN_KIND_TENSOR) {
            PLN_TRY(
                pln_tensor_make_container(e->s->alloc, PLN_KIND_OPTIONAL, &e->out[i]));
            continue;
        }
        int64_t dims[PLN_MAX_RANK];
        for (int k = 0; k < types[i].shape.rank; k++)
            dims[k] = types[i].shape.dims[k].value;
        PLN_TRY(pln_tensor_make(e->s->alloc, types[i].dtype, types[i].shape.rank, dims,
                                &e->out[i], err));
    }
    return PLN_OK;
}

static void eval_release(eval *e)
{
    while (e->scratch) {
        rt_block *b = e->scratch;
        e->scratch = b->next;
        pln_release(e->s->alloc, b->data);
        pln_release(e->s->alloc, b);
    }
}

pln_status rt_eval(pln_session *s, pln_node *n, const void *attrs,
                   const pln_tensor *const *in, const pln_type *out_types,
                   pln_tensor **out, pln_error *err)
{
    eval e = { .s = s, .out = out, .random = s->seed };
    pln_status st = eval_outputs(&e, n, out_types, err);
    pln_call c = { .node = n,
                   .attrs = attrs,
                   .n_in = n->n_in,
                   .n_out = n->n_out,
                   .in = in,
                   .out = out,
                   .n_threads = s->n_threads,
                   .rt = &eval_services,
                   .driver = &e };
    if (st == PLN_OK)
        st = n->op->ref(&c, err);
    eval_release(&e);
    return st;
}
