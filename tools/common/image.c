/* PNG and JPEG files as tensors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "tools/common/report.h"

typedef struct pixels { /* RGB, 8 bits, row by row */
    unsigned char *data;
    size_t width, height;
} pixels;

bool image_is(const char *path)
{
    unsigned char magic[4] = { 0 };
    FILE *f = fopen(path, "rb");
    const size_t got = f ? fread(magic, 1, 4, f) : 0;
    if (f)
        fclose(f);
    return got == 4 && (!memcmp(magic, "\x89PNG", 4) || !memcmp(magic, "\xff\xd8\xff", 3));
}

static int load_png(const char *path, pixels *out)
{
    png_image im = { .version = PNG_IMAGE_VERSION };
    if (!png_image_begin_read_from_file(&im, path))
        return fail(3, "%s (%s)", im.message, path);
    im.format = PNG_FORMAT_RGB;
    out->width = im.width;
    out->height = im.height;
    out->data = malloc(PNG_IMAGE_SIZE(im));
    const png_color white = { 255, 255, 255 };
    if (!out->data || !png_image_finish_read(&im, &white, out->data, 0, NULL)) {
        png_image_free(&im);
        return fail(3, "%s (%s)", out->data ? im.message : "out of memory", path);
    }
    return 0;
}

typedef struct jpeg_failure {
    struct jpeg_error_mgr mgr;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
} jpeg_failure;

static void jpeg_fails(j_common_ptr c)
{
    jpeg_failure *f = (jpeg_failure *)(void *)c->err;
    c->err->format_message(c, f->text);
    longjmp(f->back, 1);
}

static int load_jpeg(const char *path, pixels *out)
{
    struct jpeg_decompress_struct d;
    jpeg_failure failure;
    FILE *f = fopen(path, "rb");
    if (!f)
        return fail(3, "can't read (%s)", path);
    d.err = jpeg_std_error(&failure.mgr);
    failure.mgr.error_exit = jpeg_fails;
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&d);
        fclose(f);
        return fail(3, "%s (%s)", failure.text, path);
    }
    jpeg_create_decompress(&d);
    jpeg_stdio_src(&d, f);
    jpeg_read_header(&d, TRUE);
    d.out_color_space = JCS_RGB;
    jpeg_start_decompress(&d);
    out->width = d.output_width;
    out->height = d.output_height;
    out->data = malloc(out->width * out->height * 3);
    while (out->data && d.output_scanline < d.output_height) {
        JSAMPROW row = out->data + d.output_scanline * out->width * 3;
        jpeg_read_scanlines(&d, &row, 1);
    }
    jpeg_finish_decompress(&d);
    jpeg_destroy_decompress(&d);
    fclose(f);
    return out->data ? 0 : fail(6, "out of memory (%s)", path);
}

/* Up to three numbers, the last one repeated; `otherwise` when text is NULL. */
static void three(const char *text, double otherwise, double v[3])
{
    for (int i = 0; i < 3; i++) {
        v[i] = i && text ? v[i - 1] : otherwise;
        if (text && *text) {
            char *end;
            v[i] = strtod(text, &end);
            text = *end == ',' ? end + 1 : end;
        }
    }
}

static double channel(const unsigned char *p, const char *color, int c)
{
    if (color && !strcmp(color, "gray")) /* ITU-R BT.601 luma */
        return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    return p[color && !strcmp(color, "bgr") ? 2 - c : c];
}

static int to_tensor(pln_env *env, const pixels *p, pln_dtype dt, const feed_args *args,
                     pln_tensor **out)
{
    const bool last = args->layout && !strcmp(args->layout, "nhwc");
    const int64_t channels = args->color && !strcmp(args->color, "gray") ? 1 : 3;
    const int64_t h = (int64_t)p->height, w = (int64_t)p->width;
    const int64_t first_dims[4] = { 1, channels, h, w },
                  last_dims[4] = { 1, h, w, channels };
    const double scale = args->scale != 0 ? args->scale : dt == PLN_DT_U8 ? 1 : 1 / 255.0;
    double mean[3], std[3];
    three(args->mean, 0, mean);
    three(args->std, 1, std);
    if (pln_tensor_new(env, dt, 4, last ? last_dims : first_dims, out, NULL) != PLN_OK)
        return fail(6, "out of memory");
    for (int64_t i = 0; i < h * w; i++)
        for (int c = 0; c < channels; c++) {
            const double v = channel(p->data + 3 * i, args->color, c) * scale;
            pln_tensor_set_number(*out, last ? i * channels + c : c * h * w + i,
                                  (v - mean[c]) / std[c]);
        }
    return 0;
}

int image_load(pln_env *env, const char *path, pln_dtype dt, const feed_args *args,
               pln_tensor **out)
{
    unsigned char first = 0;
    FILE *f = fopen(path, "rb");
    if (f && fread(&first, 1, 1, f) != 1)
        first = 0;
    if (f)
        fclose(f);
    pixels p = { 0 };
    int rc = first == 0xff ? load_jpeg(path, &p) : load_png(path, &p);
    if (!rc)
        rc = to_tensor(env, &p, dt, args, out);
    free(p.data);
    return rc;
}
