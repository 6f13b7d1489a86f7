/* oneDNN primitives: making, running and releasing them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dnnl/prim.h"
#include "kernels/epilogue.h"
#include "src/util/parallel.h"

#include <omp.h>
#include <string.h>

prim *prim_new(const pln_allocator *a)
{
    prim *p = pln_calloc(a, 1, sizeof *p);
    if (p) {
        p->alloc = a;
        atomic_flag_clear(&p->busy);
    }
    return p;
}

void prim_free(void *state)
{
    prim *p = state;
    if (!p)
        return;
    for (int i = 0; i < p->n_args; i++)
        pln_dnnl.memory_destroy(p->arg[i].memory);
    if (p->primitive)
        pln_dnnl.primitive_destroy(p->primitive);
    if (p->pd)
        pln_dnnl.primitive_desc_destroy(p->pd);
    pln_release(p->alloc, p);
}

bool prim_is_optimized(const_dnnl_primitive_desc_t pd)
{
    const char *info = NULL;
    if (pln_dnnl.primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &info) !=
            dnnl_success ||
        !info)
        return false;
    return strncmp(info, "ref", 3) != 0 && strncmp(info, "gemm:ref", 8) != 0;
}

pln_status prim_add_md(prim *p, int arg, const_dnnl_memory_desc_t md, prim_source source,
                       uint32_t index, pln_error *err)
{
    if (p->n_args == PRIM_ARGS_MAX)
        return pln_fail(err, PLN_E_LIMIT, "too many arguments of a primitive");
    prim_arg *a = &p->arg[p->n_args];
    *a = (prim_arg){ .arg = arg, .source = source, .index = index };
    if (pln_dnnl.memory_create(&a->memory, md, pln_dnnl.engine, DNNL_MEMORY_NONE) !=
        dnnl_success)
        return pln_oom(err);
    p->n_args++;
    return PLN_OK;
}

pln_status prim_add(prim *p, int arg, dnnl_query_t query, int query_index,
                    prim_source source, uint32_t index, pln_error *err)
{
    return prim_add_md(p, arg,
                       pln_dnnl.primitive_desc_query_md(p->pd, query, query_index),
                       source, index, err);
}

pln_status prim_finish(prim *p, pln_prep *prep, pln_error *err)
{
    const_dnnl_memory_desc_t md =
        pln_dnnl.primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0);
    prep->scratch = pln_dnnl.memory_desc_get_size(md);
    if (prep->scratch)
        PLN_TRY(prim_add_md(p, DNNL_ARG_SCRATCHPAD, md, PRIM_SCRATCH, 0, err));
    /* What the library plans for depends on the threads it sees now. */
    const int threads = omp_get_max_threads();
    omp_set_num_threads(prep->n_threads);
    const dnnl_status_t st = pln_dnnl.primitive_create(&p->primitive, p->pd);
    omp_set_num_threads(threads);
    return st == dnnl_success ? PLN_OK : PLN_E_UNSUPPORTED;
}

static void *pointer_of(const prim *p, const prim_arg *a, const pln_call *c)
{
    switch (a->source) {
    case PRIM_INPUT: return c->in[a->index]->data;
    case PRIM_OUTPUT: return c->out[0]->data;
    case PRIM_WEIGHTS: return p->weights;
    case PRIM_SCRATCH: return c->scratch;
    }
    return NULL;
}

static bool execute(const prim *p, const dnnl_memory_t *memory, const pln_call *c)
{
    dnnl_exec_arg_t args[PRIM_ARGS_MAX];
    for (int i = 0; i < p->n_args; i++) {
        args[i] = (dnnl_exec_arg_t){ p->arg[i].arg, memory[i] };
        pln_dnnl.memory_set_data_handle(memory[i], pointer_of(p, &p->arg[i], c));
    }
    const int threads = omp_get_max_threads();
    if (threads != c->n_threads)
        omp_set_num_threads(c->n_threads);
    const dnnl_status_t st =
        pln_dnnl.primitive_execute(p->primitive, pln_dnnl.stream, p->n_args, args);
    if (threads != c->n_threads)
        omp_set_num_threads(threads);
    return st == dnnl_success;
}

/* Another run of the same plan holds the memory objects: this one makes its own. */
static bool execute_aside(const prim *p, const pln_call *c)
{
    dnnl_memory_t memory[PRIM_ARGS_MAX];
    int n = 0;
    bool ok = true;
    for (; ok && n < p->n_args; n += ok) {
        const_dnnl_memory_desc_t md;
        ok = pln_dnnl.memory_get_memory_desc(p->arg[n].memory, &md) == dnnl_success &&
             pln_dnnl.memory_create(&memory[n], md, pln_dnnl.engine, DNNL_MEMORY_NONE) ==
                 dnnl_success;
    }
    ok = ok && execute(p, memory, c);
    while (n-- > 0)
        pln_dnnl.memory_destroy(memory[n]);
    return ok;
}

typedef struct rest_job {
    const pln_epilogue *e;
    float *y;
    int64_t cols;
} rest_job;

static void rest_rows(void *arg, int64_t begin, int64_t end)
{
    const rest_job *j = arg;
    for (int64_t r = begin; r < end; r++)
        pln_epilogue_row(j->e, j->y + r * j->cols, r, 0, j->cols);
}

