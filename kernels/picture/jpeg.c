/* JPEG by libjpeg (libjpeg-turbo).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#define MOST_SCANS 500 /* a progressive file of more is made to waste time */

typedef struct decoder {
    struct jpeg_decompress_struct d; /* first: libjpeg's pointer is also ours */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
} decoder;

static void give_up(j_common_ptr c)
{
    longjmp(((decoder *)(void *)c)->back, 1);
}

/* A file that ends too early is as broken as one that libjpeg refuses; its other warnings
 * are about what it got over. */
static void message(j_common_ptr c, int level)
{
    if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF)
        give_up(c);
}

static void progress(j_common_ptr c)
{
    if (c->is_decompressor && ((j_decompress_ptr)c)->input_scan_number > MOST_SCANS)
        give_up(c);
}

/* Ink as Adobe writes it, 255 for none. */
static void ink_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n, bool inverted)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++) {
            const unsigned ink = inverted ? cmyk[4 * i + c] : 255u - cmyk[4 * i + c];
            const unsigned black = inverted ? cmyk[4 * i + 3] : 255u - cmyk[4 * i + 3];
            rgb[3 * i + c] = (uint8_t)((ink * black + 127) / 255);
        }
}

static bool decode(decoder *j, pln_picture *p)
{
    struct jpeg_decompress_struct *d = &j->d;
    jpeg_mem_src(d, (unsigned char *)p->bytes, (unsigned long)p->size);
    jpeg_read_header(d, TRUE);
    const bool ink = d->num_components == 4;
    d->out_color_space = ink ? JCS_CMYK : JCS_RGB;
    uint8_t *row = ink ? p->scratch(p, (size_t)d->image_width * 4) : NULL;
    if ((ink && !row) || !p->begin(p, d->image_width, d->image_height))
        return false;
    jpeg_start_decompress(d);
    if (d->output_width != p->width || d->output_height != p->height)
        return false;
    while (d->output_scanline < d->output_height) {
        uint8_t *rgb = p->rgb + (size_t)d->output_scanline * p->width * 3;
        JSAMPROW to = ink ? row : rgb;
        jpeg_read_scanlines(d, &to, 1);
        if (ink)
            ink_to_rgb(row, rgb, p->width, d->saw_Adobe_marker);
    }
    jpeg_finish_decompress(d);
    return true;
}

bool pln_picture_jpeg(pln_picture *p)
{
    decoder *j = p->scratch(p, sizeof *j);
    bool good = false;
    if (!j)
        return false;
    *j = (decoder){ .progress.progress_monitor = progress };
    j->d.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = give_up;
    j->errors.emit_message = message;
    if (setjmp(j->back)) {
        jpeg_destroy_decompress(&j->d);
        return false;
    }
    jpeg_create_decompress(&j->d);
    j->d.progress = &j->progress;
    good = decode(j, p);
    jpeg_destroy_decompress(&j->d);
    return good;
}
