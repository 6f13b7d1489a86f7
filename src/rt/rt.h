/* The runtime's own structures: sessions, plans, frames and runs.
 *
 * A session holds a private copy of the model and a cache of plans. A plan serves one
 * graph for given shapes: all shapes that follow from them are known, contents that
 * follow are folded away, kernels are bound, memory is laid out. Where a shape depends on
 * data, the plan ends after the nodes that decide it (barriers), and the rest of the
 * graph is planned as its continuation, once their outputs are there. Bodies of If, Loop
 * and Scan have plans of their own, cached by the step that runs them.
 *
 * A run owns frames: one for each plan that it has entered, with the tensors' structs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_RT_RT_H
#define PLN_RT_RT_H

#include "src/ir/op.h"
#include "src/util/map.h"

#include <pthread.h>

typedef struct rt_plan rt_plan;
typedef struct rt_frame rt_frame;

/* ---- plans ----------------------------------------------------------------------- */

typedef enum rt_where {
    RT_NONE = 0, /* slot 0: an absent value */
    RT_CONST,    /* known contents */
    RT_OUTER, /* comes from outside: a graph's input, an earlier plan, an outer graph */
    RT_ARENA, /* at a fixed place in the temporary or the kept block */
    RT_HEAP,  /* a tensor of its own: outputs, containers, strings, data-dependent */
    RT_ALIAS  /* the bytes of another slot under another shape */
} rt_where;

/* One value of a plan in one layout. */
typedef struct rt_slot {
    pln_tensor *desc; /* shape, type, layout; of a constant: itself */
    const pln_value *value;
    uint8_t where;
    bool late;           /* RT_HEAP: its tensor is there only after its step */
    bool kept;           /* RT_ARENA: lives until the graph is done */
    bool refs;           /* somebody keeps references: must not be a borrowed struct */
    bool read;           /* by a step that did not pack it */
    bool pinned;         /* its memory may not be taken over by a step's output */
    uint32_t root;       /* RT_ALIAS: the slot whose bytes it has */
    uint32_t output;     /* 1 + index among the main graph's outputs; 0 */
    uint32_t born, dies; /* steps */
    size_t bytes, offset;
} rt_slot;

typedef enum rt_step_kind {
    RT_STEP_NODE,
    RT_STEP_CONVERT, /* to another layout */
    RT_STEP_COPY,
    RT_STEP_VIEW /* an alias of a slot whose place is not fixed */
} rt_step_kind;

/* Plans for one graph or continuation, the latest used first. */
typedef struct rt_cache {
    rt_plan *head;
    uint32_t n;
} rt_cache;

typedef struct rt_body {
    const pln_graph *graph;
    rt_cache plans;
    struct rt_body *next;
} rt_body;

typedef struct rt_step {
    uint8_t kind;
    bool barrier; /* output shapes are known only when it has run */
    bool late;    /* some output is RT_HEAP and late */
    pln_node *node;
    const void *attrs;
    pln_kernel_fn run;
    const pln_impl *impl; /* NULL: the reference kernel */
    const char *device;
    void *state;
    bool owns_state;
    uint32_t n_in, n_out;
    uint32_t *in, *out; /* slots */
    int inplace;        /* input whose memory output 0 may take over; -1: none, -2: any */
    size_t scratch, scratch_offset;
    uint32_t *captures; /* slots that bodies of the node read from here */
    uint32_t n_captures;
    rt_body *bodies;
    double flops;
    int n_threads;
} rt_step;

typedef struct rt_export {
    uint32_t value, slot;
} rt_export;

typedef struct rt_known {
    uint32_t value;
    bool constant; /* follows from the model's constants alone, not from shapes */
    pln_tensor *t; /* referenced */
} rt_known;

/* State that plans share, or that the steps of one plan share: packed weights. */
typedef struct rt_shared {
    const pln_node *node;
    int purpose;
    void *state;
    void (*release)(void *state);
    struct rt_shared *next;
} rt_shared;

