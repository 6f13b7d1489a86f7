/* Values of runs as messages: TensorProto, SequenceProto, MapProto, OptionalProto.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_VALUE_H
#define PLN_PROTO_VALUE_H

#include "src/ir/tensor.h"

/* The bytes are copied; the value's elements are in memory form. */
pln_status pln_value_read(const pln_allocator *a, const pln_limits *limits, pln_kind kind,
                          const void *data, size_t len, pln_tensor **out, pln_error *err);
/* `name` may be NULL. */
pln_status pln_value_write(const pln_allocator *a, const pln_tensor *t, const char *name,
                           void **data, size_t *len, pln_error *err);

#endif
