/* Operators: one row tells all about one. Rows are constant data in kernels/<family>.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_OP_H
#define PLN_IR_OP_H

#include "src/ir/graph.h"
#include "src/ir/infer.h"
#include "src/ir/kernel.h"

/* Traits. */
#define PLN_OP_ELEMENTWISE (1u << 0)  /* out[i] depends on in[i] (broadcast) alone */
#define PLN_OP_COMMUTATIVE (1u << 1)  /* first two inputs may swap */
#define PLN_OP_ACTIVATION  (1u << 2)  /* unary elementwise that fuses behind a product */
#define PLN_OP_RANDOM      (1u << 3)  /* never folded, merged or reordered */
#define PLN_OP_CONTROL     (1u << 4)  /* runs bodies */
#define PLN_OP_VIEW        (1u << 5)  /* output 0 has the bytes of input 0 */
#define PLN_OP_INPLACE     (1u << 6)  /* output 0 may lie over an input of its size */
#define PLN_OP_SHAPE_ONLY  (1u << 7)  /* reads only the shapes of its inputs */
#define PLN_OP_DATA_SHAPE  (1u << 8)  /* output shapes depend on contents: the kernel
                                         allocates them (NonZero, Unique, ...) */
#define PLN_OP_EFFECT      (1u << 9)  /* not pure: never removed or merged */
#define PLN_OP_QDQ         (1u << 10) /* quantize or dequantize: never folded away */
#define PLN_OP_CHANNELS_LAST (1u << 11) /* its kernels take channels-last tensors when
                                           all full-rank inputs have that layout, and then
                                           give outputs in it */

#define PLN_VARIADIC (-1)

typedef struct pln_arity {
    int min, max; /* PLN_VARIADIC: any number */
} pln_arity;

/* ---- attributes: a table that fills a typed struct --------------------------------- */

typedef struct pln_ints {
    const int64_t *v;
    size_t n;
} pln_ints;
typedef struct pln_floats {
    const float *v;
    size_t n;
} pln_floats;
typedef struct pln_strings {
    const char *const *v; /* interned: pln_name_len() */
    size_t n;
} pln_strings;

/* Field types by attribute type: INT int64_t, FLOAT float, STRING const char * (interned;
 * NULL when absent without default), INTS pln_ints, FLOATS pln_floats, STRINGS
 * pln_strings, TENSOR and SPARSE_TENSOR pln_tensor *, GRAPH pln_graph *, TYPE const
 * pln_type *. An enumeration (choices not NULL) is a STRING attribute whose field is an
 * int: the position in "A|B|C". */
typedef struct pln_attr_spec {
    const char *name;
    uint8_t type; /* pln_attr_type */
    bool required;
    uint16_t offset;
    int64_t i; /* defaults */
    float f;
    const char *s; /* for an enumeration: the default choice */
    const char *choices;
    uint16_t has_offset; /* non-zero: offset of a bool that tells whether it was given */
} pln_attr_spec;

