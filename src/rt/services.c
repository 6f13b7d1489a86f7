/* What the runtime does for kernels while they run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/size.h"

#include <stdatomic.h>
#include <string.h>

#define SCRATCH_BLOCK (64u << 10)

static bool same_shape(const pln_tensor *t, pln_dtype dt, int rank, const int64_t *dims)
{
    return t->kind == PLN_KIND_TENSOR && t->dtype == dt && t->rank == rank &&
           (!rank || !memcmp(t->dims, dims, (size_t)rank * sizeof *dims));
}

static pln_status shape_differs(pln_call *c, uint32_t i, const pln_tensor *want, int rank,
                                const int64_t *dims, pln_error *err)
{
    pln_tensor got = { .rank = rank };
    pln_text a, b;
    pln_text_init(&a, NULL);
    pln_text_init(&b, NULL);
    if (rank > 0 && rank <= PLN_MAX_RANK)
        memcpy(got.dims, dims, (size_t)rank * sizeof *dims);
    pln_tensor_print_shape(&a, want);
    pln_tensor_print_shape(&b, &got);
    const pln_status st = pln_call_fail(c, err, PLN_E_RUN, "output %u is %s, expected %s",
                                        i, b.data ? b.data : "", a.data ? a.data : "");
    pln_text_done(&a);
    pln_text_done(&b);
    return st;
}

static pln_tensor *bound_output(const rt_exec *e, uint32_t slot)
{
    const uint32_t o = e->frame->plan->slots[slot].output;
    return o ? e->run->bound[o - 1] : NULL;
}

static pln_status service_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                                 const int64_t *dims, pln_error *err)
{
    rt_exec *e = c->driver;
    const uint32_t slot = i < c->n_out ? e->step->out[i] : 0;
    if (!slot)
        return pln_call_fail(c, err, PLN_E_RUN, "output %u is not wanted", i);
    pln_tensor *fixed = bound_output(e, slot);
    if (!fixed && !e->frame->plan->slots[slot].late)
        fixed = e->frame->at[slot];
    if (fixed) {
        if (!same_shape(fixed, dt, rank, dims))
            return shape_differs(c, i, fixed, rank, dims, err);
        e->frame->at[slot] = fixed;
    } else {
        PLN_TRY(rt_frame_heap(e->run, e->frame, slot, dt, rank, dims, err));
    }
    ((pln_tensor **)c->out)[i] = e->frame->at[slot];
    return PLN_OK;
}

static pln_status service_set_output(pln_call *c, uint32_t i, pln_tensor *t,
                                     pln_error *err)
{
    rt_exec *e = c->driver;
    const uint32_t slot = i < c->n_out ? e->step->out[i] : 0;
    if (!slot)
        return PLN_OK;
    const bool fixed = bound_output(e, slot) || !e->frame->plan->slots[slot].late;
    if (t->kind == PLN_KIND_TENSOR && (fixed || t->borrowed)) {
        PLN_TRY(service_output(c, i, (pln_dtype)t->dtype, t->rank, t->dims, err));
        pln_tensor_copy(e->frame->at[slot], 0, t, 0, pln_tensor_size(t));
        return PLN_OK;
    }
    if (fixed)
        return pln_call_fail(c, err, PLN_E_INPUT, "memory can be bound to tensors only");
    rt_frame_hold(e->frame, slot, pln_tensor_ref(t));
    ((pln_tensor **)c->out)[i] = t;
    return PLN_OK;
}

/* ---- scratch --------------------------------------------------------------------- */

static rt_block *new_block(pln_run *run, size_t size)
{
    if (run->spare && run->spare->size >= size) {
        rt_block *b = run->spare;
        run->spare = NULL;
        return b;
    }
    if (size < SCRATCH_BLOCK)
        size = SCRATCH_BLOCK;
    rt_block *b = pln_alloc(run->alloc, sizeof *b);
    if (!b)
        return NULL;
    b->size = size;
    b->data = pln_alloc_aligned(run->alloc, size, PLN_CACHE_LINE);
    if (b->data)
        return b;
    pln_release(run->alloc, b);
    return NULL;
}

static void free_block(pln_run *run, rt_block *b)
{
    if (!b)
        return;
    pln_release(run->alloc, b->data);
    pln_release(run->alloc, b);
}

