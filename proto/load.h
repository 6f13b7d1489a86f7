/* Reading models and values: what the files of the loader share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_LOAD_H
#define PLN_PROTO_LOAD_H

#include "proto/external.h"
#include "proto/onnx.pb-c.h"
#include "proto/scan.h"
#include "src/ir/env.h"
#include "src/ir/graph.h"

typedef struct pln_loader {
    const pln_allocator *alloc;
    const pln_limits *limits;
    pln_model *model; /* NULL for values */
    pln_arena *scratch;
    pln_scan scan;
    pln_buf *source; /* what the cuts point into; borrowed */
    pln_externals external;
    uint32_t n_initializers; /* read so far */
    pln_error *err;
} pln_loader;

/* Scans and unpacks `source` as a message of this type; the result lives in the loader's
 * scratch arena. */
pln_status pln_loader_unpack(pln_loader *l, pln_buf *source,
                             const ProtobufCMessageDescriptor *type,
                             ProtobufCMessage **out);
pln_status pln_loader_begin(pln_loader *l, const pln_allocator *a,
                            const pln_limits *limits, pln_error *err);
void pln_loader_end(pln_loader *l);

pln_status pln_load_graph(pln_loader *l, pln_graph *g, Onnx__GraphProto *p);
pln_status pln_load_function(pln_loader *l, Onnx__FunctionProto *p, pln_function **out);
pln_status pln_load_attr(pln_loader *l, pln_graph *g, pln_node *n,
                         Onnx__AttributeProto *p, pln_attr **out);
/* The tensor; of `p` then only what the tensor does not hold is left. */
pln_status pln_load_tensor(pln_loader *l, Onnx__TensorProto *p, pln_tensor **out);
/* The typed field that a tensor's raw bytes are the payload of; 0: they are raw_data. */
uint32_t pln_typed_field_of(const pln_tensor *t);
/* As a container of values and indices, with the dense shape in dims. */
pln_status pln_load_sparse(pln_loader *l, Onnx__SparseTensorProto *p, pln_tensor **out);
/* A dense tensor with the elements of a sparse one; only where the indices are right. */
pln_status pln_sparse_to_dense(const pln_tensor *sparse, const pln_limits *limits,
                               pln_tensor **out, pln_error *err);
/* *exact: the type says all that the message does. */
pln_status pln_load_type(pln_loader *l, const Onnx__TypeProto *p, pln_type *out,
                         bool *exact);

/* Whether the entries say no more than domain and version; else they stay in the rest. */
bool pln_opsets_are_exact(Onnx__OperatorSetIdProto **p, size_t n);
/* NULL: no memory (the error is set). */
const char *pln_load_name(pln_loader *l, ProtobufCBinaryData b);
/* Packs what is left of a message into the model's arena; its cuts are gone by then. */
pln_status pln_load_rest(pln_loader *l, ProtobufCMessage *m, pln_blob *out);
/* The cut that stands in an unknown field of this number, which is taken out. */
bool pln_load_take_cut(pln_loader *l, ProtobufCMessage *m, uint32_t field, pln_cut *out);
/* Puts a typed data field back as a field that is not interpreted. */
pln_status pln_load_put_back(pln_loader *l, ProtobufCMessage *m, const pln_cut *cut);
/* Bytes as text for messages: at most 100, what is not printable escaped later. */
#define PLN_PRBYTES(b) (int)((b).len < 100 ? (b).len : 100), (const char *)(b).data

/* Which files those are, so that none of them is overwritten for another model. */
pln_status pln_model_keep_outside(pln_model *m, const pln_externals *x);
/* A model from the bytes of its file. `directory`: where external data may lie; NULL: it
 * is refused. `options` may be NULL. */
pln_status pln_proto_load(pln_env *env, pln_buf *source, const char *directory,
                          const pln_load_options *options, pln_model **out,
                          pln_error *err);

#endif
