/* TIFF by libtiff; the first directory.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

#include <string.h>

#include <tiffio.h>

#define MOST_MEMORY (512 << 20) /* in one allocation of libtiff */

typedef struct file {
    const uint8_t *bytes;
    toff_t size, at;
} file;

static tmsize_t read_file(thandle_t h, void *out, tmsize_t n)
{
    file *f = (file *)h;
    if (n < 0 || f->at >= f->size)
        return 0;
    if ((toff_t)n > f->size - f->at)
        n = (tmsize_t)(f->size - f->at);
    memcpy(out, f->bytes + f->at, (size_t)n);
    f->at += (toff_t)n;
    return n;
}

static tmsize_t write_file(thandle_t h, void *data, tmsize_t n)
{
    (void)h, (void)data, (void)n;
    return 0;
}

static toff_t seek_file(thandle_t h, toff_t to, int whence)
{
    file *f = (file *)h;
    f->at = to + (whence == SEEK_CUR ? f->at : whence == SEEK_END ? f->size : 0);
    return f->at;
}

static int close_file(thandle_t h)
{
    (void)h;
    return 0;
}

static toff_t size_of_file(thandle_t h)
{
    return ((file *)h)->size;
}

static int quiet(TIFF *t, void *user, const char *module, const char *format,
                 va_list args)
{
    (void)t, (void)user, (void)module, (void)format, (void)args;
    return 1;
}

static TIFF *open_tiff(file *f)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, MOST_MEMORY);
    TIFFOpenOptionsSetErrorHandlerExtR(o, quiet, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(o, quiet, NULL);
    TIFF *t = TIFFClientOpenExt("", "rm", (thandle_t)f, read_file, write_file, seek_file,
                                close_file, size_of_file, NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    return t;
}

static bool decode(TIFF *t, pln_picture *p)
{
    uint32_t width = 0, height = 0;
    if (!TIFFGetField(t, TIFFTAG_IMAGEWIDTH, &width) ||
        !TIFFGetField(t, TIFFTAG_IMAGELENGTH, &height) || !p->begin(p, width, height))
        return false;
    const size_t n = p->width * p->height;
    uint32_t *pixels = p->scratch(p, n * sizeof *pixels);
    if (!pixels ||
        !TIFFReadRGBAImageOriented(t, width, height, pixels, ORIENTATION_TOPLEFT, 1))
        return false;
    for (size_t i = 0; i < n; i++) {
        p->rgb[3 * i] = (uint8_t)TIFFGetR(pixels[i]);
        p->rgb[3 * i + 1] = (uint8_t)TIFFGetG(pixels[i]);
        p->rgb[3 * i + 2] = (uint8_t)TIFFGetB(pixels[i]);
    }
    return true;
}

bool pln_picture_tiff(pln_picture *p)
{
    file f = { p->bytes, p->size, 0 };
    TIFF *t = open_tiff(&f);
    if (!t)
        return false;
    const bool good = decode(t, p);
    TIFFClose(t);
    return good;
}