#define PLN_A_INT(st, field, def) \
    { .name = #field, .type = PLN_ATTR_INT, .offset = offsetof(st, field), .i = (def) }
#define PLN_A_FLOAT(st, field, def) \
    { .name = #field, .type = PLN_ATTR_FLOAT, .offset = offsetof(st, field), .f = (def) }
#define PLN_A_STR(st, field, def) \
    { .name = #field, .type = PLN_ATTR_STRING, .offset = offsetof(st, field), .s = (def) }
#define PLN_A_ENUM(st, field, list, def)                                      \
    { .name = #field, .type = PLN_ATTR_STRING, .offset = offsetof(st, field), \
      .s = (def),                                                             \
      .choices = (list) }
#define PLN_A_INTS(st, field) \
    { .name = #field, .type = PLN_ATTR_INTS, .offset = offsetof(st, field) }
#define PLN_A_FLOATS(st, field) \
    { .name = #field, .type = PLN_ATTR_FLOATS, .offset = offsetof(st, field) }
#define PLN_A_STRS(st, field) \
    { .name = #field, .type = PLN_ATTR_STRINGS, .offset = offsetof(st, field) }
#define PLN_A_TENSOR(st, field) \
    { .name = #field, .type = PLN_ATTR_TENSOR, .offset = offsetof(st, field) }
#define PLN_A_SPARSE(st, field) \
    { .name = #field, .type = PLN_ATTR_SPARSE_TENSOR, .offset = offsetof(st, field) }
#define PLN_A_GRAPH(st, field)                                                     \
    { .name = #field, .type = PLN_ATTR_GRAPH, .offset = offsetof(st, field),        \
      .required = true }
#define PLN_A_GRAPH_OPT(st, field) /* NULL when absent */                          \
    { .name = #field, .type = PLN_ATTR_GRAPH, .offset = offsetof(st, field) }
#define PLN_A_TYPE(st, field) \
    { .name = #field, .type = PLN_ATTR_TYPE, .offset = offsetof(st, field) }
#define PLN_A_END { .name = NULL }

/* ---- versions -------------------------------------------------------------------- */

/* What changed with version `since` of the operator. raise turns a node of the meaning
 * before it into the new one (attributes that became inputs, renamed operators), lower
 * does the reverse on saving and fails with PLN_E_UNSUPPORTED where that loses something.
 * NULL: nothing to do. */
typedef struct pln_version_change {
    int since;
    pln_status (*raise)(pln_node *n, pln_error *err);
    pln_status (*lower)(pln_node *n, pln_error *err);
} pln_version_change;

/* ---- the row --------------------------------------------------------------------- */

typedef struct pln_cost {
    double flops; /* a multiply-add counts 2 */
    double bytes; /* read and written */
} pln_cost;

struct pln_op_desc {
    const char *name, *domain;
    int since; /* version of the newest meaning, which the row describes */
    int until; /* non-zero: removed or renamed in that version; raise turns it into
                  another */
    pln_arity in, out;
    uint32_t traits;
    /* Element types allowed for inputs and outputs: "T:float,double;I:int32,int64" names
     * the sets, `sig` says which input and output has which: "T,I->T" (a trailing '*'
     * repeats, '+' repeats with each of its own type of the set, '?' optional, also below
     * in.min; names without a set are element types; "seq(T)" etc.).
     * NULL: not checked. */
    const char *types, *sig;
    const pln_attr_spec *attrs; /* ends with PLN_A_END; NULL: none allowed */
    size_t attrs_size;          /* of the typed struct */
    /* After parsing; NULL. */
    pln_status (*check)(pln_node *n, void *attrs, pln_error *err);
    pln_status (*infer)(pln_infer *inf, pln_error *err);
    pln_kernel_fn ref;     /* reference kernel in plain C: the definition */
    const pln_impl *cpu;   /* our optimized kernel, or NULL */
    /* NULL: elements read and written. */
    void (*cost)(const pln_infer *inf, pln_cost *cost);
    const pln_version_change *versions; /* by rising since, ends with since 0; NULL */
    const char *expansion; /* of fused ops: function body in text form; NULL */
    /* Puts nodes of older operators before n and lets its users use them: for operator
     * sets that lack the operator, or what the node says with it. PLN_E_UNSUPPORTED where
     * that needs to know more. The caller removes n. NULL: there is no way. */
    pln_status (*expand)(pln_node *n, int64_t version, pln_error *err);
    const void *user;      /* for operators registered through the API */
};

/* The registry of an environment: the built-in rows and the user's. In domain `planish`
 * it finds, beside our own, every standard operator in its newest meaning: so files of
 * older operator sets can hold newer operators, stated as functions
 * (passes/state_fused.c). */
const pln_op_desc *pln_registry_find(const pln_registry *r, const char *domain,
                                     const char *name);
/* All rows, in a fixed order; NULL after the last. */
const pln_op_desc *pln_registry_at(const pln_registry *r, size_t i);
/* Devices beside the C kernels, in order of preference; NULL after the last. */
const pln_device *pln_registry_device(size_t i);
/* "" and "ai.onnx" are the same domain; returns "" for both. */
const char *pln_domain_normal(const char *domain);
bool pln_domain_is_official(const char *domain);

/* Whether input i may be a tensor of this type, by the signature; without one only a view
 * takes any. */
bool pln_op_takes(const pln_op_desc *op, uint32_t i, pln_dtype dt);
/* Whether output o has, by the signature, whatever element type input i has. */
bool pln_op_gives_type_of(const pln_op_desc *op, uint32_t o, uint32_t i);
/* The element type of output o by the signature and the inputs, where inference can't say
 * more; NONE: unknown. */
pln_dtype pln_node_output_dtype(const pln_node *n, uint32_t o);

static inline uint32_t pln_node_traits(const pln_node *n)
{
    return n->op ? n->op->traits : PLN_OP_EFFECT;
}

#endif
