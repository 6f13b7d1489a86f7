/* The runtime's part in a kernel call, for tests.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/kernels/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GUARD 256

typedef struct shared {
    void *state;
    void (*release)(void *);
} shared;

typedef struct session {
    shared shared[8];
    int n_shared;
    void *scratch[8];
    int n_scratch;
    pln_node node;
    pln_value *values[TK_MAX];
    pln_value value;
    pln_prep prep;
    pln_tensor meta[TK_MAX];
    const pln_tensor *prep_in[TK_MAX];
    uint8_t layout_in[TK_MAX], layout_out[1];
    bool packed[TK_MAX];
    unsigned char *work;
    pln_tensor out;
    pln_tensor *outs[1];
    unsigned char *memory;
    size_t bytes;
    pln_call call;
    pln_tensor *converted[TK_MAX];
    const pln_tensor *in[TK_MAX]; /* in the layouts that the kernel wants */
} session;

static void die(const char *what)
{
    fprintf(stderr, "tests/kernels: %s\n", what);
    abort();
}

static void *guarded(size_t bytes)
{
    unsigned char *p = pln_alloc_aligned(NULL, bytes + GUARD, 64);
    if (!p)
        die("no memory");
    memset(p, 0xab, bytes + GUARD);
    return p;
}

static void check_guard(const unsigned char *p, size_t bytes, const char *what)
{
    for (size_t i = 0; i < GUARD; i++) {
        if (p[bytes + i] != 0xab)
            die(what);
    }
}

static pln_status do_shared(pln_prep *p, int purpose,
                            pln_status (*make)(pln_prep *p, void **state, pln_error *err),
                            void (*release)(void *state), void **out, pln_error *err)
{
    session *s = p->driver;
    (void)purpose;
    if (s->n_shared == 8)
        die("too many shared states");
    PLN_TRY(make(p, out, err));
    s->shared[s->n_shared++] = (shared){ *out, release };
    return PLN_OK;
}

static void *do_scratch(pln_call *c, size_t size)
{
    session *s = c->driver;
    if (s->n_scratch == 8)
        die("too much scratch");
    return s->scratch[s->n_scratch++] = pln_alloc_aligned(NULL, size ? size : 1, 64);
}

static const pln_services services = { .scratch = do_scratch };

/* t with dimension 1 moved to the end of its memory, or back. */
static pln_tensor *convert(const pln_tensor *t, bool to_last)
{
    pln_tensor *o = tk_tensor((pln_dtype)t->dtype, t->rank, t->dims);
    const size_t es = pln_dtype_size((pln_dtype)t->dtype);
    const int64_t c = t->dims[1];
    int64_t spatial = 1;
    for (int d = 2; d < t->rank; d++)
        spatial *= t->dims[d];
    o->layout = to_last ? PLN_LAYOUT_CHANNELS_LAST : PLN_LAYOUT_PLAIN;
    for (int64_t i = 0; i < pln_tensor_size(t); i++) {
        const int64_t n = i / (c * spatial), ch = i / spatial % c, s = i % spatial;
        const int64_t last = (n * spatial + s) * c + ch;
        memcpy((char *)o->data + (size_t)(to_last ? last : i) * es,
               (const char *)t->data + (size_t)(to_last ? i : last) * es, es);
    }
    return o;
}

static void open_session(session *s, const tk_case *c)
{
    memset(s, 0, sizeof *s);
    s->node = (pln_node){ .name = "test", .op_type = c->op->name, .domain = c->op->domain,
                          .op = c->op, .n_in = c->n_in, .n_out = 1, .in = s->values };
    for (uint32_t i = 0; i < c->n_in; i++) {
        s->values[i] = c->in[i] ? &s->value : NULL;
        if (!c->in[i])
            continue;
        s->meta[i] = *c->in[i];
        if (!c->constant[i])
            s->meta[i].data = NULL;
        s->prep_in[i] = &s->meta[i];
        s->layout_in[i] = PLN_LAYOUT_PLAIN;
    }
    s->out = (pln_tensor){ .kind = PLN_KIND_TENSOR, .dtype = (uint8_t)c->out_dtype,
                           .rank = c->out_rank, .borrowed = true };
    memcpy(s->out.dims, c->out_dims, sizeof s->out.dims);
    s->outs[0] = &s->out;
    s->bytes = (size_t)pln_tensor_size(&s->out) * pln_dtype_size(c->out_dtype);
    s->memory = guarded(s->bytes);
    s->prep = (pln_prep){ .node = &s->node,
                          .attrs = c->attrs,
                          .alloc = &pln_allocator_libc,
                          .n_in = c->n_in,
                          .n_out = 1,
                          .in = s->prep_in,
                          .out = (const pln_tensor *const *)s->outs,
                          .is_static = true,
                          .n_threads = c->n_threads,
                          .flops = 1e9,
                          .layout_in = s->layout_in,
                          .layout_out = s->layout_out,
                          .packed = s->packed,
                          .inplace = -1,
                          .shared = do_shared,
                          .driver = s };
}