struct rt_plan {
    _Atomic uint32_t refs;
    _Atomic bool evicted;
    pln_session *session;
    pln_arena *arena;
    const pln_graph *graph;
    int64_t *key; /* shapes it was made for */
    size_t key_len;
    rt_plan *next; /* in its cache */
    rt_slot *slots;
    uint32_t n_slots;
    rt_step *steps;
    uint32_t n_steps;
    rt_export *exports;
    uint32_t n_exports;
    rt_known *known; /* values of known contents, those of earlier plans too */
    size_t n_known;
    size_t temp_bytes, kept_bytes;
    pln_node **rest; /* nodes left to continuations */
    size_t n_rest;
    uint32_t *dynamic; /* values whose shapes choose the continuation */
    size_t n_dynamic;
    rt_cache continuations;
    rt_shared *shared; /* of nodes whose constants depend on the shapes */
    uint32_t
        *enter; /* slots to be set when a run enters: outer ones, own tensors, aliases */
    uint32_t n_enter;
    uint32_t max_args;
};

/* ---- sessions -------------------------------------------------------------------- */

struct pln_session {
    pln_env *env;
    const pln_allocator *alloc;
    pln_arena *arena;
    pln_model *model;
    int n_threads;
    bool all_values;
    uint64_t seed;
    uint32_t devices;                 /* RT_DEVICE bits */
    uint64_t run_bytes, tensor_bytes; /* limits */
    pln_io_info *io[2];
    size_t n_io[2];
    pln_value **io_values[2];
    const pln_type **io_types[2];
    uint8_t *const_read;  /* by value: a plan reads the constant as it is */
    pthread_mutex_t lock; /* guards plans, their caches, shared, constants' memory */
    bool lock_made;
    rt_cache plans;
    rt_shared *shared;
    /* Inputs with defaults are taken as constants here; a run that binds one moves to
     * `general`, made from `source` with the same options. NULL where there are none. */
    pln_model *source;
    pln_session *general;
    pln_session_options options;
};

/* ---- runs ------------------------------------------------------------------------ */

#define RT_SPARES 3

/* The tensors that an RT_HEAP slot has used: one that nobody else holds is used again. */
typedef struct rt_heap {
    pln_tensor *spare[RT_SPARES];
} rt_heap;

struct rt_frame {
    rt_plan *plan;     /* referenced */
    pln_tensor *t;     /* [n_slots] structs */
    pln_tensor **at;   /* [n_slots] the tensors in use */
    rt_heap *heap;     /* [n_slots] */
    pln_tensor **args; /* for the step that runs */
    void *temp;        /* what the structs' data point into */
    uint64_t temp_serial;
    unsigned char *kept;
    rt_frame *next, *active; /* of the run; of the graph that is running */
    bool busy;
    uint64_t used;
};

typedef struct rt_block {
    struct rt_block *next;
    size_t size, used;
    unsigned char *data;
} rt_block;

typedef struct rt_time {
    const rt_step *step;
    const rt_plan *plan;
    uint64_t ns;
    uint32_t depth;
    uint64_t start;
} rt_time;

#define RT_MAX_DEPTH 64

struct pln_run {
    pln_session *session;
    const pln_allocator *alloc;
    pln_tensor **inputs, **bound, **outputs; /* by index */
    bool *own_output;
    pln_tensor **now; /* by value id: the tensor of every value that is alive */
    rt_frame *frames;
    uint32_t n_frames;
    void *temp[RT_MAX_DEPTH]; /* temporary blocks by nesting depth */
    size_t temp_size[RT_MAX_DEPTH];
    uint64_t temp_serial[RT_MAX_DEPTH]; /* changes with the block */
    unsigned depth;
    rt_block *scratch, *spare; /* the latest first */
    pln_arena *arena;          /* of one step */
    int64_t *key;
    size_t key_cap;
    uint64_t random, clock, live_bytes;
    uint64_t deadline; /* ns; 0: none */
    _Atomic bool cancel;
    _Atomic bool running;
    bool profile, done;
    rt_time *times;
    size_t n_times, cap_times;
    uint64_t total_ns, start_ns;
};

