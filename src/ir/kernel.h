/* What a kernel sees: at plan time (pln_prep) and at each call (pln_call).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_KERNEL_H
#define PLN_IR_KERNEL_H

#include "src/ir/graph.h"

typedef struct pln_call pln_call;
typedef struct pln_prep pln_prep;

/* Runs one node. Contents are untrusted: bad indices fail with PLN_E_RUN. */
typedef pln_status (*pln_kernel_fn)(pln_call *c, pln_error *err);

/* An implementation that prepares once for a plan. */
typedef struct pln_impl {
    const char *name; /* "gemm_f32", for profiles */
    /* Binds, packs weights, asks for scratch memory and layouts; returns
     * PLN_E_UNSUPPORTED (err untouched) to decline these types or shapes. NULL: takes
     * all. */
    pln_status (*prepare)(pln_prep *p, pln_error *err);
    pln_kernel_fn run;
    void (*release)(void *state); /* what prepare left in state; NULL */
} pln_impl;

/* Plan time. Input descriptors have kind, dtype, dims; `data` only when constant
 * (materialized). A dimension that is known only at run time is -1 (is_static false). */
struct pln_prep {
    const pln_node *node;
    const void *attrs;
    const pln_allocator *alloc;
    uint32_t n_in, n_out;
    const pln_tensor *const *in; /* NULL: absent */
    const pln_tensor *const *out;
    bool is_static; /* all shapes of inputs and outputs are known */
    int n_threads;
    double flops; /* by the row's cost */
    /* Results. */
    void *state;
    size_t scratch;          /* bytes of workspace for each call, 64-byte aligned */
    uint8_t *layout_in; /* [n_in] pln_layout: on entry that of the value as it is now,
                           on return that which run wants (others are converted) */
    uint8_t *layout_out;     /* [n_out] PLAIN on entry; what run will write */
    bool *packed;            /* [n_in] set for a constant input that run no longer reads:
                                its memory may be given back */
    int alias;   /* input whose bytes, in the layouts above, are those of output
                    0: no call is needed then, but run must still copy; -1 */
    int inplace; /* input whose memory output 0 takes over, when it has no later
                    use; -1 */
    /* Shared by all plans of a session: state keyed by node and purpose, e.g. packed
     * weights that do not depend on the shape. Stores `make`'s result on first use. */
    pln_status (*shared)(pln_prep *p, int purpose,
                         pln_status (*make)(pln_prep *p, void **state, pln_error *err),
                         void (*release)(void *state), void **out, pln_error *err);
    void *driver;
};

/* One call. */
struct pln_call {
    const pln_node *node;
    const void *attrs;
    void *state;   /* from prepare */
    void *scratch; /* as many bytes as prepare asked for */
    uint32_t n_in, n_out;
    const pln_tensor *const *in; /* NULL: absent */
    pln_tensor *const *out; /* shape set and memory given as inferred; NULL: not wanted.
                               Unknown shape: data NULL, give it with
                               pln_call_output() first */
    int n_threads;
    const struct pln_services *rt;
    void *driver;
};

/* What the runtime does for a kernel. */
typedef struct pln_services {
    pln_status (*output)(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                         const int64_t *dims, pln_error *err);
    pln_status (*set_output)(pln_call *c, uint32_t i, pln_tensor *t, pln_error *err);
    void *(*scratch)(pln_call *c, size_t size);
    pln_status (*body)(pln_call *c, const pln_graph *g, pln_tensor *const *in,
                       uint32_t n_in, pln_tensor **out, uint32_t n_out, pln_error *err);
    uint64_t *(*random)(pln_call *c);
    bool (*cancelled)(pln_call *c);
    const pln_allocator *(*allocator)(pln_call *c);
} pln_services;

/* Allocates output i with this shape (also where it differs from what was inferred). */
static inline pln_status pln_call_output(pln_call *c, uint32_t i, pln_dtype dt, int rank,
                                         const int64_t *dims, pln_error *err)
{
    return c->rt->output(c, i, dt, rank, dims, err);
}
/* Output i becomes (a reference to) t: containers, values that pass through. */
static inline pln_status pln_call_set_output(pln_call *c, uint32_t i, pln_tensor *t,
                                             pln_error *err)
{
    return c->rt->set_output(c, i, t, err);
}
/* Workspace until the call returns, 64-byte aligned; NULL: no memory. For sizes that are
 * known at plan time, prepare's scratch is better. */
static inline void *pln_call_scratch(pln_call *c, size_t size)
{
    return c->rt->scratch(c, size);
}
/* Runs a body of the node. Its outputs are new references. */
static inline pln_status pln_call_body(pln_call *c, const pln_graph *g,
                                       pln_tensor *const *in, uint32_t n_in,
                                       pln_tensor **out, uint32_t n_out, pln_error *err)
{
    return c->rt->body(c, g, in, n_in, out, n_out, err);
}
/* State of the run's random generator, for ops without a seed attribute. */
static inline uint64_t *pln_call_random(pln_call *c)
{
    return c->rt->random(c);
}
/* For long loops; return PLN_E_CANCELLED then. */
static inline bool pln_call_cancelled(pln_call *c)
{
    return c->rt->cancelled(c);
}
static inline const pln_allocator *pln_call_allocator(pln_call *c)
{
    return c->rt->allocator(c);
}
static inline bool pln_call_has(const pln_call *c, uint32_t i)
{
    return i < c->n_in && c->in[i];
}
static inline bool pln_call_wants(const pln_call *c, uint32_t i)
{
    return i < c->n_out && c->out[i];
}
/* Fails with "name (Op): " in front. */
pln_status pln_call_fail(const pln_call *c, pln_error *err, pln_status st,
                         const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* ---- devices --------------------------------------------------------------------- */

/* A device gives implementations to operators. Its library, if it needs one, is loaded by
 * `open`, when a plan first wants it. */
typedef struct pln_device {
    const char *name; /* "dnnl" */
    const char *brief;
    /* Could it serve this node at all? Cheap; loads nothing. */
    const pln_impl *(*find)(const pln_node *n);
    /* Has it a kernel for some nodes of this operator? */
    bool (*serves)(const char *domain, const char *op);
    /* Loads what it needs; PLN_E_UNSUPPORTED: not on this machine. Idempotent,
       thread-safe. */
    pln_status (*open)(pln_error *err);
    double min_flops; /* a plan with less work for it does not open it */
    /* no library: what our own kernels do, tried behind the operator's own */
    bool is_cpu;
} pln_device;

#endif
