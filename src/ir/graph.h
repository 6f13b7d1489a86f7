/* The graph: values and nodes in topological order, with def-use chains.
 *
 * Every place that needs a value is a use: a node's input, a graph's output; a node in an
 * If/Loop/Scan body that reads a value of an outer graph is an ordinary use of it, too.
 * A value is never destroyed while it has uses.
 *
 * A graph under edit belongs to one thread. Passes change it through patches only
 * (passes/rewrite.h); the functions here are for loaders, patches and clean-up.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_GRAPH_H
#define PLN_IR_GRAPH_H

#include <stdatomic.h>

#include "src/ir/tensor.h"
#include "src/util/map.h"
#include "src/util/name.h"

typedef struct pln_graph pln_graph;
typedef struct pln_node pln_node;
typedef struct pln_value pln_value;
typedef struct pln_use pln_use;
typedef struct pln_attr pln_attr;
typedef struct pln_op_desc pln_op_desc;
typedef struct pln_registry pln_registry;

/* Bytes that we don't interpret: fields of the file's message that go back as they
 * came. */
typedef struct pln_blob {
    const void *data; /* in the model's arena, or NULL */
    size_t len;
} pln_blob;

struct pln_use {
    pln_value *value;
    pln_node *node;   /* NULL: an output of `graph` */
    pln_graph *graph; /* the graph that the user belongs to */
    uint32_t slot;
    pln_use *next, *prev; /* among the uses of value */
};

typedef enum pln_value_kind {
    PLN_VALUE_INPUT,       /* of a graph; cst: its default */
    PLN_VALUE_INITIALIZER, /* constant */
    PLN_VALUE_NODE         /* output `slot` of node `def` */
} pln_value_kind;

/* Contents of a small integer tensor of rank 0 or 1, element by element. */
typedef struct pln_symval {
    int64_t n;
    const pln_dim *v;
} pln_symval;

struct pln_value {
    const char *name; /* interned; "" for an unnamed value; unique in its graph */
    pln_graph *graph;
    pln_node *def; /* NULL unless kind is NODE */
    uint32_t slot;
    uint32_t id; /* dense in the model: index for side tables of n_values entries */
    uint8_t kind;     /* pln_value_kind */
    bool overridable; /* an input with a default that callers may replace (IR >= 4) */
    bool is_sparse;   /* initializer written as a SparseTensorProto */
    pln_type type;    /* what is known: declared and inferred */
    /* as the file says, for inputs, outputs, value_info; NULL */
    const pln_type *declared;
    pln_tensor *cst;          /* referenced: contents of an initializer or a Constant */
    const pln_symval *sym;    /* set by inference; NULL */
    pln_use *uses;
    uint32_t n_uses;
    uint32_t file_order; /* place among the file's initializers, from 1; 0: none */
    pln_blob extra;        /* rest of its ValueInfoProto */
    pln_blob tensor_extra; /* rest of its TensorProto (doc string, metadata) */
    pln_value *next, *prev; /* all values of the graph, in order of creation */
};

typedef enum pln_attr_type { /* numbers of AttributeProto.AttributeType */
    PLN_ATTR_NONE = 0,
    PLN_ATTR_FLOAT = 1,
    PLN_ATTR_INT = 2,
    PLN_ATTR_STRING = 3,
    PLN_ATTR_TENSOR = 4,
    PLN_ATTR_GRAPH = 5,
    PLN_ATTR_FLOATS = 6,
    PLN_ATTR_INTS = 7,
    PLN_ATTR_STRINGS = 8,
    PLN_ATTR_TENSORS = 9,
    PLN_ATTR_GRAPHS = 10,
    PLN_ATTR_SPARSE_TENSOR = 11,
    PLN_ATTR_SPARSE_TENSORS = 12,
    PLN_ATTR_TYPE = 13,
    PLN_ATTR_TYPES = 14
} pln_attr_type;

struct pln_attr {
    const char *name; /* interned */
    uint8_t type;     /* pln_attr_type */
    const char *ref;  /* in function bodies: name of the function's attribute, or NULL */
    size_t n;         /* of the lists */
    union {
        float f;
        int64_t i;
        const char *s;         /* interned, so its length is known */
        pln_tensor *t;         /* referenced; a sparse tensor too */
        pln_graph *g;
        const pln_type *tp;
        const float *floats;
        const int64_t *ints;
        const char *const *strings;
        pln_tensor **tensors;
        pln_graph **graphs;
        const pln_type *const *types;
    };
    pln_blob extra;
};

/* How a node stood in the file before it was raised to its operator's newest meaning, and
 * how raising left it: src/ir/version.c compares. */
