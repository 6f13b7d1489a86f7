/* Frames: the tensors of a plan in one run.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

#include <stdatomic.h>
#include <string.h>

#define MAX_FRAMES 256

static void free_frame(pln_run *run, rt_frame *f)
{
    const pln_allocator *a = run->alloc;
    for (uint32_t i = 0; f->heap && i < f->plan->n_slots; i++)
        for (int k = 0; k < RT_SPARES; k++)
            pln_tensor_unref(f->heap[i].spare[k]);
    pln_release(a, f->heap);
    pln_release(a, f->t);
    pln_release(a, f->at);
    pln_release(a, f->args);
    pln_release(a, f->kept);
    rt_plan_unref(f->plan);
    pln_release(a, f);
    run->n_frames--;
}

void rt_frames_free(pln_run *run, bool evicted_only)
{
    for (rt_frame **at = &run->frames; *at;) {
        rt_frame *f = *at;
        if (f->busy || (evicted_only && !atomic_load(&f->plan->evicted))) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free_frame(run, f);
    }
}

static void evict_oldest(pln_run *run)
{
    rt_frame **oldest = NULL;
    for (rt_frame **at = &run->frames; *at; at = &(*at)->next)
        if (!(*at)->busy && (!oldest || (*at)->used < (*oldest)->used))
            oldest = at;
    if (!oldest)
        return;
    rt_frame *f = *oldest;
    *oldest = f->next;
    free_frame(run, f);
}

static void fill_slots(rt_frame *f)
{
    const rt_plan *plan = f->plan;
    for (uint32_t i = 1; i < plan->n_slots; i++) {
        const rt_slot *s = &plan->slots[i];
        if (s->where == RT_CONST) {
            f->at[i] = s->desc;
            continue;
        }
        f->t[i] = *s->desc;
        f->at[i] = &f->t[i];
        if (s->where == RT_ARENA && s->kept)
            f->t[i].data = f->kept + s->offset;
        if (s->where == RT_ALIAS && plan->slots[s->root].where == RT_ARENA &&
            plan->slots[s->root].kept)
            f->t[i].data = f->kept + plan->slots[s->root].offset;
        if (s->where == RT_ALIAS && plan->slots[s->root].where == RT_CONST)
            f->t[i].data = plan->slots[s->root].desc->data;
    }
}

static pln_status new_frame(pln_run *run, rt_plan *plan, rt_frame **out, pln_error *err)
{
    const pln_allocator *a = run->alloc;
    rt_frame *f = pln_calloc(a, 1, sizeof *f);
    if (!f)
        return pln_oom(err);
    f->plan = rt_plan_ref(plan);
    run->n_frames++;
    f->t = pln_calloc(a, plan->n_slots, sizeof *f->t);
    f->at = pln_calloc(a, plan->n_slots, sizeof *f->at);
    f->heap = pln_calloc(a, plan->n_slots, sizeof *f->heap);
    f->args = pln_calloc(a, plan->max_args + 1, sizeof *f->args);
    f->kept = pln_alloc_aligned(a, plan->kept_bytes + 1, PLN_CACHE_LINE);
    if (!f->t || !f->at || !f->heap || !f->args || !f->kept) {
        free_frame(run, f);
        return pln_oom(err);
    }
    fill_slots(f);
    f->next = run->frames;
    run->frames = f;
    *out = f;
    return PLN_OK;
}

static rt_frame *find_frame(pln_run *run, const rt_plan *plan)
{
    for (rt_frame **at = &run->frames; *at; at = &(*at)->next) {
        rt_frame *f = *at;
        if (f->plan != plan || f->busy)
            continue;
        *at = f->next;
        f->next = run->frames;
        run->frames = f;
        return f;
    }
    return NULL;
}

static pln_status bind_temp(pln_run *run, rt_frame *f, pln_error *err)
{
    const rt_plan *plan = f->plan;
    const unsigned d = run->depth;
    if (run->temp_size[d] < plan->temp_bytes) {
        pln_release(run->alloc, run->temp[d]);
        run->temp_size[d] = 0;
        run->temp[d] = pln_alloc_aligned(run->alloc, plan->temp_bytes, 4096);
        if (!run->temp[d])
            return pln_oom(err);
        run->temp_size[d] = plan->temp_bytes;
        run->temp_serial[d] = ++run->clock;
    }
    if (f->temp_serial == run->temp_serial[d])
        return PLN_OK;
    for (uint32_t i = 1; i < plan->n_slots; i++) {
        const rt_slot *s = &plan->slots[i];
        const rt_slot *r = s->where == RT_ALIAS ? &plan->slots[s->root] : s;
        if (r->where == RT_ARENA && !r->kept)
            f->t[i].data = (unsigned char *)run->temp[d] + r->offset;
    }
    f->temp_serial = run->temp_serial[d];
    f->temp = run->temp[d];
    return PLN_OK;
}

static bool reusable(const pln_tensor *t, pln_dtype dt, size_t bytes)
{
    return t && t->kind == PLN_KIND_TENSOR && dt != PLN_DT_STRING &&
           t->dtype != PLN_DT_STRING && t->buf && t->buf->writable &&
           !t->buf->user_release && t->buf->size >= bytes &&
           t->buf->size / 4 <= bytes + 4096 &&
           atomic_load_explicit(&t->refs, memory_order_acquire) == 1 &&
           atomic_load_explicit(&t->buf->refs, memory_order_acquire) == 1;
}

void rt_frame_hold(rt_frame *f, uint32_t slot, pln_tensor *t_take)
{
    rt_heap *h = &f->heap[slot];
    int at = -1;
    for (int k = 0; k < RT_SPARES && at < 0; k++)
        if (!h->spare[k])
            at = k;
    for (int k = 0; k < RT_SPARES && at < 0; k++)
        if (atomic_load_explicit(&h->spare[k]->refs, memory_order_acquire) == 1)
            at = k;
    if (at < 0)
        at = 0;
    pln_tensor_unref(h->spare[at]);
    h->spare[at] = t_take;
    f->at[slot] = t_take;
}

static pln_tensor *take_spare(rt_heap *h, pln_dtype dt, int rank, const int64_t *dims,
                              size_t bytes)
{
    for (int k = 0; k < RT_SPARES; k++) {
        pln_tensor *t = h->spare[k];
        if (!reusable(t, dt, bytes))
            continue;
        t->dtype = (uint8_t)dt;
        t->rank = rank;
        if (rank)
            memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
        t->data = t->buf->data;
        t->layout = PLN_LAYOUT_PLAIN;
        return t;
    }
    return NULL;
}

/* A tensor of its own for the slot: one used before if nobody else holds it. */
pln_status rt_frame_heap(pln_run *run, rt_frame *f, uint32_t slot, pln_dtype dt, int rank,
                         const int64_t *dims, pln_error *err)
{
    size_t bytes;
    pln_tensor *t;
    if (rank < 0 || rank > PLN_MAX_RANK || !pln_dims_bytes(dt, rank, dims, &bytes) ||
        bytes > run->session->tensor_bytes || bytes > run->session->run_bytes)
        return pln_fail(err, PLN_E_LIMIT, "a tensor is larger than the limit");
    t = take_spare(&f->heap[slot], dt, rank, dims, bytes);
    if (t) {
        f->at[slot] = t;
        return PLN_OK;
    }
    PLN_TRY(pln_tensor_make(run->alloc, dt, rank, dims, &t, err));
    rt_frame_hold(f, slot, t);
    return PLN_OK;
}