/* What services find behind pln_call.driver. */
typedef struct rt_exec {
    pln_run *run;
    rt_frame *frame;
    rt_step *step;
} rt_exec;

/* session.c: the session in which inputs with defaults are inputs. */
pln_status rt_session_general(pln_session *s, pln_session **out, pln_error *err);

/* device.c */
#define RT_DEVICE_REF 1u
#define RT_DEVICE_CPU 2u
#define RT_DEVICE_LIB 4u /* those that are opened: dnnl */
pln_status rt_devices_parse(const char *option, uint32_t *mask, pln_error *err);
/* Candidate i for a node, best first: false after the last. ref is not among them. */
bool rt_device_impl(const pln_session *s, const pln_node *n, unsigned i,
                    const pln_device **dev, const pln_impl **impl);
/* Of the library devices, those worth opening for this much work are. */
bool rt_device_ready(const pln_device *dev, double flops);

/* plan.c: the plan of a graph for the tensors that run->now holds for its inputs. `from`
 * is the plan that it continues or whose step runs the body; NULL: the main graph. The
 * session's lock is held. */
pln_status rt_plan_make(pln_run *run, const pln_graph *g, rt_plan *from, bool continues,
                        rt_plan **out, pln_error *err);
rt_plan *rt_plan_ref(rt_plan *p);
void rt_plan_unref(rt_plan *p);
/* Finds or makes. The plan is referenced. */
pln_status rt_cache_plan(pln_run *run, rt_cache *cache, const pln_graph *g, rt_plan *from,
                         bool continues, uint32_t limit, rt_plan **out, pln_error *err);
void rt_cache_clear(rt_cache *cache);
void rt_shared_free(const pln_allocator *a, rt_shared *list);

/* plan_infer.c */
typedef struct rt_planner {
    pln_run *run;
    pln_session *s;
    rt_plan *plan;
    pln_arena *tmp;
    bool main;
    const pln_type **type;  /* by value id; NULL: not known yet */
    pln_tensor **cst;       /* by value id: known contents, borrowed */
    const pln_symval **sym; /* by value id */
    uint8_t *layout;        /* by value id, of values from outside */
    uint32_t *slot[2];      /* by layout and value id */
    uint8_t *mark;          /* by value id: RT_USED and the like */
    bool *constant;         /* by value id: known, and the same for all shapes */
    struct rt_item *items;
    size_t n_items;
    rt_slot *slots;
    size_t n_slots, cap_slots;
    rt_step *steps;
    size_t n_steps, cap_steps;
    rt_known *known;
    size_t n_known, cap_known, n_inherited;
    uint32_t *left; /* by value id: users of a large folded value that are not folded */
    double lib_flops;
} rt_planner;

typedef enum rt_state { RT_FOLDED, RT_STATIC, RT_BARRIER, RT_DEFERRED } rt_state;

/* A node during planning. */
typedef struct rt_item {
    pln_node *node;
    const void *attrs;
    uint8_t state; /* rt_state */
    bool needed;
    pln_value **captures; /* values of other graphs that its bodies read */
    uint32_t n_captures;
    pln_infer infer; /* for costs */
} rt_item;

#define RT_USED    1u  /* by a step of this plan */
#define RT_LATER   2u  /* by a continuation */
#define RT_RESULT  4u  /* an output of the graph */
#define RT_KEEP    16u /* a large folded value that must stay */
#define RT_PENDING 8u  /* produced by a node that is still to be planned */

pln_status rt_plan_infer(rt_planner *p, pln_node *const *nodes, size_t n, pln_error *err);
pln_status rt_captures(pln_arena *arena, const pln_node *n, pln_value ***out,
                       uint32_t *n_out);
