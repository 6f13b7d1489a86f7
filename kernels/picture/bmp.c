/* BMP: bitmaps of 1 to 32 bits a pixel, with palettes, bit fields or run lengths.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/picture.h"

#include <string.h>

enum { RGB = 0, RLE8 = 1, RLE4 = 2, FIELDS = 3, ALPHA_FIELDS = 6 };

typedef struct bitmap {
    const uint8_t *bytes, *pixels; /* of the file, of its pixels */
    size_t size, pixels_size;
    size_t width, height;
    bool top_down;
    unsigned bits, compression;
    uint32_t mask[3];        /* of red, green, blue in 16 and 32 bits */
    uint8_t palette[256][3]; /* red, green, blue */
} bitmap;

static uint32_t u16(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8;
}

static uint32_t u32(const uint8_t *b)
{
    return u16(b) | u16(b + 2) << 16;
}

/* ---- headers ----------------------------------------------------------------------- */

#define FILE_HEADER 14
#define CORE_HEADER 12 /* of OS/2 1 */
#define INFO_HEADER 40

static void read_core(bitmap *m, const uint8_t *h)
{
    m->width = u16(h + 4);
    m->height = u16(h + 6);
    m->bits = u16(h + 10);
}

static bool read_info(bitmap *m, const uint8_t *h)
{
    const int32_t width = (int32_t)u32(h + 4), height = (int32_t)u32(h + 8);
    m->bits = u16(h + 14);
    m->compression = u32(h + 16);
    if (width <= 0 || height == 0 || height == INT32_MIN)
        return false;
    m->width = (size_t)width;
    m->top_down = height < 0;
    m->height = (size_t)(height < 0 ? -height : height);
    return true;
}

static bool read_palette(bitmap *m, size_t at, size_t entry, size_t n)
{
    if (m->bits > 8)
        return true;
    if (n == 0 || n > (size_t)1 << m->bits)
        n = (size_t)1 << m->bits;
    if (at > m->size)
        return false;
    if (n > (m->size - at) / entry) /* shorter palettes happen: the rest is black */
        n = (m->size - at) / entry;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            m->palette[i][c] = m->bytes[at + i * entry + 2 - c];
    return true;
}

/* The masks are behind a header of 40 bytes, or part of a longer one. */
static bool read_masks(bitmap *m)
{
    static const uint32_t plain[2][3] = { { 0x7c00, 0x3e0, 0x1f },
                                          { 0xff0000, 0xff00, 0xff } };
    const bool fields = m->compression == FIELDS || m->compression == ALPHA_FIELDS;
    memcpy(m->mask, plain[m->bits == 32], sizeof m->mask);
    if (!fields)
        return true;
    if ((m->bits != 16 && m->bits != 32) || m->size < FILE_HEADER + INFO_HEADER + 12)
        return false;
    for (size_t c = 0; c < 3; c++)
        m->mask[c] = u32(m->bytes + FILE_HEADER + INFO_HEADER + 4 * c);
    return true;
}

static bool good_format(const bitmap *m)
{
    const bool indexed = m->bits == 1 || m->bits == 2 || m->bits == 4 || m->bits == 8;
    switch (m->compression) {
    case RGB:
        return indexed || m->bits == 16 || m->bits == 24 || m->bits == 32;
    case RLE8:
        return m->bits == 8 && !m->top_down;
    case RLE4:
        return m->bits == 4 && !m->top_down;
    case FIELDS:
    case ALPHA_FIELDS:
        return m->bits == 16 || m->bits == 32;
    default: /* a JPEG or PNG stream inside is for printers */
        return false;
    }
}

static bool read_headers(bitmap *m)
{
    if (m->size < FILE_HEADER + CORE_HEADER || m->bytes[0] != 'B' || m->bytes[1] != 'M')
        return false;
    const uint8_t *h = m->bytes + FILE_HEADER;
    const size_t head = u32(h), offset = u32(m->bytes + 10);
    const bool core = head == CORE_HEADER;
    if (!core && (head < INFO_HEADER || m->size < FILE_HEADER + INFO_HEADER))
        return false;
    if (core)
        read_core(m, h);
    else if (!read_info(m, h))
        return false;
    const size_t masks = head == INFO_HEADER && m->compression == FIELDS         ? 12
                         : head == INFO_HEADER && m->compression == ALPHA_FIELDS ? 16
                                                                                 : 0;
    if (!good_format(m) || !read_masks(m) || offset > m->size || head > m->size ||
        !read_palette(m, FILE_HEADER + head + masks, core ? 3 : 4,
                      core ? 0 : u32(h + 32)))
        return false;
    m->pixels = m->bytes + offset;
    m->pixels_size = m->size - offset;
    return true;
}

