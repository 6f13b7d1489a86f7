/* The walk over a message's bytes before protobuf-c sees it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/scan.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/onnx.pb-c.h"
#include "proto/wire.h"
#include "src/util/size.h"

#define RAW_DATA          9
#define TRAINING_INFO     20
#define RESERVED_FIRST    19000
#define RESERVED_LAST     19999
#define MAX_DATA_FIELD    11
#define LENGTH_BYTES      5  /* a length is written with this many, whatever it is */
#define FIELD_BYTES       48 /* what protobuf-c remembers of a field while it parses */

typedef struct scanner {
    pln_scan *out;
    const pln_allocator *alloc;
    const unsigned char *base;
    const pln_limits *limits;
    pln_error *err;
    size_t struct_bytes, max_struct_bytes; /* what unpacking will allocate */
    uint32_t n_nodes, depth, graph_depth, max_depth;
    unsigned mute; /* inside of what is not unpacked */
    bool mapped;
    const unsigned char *kept; /* pages of the mapping before this are handed back */
} scanner;

/* Reading a byte of a mapped file may bring megabytes around it into the process. Where
 * large elements are jumped over, what lies behind is handed back. */
#define DROP_FROM ((size_t)1 << 20)

static void drop_pages(scanner *s, const unsigned char *here)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)s->kept + page - 1) & ~(page - 1);
    const uintptr_t end = (uintptr_t)here & ~(page - 1);
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    s->kept = here;
}

static pln_status malformed(scanner *s, const unsigned char *at, const char *what)
{
    const pln_status st = pln_fail(s->err, PLN_E_FORMAT, "%s at byte %zu", what,
                                   (size_t)(at - s->base));
    if (s->err && s->err->offset < 0)
        s->err->offset = at - s->base;
    return st;
}

static void put(scanner *s, const unsigned char *bytes, size_t len)
{
    if (!s->mute)
        pln_text_put(&s->out->skeleton, (const char *)bytes, len);
}

static pln_status cut(scanner *s, uint32_t marker, uint32_t field,
                      const unsigned char *data, size_t len)
{
    pln_scan *o = s->out;
    if (s->mute)
        return PLN_OK;
    if (o->n_cuts >= UINT32_MAX || !pln_grow(s->alloc, (void **)&o->cuts, &o->cap_cuts,
                                             o->n_cuts + 1, sizeof *o->cuts))
        return pln_oom(s->err);
    if (s->mapped && len >= DROP_FROM)
        drop_pages(s, data + len);
    const uint32_t index = (uint32_t)o->n_cuts;
    o->cuts[o->n_cuts++] = (pln_cut){ field, data, len };
    pln_wire_put_tag(&o->skeleton, marker, PLN_WIRE_FIXED32);
    const unsigned char le[4] = { (unsigned char)index, (unsigned char)(index >> 8),
                                  (unsigned char)(index >> 16),
                                  (unsigned char)(index >> 24) };
    pln_text_put(&o->skeleton, (const char *)le, sizeof le);
    return PLN_OK;
}

/* ---- what a field may look like ---------------------------------------------------- */

static unsigned wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return PLN_WIRE_FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return PLN_WIRE_FIXED64;
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PLN_WIRE_BYTES;
    default:
        return PLN_WIRE_VARINT;
    }
}

static pln_status check_packed(scanner *s, const pln_field *f, unsigned wire)
{
    const size_t size = wire == PLN_WIRE_FIXED32 ? 4 : wire == PLN_WIRE_FIXED64 ? 8 : 1;
    if (f->len % size || (size == 1 && f->len && f->data[f->len - 1] & 0x80))
        return malformed(s, f->start, "a packed field ends inside an element");
    return PLN_OK;
}

static pln_status check_wire(scanner *s, const pln_field *f,
                             const ProtobufCFieldDescriptor *d)
{
    const unsigned want = wire_type_of(d->type);
    if (f->type == want)
        return PLN_OK;
    if (f->type == PLN_WIRE_BYTES && d->label == PROTOBUF_C_LABEL_REPEATED)
        return check_packed(s, f, want);
    return malformed(s, f->start, "a field has the wrong wire type");
}

