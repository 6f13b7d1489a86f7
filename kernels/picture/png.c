/* PNG by libpng.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

#include <string.h>

#include <png.h>

#define MOST_CHUNK                                                      \
    8000000 /* bytes that a chunk of text or of a profile may unpack to \
             */

typedef struct source {
    const uint8_t *at;
    size_t left;
} source;

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    source *s = png_get_io_ptr(png);
    if (n > s->left)
        png_error(png, "the end");
    memcpy(out, s->at, n);
    s->at += n;
    s->left -= n;
}

static void ignore(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void fail(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

/* Whatever the file holds becomes 8 bits of red, green and blue; opacity goes. */
static void set_transforms(png_structp png, png_infop info)
{
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static bool decode(png_structp png, png_infop info, pln_picture *p)
{
    png_read_info(png, info);
    const size_t width = png_get_image_width(png, info);
    const size_t height = png_get_image_height(png, info);
    set_transforms(png, info);
    if (!p->begin(p, width, height) || png_get_rowbytes(png, info) != width * 3)
        return false;
    png_bytep *rows = p->scratch(p, height * sizeof *rows);
    if (!rows)
        return false;
    for (size_t y = 0; y < height; y++)
        rows[y] = p->rgb + y * width * 3;
    png_read_image(png, rows);
    png_read_end(png, NULL);
    return true;
}

bool pln_picture_png(pln_picture *p)
{
    source s = { p->bytes, p->size };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool good = false;
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    png_set_read_fn(png, &s, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, MOST_CHUNK);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    good = decode(png, info, p);
    png_destroy_read_struct(&png, &info, NULL);
    return good;
}