/* ---- pixels ------------------------------------------------------------------------ */

/* The bits of a mask as a number of 0 to 255. */
static uint8_t field(uint32_t v, uint32_t mask)
{
    if (!mask)
        return 0;
    const int shift = __builtin_ctz(mask);
    const uint32_t max = mask >> shift;
    return (uint8_t)(((uint64_t)((v & mask) >> shift) * 255 + max / 2) / max);
}

static void pixel(const bitmap *m, const uint8_t *row, size_t x, uint8_t *rgb)
{
    if (m->bits <= 8) {
        const size_t per = 8 / m->bits, at = x % per;
        const unsigned shift = (unsigned)(8 - m->bits * (at + 1));
        const unsigned index = row[x / per] >> shift & ((1u << m->bits) - 1);
        memcpy(rgb, m->palette[index], 3);
        return;
    }
    if (m->bits == 24) {
        for (size_t c = 0; c < 3; c++)
            rgb[c] = row[3 * x + 2 - c];
        return;
    }
    const uint32_t v = m->bits == 16 ? u16(row + 2 * x) : u32(row + 4 * x);
    for (size_t c = 0; c < 3; c++)
        rgb[c] = field(v, m->mask[c]);
}

static uint8_t *row_of(const bitmap *m, pln_picture *p, size_t y)
{
    return p->rgb + 3 * m->width * (m->top_down ? y : m->height - 1 - y);
}

static bool read_plain(const bitmap *m, pln_picture *p)
{
    const size_t stride = (m->width * m->bits + 31) / 32 * 4;
    if (m->pixels_size / m->height < stride)
        return false;
    for (size_t y = 0; y < m->height; y++)
        for (size_t x = 0; x < m->width; x++)
            pixel(m, m->pixels + y * stride, x, row_of(m, p, y) + 3 * x);
    return true;
}

typedef struct cursor {
    size_t at; /* in the pixels' bytes */
    size_t x, y;
} cursor;

static void put(const bitmap *m, pln_picture *p, cursor *k, unsigned index)
{
    if (k->x < m->width && k->y < m->height)
        memcpy(row_of(m, p, k->y) + 3 * k->x, m->palette[index], 3);
    k->x++;
}

/* Pixel i of a run: a byte, or its nibbles in turn. */
static unsigned nibble(const bitmap *m, unsigned byte, size_t i)
{
    return m->bits == 8 ? byte : i % 2 ? byte & 15 : byte >> 4;
}

/* n pixels as they are, padded to 16 bits. */
static bool literal(const bitmap *m, pln_picture *p, cursor *k, size_t n)
{
    const size_t bytes = m->bits == 8 ? n : (n + 1) / 2;
    if (m->pixels_size - k->at < bytes)
        return false;
    for (size_t i = 0; i < n; i++)
        put(m, p, k, nibble(m, m->pixels[k->at + (m->bits == 8 ? i : i / 2)], i));
    k->at += bytes;
    k->at += bytes % 2 && k->at < m->pixels_size;
    return true;
}

/* Pixels that no run sets stay as the first colour of the palette. */
static bool read_runs(const bitmap *m, pln_picture *p)
{
    cursor k = { 0 };
    for (size_t i = 0; i < m->width * m->height; i++)
        memcpy(p->rgb + 3 * i, m->palette[0], 3);
    while (m->pixels_size - k.at >= 2 && k.y < m->height) {
        const unsigned n = m->pixels[k.at], v = m->pixels[k.at + 1];
        k.at += 2;
        for (unsigned i = 0; i < n; i++)
            put(m, p, &k, nibble(m, v, i));
        if (n)
            continue;
        if (v == 1) /* the end */
            return true;
        if (v == 0) {
            k.x = 0;
            k.y++;
        } else if (v == 2) {
            if (m->pixels_size - k.at < 2)
                return false;
            k.x += m->pixels[k.at];
            k.y += m->pixels[k.at + 1];
            k.at += 2;
        } else if (!literal(m, p, &k, v)) {
            return false;
        }
    }
    return k.y >= m->height;
}

bool pln_picture_bmp(pln_picture *p)
{
    bitmap m = { .bytes = p->bytes, .size = p->size };
    if (!read_headers(&m) || !p->begin(p, m.width, m.height))
        return false;
    return m.compression == RLE8 || m.compression == RLE4 ? read_runs(&m, p)
                                                          : read_plain(&m, p);
}