static pln_status check_bound(const rt_slot *s, const pln_tensor *t, const char *name,
                              pln_error *err)
{
    const pln_tensor *d = s->desc;
    if (t->kind == PLN_KIND_TENSOR && t->dtype == d->dtype && t->rank == d->rank &&
        (!d->rank || !memcmp(t->dims, d->dims, (size_t)d->rank * sizeof *d->dims)))
        return PLN_OK;
    pln_text want, got;
    pln_text_init(&want, NULL);
    pln_text_init(&got, NULL);
    pln_tensor_print_shape(&want, d);
    pln_tensor_print_shape(&got, t);
    pln_error_set(err, "tensor", name);
    const pln_status st =
        pln_fail(err, PLN_E_INPUT, "output '%s' is %s%s, the memory bound to it is %s%s",
                 name, pln_dtype_name((pln_dtype)d->dtype), want.data ? want.data : "",
                 pln_dtype_name((pln_dtype)t->dtype), got.data ? got.data : "");
    pln_text_done(&want);
    pln_text_done(&got);
    return st;
}

static pln_status enter_heap(pln_run *run, rt_frame *f, uint32_t i, pln_error *err)
{
    const rt_slot *s = &f->plan->slots[i];
    const pln_tensor *d = s->desc;
    if (s->output && run->bound[s->output - 1]) {
        PLN_TRY(check_bound(s, run->bound[s->output - 1],
                            run->session->io[PLN_OUTPUT][s->output - 1].name, err));
        f->at[i] = run->bound[s->output - 1];
        return PLN_OK;
    }
    return rt_frame_heap(run, f, i, (pln_dtype)d->dtype, d->rank, d->dims, err);
}

static pln_status enter_outer(pln_run *run, rt_frame *f, uint32_t i, pln_error *err)
{
    const rt_slot *s = &f->plan->slots[i];
    pln_tensor *t = run->now[s->value->id];
    f->at[i] = t;
    if (!s->refs || !t->borrowed)
        return PLN_OK;
    PLN_TRY(rt_frame_heap(run, f, i, (pln_dtype)t->dtype, t->rank, t->dims, err));
    pln_tensor_copy(f->at[i], 0, t, 0, pln_tensor_size(t));
    return PLN_OK;
}

/* Late tensors start as empty structs; those of another run must not be seen. */
pln_status rt_frame_enter(pln_run *run, rt_plan *plan, rt_frame **out, pln_error *err)
{
    rt_frame *f = find_frame(run, plan);
    if (!f) {
        if (run->n_frames >= MAX_FRAMES)
            evict_oldest(run);
        PLN_TRY(new_frame(run, plan, &f, err));
    }
    PLN_TRY(bind_temp(run, f, err));
    for (uint32_t k = 0; k < plan->n_enter; k++) {
        const uint32_t i = plan->enter[k];
        const rt_slot *s = &plan->slots[i];
        if (s->where == RT_OUTER)
            PLN_TRY(enter_outer(run, f, i, err));
        else if (s->where == RT_HEAP)
            PLN_TRY(enter_heap(run, f, i, err));
        else
            f->t[i].data = f->at[s->root]->data;
    }
    f->busy = true;
    f->used = ++run->clock;
    *out = f;
    return PLN_OK;
}