/* protobuf would merge a message that comes twice. No writer does that, and merging is
 * where decoders go wrong. */
static pln_status check_once(scanner *s, const pln_field *f,
                             const ProtobufCMessageDescriptor *type,
                             const ProtobufCFieldDescriptor *d, uint64_t *seen)
{
    const bool oneof = d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
    if (!oneof && (d->label == PROTOBUF_C_LABEL_REPEATED ||
                   d->type != PROTOBUF_C_TYPE_MESSAGE))
        return PLN_OK;
    const uint64_t bit = UINT64_C(1) << (oneof ? 63 : (d - type->fields) & 63);
    if (*seen & bit)
        return malformed(s, f->start, "a field that can be there once comes twice");
    *seen |= bit;
    return PLN_OK;
}

/* ---- tensors ----------------------------------------------------------------------- */

typedef struct data_fields {
    uint32_t count[MAX_DATA_FIELD + 1];
} data_fields;

static bool is_data_field(const pln_field *f)
{
    static const bool data[MAX_DATA_FIELD + 1] = { [4] = true, [5] = true, [7] = true,
                                                   [9] = true, [10] = true, [11] = true };
    return f->type == PLN_WIRE_BYTES && f->number <= MAX_DATA_FIELD && data[f->number] &&
           f->len;
}

static void count_data_fields(pln_wire w, data_fields *n)
{
    pln_field f;
    *n = (data_fields){ 0 };
    while (pln_wire_next(&w, &f) > 0)
        if (f.number <= MAX_DATA_FIELD)
            n->count[f.number]++;
}

/* A field in several pieces is left to protobuf-c, which joins them; of raw_data, which
 * is no list, the last one counts. */
static bool is_cut(const pln_field *f, data_fields *n)
{
    if (!is_data_field(f))
        return false;
    return n->count[f->number] == 1;
}

/* ---- messages ---------------------------------------------------------------------- */

static pln_status scan_message(scanner *s, pln_wire w,
                               const ProtobufCMessageDescriptor *type);

/* A few bytes of file can become a hundred of memory: the sum is bounded. */
static pln_status charge(scanner *s, size_t bytes)
{
    s->struct_bytes += s->mute ? 0 : bytes;
    if (s->struct_bytes > s->max_struct_bytes)
        return pln_fail(s->err, PLN_E_LIMIT, "too many fields for a file of this size");
    return PLN_OK;
}

static pln_status enter(scanner *s, const unsigned char *at,
                        const ProtobufCMessageDescriptor *type)
{
    const bool graph = type == &onnx__graph_proto__descriptor;
    if (s->depth >= s->max_depth || (graph && s->graph_depth >= s->limits->depth))
        return pln_fail(s->err, PLN_E_LIMIT, "messages are nested too deep at byte %zu",
                        (size_t)(at - s->base));
    if (type == &onnx__node_proto__descriptor && ++s->n_nodes > s->limits->nodes)
        return pln_fail(s->err, PLN_E_LIMIT, "more than %u nodes", s->limits->nodes);
    s->depth++;
    s->graph_depth += graph;
    return charge(s, type->sizeof_message);
}

static void leave(scanner *s, const ProtobufCMessageDescriptor *type)
{
    s->depth--;
    s->graph_depth -= type == &onnx__graph_proto__descriptor;
}