bool rt_type_is_known(const pln_type *t);
pln_type *rt_type_of(pln_arena *arena, const pln_tensor *t);
pln_tensor *rt_value_const(const pln_value *v);
/* What is known of a value's type; NULL: nothing yet. */
const pln_type *rt_value_type(rt_planner *p, const pln_value *v);
uint32_t rt_slot_root(const rt_planner *p, uint32_t s);

/* Large folded values that no step reads any more give their memory back. */
void rt_drop_folded(rt_planner *p);

/* plan_bind.c */
/* first: not a continuation */
pln_status rt_plan_bind(rt_planner *p, bool first, pln_error *err);

/* plan_slots.c; slot 0 means no memory. */
uint32_t rt_slot_add(rt_planner *p, const pln_value *v, pln_tensor *desc, rt_where where);
uint32_t rt_slot_new(rt_planner *p, const pln_value *v, const pln_type *t,
                     uint8_t layout);
rt_step *rt_step_new(rt_planner *p, rt_step_kind kind, uint32_t n_in, uint32_t n_out);
/* The value's slot as it was made: channels-last if it has been made so. */
pln_status rt_slot_native(rt_planner *p, const pln_value *v, uint32_t *out,
                          pln_error *err);
/* Its slot in a layout; a conversion is added where it is not there yet. */
pln_status rt_slot_in(rt_planner *p, const pln_value *v, uint8_t layout, uint32_t *out,
                      pln_error *err);
/* Its slot as a tensor of its own: for results and for what keeps references. */
pln_status rt_slot_own(rt_planner *p, const pln_value *v, uint32_t *out, pln_error *err);
/* The slot's memory lives until the graph is done. */
void rt_slot_keep(rt_planner *p, uint32_t s);
pln_tensor *rt_desc_new(pln_arena *arena, const pln_type *t, uint8_t layout);
double rt_desc_bytes(const pln_tensor *const *t, uint32_t n);
bool rt_type_fits_arena(const pln_type *t);

/* plan_memory.c */
pln_status rt_plan_memory(rt_planner *p, pln_error *err);

/* layout.c */
bool rt_layout_same_bytes(int rank, const int64_t *dims);
void rt_layout_convert(const pln_tensor *src, pln_tensor *dst, int n_threads);

/* eval.c: runs a node once on tensors of the heap. */
pln_status rt_eval(pln_session *s, pln_node *n, const void *attrs,
                   const pln_tensor *const *in, const pln_type *out_types,
                   pln_tensor **out, pln_error *err);

/* frame.c */
pln_status rt_frame_enter(pln_run *run, rt_plan *plan, rt_frame **out, pln_error *err);
pln_status rt_frame_heap(pln_run *run, rt_frame *f, uint32_t slot, pln_dtype dt, int rank,
                         const int64_t *dims, pln_error *err);
/* Gives the slot's place to t, whose reference is taken. */
void rt_frame_hold(rt_frame *f, uint32_t slot, pln_tensor *t_take);
void rt_frames_free(pln_run *run, bool evicted_only);

/* threads.c */
/* How many threads are worth waking for so much work. */
int rt_threads_for(int n_threads, double flops, double bytes);

/* run.c */
pln_status rt_run_graph(pln_run *run, const pln_graph *g, rt_cache *cache, rt_plan *from,
                        pln_error *err);
uint64_t rt_now_ns(void);
/* barrier.c: gives the outputs of a step the shapes that follow from its inputs now. */
pln_status rt_barrier_infer(pln_run *run, rt_frame *f, rt_step *step, pln_call *c,
                            pln_error *err);

/* services.c */
extern const pln_services rt_services;
void *rt_scratch(pln_run *run, size_t size);
typedef struct rt_mark {
    rt_block *block;
    size_t used;
} rt_mark;
rt_mark rt_scratch_mark(const pln_run *run);
void rt_scratch_reset(pln_run *run, rt_mark m);
void rt_scratch_free(pln_run *run);

/* profile.c */
void rt_profile_add(pln_run *run, const rt_step *step, const rt_plan *plan,
                    uint64_t start, uint64_t end);

#endif
