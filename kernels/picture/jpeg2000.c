/* JPEG 2000 by OpenJPEG: JP2 files and bare codestreams.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/picture/module.h"

#include <string.h>

#include <openjpeg.h>

typedef struct file {
    const uint8_t *bytes;
    size_t size, at;
} file;

static OPJ_SIZE_T read_file(void *out, OPJ_SIZE_T n, void *user)
{
    file *f = user;
    if (f->at >= f->size)
        return (OPJ_SIZE_T)-1;
    if (n > f->size - f->at)
        n = f->size - f->at;
    memcpy(out, f->bytes + f->at, n);
    f->at += n;
    return n;
}

static OPJ_OFF_T skip_file(OPJ_OFF_T n, void *user)
{
    file *f = user;
    if (n < 0 || (size_t)n > f->size - f->at)
        return -1;
    f->at += (size_t)n;
    return n;
}

static OPJ_BOOL seek_file(OPJ_OFF_T to, void *user)
{
    file *f = user;
    if (to < 0 || (size_t)to > f->size)
        return OPJ_FALSE;
    f->at = (size_t)to;
    return OPJ_TRUE;
}

static void quiet(const char *text, void *user)
{
    (void)text, (void)user;
}

static opj_stream_t *open_stream(file *f)
{
    opj_stream_t *s = opj_stream_default_create(OPJ_TRUE);
    if (!s)
        return NULL;
    opj_stream_set_user_data(s, f, NULL);
    opj_stream_set_user_data_length(s, f->size);
    opj_stream_set_read_function(s, read_file);
    opj_stream_set_skip_function(s, skip_file);
    opj_stream_set_seek_function(s, seek_file);
    return s;
}

/* Sample of component c at a pixel as 0 to 255. */
static int sample(const opj_image_comp_t *c, size_t x, size_t y)
{
    const size_t cx = x / c->dx < c->w ? x / c->dx : c->w - 1;
    const size_t cy = y / c->dy < c->h ? y / c->dy : c->h - 1;
    int64_t v = c->data[cy * c->w + cx];
    if (c->sgnd)
        v += INT64_C(1) << (c->prec - 1);
    if (c->prec > 8)
        v = (v + (INT64_C(1) << (c->prec - 9))) >> (c->prec - 8);
    else
        v = v * 255 / ((1 << c->prec) - 1);
    return v < 0 ? 0 : v > 255 ? 255 : (int)v;
}

static uint8_t clip(double v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)(v + 0.5);
}

/* From full-range luma and chroma, as in JPEG. */
static void luma_to_rgb(const int *v, uint8_t *rgb)
{
    const double y = v[0], cb = v[1] - 128, cr = v[2] - 128;
    rgb[0] = clip(y + 1.402 * cr);
    rgb[1] = clip(y - 0.344136 * cb - 0.714136 * cr);
    rgb[2] = clip(y + 1.772 * cb);
}

static bool good_components(const opj_image_t *im)
{
    for (OPJ_UINT32 i = 0; i < im->numcomps; i++) {
        const opj_image_comp_t *c = &im->comps[i];
        if (!c->data || c->w < 1 || c->h < 1 || c->dx < 1 || c->dy < 1 || c->prec < 1 ||
            c->prec > 31)
            return false;
    }
    return im->numcomps > 0;
}

static bool copy_pixels(const opj_image_t *im, pln_picture *p)
{
    const bool gray = im->numcomps < 3; /* two: the second is opacity */
    if (!good_components(im))
        return false;
    for (size_t y = 0; y < p->height; y++)
        for (size_t x = 0; x < p->width; x++) {
            uint8_t *rgb = p->rgb + 3 * (y * p->width + x);
            int v[3];
            for (size_t c = 0; c < 3; c++)
                v[c] = gray && c ? v[0] : sample(&im->comps[c], x, y);
            if (!gray && im->color_space == OPJ_CLRSPC_SYCC)
                luma_to_rgb(v, rgb);
            else
                for (size_t c = 0; c < 3; c++)
                    rgb[c] = (uint8_t)v[c];
        }
    return true;
}

static bool decode(opj_codec_t *codec, opj_stream_t *s, opj_image_t **im, pln_picture *p)
{
    opj_dparameters_t params;
    opj_set_default_decoder_parameters(&params);
    opj_set_info_handler(codec, quiet, NULL);
    opj_set_warning_handler(codec, quiet, NULL);
    opj_set_error_handler(codec, quiet, NULL);
    if (!opj_setup_decoder(codec, &params) || !opj_read_header(s, codec, im))
        return false;
    const opj_image_t *i = *im;
    if (i->x1 <= i->x0 || i->y1 <= i->y0 || i->numcomps < 1 || i->numcomps > 4 ||
        !p->begin(p, i->x1 - i->x0, i->y1 - i->y0))
        return false;
    return opj_decode(codec, s, *im) && opj_end_decompress(codec, s) &&
           copy_pixels(*im, p);
}

bool pln_picture_jpeg2000(pln_picture *p)
{
    file f = { p->bytes, p->size, 0 };
    const bool bare = p->size > 2 && p->bytes[0] == 0xff && p->bytes[1] == 0x4f;
    opj_codec_t *codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *s = open_stream(&f);
    opj_image_t *im = NULL;
    const bool good = codec && s && decode(codec, s, &im, p);
    opj_image_destroy(im);
    opj_stream_destroy(s);
    opj_destroy_codec(codec);
    return good;
}