static pln_status run_rest(const prim *p, pln_call *c, pln_error *err)
{
    pln_epilogue e;
    PLN_TRY(pln_epilogue_set(&e, c, &p->rest, NULL, 0, 1.0f, c->out[0], err));
    const int64_t n = pln_tensor_size(c->out[0]);
    rest_job j = { &e, c->out[0]->data, e.rank ? e.dims[e.rank - 1] : 1 };
    if (n)
        pln_parallel_for(c->n_threads, n / j.cols, 1 + 8192 / j.cols, rest_rows, &j);
    return PLN_OK;
}

pln_status prim_run(pln_call *c, pln_error *err)
{
    prim *p = c->state;
    bool ok;
    if (!atomic_flag_test_and_set_explicit(&p->busy, memory_order_acquire)) {
        dnnl_memory_t memory[PRIM_ARGS_MAX];
        for (int i = 0; i < p->n_args; i++)
            memory[i] = p->arg[i].memory;
        ok = execute(p, memory, c);
        atomic_flag_clear_explicit(&p->busy, memory_order_release);
    } else {
        ok = execute_aside(p, c);
    }
    if (!ok)
        return pln_call_fail(c, err, PLN_E_RUN, "oneDNN could not run it");
    return p->rest.n ? run_rest(p, c, err) : PLN_OK;
}

/* ---- weights --------------------------------------------------------------------- */

enum { SHARED_WEIGHTS = 100 };

typedef struct format {
    struct format *next;
    dnnl_memory_desc_t md;
    void *data;
} format;

/* All formats that plans of a session have wanted of one node's weights. */
typedef struct formats {
    const pln_allocator *alloc;
    format *first;
} formats;

static void release_formats(void *state)
{
    formats *f = state;
    while (f->first) {
        format *x = f->first;
        f->first = x->next;
        pln_dnnl.memory_desc_destroy(x->md);
        pln_release(f->alloc, x->data);
        pln_release(f->alloc, x);
    }
    pln_release(f->alloc, f);
}

static pln_status make_formats(pln_prep *prep, void **out, pln_error *err)
{
    formats *f = pln_calloc(prep->alloc, 1, sizeof *f);
    if (!f)
        return pln_oom(err);
    f->alloc = prep->alloc;
    *out = f;
    return PLN_OK;
}

static bool reorder(const_dnnl_memory_desc_t from, void *src, const_dnnl_memory_desc_t to,
                    void *dst)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t r = NULL;
    dnnl_memory_t a = NULL, b = NULL;
    bool ok =
        pln_dnnl.reorder_primitive_desc_create(&pd, from, pln_dnnl.engine, to,
                                               pln_dnnl.engine, NULL) == dnnl_success &&
        pln_dnnl.primitive_create(&r, pd) == dnnl_success &&
        pln_dnnl.memory_create(&a, from, pln_dnnl.engine, src) == dnnl_success &&
        pln_dnnl.memory_create(&b, to, pln_dnnl.engine, dst) == dnnl_success;
    if (ok) {
        const dnnl_exec_arg_t args[2] = { { DNNL_ARG_FROM, a }, { DNNL_ARG_TO, b } };
        ok = pln_dnnl.primitive_execute(r, pln_dnnl.stream, 2, args) == dnnl_success;
    }
    if (a)
        pln_dnnl.memory_destroy(a);
    if (b)
        pln_dnnl.memory_destroy(b);
    if (r)
        pln_dnnl.primitive_destroy(r);
    if (pd)
        pln_dnnl.primitive_desc_destroy(pd);
    return ok;
}

static pln_status add_format(formats *f, const_dnnl_memory_desc_t from, void *src,
                             const_dnnl_memory_desc_t to, format **out, pln_error *err)
{
    format *x = pln_calloc(f->alloc, 1, sizeof *x);
    const size_t size = pln_dnnl.memory_desc_get_size(to);
    if (!x || !(x->data = pln_alloc_aligned(f->alloc, size ? size : 1, 64)) ||
        pln_dnnl.memory_desc_clone(&x->md, to) != dnnl_success) {
        if (x)
            pln_release(f->alloc, x->data);
        pln_release(f->alloc, x);
        return pln_oom(err);
    }
    x->next = f->first;
    f->first = x;
    *out = x;
    return reorder(from, src, to, x->data) ? PLN_OK : PLN_E_UNSUPPORTED;
}

pln_status prim_pack_weights(prim *p, pln_prep *prep, uint32_t index,
                             const_dnnl_memory_desc_t md, pln_error *err)
{
    void *shared;
    PLN_TRY(
        prep->shared(prep, SHARED_WEIGHTS, make_formats, release_formats, &shared, err));
    formats *f = shared;
    const_dnnl_memory_desc_t want =
        pln_dnnl.primitive_desc_query_md(p->pd, dnnl_query_weights_md, 0);
    format *x = f->first;
    while (x && !pln_dnnl.memory_desc_equal(x->md, want))
        x = x->next;
    if (!x)
        PLN_TRY(add_format(f, md, prep->in[index]->data, want, &x, err));
    p->weights = x->data;
    prep->packed[index] = true;
    return PLN_OK;
}