typedef struct pln_origin {
    const char *op_type;
    pln_attr *const *attrs;
    uint32_t n_attrs, n_in, n_out;
    const uint32_t *in_at; /* [n_in] where the file's input i is now; UINT32_MAX: absent.
                              NULL: raising replaced one, so the node has to be lowered */
    const char *raised_type;
    const pln_attr *const *raised_attrs; /* node->attrs just after raising: still the same
                                            pointer when no rewrite touched them */
    pln_value *const *raised_in;         /* [n_raised_in] all inputs just after raising */
    uint32_t n_raised_in;
} pln_origin;

struct pln_node {
    const char *name;            /* interned; "" where the file has none */
    const char *op_type, *domain; /* interned; domain "" for ai.onnx */
    const char *overload;
    const pln_op_desc *op; /* NULL: unknown operator, or a model-local function */
    pln_graph *graph;
    pln_node *next, *prev; /* topological order */
    uint32_t id;           /* dense in the model */
    uint32_t n_in, n_out;
    pln_value **in;  /* NULL entries: absent optional inputs */
    pln_use *in_use; /* one for each entry of in */
    pln_value **out; /* NULL entries: outputs that nobody wants */
    pln_attr **attrs;
    uint32_t n_attrs;
    const void *typed; /* attributes as the op's struct; see pln_node_attrs */
    const pln_origin *origin;
    pln_blob extra; /* doc string, metadata, device configurations, unknown fields */
};

struct pln_graph {
    pln_model *model;
    pln_graph *parent; /* of a body: the graph of its owner */
    pln_node *owner;   /* node whose attribute the body is; NULL: main or function */
    const char *name;
    pln_value **inputs, **outputs;
    pln_use *output_use;
    uint32_t n_inputs, n_outputs;
    const char *const *output_names; /* as in the file: part of the interface */
    pln_node *first, *last;
    pln_value *values, *last_value;
    uint32_t n_nodes;
    pln_blob extra; /* doc string, metadata, quantization annotations, ... */
    pln_map by_name;       /* value names to values */
    pln_graph *next_graph; /* all graphs of the model, also those cut off */
    bool dead;             /* its owner was removed */
};

typedef struct pln_opset {
    const char *domain;
    int64_t version;
} pln_opset;

/* A model-local function: a graph whose inputs and outputs have no types. */
typedef struct pln_function {
    const char *name, *domain, *overload;
    pln_graph *body;
    const char *const *attr_names; /* required ones */
    size_t n_attr_names;
    pln_attr **attr_defaults;
    size_t n_attr_defaults;
    pln_opset *opsets;
    size_t n_opsets;
    pln_blob extra;
} pln_function;

typedef struct pln_metadata {
    const char *key, *value; /* interned */
} pln_metadata;

struct pln_model {
    pln_env *env; /* referenced */
    const pln_allocator *alloc;
    const pln_registry *registry;
    pln_arena *arena;
    pln_names *names;
    pln_syms *syms;
    int64_t ir_version;
    const char *producer_name, *producer_version, *model_domain;
    int64_t model_version;
    const char *doc;
    pln_opset *opsets; /* the file's own; kept on saving */
    size_t n_opsets;
    pln_graph *graph;
    pln_function **functions;
    size_t n_functions;
    pln_metadata *metadata;
    size_t n_metadata;
    pln_blob extra;   /* training info, device configurations, unknown fields */
    char *directory;  /* where external data lies; NULL: refused */
    pln_buf *source;  /* the mapped file; NULL when built or parsed from text */
    pln_file_id *outside; /* the external files that it was read from */
    size_t n_outside;
    uint32_t n_values, n_nodes; /* next ids */
    pln_arena *io_arena;        /* what pln_model_io() hands out; under io_lock */
    atomic_flag io_lock;
    uint32_t n_fresh;           /* counter of pln_graph_fresh_name */
    pln_graph *graphs;          /* all that were ever made */
    pln_tensor **owned;         /* tensors that attributes refer to */
    size_t n_owned, cap_owned;
};

/* Keeps a reference to t until the model is freed: for attributes that point at it. */
pln_status pln_model_own(pln_model *model, pln_tensor *t);
/* An empty model with an empty main graph. */
pln_status pln_model_new(pln_env *env, pln_model **out, pln_error *err);
/* a gets the contents of b, and b those of a: the end of a rewrite that worked on a
 * copy. */
void pln_model_swap(pln_model *a, pln_model *b);
/* Some nodes of a graph as a model of their own, in the order given. */
typedef struct pln_part {
    pln_node *const *node;
    size_t n_nodes;
    pln_value *const *in; /* what they read and none of them gives, but for constants */
    size_t n_in;
    pln_value *const *out;
    const char *const *out_names; /* interned in the model */
    size_t n_out;
} pln_part;
pln_status pln_model_part(const pln_model *model, const pln_part *part,
                             pln_model **out, pln_error *err);
int64_t pln_model_opset(const pln_model *model, const char *domain); /* 0: not imported */
pln_status pln_model_set_opset(pln_model *model, const char *domain, int64_t version);
const pln_function *pln_model_find_function(const pln_model *model, const char *domain,
                                            const char *name, const char *overload);
