/* Sparse tensors, from their messages, and their dense form.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "proto/load.h"
#include "src/util/size.h"

static pln_status part(pln_loader *l, pln_tensor *sparse, Onnx__TensorProto *p)
{
    pln_tensor *t;
    PLN_TRY(pln_load_tensor(l, p, &t));
    const pln_status st = pln_tensor_append(sparse, t, l->err);
    pln_tensor_unref(t);
    return st;
}

static pln_status fill(pln_loader *l, Onnx__SparseTensorProto *p, pln_tensor *t)
{
    int64_t n;
    if (!p->values || !p->indices)
        return pln_fail(l->err, PLN_E_FORMAT, "a sparse tensor lacks values or indices");
    if (p->n_dims > PLN_MAX_RANK)
        return pln_fail(l->err, PLN_E_LIMIT, "rank %zu is over %d", p->n_dims,
                        PLN_MAX_RANK);
    if (!pln_dims_count((int)p->n_dims, p->dims, &n))
        return pln_fail(l->err, PLN_E_FORMAT, "a sparse tensor has a wrong dimension");
    t->rank = (int)p->n_dims;
    if (t->rank)
        memcpy(t->dims, p->dims, p->n_dims * sizeof *p->dims);
    PLN_TRY(part(l, t, p->values));
    PLN_TRY(part(l, t, p->indices));
    t->dtype = t->items[0]->dtype;
    p->n_dims = 0;
    return PLN_OK;
}

pln_status pln_load_sparse(pln_loader *l, Onnx__SparseTensorProto *p, pln_tensor **out)
{
    if (pln_tensor_make_container(l->alloc, PLN_KIND_SPARSE, out) != PLN_OK)
        return pln_oom(l->err);
    const pln_status st = fill(l, p, *out);
    if (st != PLN_OK) {
        pln_tensor_unref(*out);
        *out = NULL;
    }
    return st;
}

/* The place of element i in the flattened dense tensor; -1: out of range. */
static int64_t place_of(const pln_tensor *sparse, const pln_tensor *indices, int64_t i,
                        int64_t count)
{
    const int64_t *at = PLN_DATA(const int64_t, indices);
    if (count == 0)
        return -1;
    if (indices->rank == 1)
        return at[i] >= 0 && at[i] < count ? at[i] : -1;
    int64_t flat = 0;
    for (int d = 0; d < sparse->rank; d++) {
        const int64_t x = at[i * sparse->rank + d];
        if (x < 0 || x >= sparse->dims[d])
            return -1;
        flat = flat * sparse->dims[d] + x;
    }
    return flat;
}

static pln_status check_parts(const pln_tensor *sparse, pln_error *err)
{
    const pln_tensor *v = sparse->items[0], *ix = sparse->items[1];
    const bool flat = ix->rank == 1 && v->rank == 1 && ix->dims[0] == v->dims[0];
    const bool coords = ix->rank == 2 && v->rank == 1 && ix->dims[0] == v->dims[0] &&
                        ix->dims[1] == sparse->rank;
    if (ix->dtype != PLN_DT_S64 || !(flat || coords))
        return pln_fail(err, PLN_E_FORMAT,
                        "the indices of a sparse tensor do not match its values");
    return PLN_OK;
}

pln_status pln_sparse_to_dense(const pln_tensor *sparse, const pln_limits *limits,
                               pln_tensor **out, pln_error *err)
{
    pln_tensor *v = sparse->items[0], *ix = sparse->items[1];
    size_t bytes;
    int64_t count;
    *out = NULL;
    PLN_TRY(check_parts(sparse, err));
    PLN_TRY(pln_tensor_materialize(v, err));
    PLN_TRY(pln_tensor_materialize(ix, err));
    if (!pln_dims_bytes((pln_dtype)v->dtype, sparse->rank, sparse->dims, &bytes) ||
        bytes > limits->tensor_bytes ||
        !pln_dims_count(sparse->rank, sparse->dims, &count))
        return pln_fail(err, PLN_E_LIMIT, "a sparse tensor is larger than %llu bytes",
                        (unsigned long long)limits->tensor_bytes);
    PLN_TRY(pln_tensor_make(sparse->alloc, (pln_dtype)v->dtype, sparse->rank,
                            sparse->dims, out, err));
    if (bytes)
        memset((*out)->data, 0, bytes);
    for (int64_t i = 0; i < v->dims[0]; i++) {
        const int64_t at = place_of(sparse, ix, i, count);
        if (at < 0) {
            pln_tensor_unref(*out);
            *out = NULL;
            return pln_fail(err, PLN_E_FORMAT,
                            "index %lld of a sparse tensor is out of range",
                            (long long)i);
        }
        pln_tensor_copy(*out, at, v, i, 1);
    }
    return PLN_OK;
}