static void close_session(session *s, const pln_impl *impl)
{
    if (impl && impl->release && s->prep.state)
        impl->release(s->prep.state);
    for (int i = 0; i < s->n_shared; i++)
        s->shared[i].release(s->shared[i].state);
    for (int i = 0; i < TK_MAX; i++)
        tk_free(s->converted[i]);
    pln_release(NULL, s->work);
}

static pln_status call_once(session *s, const tk_case *c, pln_kernel_fn fn,
                            pln_error *err)
{
    s->out.data = s->memory;
    s->call = (pln_call){ .node = &s->node, .attrs = c->attrs, .state = s->prep.state,
                          .scratch = s->work, .n_in = c->n_in, .n_out = 1, .in = s->in,
                          .out = s->outs, .n_threads = c->n_threads, .rt = &services,
                          .driver = s };
    const pln_status st = fn(&s->call, err);
    for (int i = 0; i < s->n_scratch; i++)
        pln_release(NULL, s->scratch[i]);
    s->n_scratch = 0;
    check_guard(s->memory, s->bytes, "written past the output");
    if (s->work)
        check_guard(s->work, s->prep.scratch, "written past the scratch memory");
    return st;
}

static pln_status start(session *s, const tk_case *c, const pln_impl *impl,
                        pln_error *err)
{
    open_session(s, c);
    if (impl && impl->prepare)
        PLN_TRY(impl->prepare(&s->prep, err));
    if (s->prep.scratch)
        s->work = guarded(s->prep.scratch);
    for (uint32_t i = 0; i < c->n_in; i++) {
        s->in[i] = c->in[i];
        if (c->in[i] && s->layout_in[i] == PLN_LAYOUT_CHANNELS_LAST)
            s->in[i] = s->converted[i] = convert(c->in[i], true);
    }
    s->out.layout = s->layout_out[0];
    return PLN_OK;
}

pln_status tk_run(const tk_case *c, const pln_impl *impl, pln_tensor **out,
                  pln_error *err)
{
    session *s = calloc(1, sizeof *s);
    *out = NULL;
    pln_status st = start(s, c, impl, err);
    if (st == PLN_OK)
        st = call_once(s, c, impl ? impl->run : c->op->ref, err);
    if (st == PLN_OK) {
        *out = tk_tensor(c->out_dtype, c->out_rank, c->out_dims);
        memcpy((*out)->data, s->memory, s->bytes);
        if (s->out.layout == PLN_LAYOUT_CHANNELS_LAST) {
            pln_tensor *plain = convert(*out, false);
            tk_free(*out);
            *out = plain;
        }
    }
    close_session(s, impl);
    pln_release(NULL, s->memory);
    free(s);
    return st;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double tk_bench(const tk_case *c, const pln_impl *impl, double seconds, pln_error *err)
{
    session *s = calloc(1, sizeof *s);
    double best = 1e30;
    if (start(s, c, impl, err) == PLN_OK) {
        const double end = now() + seconds;
        do {
            const double t = now();
            if (call_once(s, c, impl ? impl->run : c->op->ref, err) != PLN_OK)
                break;
            const double d = now() - t;
            best = d < best ? d : best;
        } while (now() < end);
    }
    close_session(s, impl);
    pln_release(NULL, s->memory);
    free(s);
    return best;
}

pln_tensor *tk_tensor(pln_dtype dt, int rank, const int64_t *dims)
{
    pln_tensor *t = calloc(1, sizeof *t);
    t->kind = PLN_KIND_TENSOR;
    t->dtype = (uint8_t)dt;
    t->rank = rank;
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    const size_t bytes = (size_t)pln_tensor_size(t) * pln_dtype_size(dt);
    t->data = pln_alloc_aligned(NULL, bytes ? bytes : 1, 64);
    if (!t->data)
        die("no memory");
    return t;
}

void tk_free(pln_tensor *t)
{
    if (!t)
        return;
    pln_release(NULL, t->data);
    free(t);
}

void tk_random(pln_tensor *t, uint64_t seed, double lo, double hi)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        const double u = (double)(x >> 11) * 0x1p-53;
        if (pln_dtype_is_integer((pln_dtype)t->dtype))
            pln_tensor_set_i64(t, i, (int64_t)(lo + u * (hi - lo + 1)));
        else
            pln_tensor_set_f64(t, i, lo + u * (hi - lo));
    }
}

const pln_op_desc *tk_row(const pln_op_desc *rows, const char *name)
{
    for (; rows->name; rows++) {
        if (strcmp(rows->name, name) == 0)
            return rows;
    }
    die("no such row");
    return NULL;
}
