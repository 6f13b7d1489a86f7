/* Writing messages: small fields into a text, large elements as references.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/writer.h"

#include <string.h>

#define LENGTH_BYTES 5 /* kept free for a length until it is known */
#define COPY_BELOW   512

pln_status pln_writer_begin(pln_writer *w, const pln_allocator *a, pln_error *err)
{
    *w = (pln_writer){ .alloc = a, .err = err };
    pln_text_init(&w->text, a);
    w->arena = pln_arena_new(a);
    return w->arena ? PLN_OK : pln_oom(err);
}

void pln_writer_end(pln_writer *w)
{
    pln_text_done(&w->text);
    pln_release(w->alloc, w->splices);
    pln_release(w->alloc, w->outside);
    pln_arena_free(w->arena);
}

uint64_t pln_writer_size(const pln_writer *w)
{
    return w->text.len + w->spliced;
}

bool pln_writer_part(const pln_writer *w, size_t *part, const void **data, size_t *len)
{
    const size_t k = (*part)++;
    const size_t i = k / 2;
    if (i > w->n_splices || k > 2 * w->n_splices)
        return false;
    if (k % 2) {
        *data = w->splices[i].data;
        *len = w->splices[i].len;
        return true;
    }
    const size_t from = i ? w->splices[i - 1].at : 0;
    const size_t to = i < w->n_splices ? w->splices[i].at : w->text.len;
    *data = w->text.data + from;
    *len = to - from;
    return true;
}

pln_status pln_writer_take(const pln_writer *w, const pln_allocator *a, void **data,
                           size_t *len)
{
    const size_t size = (size_t)pln_writer_size(w);
    if (pln_writer_size(w) > PLN_MAX_MESSAGE)
        return pln_fail(w->err, PLN_E_LIMIT, "over 2 GiB: that takes external data");
    unsigned char *out = pln_alloc(a, size);
    const void *part;
    size_t n, at = 0, i = 0;
    if (!out)
        return pln_oom(w->err);
    while (pln_writer_part(w, &i, &part, &n)) {
        if (n)
            memcpy(out + at, part, n);
        at += n;
    }
    *data = out;
    *len = size;
    return PLN_OK;
}

pln_open_message pln_write_open(pln_writer *w, uint32_t number)
{
    pln_wire_put_tag(&w->text, number, PLN_WIRE_BYTES);
    pln_text_put(&w->text, (const char[LENGTH_BYTES]){ 0 }, LENGTH_BYTES);
    return (pln_open_message){ w->text.len, w->n_splices, w->spliced };
}

/* Writes the length where room was left, and closes up what room is not needed. */
void pln_write_close(pln_writer *w, pln_open_message m)
{
    unsigned char length[10];
    pln_text *t = &w->text;
    if (t->failed)
        return;
    const uint64_t len = t->len - m.begin + (w->spliced - m.spliced);
    const size_t n = pln_wire_encode_varint(length, len);
    if (n > LENGTH_BYTES) { /* over 32 GiB: no file can hold it, and the size tells */
        return;
    }
    const size_t gap = LENGTH_BYTES - n;
    memcpy(t->data + m.begin - LENGTH_BYTES, length, n);
    if (!gap)
        return;
    memmove(t->data + m.begin - gap, t->data + m.begin, t->len - m.begin);
    t->len -= gap;
    t->data[t->len] = '\0';
    for (size_t i = m.splice; i < w->n_splices; i++)
        w->splices[i].at -= gap;
}

void pln_write_int(pln_writer *w, uint32_t number, int64_t v)
{
    pln_wire_put_tag(&w->text, number, PLN_WIRE_VARINT);
    pln_wire_put_varint(&w->text, (uint64_t)v);
}

void pln_write_float(pln_writer *w, uint32_t number, float v)
{
    pln_wire_put_tag(&w->text, number, PLN_WIRE_FIXED32);
    pln_text_put(&w->text, (const char *)&v, sizeof v);
}

void pln_write_bytes(pln_writer *w, uint32_t number, const void *data, size_t len)
{
    pln_wire_put_bytes(&w->text, number, data, len);
}

void pln_write_name(pln_writer *w, uint32_t number, const char *interned)
{
    pln_write_bytes(w, number, interned, pln_name_len(interned));
}

void pln_write_cstr(pln_writer *w, uint32_t number, const char *s)
{
    pln_write_bytes(w, number, s, strlen(s));
}

void pln_write_large(pln_writer *w, uint32_t number, const void *data, size_t len)
{
    if (len < COPY_BELOW) {
        pln_write_bytes(w, number, data, len);
        return;
    }
    pln_wire_put_tag(&w->text, number, PLN_WIRE_BYTES);
    pln_wire_put_varint(&w->text, len);
    if (!pln_grow(w->alloc, (void **)&w->splices, &w->cap_splices, w->n_splices + 1,
                  sizeof *w->splices)) {
        w->text.failed = true;
        return;
    }
    w->splices[w->n_splices++] = (pln_splice){ w->text.len, data, len };
    w->spliced += len;
}

static bool is_listed(uint32_t number, const uint32_t *list)
{
    for (; list && *list; list++)
        if (*list == number)
            return true;
    return false;
}

void pln_write_rest(pln_writer *w, pln_blob rest, const uint32_t *not)
{
    const unsigned char *p = rest.data;
    pln_wire wire = { p, p + rest.len };
    pln_field f;
    while (rest.len && pln_wire_next(&wire, &f) > 0)
        if (!is_listed(f.number, not))
            pln_text_put(&w->text, (const char *)f.start, (size_t)(wire.p - f.start));
}

bool pln_rest_field(pln_blob rest, uint32_t number, size_t k, pln_blob *out)
{
    const unsigned char *p = rest.data;
    pln_wire wire = { p, p + rest.len };
    pln_field f;
    *out = (pln_blob){ NULL, 0 };
    while (rest.len && pln_wire_next(&wire, &f) > 0) {
        if (f.number != number || f.type != PLN_WIRE_BYTES || k-- != 0)
            continue;
        *out = (pln_blob){ f.data, f.len };
        return true;
    }
    return false;
}
