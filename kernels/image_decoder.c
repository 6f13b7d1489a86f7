/* ImageDecoder: pictures from the bytes of a file.
 *
 * What can't be decoded gives an empty picture, as the standard has it; a format whose
 * library is not there, too many pixels and no memory are errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"
#include "kernels/picture/picture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define MOST_PIXELS ((size_t)1 << 28)

typedef struct decoder_attrs {
    int pixel_format;
} decoder_attrs;

enum { FORMAT_RGB, FORMAT_BGR, FORMAT_GRAY };

static const pln_attr_spec decoder_spec[] = {
    PLN_A_ENUM(decoder_attrs, pixel_format, "RGB|BGR|Grayscale", "RGB"),
    PLN_A_END,
};

/* ---- the module -------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const pln_picture_format *module;
static char reason[256]; /* why it is not there */

/* The module that lies beside this library. */
static void *open_beside(void)
{
    Dl_info here;
    char path[4096];
    if (!dladdr(&once, &here) || !here.dli_fname)
        return NULL;
    const char *slash = strrchr(here.dli_fname, '/');
    const int dir = slash ? (int)(slash + 1 - here.dli_fname) : 0;
    const int n =
        snprintf(path, sizeof path, "%.*s%s", dir, here.dli_fname, PLN_PICTURE_MODULE);
    return dir && n < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static void load_module(void)
{
    void *lib = open_beside();
    if (!lib)
        lib = dlopen(PLN_PICTURE_MODULE, RTLD_NOW | RTLD_LOCAL);
    if (lib)
        module = (const pln_picture_format *)dlsym(lib, PLN_PICTURE_SYMBOL);
    const char *why = module ? "it was built without" : dlerror();
    snprintf(reason, sizeof reason, "%s", why ? why : PLN_PICTURE_MODULE);
}

static pln_picture_fn from_module(const char *name)
{
    pthread_once(&once, load_module);
    for (const pln_picture_format *f = module; f && f->name; f++)
        if (!strcmp(f->name, name))
            return f->decode;
    return NULL;
}

/* ---- formats by the first bytes ---------------------------------------------------- */

static const struct format {
    const char *name;
    size_t at, len; /* where the bytes lie that tell the format */
    const char *magic;
    pln_picture_fn decode; /* NULL: the module's */
} formats[] = {
    { "BMP", 0, 2, "BM", pln_picture_bmp },
    { "PNM", 0, 2, "P1", pln_picture_pnm },
    { "PNM", 0, 2, "P2", pln_picture_pnm },
    { "PNM", 0, 2, "P3", pln_picture_pnm },
    { "PNM", 0, 2, "P4", pln_picture_pnm },
    { "PNM", 0, 2, "P5", pln_picture_pnm },
    { "PNM", 0, 2, "P6", pln_picture_pnm },
    { "PNM", 0, 2, "P7", pln_picture_pnm },
    { "JPEG", 0, 3, "\xff\xd8\xff", NULL },
    { "JPEG 2000", 0, 12, "\0\0\0\x0cjP  \r\n\x87\n", NULL },
    { "JPEG 2000", 0, 4, "\xff\x4f\xff\x51", NULL },
    { "PNG", 0, 8, "\x89PNG\r\n\x1a\n", NULL },
    { "TIFF", 0, 4, "II*\0", NULL },
    { "TIFF", 0, 4, "MM\0*", NULL },
    { "TIFF", 0, 4, "II+\0", NULL }, /* BigTIFF */
    { "TIFF", 0, 4, "MM\0+", NULL },
    { "WebP", 8, 4, "WEBP", NULL },
};

static const struct format *format_of(const pln_tensor *x)
{
    const size_t size = (size_t)pln_tensor_size(x);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (size >= f->at + f->len &&
            !memcmp((const char *)x->data + f->at, f->magic, f->len))
            return f;
    }
    return NULL;
}

/* ---- running ----------------------------------------------------------------------- */

typedef struct job {
    pln_picture p; /* first: the decoders' pointer is also ours */
    pln_call *c;
    pln_error *err;
    pln_status status; /* why begin() or scratch() refused */
} job;

