/* Protocol buffers at the level of bytes: fields without their meaning.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_PROTO_WIRE_H
#define PLN_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/util/text.h"

enum {
    PLN_WIRE_VARINT = 0,
    PLN_WIRE_FIXED64 = 1,
    PLN_WIRE_BYTES = 2,
    PLN_WIRE_FIXED32 = 5
};

typedef struct pln_wire {
    const unsigned char *p, *end;
} pln_wire;

typedef struct pln_field {
    uint32_t number;
    unsigned type;
    const unsigned char *start, *data; /* of the tag; of the payload */
    size_t len;                        /* of the payload */
    uint64_t value;                    /* of a varint */
} pln_field;

/* 1: a field; 0: the end; -1: malformed at w->p. */
int pln_wire_next(pln_wire *w, pln_field *f);
bool pln_wire_varint(pln_wire *w, uint64_t *v);

/* Writing to a growing text. */
size_t pln_wire_varint_size(uint64_t v);
size_t pln_wire_encode_varint(unsigned char *out, uint64_t v); /* at most 10 bytes */
void pln_wire_put_varint(pln_text *t, uint64_t v);
void pln_wire_put_tag(pln_text *t, uint32_t number, unsigned type);
void pln_wire_put_bytes(pln_text *t, uint32_t number, const void *data, size_t len);

#endif
