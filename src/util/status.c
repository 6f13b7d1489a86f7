/* Errors: code, text and place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pln_error_clear(pln_error *err)
{
    if (err)
        *err = (pln_error){ .code = PLN_OK, .offset = -1 };
}

/* Copies one line: control bytes become \xNN. */
static void put_line(char *dst, size_t size, const char *src)
{
    size_t n = 0;
    for (; *src && n + 5 < size; src++) {
        const unsigned char c = (unsigned char)*src;
        if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(dst + n, size - n, "\\x%02x", c);
        else
            dst[n++] = (char)c;
    }
    dst[n] = '\0';
}

pln_status pln_fail(pln_error *err, pln_status st, const char *fmt, ...)
{
    if (!err || err->code != PLN_OK)
        return st;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    err->code = st;
    put_line(err->text, sizeof err->text, line);
    return st;
}

pln_status pln_fail_prefix(pln_error *err, pln_status st, const char *fmt, ...)
{
    if (!err)
        return st;
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, 1024, fmt, ap);
    va_end(ap);
    n = n < 0 ? 0 : n > 1023 ? 1023 : n;
    snprintf(line + n, sizeof line - (size_t)n, ": %s", err->text);
    put_line(err->text, sizeof err->text, line);
    if (err->code == PLN_OK)
        err->code = st;
    return err->code;
}

pln_status pln_oom(pln_error *err)
{
    return pln_fail(err, PLN_E_NOMEM, "out of memory");
}

void pln_error_set(pln_error *err, const char *key, const char *value)
{
    if (!err || !value)
        return;
    static const struct {
        const char *key;
        size_t offset, size;
    } fields[] = {
        { "node", offsetof(pln_error, node), sizeof err->node },
        { "op", offsetof(pln_error, op), sizeof err->op },
        { "tensor", offsetof(pln_error, tensor), sizeof err->tensor },
        { "file", offsetof(pln_error, file), sizeof err->file },
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *dst = (char *)err + fields[i].offset;
        if (!strcmp(fields[i].key, key) && !*dst)
            put_line(dst, fields[i].size, value);
    }
}
