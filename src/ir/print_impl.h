/* Between the files of the printer.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_IR_PRINT_IMPL_H
#define PLN_IR_PRINT_IMPL_H

#include "src/ir/text.h"

typedef struct printer {
    pln_text *out;
    const pln_model *model;
    const pln_text_style *style;
    int indent;
    bool hidden; /* behind "#%+": nothing may contain a line's end */
    pln_error *err;
} printer;

/* A line's end and the indentation of the next line. */
void print_line(printer *p);
/* Starts a line that only our own parser reads; ends with print_hidden_end(). */
void print_hidden(printer *p);
void print_hidden_end(printer *p);
void print_hex(printer *p, const void *bytes, size_t len);
/* In quotes. */
void print_string(printer *p, const char *s, size_t len);
/* Bare where that is an identifier, else in quotes; s is interned. */
void print_name(printer *p, const char *s);
/* Where no quotes are possible. */
void print_identifier(printer *p, const char *s, size_t len);
void print_value_name(printer *p, const pln_value *v); /* NULL: "" */
void print_type(printer *p, const pln_type *t);
void print_float(printer *p, float f);
/* "float[2] w = {1, 2}": type, name if there is one, contents. */
pln_status print_tensor(printer *p, const pln_tensor *t, const pln_value *named);
pln_status print_graph(printer *p, const pln_graph *g);
pln_status print_attrs(printer *p, const pln_attr *const *attrs, uint32_t n);
pln_status print_attr(printer *p, const pln_attr *a);

#endif
