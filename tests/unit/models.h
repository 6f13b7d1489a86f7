/* Small models as bytes, written field by field, so that they can be wrong in any way.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_TESTS_UNIT_MODELS_H
#define PLN_TESTS_UNIT_MODELS_H

#include <stdarg.h>
#include <string.h>

#include "proto/writer.h"

/* A message under construction; nested ones are opened and closed. */
typedef struct msg {
    pln_writer w;
    pln_open_message open[300];
    size_t depth;
} msg;

static inline void msg_begin(msg *m)
{
    m->depth = 0;
    ck_assert(pln_writer_begin(&m->w, NULL, NULL) == PLN_OK);
}
static inline void msg_end(msg *m)
{
    pln_writer_end(&m->w);
}
static inline void in(msg *m, uint32_t field)
{
    ck_assert(m->depth < sizeof m->open / sizeof *m->open);
    m->open[m->depth++] = pln_write_open(&m->w, field);
}
static inline void out(msg *m)
{
    pln_write_close(&m->w, m->open[--m->depth]);
}
static inline void num(msg *m, uint32_t field, int64_t v)
{
    pln_write_int(&m->w, field, v);
}
static inline void str(msg *m, uint32_t field, const char *s)
{
    pln_write_bytes(&m->w, field, s, strlen(s));
}
static inline void raw(msg *m, uint32_t field, const void *p, size_t n)
{
    pln_write_bytes(&m->w, field, p, n);
}

/* Fields of ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto. */
enum { M_IR = 1, M_GRAPH = 7, M_OPSET = 8, M_META = 14, M_TRAINING = 20, M_FUNCTION = 25,
       G_NODE = 1, G_NAME = 2, G_INIT = 5, G_DOC = 10, G_IN = 11, G_OUT = 12, G_INFO = 13,
       G_SPARSE = 15,
       N_IN = 1, N_OUT = 2, N_NAME = 3, N_OP = 4, N_ATTR = 5, N_DOC = 6, N_DOMAIN = 7,
       A_NAME = 1, A_I = 3, A_T = 5, A_G = 6, A_INTS = 8, A_TYPE = 20,
       T_DIMS = 1, T_TYPE = 2, T_FLOATS = 4, T_INT32 = 5, T_STRINGS = 6, T_INT64 = 7,
       T_NAME = 8, T_RAW = 9, T_EXTERNAL = 13, T_LOCATION = 14 };

static inline void header(msg *m, int64_t opset)
{
    num(m, M_IR, 8);
    in(m, M_OPSET);
    str(m, 1, "");
    num(m, 2, opset);
    out(m);
}

/* "x" with a shape; NULL dims: unknown. */
static inline void value_info(msg *m, uint32_t field, const char *name, int elem,
                              int rank, const int64_t *dims)
{
    in(m, field);
    str(m, 1, name);
    in(m, 2);
    in(m, 1);
    num(m, 1, elem);
    if (dims) {
        in(m, 2);
        for (int i = 0; i < rank; i++) {
            in(m, 1);
            num(m, 1, dims[i]);
            out(m);
        }
        out(m);
    }
    out(m);
    out(m);
    out(m);
}

static inline void value(msg *m, uint32_t field, const char *name)
{
    static const int64_t dims[] = { 2, 3 };
    value_info(m, field, name, 1, 2, dims);
}

/* node(m, "Add", "n", "a,b", "c"); attributes may follow before out(m). */
static inline void node(msg *m, const char *op, const char *name, const char *ins,
                        const char *outs)
{
    const char *lists[2] = { ins, outs };
    in(m, G_NODE);
    for (uint32_t k = 0; k < 2; k++)
        for (const char *p = lists[k]; *p;) {
            const size_t len = strcspn(p, ",");
            raw(m, k ? N_OUT : N_IN, p, len);
            p += len + (p[len] == ',');
        }
    str(m, N_NAME, name);
    str(m, N_OP, op);
}

static inline void tensor(msg *m, uint32_t field, const char *name, int type, int rank,
                          const int64_t *dims)
{
    in(m, field);
    for (int i = 0; i < rank; i++)
        num(m, T_DIMS, dims[i]);
    num(m, T_TYPE, type);
    if (name)
        str(m, T_NAME, name);
}

static inline void pair(msg *m, uint32_t field, const char *key, const char *text)
{
    in(m, field);
    str(m, 1, key);
    str(m, 2, text);
    out(m);
}

