/* Writing messages: small fields into a text, large elements as references to where they
 * are, so that weights are not copied on their way to the file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_WRITER_H
#define PLN_PROTO_WRITER_H

#include "proto/wire.h"
#include "src/ir/graph.h"
#include "src/util/status.h"

#define PLN_MAX_MESSAGE INT32_MAX /* protobuf reads no larger one */

/* Bytes that come into the output at position `at` of the text. */
typedef struct pln_splice {
    size_t at;
    const void *data;
    size_t len;
} pln_splice;

/* Elements that go to the external file. */
typedef struct pln_outside {
    const void *data;
    size_t len;
    uint64_t offset;
} pln_outside;

typedef struct pln_writer {
    const pln_allocator *alloc;
    pln_arena *arena; /* for packed elements and names made up while writing */
    pln_text text;
    pln_splice *splices;
    size_t n_splices, cap_splices;
    uint64_t spliced; /* bytes in splices */
    pln_outside *outside;
    size_t n_outside, cap_outside;
    uint64_t outside_size;
    const char *location; /* of the external file; NULL: none */
    uint64_t threshold;   /* smallest tensor that goes there */
    bool keep_external;   /* tensors that came from an external file stay there */
    pln_error *err;
} pln_writer;

/* All of it in one block, to be freed with pln_release; PLN_E_LIMIT over 2 GiB. */
pln_status pln_writer_take(const pln_writer *w, const pln_allocator *a, void **data,
                           size_t *len);

/* A message that is being written. */
typedef struct pln_open_message {
    size_t begin, splice;
    uint64_t spliced;
} pln_open_message;

pln_status pln_writer_begin(pln_writer *w, const pln_allocator *a, pln_error *err);
void pln_writer_end(pln_writer *w);
uint64_t pln_writer_size(const pln_writer *w);
/* The next piece of the output: starts with *part = 0; false after the last. */
bool pln_writer_part(const pln_writer *w, size_t *part, const void **data, size_t *len);

pln_open_message pln_write_open(pln_writer *w, uint32_t number);
void pln_write_close(pln_writer *w, pln_open_message m);
void pln_write_int(pln_writer *w, uint32_t number, int64_t v);
void pln_write_float(pln_writer *w, uint32_t number, float v);
void pln_write_bytes(pln_writer *w, uint32_t number, const void *data, size_t len);
void pln_write_name(pln_writer *w, uint32_t number, const char *interned);
void pln_write_cstr(pln_writer *w, uint32_t number, const char *s);
/* A field whose payload is referenced until the writer ends. */
void pln_write_large(pln_writer *w, uint32_t number, const void *data, size_t len);

/* What a message had beside the interpreted fields, without those of the numbers in `not`
 * (ends with 0; NULL: all). */
void pln_write_rest(pln_writer *w, pln_blob rest, const uint32_t *not);
/* The payload of the k-th length-delimited field of a number in a rest. */
bool pln_rest_field(pln_blob rest, uint32_t number, size_t k, pln_blob *out);

#endif
