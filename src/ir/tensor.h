/* Run-time values and constants.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_TENSOR_H
#define PLN_IR_TENSOR_H

#include "src/ir/type.h"
#include "src/util/buf.h"

/* How the elements lie in memory. dims are always the logical ones. */
typedef enum pln_layout {
    PLN_LAYOUT_PLAIN = 0,        /* row-major */
    PLN_LAYOUT_CHANNELS_LAST = 1 /* dimension 1 moved to the end: NCHW stored as NHWC */
} pln_layout;

/* An immutable text, shared by the tensors that hold it. */
typedef struct pln_string {
    _Atomic uint32_t refs;
    uint32_t pad;
    const pln_allocator *alloc;
    size_t len;
    char bytes[]; /* and a NUL */
} pln_string;

/* Where the elements of a constant still are in the form of the file: they are brought
 * into memory form (aligned, one element a byte for 4-bit types) by
 * pln_tensor_materialize(), on first use. */
typedef struct pln_raw {
    pln_buf *buf; /* referenced */
    const unsigned char *data;
    size_t size;
    /* Given for data that is still in typed protobuf fields (int32_data, ...): unpacks
     * `size` bytes at data into `out`. NULL: the bytes are little-endian elements,
     * packed for 4-bit and 2-bit types. */
    pln_status (*decode)(const struct pln_raw *raw, struct pln_tensor *out,
                         pln_error *err);
} pln_raw;

/* Kept so that an unchanged tensor can stay where it was. */
typedef struct pln_external {
    const char *location; /* as the file has it */
    uint64_t offset, length;
} pln_external;

struct pln_tensor {
    _Atomic uint32_t refs;
    uint8_t kind;   /* pln_kind */
    uint8_t dtype;  /* pln_dtype */
    uint8_t layout; /* pln_layout; PLAIN but for values inside a run */
    bool borrowed;  /* a struct inside a run or an arena: refs don't free it */
    int32_t rank;
    const pln_allocator *alloc;
    int64_t dims[PLN_MAX_RANK];
    void *data;   /* elements; NULL: none yet (see raw), or zero elements */
    pln_buf *buf; /* owner of data, referenced; NULL when data is in a run's arena */
    pln_raw raw;  /* raw.data non-NULL: not yet materialized */
    pln_external *external;
    struct pln_tensor **items; /* of containers: see pln_tensor_append */
    size_t n_items, cap_items;
};

/* Element access for kernels: PLN_DATA(const float, x). */
#define PLN_DATA(type, t) ((type *)(t)->data)

/* Elements of dims, checked; false: negative dimension or overflow. */
bool pln_dims_count(int rank, const int64_t *dims, int64_t *count);
/* Bytes in memory of a dense tensor, checked against overflow. */
bool pln_dims_bytes(pln_dtype dt, int rank, const int64_t *dims, size_t *bytes);
static inline int64_t pln_tensor_size(const pln_tensor *t) /* shapes were checked */
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dims[i];
    return n;
}
/* Allocated, not zeroed (strings are: NULL is the empty string). */
pln_status pln_tensor_make(const pln_allocator *a, pln_dtype dt, int rank,
                           const int64_t *dims, pln_tensor **out, pln_error *err);
/* A tensor whose elements stay in `raw` (its buf is referenced) until they are used. */
pln_status pln_tensor_make_raw(const pln_allocator *a, pln_dtype dt, int rank,
                               const int64_t *dims, const pln_raw *raw, pln_tensor **out,
                               pln_error *err);
pln_status pln_tensor_make_container(const pln_allocator *a, pln_kind kind,
                                     pln_tensor **out);
/* Scalars and vectors. */
pln_status pln_tensor_from_i64(const pln_allocator *a, int rank, const int64_t *v,
                               int64_t n, pln_tensor **out);
pln_status pln_tensor_from_f32(const pln_allocator *a, int rank, const float *v,
                               int64_t n, pln_tensor **out);
pln_status pln_tensor_dup(const pln_tensor *t, pln_tensor **out, pln_error *err);
/* Brings the elements into memory form; in place where they are aligned in the file.
 * Not thread-safe: done while a model is loaded, rewritten or compiled. */
pln_status pln_tensor_materialize(pln_tensor *t, pln_error *err);
/* Gives the heap copy up again and tells the system that the file's pages are not needed;
 * for constants that a kernel has packed. */
void pln_tensor_drop(pln_tensor *t);
/* Bytes of n elements in a file, and the elements of less than a byte between file form
 * (a stream of bits, low bits first) and memory form (one a byte, signed ones
 * extended). */
size_t pln_packed_bytes(pln_dtype dt, size_t n);
void pln_pack_bits(pln_dtype dt, const unsigned char *src, size_t n, unsigned char *dst);
void pln_unpack_bits(pln_dtype dt, const unsigned char *src, size_t n,
                     unsigned char *dst);
/* Copies n elements, strings by reference; positions in elements. The tensors have the
 * same type. */
void pln_tensor_copy(pln_tensor *dst, int64_t dst_i, const pln_tensor *src, int64_t src_i,
                     int64_t n);
/* Element i as a number; integers exact. Any numeric type; strings give 0. */
double pln_tensor_get_f64(const pln_tensor *t, int64_t i);
int64_t pln_tensor_get_i64(const pln_tensor *t, int64_t i);
/* Rounds as ONNX's Cast does (saturating float8, wrapping integers). */
void pln_tensor_set_f64(pln_tensor *t, int64_t i, double v);
void pln_tensor_set_i64(pln_tensor *t, int64_t i, int64_t v);
/* Bytes equal in type, shape and every element (NaN payloads included). */
bool pln_tensor_same(const pln_tensor *a, const pln_tensor *b);
/* Shape as "[1,3,224]" for messages. */
void pln_tensor_print_shape(pln_text *out, const pln_tensor *t);

#endif