static inline void external(msg *m, const char *location, const char *offset,
                            const char *length)
{
    pair(m, T_EXTERNAL, "location", location);
    if (offset)
        pair(m, T_EXTERNAL, "offset", offset);
    if (length)
        pair(m, T_EXTERNAL, "length", length);
    num(m, T_LOCATION, 1);
}

static inline void body(msg *m, const char *attr, const char *from, const char *to)
{
    in(m, N_ATTR);
    str(m, A_NAME, attr);
    in(m, A_G);
    node(m, "Neg", "", from, to);
    out(m);
    str(m, G_NAME, attr);
    value(m, G_OUT, to);
    out(m);
    num(m, A_TYPE, 5);
    out(m);
}

/* A bit of everything: bodies with captures, a function, sparse and typed tensors, types
 * of all kinds, an odd name, unknown fields, training info. */
static inline void rich_model(msg *m)
{
    static const int64_t d23[] = { 2, 3 }, d6[] = { 6 }, d3[] = { 3 }, d2[] = { 2 };
    static const float f6[] = { 1, 2, 3, 4, 5, 6 };
    static const int64_t shape[] = { 2, 3 }, at[] = { 0, 5 };
    header(m, 11);
    pair(m, M_META, "key", "value");
    in(m, M_GRAPH);
    str(m, G_NAME, "rich");
    value(m, G_IN, "x");
    value_info(m, G_IN, "cond", 9, 0, d23);
    tensor(m, G_INIT, "w", 1, 2, d23);
    raw(m, T_RAW, f6, sizeof f6);
    str(m, 12, "doc");
    out(m);
    tensor(m, G_INIT, "shape", 7, 1, d2);
    raw(m, T_RAW, shape, sizeof shape);
    out(m);
    tensor(m, G_INIT, "typed", 6, 1, d3);
    raw(m, T_INT32, "\x01\x80\x01\x03", 4);
    out(m);
    tensor(m, G_INIT, "nibbles", 22, 1, d3);
    raw(m, T_RAW, "\x21\x0f", 2);
    out(m);
    tensor(m, G_INIT, "words", 8, 1, d2);
    raw(m, T_STRINGS, "a\0b", 3);
    str(m, T_STRINGS, "");
    out(m);
    in(m, G_SPARSE);
    tensor(m, 1, "sparse", 1, 1, d2);
    raw(m, T_RAW, f6, 8);
    out(m);
    tensor(m, 2, "", 7, 1, d2);
    raw(m, T_RAW, at, sizeof at);
    out(m);
    num(m, 3, 2);
    num(m, 3, 3);
    out(m);
    node(m, "Add", "add", "x,w", "s");
    str(m, N_DOC, "doc");
    raw(m, 900, "future", 6);
    out(m);
    node(m, "If", "if", "cond", "t");
    body(m, "then_branch", "s", "then");
    body(m, "else_branch", "x", "else");
    out(m);
    node(m, "Pad", "pad", "t,pads", "p");
    out(m);
    node(m, "Constant", "c", "", "pads");
    in(m, N_ATTR);
    str(m, A_NAME, "value");
    tensor(m, A_T, "inner", 7, 1, (const int64_t[]){ 4 });
    raw(m, T_INT64, "\0\0\0\0", 4);
    out(m);
    num(m, A_TYPE, 4);
    out(m);
    out(m);
    node(m, "Twice", "call", "p", "y");
    str(m, N_DOMAIN, "local");
    out(m);
    node(m, "Add", "again", "y,sparse", "z");
    out(m);
    value(m, G_OUT, "z");
    value(m, G_INFO, "s");
    tensor(m, G_INIT, "six", 11, 1, d6);
    raw(m, 10, f6, sizeof f6);
    raw(m, 10, f6, sizeof f6);
    out(m);
    out(m);
    in(m, M_TRAINING);
    in(m, 1);
    str(m, G_NAME, "training");
    out(m);
    out(m);
    in(m, M_FUNCTION);
    str(m, 1, "Twice");
    str(m, 4, "a");
    str(m, 5, "b");
    in(m, 7);
    str(m, N_IN, "a");
    str(m, N_IN, "a");
    str(m, N_OUT, "b");
    str(m, N_OP, "Add");
    out(m);
    in(m, 9);
    str(m, 1, "");
    num(m, 2, 11);
    out(m);
    str(m, 10, "local");
    out(m);
    in(m, M_OPSET);
    str(m, 1, "local");
    num(m, 2, 1);
    out(m);
}

#endif