void *rt_scratch(pln_run *run, size_t size)
{
    size_t need;
    if (!pln_size_add(&need, size, PLN_CACHE_LINE) || need > run->session->run_bytes)
        return NULL;
    need = pln_align_up(size ? size : 1, PLN_CACHE_LINE);
    rt_block *b = run->scratch;
    if (!b || b->size - b->used < need) {
        b = new_block(run, need);
        if (!b)
            return NULL;
        b->used = 0;
        b->next = run->scratch;
        run->scratch = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    return p;
}

rt_mark rt_scratch_mark(const pln_run *run)
{
    return (rt_mark){ run->scratch, run->scratch ? run->scratch->used : 0 };
}

/* The largest block that becomes free is kept for the next step that needs one. */
void rt_scratch_reset(pln_run *run, rt_mark m)
{
    while (run->scratch != m.block) {
        rt_block *b = run->scratch;
        run->scratch = b->next;
        if (run->spare && run->spare->size >= b->size) {
            free_block(run, b);
            continue;
        }
        free_block(run, run->spare);
        run->spare = b;
    }
    if (m.block)
        m.block->used = m.used;
}

void rt_scratch_free(pln_run *run)
{
    rt_scratch_reset(run, (rt_mark){ NULL, 0 });
    free_block(run, run->spare);
    run->spare = NULL;
}

static void *service_scratch(pln_call *c, size_t size)
{
    return rt_scratch(((rt_exec *)c->driver)->run, size);
}

/* ---- bodies ---------------------------------------------------------------------- */

static rt_body *body_of(pln_session *s, rt_step *step, const pln_graph *g)
{
    pthread_mutex_lock(&s->lock);
    rt_body *b = step->bodies;
    while (b && b->graph != g)
        b = b->next;
    if (!b && (b = pln_calloc(s->alloc, 1, sizeof *b))) {
        b->graph = g;
        b->next = step->bodies;
        step->bodies = b;
    }
    pthread_mutex_unlock(&s->lock);
    return b;
}

static pln_status body_outputs(pln_run *run, const pln_graph *g, pln_tensor **out,
                               uint32_t n_out, pln_error *err)
{
    for (uint32_t i = 0; i < n_out; i++) {
        pln_tensor *t = i < g->n_outputs ? run->now[g->outputs[i]->id] : NULL;
        if (!t)
            return pln_fail(err, PLN_E_FORMAT, "a body lacks output %u", i);
        out[i] = pln_tensor_ref(t);
    }
    return PLN_OK;
}

static pln_status service_body(pln_call *c, const pln_graph *g, pln_tensor *const *in,
                               uint32_t n_in, pln_tensor **out, uint32_t n_out,
                               pln_error *err)
{
    rt_exec *e = c->driver;
    pln_run *run = e->run;
    for (uint32_t i = 0; i < n_out; i++)
        out[i] = NULL;
    if (run->depth + 1 >= RT_MAX_DEPTH)
        return pln_call_fail(c, err, PLN_E_LIMIT, "graphs are nested too deep");
    rt_body *body = body_of(run->session, e->step, g);
    if (!body)
        return pln_oom(err);
    for (uint32_t i = 0; i < g->n_inputs; i++)
        run->now[g->inputs[i]->id] = i < n_in ? in[i] : g->inputs[i]->cst;
    const rt_mark m = rt_scratch_mark(run);
    run->depth++;
    pln_status st = rt_run_graph(run, g, &body->plans, e->frame->plan, err);
    run->depth--;
    if (st == PLN_OK)
        st = body_outputs(run, g, out, n_out, err);
    rt_scratch_reset(run, m);
    for (uint32_t i = 0; st != PLN_OK && i < n_out; i++) {
        pln_tensor_unref(out[i]);
        out[i] = NULL;
    }
    return st;
}

static uint64_t *service_random(pln_call *c)
{
    return &((rt_exec *)c->driver)->run->random;
}

static bool service_cancelled(pln_call *c)
{
    pln_run *run = ((rt_exec *)c->driver)->run;
    return atomic_load_explicit(&run->cancel, memory_order_relaxed) ||
           (run->deadline && rt_now_ns() > run->deadline);
}

static const pln_allocator *service_allocator(pln_call *c)
{
    return ((rt_exec *)c->driver)->run->alloc;
}

const pln_services rt_services = {
    .output = service_output,
    .set_output = service_set_output,
    .scratch = service_scratch,
    .body = service_body,
    .random = service_random,
    .cancelled = service_cancelled,
    .allocator = service_allocator,
};
