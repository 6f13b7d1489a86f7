/* PBM, PGM, PPM (P1 to P6) and PAM (P7).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/picture.h"

#include <string.h>

typedef struct reader {
    const uint8_t *at, *end;
} reader;

typedef struct header {
    size_t width, height, depth, maxval;
    bool text, bits; /* digits instead of bytes; one bit a pixel, 1 is black */
} header;

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Blanks and comments, which run to the end of their line. */
static void skip_blanks(reader *r)
{
    while (r->at < r->end && (is_blank(*r->at) || *r->at == '#')) {
        if (*r->at++ != '#')
            continue;
        while (r->at < r->end && *r->at != '\n' && *r->at != '\r')
            r->at++;
    }
}

static bool read_number(reader *r, size_t max, size_t *out)
{
    size_t v = 0;
    skip_blanks(r);
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return false;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        v = v * 10 + (size_t)(*r->at++ - '0');
        if (v > max)
            return false;
    }
    *out = v;
    return true;
}

static bool read_word(reader *r, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n))
        return false;
    r->at += n;
    return true;
}

static void skip_line(reader *r)
{
    while (r->at < r->end && *r->at++ != '\n')
        continue;
}

/* "WIDTH 3" and so on, each on a line, up to "ENDHDR". */
static bool read_pam_header(reader *r, header *h)
{
    for (;;) {
        skip_blanks(r);
        bool good = true;
        if (read_word(r, "ENDHDR"))
            break;
        if (read_word(r, "WIDTH"))
            good = read_number(r, UINT32_MAX, &h->width);
        else if (read_word(r, "HEIGHT"))
            good = read_number(r, UINT32_MAX, &h->height);
        else if (read_word(r, "DEPTH"))
            good = read_number(r, 4, &h->depth);
        else if (read_word(r, "MAXVAL"))
            good = read_number(r, 65535, &h->maxval);
        else
            skip_line(r);
        if (!good || r->at == r->end)
            return false;
    }
    skip_line(r);
    return true;
}

static bool read_header(reader *r, header *h)
{
    if (r->end - r->at < 3 || r->at[0] != 'P' || r->at[1] < '1' || r->at[1] > '7')
        return false;
    const int kind = r->at[1] - '0';
    r->at += 2;
    *h = (header){ .maxval = 1, .depth = kind == 3 || kind == 6 ? 3 : 1 };
    if (kind == 7)
        return read_pam_header(r, h) && h->depth > 0 && h->maxval > 0;
    h->text = kind < 4;
    h->bits = kind == 1 || kind == 4;
    if (!read_number(r, UINT32_MAX, &h->width) || !read_number(r, UINT32_MAX, &h->height))
        return false;
    if (!h->bits && (!read_number(r, 65535, &h->maxval) || h->maxval == 0))
        return false;
    if (!h->text && (r->at == r->end || !is_blank(*r->at++)))
        return false;
    return true;
}

/* One sample, whatever its form. */
static bool read_sample(reader *r, const header *h, size_t *out)
{
    if (h->text && h->bits) { /* the digits may stand close together */
        skip_blanks(r);
        if (r->at == r->end || (*r->at != '0' && *r->at != '1'))
            return false;
        *out = *r->at++ == '0';
        return true;
    }
    if (h->text)
        return read_number(r, h->maxval, out);
    const size_t n = h->maxval > 255 ? 2 : 1;
    if ((size_t)(r->end - r->at) < n)
        return false;
    *out = n == 1 ? r->at[0] : (size_t)r->at[0] << 8 | r->at[1];
    r->at += n;
    return *out <= h->maxval;
}

static bool read_pixels(reader *r, const header *h, pln_picture *p)
{
    for (size_t i = 0; i < p->width * p->height; i++) {
        size_t v[4] = { 0 };
        for (size_t c = 0; c < h->depth; c++) {
            if (!read_sample(r, h, &v[c]))
                return false;
            v[c] = (v[c] * 255 + h->maxval / 2) / h->maxval;
        }
        for (size_t c = 0; c < 3; c++) /* two or four samples: the last is opacity */
            p->rgb[3 * i + c] = (uint8_t)v[h->depth < 3 ? 0 : c];
    }
    return true;
}

static bool read_bits(reader *r, pln_picture *p)
{
    const size_t row = (p->width + 7) / 8;
    if (p->height && (size_t)(r->end - r->at) / p->height < row)
        return false;
    for (size_t y = 0; y < p->height; y++, r->at += row)
        for (size_t x = 0; x < p->width; x++)
            if (!(r->at[x / 8] >> (7 - x % 8) & 1))
                memset(p->rgb + 3 * (y * p->width + x), 255, 3);
    return true;
}

bool pln_picture_pnm(pln_picture *p)
{
    reader r = { p->bytes, p->bytes + p->size };
    header h;
    if (!read_header(&r, &h) || !p->begin(p, h.width, h.height))
        return false;
    return h.bits && !h.text ? read_bits(&r, p) : read_pixels(&r, &h, p);
}
