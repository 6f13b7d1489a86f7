/* A oneDNN primitive bound to the tensors of a node.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_DNNL_PRIM_H
#define PLN_KERNELS_DNNL_PRIM_H

#include <stdatomic.h>

#include "kernels/dnnl/dnnl_api.h"
#include "kernels/postop.h"

#define PRIM_ARGS_MAX (8 + PLN_POSTOPS_MAX)

typedef enum prim_source {
    PRIM_INPUT,
    PRIM_OUTPUT,
    PRIM_WEIGHTS,
    PRIM_SCRATCH
} prim_source;

typedef struct prim_arg {
    int arg; /* DNNL_ARG_... */
    prim_source source;
    uint32_t index; /* of the node's input */
    dnnl_memory_t memory;
} prim_arg;

typedef struct prim {
    const pln_allocator *alloc;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    prim_arg arg[PRIM_ARGS_MAX];
    int n_args;
    void *weights; /* in the wanted format, shared; NULL: read from the input */
    pln_postop_list rest; /* post-ops that oneDNN does not do: our loops follow */
    atomic_flag busy; /* the memory objects are in use by a run */
} prim;

prim *prim_new(const pln_allocator *a);
void prim_free(void *p); /* pln_impl's release */
/* The implementation is a real one: not the library's reference. */
bool prim_is_optimized(const_dnnl_primitive_desc_t pd);
/* Adds an argument whose memory has the descriptor that pd wants for `query`. */
pln_status prim_add(prim *p, int arg, dnnl_query_t query, int query_index,
                    prim_source source, uint32_t index, pln_error *err);
pln_status prim_add_md(prim *p, int arg, const_dnnl_memory_desc_t md, prim_source source,
                       uint32_t index, pln_error *err);
/* Makes the primitive, adds the scratchpad and asks the plan for its memory. */
pln_status prim_finish(prim *p, pln_prep *prep, pln_error *err);
pln_status prim_run(pln_call *c, pln_error *err); /* pln_impl's run; state is the prim */

/* Weights of constant input `index`, described by `md`, in the format that pd wants: made
 * once for a session and format. */
pln_status prim_pack_weights(prim *p, pln_prep *prep, uint32_t index,
                             const_dnnl_memory_desc_t md, pln_error *err);

/* Strided descriptor of a float tensor; NULL: no memory. Destroy it. */
dnnl_memory_desc_t prim_md(int rank, const int64_t *dims, const int64_t *strides);
dnnl_memory_desc_t prim_md_any(int rank, const int64_t *dims); /* the primitive chooses */
dnnl_memory_desc_t prim_tensor_md(int rank, const int64_t *dims, pln_layout layout);
/* Appends one; operand: descriptor of a binary one's. false: it can't be mapped. */
bool prim_append(dnnl_post_ops_t ops, const pln_postop *op,
                 const_dnnl_memory_desc_t operand);
/* Attributes with the first n post-ops, scratchpad by the user; false: one can't be
 * mapped. Operand layouts by node input. */
bool prim_attr(dnnl_primitive_attr_t *out, const pln_prep *prep,
               const pln_postop_list *list, int n, int rank,
               const uint8_t *operand_layout);
/* The arguments of those post-ops. */
pln_status prim_add_operands(prim *p, const pln_prep *prep, const pln_postop_list *list,
                             int n, int rank, const uint8_t *operand_layout,
                             pln_error *err);
/* How operand `i` of a channels-last (or plain) result is wanted. */
pln_layout prim_operand_layout(const pln_tensor *operand, int rank, pln_layout result);

#endif
