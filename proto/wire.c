/* Protocol buffers at the level of bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/wire.h"

bool pln_wire_varint(pln_wire *w, uint64_t *v)
{
    uint64_t r = 0;
    const unsigned char *p = w->p;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == w->end)
            return false;
        const unsigned char b = *p++;
        if (shift == 63 && b > 1)
            return false;
        r |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            w->p = p;
            *v = r;
            return true;
        }
    }
    return false;
}

static bool payload(pln_wire *w, pln_field *f)
{
    uint64_t len = 0;
    f->data = w->p;
    switch (f->type) {
    case PLN_WIRE_VARINT:
        if (!pln_wire_varint(w, &f->value))
            return false;
        f->len = (size_t)(w->p - f->data);
        return true;
    case PLN_WIRE_FIXED64:
        len = 8;
        break;
    case PLN_WIRE_FIXED32:
        len = 4;
        break;
    case PLN_WIRE_BYTES:
        if (!pln_wire_varint(w, &len))
            return false;
        f->data = w->p;
        break;
    default:
        return false; /* groups: protobuf-c has none, and ONNX never had */
    }
    if (len > (size_t)(w->end - w->p))
        return false;
    f->len = (size_t)len;
    w->p += len;
    return true;
}

int pln_wire_next(pln_wire *w, pln_field *f)
{
    if (w->p == w->end)
        return 0;
    const unsigned char *start = w->p;
    uint64_t tag;
    if (!pln_wire_varint(w, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        w->p = start;
        return -1;
    }
    *f = (pln_field){ .number = (uint32_t)(tag >> 3), .type = tag & 7, .start = start };
    if (payload(w, f))
        return 1;
    w->p = start;
    return -1;
}

size_t pln_wire_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

size_t pln_wire_encode_varint(unsigned char *out, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        out[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (unsigned char)v;
    return n;
}

void pln_wire_put_varint(pln_text *t, uint64_t v)
{
    unsigned char buf[10];
    pln_text_put(t, (const char *)buf, pln_wire_encode_varint(buf, v));
}

void pln_wire_put_tag(pln_text *t, uint32_t number, unsigned type)
{
    pln_wire_put_varint(t, (uint64_t)number << 3 | type);
}

void pln_wire_put_bytes(pln_text *t, uint32_t number, const void *data, size_t len)
{
    pln_wire_put_tag(t, number, PLN_WIRE_BYTES);
    pln_wire_put_varint(t, len);
    if (len)
        pln_text_put(t, data, len);
}
