/* Running plans: step after step, continuation after continuation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define MAX_ROOT_PLANS 16
#define MAX_PLANS      8

uint64_t rt_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static pln_status check_stop(pln_run *run, pln_error *err)
{
    if (atomic_load_explicit(&run->cancel, memory_order_relaxed))
        return pln_fail(err, PLN_E_CANCELLED, "the run was cancelled");
    if (run->deadline && rt_now_ns() > run->deadline)
        return pln_fail(err, PLN_E_LIMIT, "the run's deadline has passed");
    return PLN_OK;
}

static pln_status check_late(pln_call *c, const rt_frame *f, const rt_step *step,
                             pln_error *err)
{
    for (uint32_t i = 0; i < step->n_out; i++) {
        const uint32_t s = step->out[i];
        if (!s || !f->plan->slots[s].late)
            continue;
        const pln_tensor *t = f->at[s], *d = f->plan->slots[s].desc;
        if (t == &f->t[s])
            return pln_call_fail(c, err, PLN_E_RUN, "output %u was not given", i);
        if (step->barrier || d->kind != PLN_KIND_TENSOR)
            continue;
        if (t->kind != d->kind || t->dtype != d->dtype || t->rank != d->rank ||
            (d->rank && memcmp(t->dims, d->dims, (size_t)d->rank * sizeof *d->dims)))
            return pln_call_fail(c, err, PLN_E_RUN,
                                 "output %u differs from what its node "
                                 "declares",
                                 i);
    }
    return PLN_OK;
}

/* Bodies find the values that they capture in run->now; afterwards it is as before. */
static pln_status call_with_captures(pln_run *run, rt_frame *f, rt_step *step,
                                     pln_call *c, pln_error *err)
{
    const rt_plan *plan = f->plan;
    pln_tensor **before = rt_scratch(run, step->n_captures * sizeof *before);
    if (!before)
        return pln_oom(err);
    for (uint32_t i = 0; i < step->n_captures; i++) {
        const uint32_t id = plan->slots[step->captures[i]].value->id;
        before[i] = run->now[id];
        run->now[id] = f->at[step->captures[i]];
    }
    const pln_status st = step->run(c, err);
    for (uint32_t i = 0; i < step->n_captures; i++)
        run->now[plan->slots[step->captures[i]].value->id] = before[i];
    return st;
}

/* A barrier's output types follow from its inputs now, or its kernel gives them. */
static pln_status prepare_barrier(pln_run *run, rt_frame *f, rt_step *step, pln_call *c,
                                  pln_error *err)
{
    if (step->node->op->traits & (PLN_OP_DATA_SHAPE | PLN_OP_CONTROL))
        return PLN_OK;
    return rt_barrier_infer(run, f, step, c, err);
}

static pln_status run_node(pln_run *run, rt_frame *f, rt_step *step, pln_error *err)
{
    rt_exec e = { run, f, step };
    pln_tensor **in = f->args, **out = f->args + step->n_in;
    for (uint32_t i = 0; i < step->n_in; i++)
        in[i] = f->at[step->in[i]];
    for (uint32_t i = 0; i < step->n_out; i++) {
        const uint32_t s = step->out[i];
        if (s && f->plan->slots[s].late)
            f->at[s] = &f->t[s];
        out[i] = f->at[s];
    }
    pln_call c = { .node = step->node,
                   .attrs = step->attrs,
                   .state = step->state,
                   .scratch = step->scratch
                                  ? (unsigned char *)f->temp + step->scratch_offset
                                  : NULL,
                   .n_in = step->n_in,
                   .n_out = step->n_out,
                   .in = (const pln_tensor *const *)in,
                   .out = out,
                   .n_threads = step->n_threads,
                   .rt = &rt_services,
                   .driver = &e };
    const rt_mark m = rt_scratch_mark(run);
    pln_status st = step->barrier ? prepare_barrier(run, f, step, &c, err) : PLN_OK;
    if (st == PLN_OK)
        st = step->n_captures ? call_with_captures(run, f, step, &c, err)
                              : step->run(&c, err);
    if (st == PLN_OK && step->late)
        st = check_late(&c, f, step, err);
    rt_scratch_reset(run, m);
    if (st == PLN_OK)
        return PLN_OK;
    pln_error_set(err, "node", step->node->name);
    pln_error_set(err, "op", step->node->op_type);
    return err && err->code == PLN_OK
               ? pln_call_fail(&c, err, st, st == PLN_E_NOMEM ? "no memory" : "failed")
               : st;
}

static pln_status run_copy(pln_run *run, rt_frame *f, const rt_step *step, pln_error *err)
{
    pln_tensor *src = f->at[step->in[0]];
    const uint32_t s = step->out[0];
    if (f->plan->slots[s].late && src->kind != PLN_KIND_TENSOR) {
        rt_frame_hold(f, s, pln_tensor_ref(src));
        return PLN_OK;
    }
    if (f->plan->slots[s].late)
        PLN_TRY(
            rt_frame_heap(run, f, s, (pln_dtype)src->dtype, src->rank, src->dims, err));
    pln_tensor_copy(f->at[s], 0, src, 0, pln_tensor_size(src));
    return PLN_OK;
}

static pln_status run_step(pln_run *run, rt_frame *f, rt_step *step, pln_error *err)
{
    pln_tensor *src, *dst;
    switch ((rt_step_kind)step->kind) {
    case RT_STEP_NODE:
        return run_node(run, f, step, err);
    case RT_STEP_COPY:
        return run_copy(run, f, step, err);
    case RT_STEP_CONVERT:
        src = f->at[step->in[0]];
        dst = f->at[step->out[0]];
        rt_layout_convert(src, dst, step->n_threads);
        return PLN_OK;
    case RT_STEP_VIEW:
        f->t[step->out[0]].data = f->at[step->in[0]]->data;
        return PLN_OK;
    }
    return PLN_OK;
}

static pln_status run_steps(pln_run *run, rt_frame *f, pln_error *err)
{
    const rt_plan *plan = f->plan;
    for (uint32_t i = 0; i < plan->n_steps; i++) {
        PLN_TRY(check_stop(run, err));
        const uint64_t start = run->profile ? rt_now_ns() : 0;
        PLN_TRY(run_step(run, f, &plan->steps[i], err));
        if (run->profile)
            rt_profile_add(run, &plan->steps[i], plan, start, rt_now_ns());
    }
    for (uint32_t i = 0; i < plan->n_exports; i++)
        run->now[plan->exports[i].value] = f->at[plan->exports[i].slot];
    return PLN_OK;
}

pln_status rt_run_graph(pln_run *run, const pln_graph *g, rt_cache *cache, rt_plan *from,
                        pln_error *err)
{
    rt_frame *active = NULL;
    pln_status st = PLN_OK;
    bool continues = false;
    uint32_t limit = from ? MAX_PLANS : MAX_ROOT_PLANS;
    do {
        rt_plan *plan;
        rt_frame *f;
        st = rt_cache_plan(run, cache, g, from, continues, limit, &plan, err);
        if (st != PLN_OK)
            break;
        st = rt_frame_enter(run, plan, &f, err);
        rt_plan_unref(plan); /* the frame holds it */
        if (st != PLN_OK)
            break;
        f->active = active;
        active = f;
        st = run_steps(run, f, err);
        from = f->plan;
        cache = &from->continuations;
        continues = true;
        limit = MAX_PLANS;
    } while (st == PLN_OK && from->n_rest);
    for (; active; active = active->active)
        active->busy = false;
    return st;
}
