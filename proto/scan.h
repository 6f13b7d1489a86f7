/* The walk over a message's bytes before protobuf-c sees it: lengths and nesting are
 * checked, and the elements of tensors are cut out, so that what protobuf-c unpacks (and
 * copies) is a small skeleton.
 *
 * In the skeleton a cut stands as a field of a number that protobuf reserves for
 * implementations and that is refused in files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_SCAN_H
#define PLN_PROTO_SCAN_H

#include <protobuf-c/protobuf-c.h>

#include "src/util/status.h"
#include "src/util/text.h"

/* Both are fixed32 fields with the index of a cut. */
#define PLN_FIELD_DATA   19000 /* in a TensorProto: the payload of one data field */
#define PLN_FIELD_SPARSE 19001 /* in a SparseTensorProto: its own bytes */

typedef struct pln_cut {
    uint32_t field; /* number of the data field */
    const unsigned char *data;
    size_t len;
} pln_cut;

typedef struct pln_scan {
    pln_text skeleton;
    pln_text aside; /* ModelProto.training_info as it is, which nobody unpacks */
    pln_cut *cuts;
    size_t n_cuts, cap_cuts;
} pln_scan;

/* `mapped`: data is a mapped file, whose pages may be handed back after reading. The cuts
 * point into `data`. On failure, too, the scan is to be released. */
pln_status pln_scan_run(pln_scan *scan, const pln_allocator *a, const void *data,
                        size_t len, const ProtobufCMessageDescriptor *type,
                        const pln_limits *limits, bool mapped, pln_error *err);
void pln_scan_done(pln_scan *scan, const pln_allocator *a);

#endif