static void *scratch(pln_picture *p, size_t size)
{
    job *j = (job *)(void *)p;
    void *m = pln_call_scratch(j->c, size);
    if (!m)
        j->status = pln_oom(j->err);
    return m;
}

static bool begin(pln_picture *p, size_t width, size_t height)
{
    job *j = (job *)(void *)p;
    size_t n = 0;
    if (width == 0 || height == 0)
        return false;
    if (!pln_size_mul(&n, width, height) || n > MOST_PIXELS) {
        j->status = pln_call_fail(j->c, j->err, PLN_E_LIMIT,
                                  "a picture of %zu x %zu has more than %zu pixels",
                                  width, height, MOST_PIXELS);
        return false;
    }
    p->rgb = scratch(p, 3 * n);
    if (!p->rgb)
        return false;
    memset(p->rgb, 0, 3 * n);
    p->width = width;
    p->height = height;
    return true;
}

/* Luma of ITU-R BT.601, rounded. */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >>
                     16);
}

static void copy_pixels(const pln_picture *p, int format, uint8_t *y)
{
    const size_t n = p->width * p->height;
    if (format == FORMAT_RGB)
        memcpy(y, p->rgb, 3 * n);
    for (size_t i = 0; format == FORMAT_BGR && i < n; i++)
        for (size_t c = 0; c < 3; c++)
            y[3 * i + c] = p->rgb[3 * i + 2 - c];
    for (size_t i = 0; format == FORMAT_GRAY && i < n; i++)
        y[i] = luma(p->rgb + 3 * i);
}

static pln_status decoder_ref(pln_call *c, pln_error *err)
{
    const decoder_attrs *a = c->attrs;
    const pln_tensor *x = c->in[0];
    job j = { .p = { .bytes = PLN_DATA(const uint8_t, x),
                     .size = (size_t)pln_tensor_size(x),
                     .begin = begin,
                     .scratch = scratch },
              .c = c,
              .err = err };
    int64_t dims[3] = { 0, 0, a->pixel_format == FORMAT_GRAY ? 1 : 3 };
    if (x->rank != 1)
        return pln_call_fail(c, err, PLN_E_RUN, "input 0 has rank %d, want 1", x->rank);
    const struct format *f = format_of(x);
    const pln_picture_fn decode = !f          ? NULL
                                  : f->decode ? f->decode
                                              : from_module(f->name);
    if (f && !decode)
        return pln_call_fail(c, err, PLN_E_UNSUPPORTED, "%s can't be decoded here: %s",
                             f->name, reason);
    if (decode && decode(&j.p)) {
        dims[0] = (int64_t)j.p.height;
        dims[1] = (int64_t)j.p.width;
    }
    PLN_TRY(j.status);
    PLN_TRY(pln_call_output(c, 0, PLN_DT_U8, 3, dims, err));
    if (dims[0])
        copy_pixels(&j.p, a->pixel_format, PLN_DATA(uint8_t, c->out[0]));
    return PLN_OK;
}

static pln_status decoder_infer(pln_infer *inf, pln_error *err)
{
    const decoder_attrs *a = inf->attrs;
    const int rank = pln_infer_rank(inf, 0);
    pln_shape s = pln_infer_shape(inf, 3);
    if (rank != PLN_RANK_UNKNOWN && rank != 1)
        return pln_infer_fail(inf, err, "input 0 has rank %d, want 1", rank);
    if (s.rank == 3) {
        s.dims[0] = s.dims[1] = pln_dim_unknown();
        s.dims[2] = pln_dim_of(a->pixel_format == FORMAT_GRAY ? 1 : 3);
    }
    pln_infer_set(inf, 0, PLN_DT_U8, s);
    return PLN_OK;
}

const pln_op_desc pln_ops_image_decoder[] = {
    { .name = "ImageDecoder",
      .domain = "",
      .since = 20,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .traits = PLN_OP_DATA_SHAPE,
      .sig = "uint8->uint8",
      .attrs = decoder_spec,
      .attrs_size = sizeof(decoder_attrs),
      .infer = decoder_infer,
      .ref = decoder_ref },
    { .name = NULL },
};
