/* What raising and lowering of operators between versions have in common: attributes that
 * became inputs, and back.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_RAISE_H
#define PLN_KERNELS_RAISE_H

#include "src/ir/op.h"

/* "node (Op): ..." as PLN_E_FORMAT (raise) or PLN_E_UNSUPPORTED (lower). */
pln_status pln_raise_fail(const pln_node *n, pln_error *err, const char *text);
pln_status pln_lower_fail(const pln_node *n, pln_error *err, const char *text);

/* The raw attribute, of this type; NULL when absent. Fails on another type. */
pln_status pln_raise_attr(const pln_node *n, const char *name, pln_attr_type type,
                          const pln_attr **out, pln_error *err);
/* Input `slot` becomes a constant int64 vector with the attribute's values, which is
 * dropped. Absent attribute: nothing happens. */
pln_status pln_raise_ints_to_input(pln_node *n, const char *name, uint32_t slot,
                                   pln_error *err);
/* The same for an int attribute and a scalar (rank 0) or a vector of one (rank 1). */
pln_status pln_raise_int_to_input(pln_node *n, const char *name, uint32_t slot, int rank,
                                  pln_error *err);
pln_status pln_raise_float_to_input(pln_node *n, const char *name, float otherwise,
                                    uint32_t slot, pln_error *err);
pln_status pln_raise_floats_to_input(pln_node *n, const char *name, uint32_t slot,
                                     pln_error *err);
/* A new constant as input `slot`; t is taken, NULL stands for no memory. */
pln_status pln_raise_constant(pln_node *n, const char *hint, uint32_t slot,
                              pln_tensor *t_take, pln_error *err);

static inline bool pln_lower_has(const pln_node *n, uint32_t slot)
{
    return slot < n->n_in && n->in[slot];
}
/* A constant input becomes an attribute and is dropped; PLN_E_UNSUPPORTED when it is not
 * constant. Absent input: nothing happens. */
pln_status pln_lower_input_to_ints(pln_node *n, uint32_t slot, const char *name,
                                   pln_error *err);
pln_status pln_lower_input_to_int(pln_node *n, uint32_t slot, const char *name,
                                  pln_error *err);
pln_status pln_lower_input_to_float(pln_node *n, uint32_t slot, const char *name,
                                    pln_error *err);
pln_status pln_lower_input_to_floats(pln_node *n, uint32_t slot, const char *name,
                                     pln_error *err);
/* Contents of a constant input, materialized. */
pln_status pln_lower_constant(const pln_node *n, uint32_t slot, const pln_tensor **out,
                              pln_error *err);
/* Takes an input away, and the constant that nothing else needs. */
pln_status pln_lower_drop_input(pln_node *n, uint32_t slot, pln_error *err);
/* Fails when the node has the attribute with another value than `plain`, else drops it.
 */
pln_status pln_lower_drop_int(pln_node *n, const char *name, int64_t plain,
                              pln_error *err);
pln_status pln_lower_drop_string(pln_node *n, const char *name, const char *plain,
                                 pln_error *err);
/* Fails when the attribute is there. */
pln_status pln_lower_refuse(pln_node *n, const char *name, pln_error *err);

#endif