static pln_status scan_child(scanner *s, const pln_field *f,
                             const ProtobufCMessageDescriptor *type)
{
    pln_text *sk = &s->out->skeleton;
    PLN_TRY(enter(s, f->start, type));
    if (!s->mute) {
        pln_wire_put_tag(sk, f->number, PLN_WIRE_BYTES);
        pln_text_put(sk, (const char[LENGTH_BYTES]){ 0 }, LENGTH_BYTES);
    }
    const size_t begin = sk->len;
    PLN_TRY(scan_message(s, (pln_wire){ f->data, f->data + f->len }, type));
    leave(s, type);
    if (s->mute || sk->failed)
        return PLN_OK;
    const size_t len = sk->len - begin;
    if (len > INT32_MAX)
        return pln_fail(s->err, PLN_E_LIMIT,
                        "a message is over 2 GiB without its tensors");
    char *at = sk->data + begin - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++)
        at[i] = (char)((len >> (7 * i) & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
    return PLN_OK;
}

static pln_status scan_aside(scanner *s, const pln_field *f,
                             const ProtobufCMessageDescriptor *type)
{
    s->mute++;
    PLN_TRY(scan_child(s, f, type));
    if (--s->mute == 0)
        pln_text_put(&s->out->aside, (const char *)f->start,
                     (size_t)(f->data - f->start) + f->len);
    return PLN_OK;
}

static pln_status scan_field(scanner *s, const pln_field *f,
                             const ProtobufCMessageDescriptor *type, data_fields *data,
                             uint64_t *seen)
{
    if (f->number >= RESERVED_FIRST && f->number <= RESERVED_LAST)
        return malformed(s, f->start, "a field number that protobuf reserves");
    const ProtobufCFieldDescriptor *d =
        protobuf_c_message_descriptor_get_field(type, f->number);
    PLN_TRY(charge(s, FIELD_BYTES));
    if (d) {
        PLN_TRY(check_wire(s, f, d));
        PLN_TRY(check_once(s, f, type, d, seen));
        if (d->type == PROTOBUF_C_TYPE_MESSAGE &&
            type == &onnx__model_proto__descriptor && f->number == TRAINING_INFO)
            return scan_aside(s, f, d->descriptor);
        if (d->type == PROTOBUF_C_TYPE_MESSAGE)
            return scan_child(s, f, d->descriptor);
    }
    if (type == &onnx__tensor_proto__descriptor) {
        if (f->number == RAW_DATA && data->count[RAW_DATA] > 1) {
            data->count[RAW_DATA]--;
            return PLN_OK;
        }
        if (is_cut(f, data))
            return cut(s, PLN_FIELD_DATA, f->number, f->data, f->len);
    }
    put(s, f->start, (size_t)(f->data - f->start) + f->len);
    return PLN_OK;
}

static pln_status scan_message(scanner *s, pln_wire w,
                               const ProtobufCMessageDescriptor *type)
{
    data_fields data;
    uint64_t seen = 0;
    pln_field f;
    int more;
    if (type == &onnx__tensor_proto__descriptor)
        count_data_fields(w, &data);
    if (type == &onnx__sparse_tensor_proto__descriptor)
        PLN_TRY(cut(s, PLN_FIELD_SPARSE, 0, w.p, (size_t)(w.end - w.p)));
    while ((more = pln_wire_next(&w, &f)) > 0)
        PLN_TRY(scan_field(s, &f, type, &data, &seen));
    return more < 0 ? malformed(s, w.p, "truncated or malformed") : PLN_OK;
}

pln_status pln_scan_run(pln_scan *scan, const pln_allocator *a, const void *data,
                        size_t len, const ProtobufCMessageDescriptor *type,
                        const pln_limits *limits, bool mapped, pln_error *err)
{
    /* A body of If sits three messages below its graph; types and the rest take a few. */
    const uint32_t max_depth = limits->depth > 1000 ? 4000 : 4 * limits->depth + 8;
    scanner s = { .out = scan, .alloc = a, .base = data, .limits = limits, .err = err,
                  .max_depth = max_depth, .mapped = mapped, .kept = data };
    const size_t slack = (size_t)256 << 20;
    if (!pln_size_mul(&s.max_struct_bytes, len, 32) ||
        !pln_size_add(&s.max_struct_bytes, s.max_struct_bytes, slack))
        s.max_struct_bytes = SIZE_MAX;
    *scan = (pln_scan){ 0 };
    pln_text_init(&scan->skeleton, a);
    pln_text_init(&scan->aside, a);
    const unsigned char *bytes = data;
    PLN_TRY(enter(&s, bytes, type));
    PLN_TRY(scan_message(&s, (pln_wire){ bytes, bytes + len }, type));
    return scan->skeleton.failed || scan->aside.failed ? pln_oom(err) : PLN_OK;
}

void pln_scan_done(pln_scan *scan, const pln_allocator *a)
{
    pln_text_done(&scan->skeleton);
    pln_text_done(&scan->aside);
    pln_release(a, scan->cuts);
    scan->cuts = NULL;
}
