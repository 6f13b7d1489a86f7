/* A growing text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pln_text_init(pln_text *t, const pln_allocator *a)
{
    *t = (pln_text){ .alloc = a };
}

void pln_text_done(pln_text *t)
{
    pln_release(t->alloc, t->data);
    pln_text_init(t, t->alloc);
}

static bool reserve(pln_text *t, size_t more)
{
    size_t need;
    if (t->failed || __builtin_add_overflow(t->len, more, &need) ||
        __builtin_add_overflow(need, (size_t)1, &need) ||
        !pln_grow(t->alloc, (void **)&t->data, &t->cap, need, 1))
        t->failed = true;
    return !t->failed;
}

void pln_text_put(pln_text *t, const char *bytes, size_t len)
{
    if (!reserve(t, len))
        return;
    if (len)
        memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void pln_text_str(pln_text *t, const char *s)
{
    pln_text_put(t, s, strlen(s));
}

void pln_text_printf(pln_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(t, (size_t)n)) {
        t->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

/* Length of the valid UTF-8 sequence at p, or 0 (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const unsigned char lo2[] = { [0xe0 - 0xc2] = 0xa0, [0xf0 - 0xc2] = 0x90 };
    const unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    const size_t n = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    unsigned char lo = c - 0xc2 < (int)sizeof lo2 ? lo2[c - 0xc2] : 0;
    const unsigned char hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (lo == 0)
        lo = 0x80;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

void pln_text_json(pln_text *t, const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    pln_text_put(t, "\"", 1);
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_len(p + i, len - i);
        if (n == 0)
            pln_text_str(t, "\\ufffd");
        else if (n == 1 && (p[i] < 0x20 || p[i] == 0x7f))
            pln_text_printf(t, "\\u%04x", p[i]);
        else if (n == 1 && (p[i] == '"' || p[i] == '\\'))
            pln_text_printf(t, "\\%c", p[i]);
        else
            pln_text_put(t, bytes + i, n);
        i += n ? n : 1;
    }
    pln_text_put(t, "\"", 1);
}

void pln_text_json_double(pln_text *t, double v)
{
    char buf[40];
    if (!isfinite(v)) {
        pln_text_str(t, "null");
        return;
    }
    snprintf(buf, sizeof buf, "%.9g", v);
    for (char *p = buf; *p; p++) /* a locale's decimal point */
        if (*p == ',')
            *p = '.';
    pln_text_str(t, buf);
}

char *pln_text_take(pln_text *t)
{
    if (!reserve(t, 0)) {
        pln_text_done(t);
        return NULL;
    }
    t->data[t->len] = '\0';
    char *data = t->data;
    pln_text_init(t, t->alloc);
    return data;
}
