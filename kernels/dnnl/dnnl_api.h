/* oneDNN by function pointers: its library is loaded when a plan first wants it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_DNNL_API_H
#define PLN_KERNELS_DNNL_API_H

#include <oneapi/dnnl/dnnl.h>

#include "src/util/status.h"

#define PLN_DNNL_FUNCTIONS(X)                       \
    X(convolution_forward_primitive_desc_create)    \
    X(deconvolution_forward_primitive_desc_create)  \
    X(engine_create)                                \
    X(matmul_primitive_desc_create)                 \
    X(memory_create)                                \
    X(memory_desc_clone)                            \
    X(memory_desc_create_with_strides)              \
    X(memory_desc_create_with_tag)                  \
    X(memory_desc_destroy)                          \
    X(memory_desc_equal)                            \
    X(memory_desc_get_size)                         \
    X(memory_destroy)                               \
    X(memory_get_memory_desc)                       \
    X(memory_set_data_handle)                       \
    X(post_ops_append_binary)                       \
    X(post_ops_append_eltwise)                      \
    X(post_ops_create)                              \
    X(post_ops_destroy)                             \
    X(primitive_attr_create)                        \
    X(primitive_attr_destroy)                       \
    X(primitive_attr_set_post_ops)                  \
    X(primitive_attr_set_scratchpad_mode)           \
    X(primitive_create)                             \
    X(primitive_desc_destroy)                       \
    X(primitive_desc_query)                         \
    X(primitive_desc_query_md)                      \
    X(primitive_destroy)                            \
    X(primitive_execute)                            \
    X(reorder_primitive_desc_create)                \
    X(set_max_cpu_isa)                              \
    X(stream_create)                                \
    X(version)

typedef struct pln_dnnl_api {
#define X(f) __typeof__(&dnnl_##f) f;
    PLN_DNNL_FUNCTIONS(X)
#undef X
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} pln_dnnl_api;

/* Loads the library once; the same answer ever after. */
pln_status pln_dnnl_open(pln_error *err);
/* After pln_dnnl_open() succeeded. */
extern pln_dnnl_api pln_dnnl;

#endif