const char *pln_model_name(pln_model *model, const char *cstr); /* interns; NULL: oom */

/* A body of `owner`, or (owner NULL) a function's. */
pln_graph *pln_graph_new(pln_model *model, pln_graph *parent, pln_node *owner);
/* A value that is not yet produced by anything but its kind. The name (interned, may be
 * NULL) must be free in the graph. NULL: no memory. */
pln_value *pln_graph_add_input(pln_graph *g, const char *name, const pln_type *type);
pln_value *pln_graph_add_initializer(pln_graph *g, const char *name,
                                     pln_tensor *cst_take);
/* Appends an output; its name is the value's unless `name` says otherwise. */
pln_status pln_graph_add_output(pln_graph *g, pln_value *v, const char *name);
void pln_graph_set_output(pln_graph *g, uint32_t i, pln_value *v);
/* A node at the end (before == NULL) or before another; inputs may hold NULL. Its outputs
 * are new unnamed values, to be named with pln_value_rename. Names are interned. Finds
 * the operator in the registry. NULL: no memory. */
pln_node *pln_graph_add_node(pln_graph *g, pln_node *before, const char *domain,
                             const char *op_type, const char *name, pln_value *const *in,
                             uint32_t n_in, uint32_t n_out);
/* Unlinks a node none of whose outputs is used; its bodies' uses go too. */
void pln_graph_remove_node(pln_node *n);
void pln_graph_remove_value(pln_value *v); /* an unused initializer or input */
void pln_graph_move_before(pln_node *n, pln_node *before);
/* The value of a name in this graph or those around it; NULL: none. */
pln_value *pln_graph_find_value(const pln_graph *g, const char *name);
/* A name like hint that is free in the whole model, interned. */
const char *pln_graph_fresh_name(pln_graph *g, const char *hint);
/* Sorts the nodes topologically; the order of the file is kept where it is right.
 * PLN_E_FORMAT with the name of a node on a cycle. */
pln_status pln_graph_sort(pln_graph *g, pln_error *err);
/* Calls fn for g and every body below it. */
pln_status pln_graph_walk(pln_graph *g, pln_status (*fn)(pln_graph *g, void *user),
                          void *user);

bool pln_value_is_const(const pln_value *v); /* has contents that nobody can replace */
bool pln_value_is_output(const pln_value *v); /* of any graph */
bool pln_value_rename(pln_value *v, const char *name); /* false: taken */
/* Every use of `from` becomes a use of `to`. */
void pln_value_replace_uses(pln_value *from, pln_value *to);
void pln_value_set_const(pln_value *v, pln_tensor *t_take); /* replaces contents */

pln_status pln_node_set_input(pln_node *n, uint32_t i, pln_value *v); /* grows */
void pln_node_trim_inputs(pln_node *n); /* drops absent inputs at the end */
pln_status pln_node_add_output(pln_node *n, pln_value **out); /* one more, unnamed */
void pln_node_set_op(pln_node *n, const char *domain, const char *op_type);

const pln_attr *pln_node_find_attr(const pln_node *n, const char *name);
/* Setters copy into the model's arena, replace an attribute of that name, and forget the
 * typed struct. Tensors are referenced. */
pln_status pln_node_set_int(pln_node *n, const char *name, int64_t v);
pln_status pln_node_set_float(pln_node *n, const char *name, float v);
pln_status pln_node_set_string(pln_node *n, const char *name, const char *s, size_t len);
pln_status pln_node_set_ints(pln_node *n, const char *name, const int64_t *v, size_t c);
pln_status pln_node_set_floats(pln_node *n, const char *name, const float *v, size_t c);
pln_status pln_node_set_strings(pln_node *n, const char *name, const char *const *v,
                                size_t c);
pln_status pln_node_set_tensor(pln_node *n, const char *name, pln_tensor *t);
pln_status pln_node_set_graph(pln_node *n, const char *name, pln_graph *g);
pln_status pln_node_set_attr(pln_node *n, const pln_attr *a); /* a shallow copy */
void pln_node_drop_attr(pln_node *n, const char *name);
/* The attributes as the struct of the op's spec, parsed once. `*out` is valid until an
 * attribute changes. Fails, too, when the node has too few or too many inputs or outputs.
 * Unknown or malformed attributes fail. NULL spec: *out is NULL. */
pln_status pln_node_attrs(pln_node *n, const void **out, pln_error *err);
/* Calls fn for every value that the node reads: its inputs, and what its bodies read from
 * the graphs around them. Some more than once. */
void pln_node_each_read(const pln_node *n, void (*fn)(void *user, pln_value *v),
                        void *user);
/* "name (Op)" for messages: the name, else the first output's; written into buf. */
const char *pln_node_where(const pln_node *n, char *buf, size_t size);

#endif
