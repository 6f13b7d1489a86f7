/* Reads a PNG of one line of text with PP-OCRv4's recognition model and prints the text.
 *
 *     read_text ch_PP-OCRv4_rec_infer.onnx line.png
 *
 * The model's characters are in its own metadata, one a line; class 0 is the blank that
 * separates repeated characters, the class after the last character is the space.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEIGHT 48

typedef struct picture {
    unsigned char *bgr;
    int width, height;
} picture;

static int read_png(const char *path, picture *out)
{
    png_image png = { .version = PNG_IMAGE_VERSION };
    if (!png_image_begin_read_from_file(&png, path)) {
        fprintf(stderr, "read_text: %s: %s\n", path, png.message);
        return 0;
    }
    png.format = PNG_FORMAT_BGR;
    const png_color white = { 255, 255, 255 };
    out->bgr = malloc(PNG_IMAGE_SIZE(png));
    out->width = (int)png.width;
    out->height = (int)png.height;
    if (out->bgr && png_image_finish_read(&png, &white, out->bgr, 0, NULL))
        return 1;
    fprintf(stderr, "read_text: %s: %s\n", path, png.message);
    png_image_free(&png);
    return 0;
}

/* Where a target pixel's centre falls in the source: two neighbours and a weight. */
static void source_of(int i, int n_out, int n_in, int *i0, int *i1, float *w)
{
    float s = ((float)i + 0.5f) * (float)n_in / (float)n_out - 0.5f;
    if (s < 0)
        s = 0;
    *i0 = (int)s < n_in - 1 ? (int)s : n_in - 1;
    *i1 = *i0 + 1 < n_in ? *i0 + 1 : n_in - 1;
    *w = s - (float)*i0;
}

/* Bilinear, to [3, HEIGHT, width] in [-1, 1]. */
static void resize(const picture *p, int width, float *out)
{
    for (int y = 0; y < HEIGHT; y++) {
        int y0, y1, x0, x1;
        float wy, wx;
        source_of(y, HEIGHT, p->height, &y0, &y1, &wy);
        const unsigned char *r0 = p->bgr + (size_t)y0 * (size_t)p->width * 3;
        const unsigned char *r1 = p->bgr + (size_t)y1 * (size_t)p->width * 3;
        for (int x = 0; x < width; x++) {
            source_of(x, width, p->width, &x0, &x1, &wx);
            for (int c = 0; c < 3; c++) {
                const float top =
                    (float)r0[x0 * 3 + c] * (1 - wx) + (float)r0[x1 * 3 + c] * wx;
                const float low =
                    (float)r1[x0 * 3 + c] * (1 - wx) + (float)r1[x1 * 3 + c] * wx;
                const float v = top * (1 - wy) + low * wy;
                out[(c * HEIGHT + y) * width + x] = (v / 255 - 0.5f) / 0.5f;
            }
        }
    }
}

/* Character k of the lines in `list`; its length in *len. NULL: past the last. */
static const char *character(const char *list, size_t size, int64_t k, size_t *len)
{
    const char *end = list + size;
    for (; list < end; k--) {
        const char *nl = memchr(list, '\n', (size_t)(end - list));
        *len = nl ? (size_t)(nl - list) : (size_t)(end - list);
        if (k == 0)
            return list;
        list += *len + 1;
    }
    return NULL;
}

/* scores: [1, steps, classes]. */
static void print_text(const pln_model *model, const pln_tensor *scores)
{
    size_t size = 0, len;
    const char *list = pln_model_metadata(model, "character", &size);
    const int64_t steps = pln_tensor_dims(scores)[1],
                  classes = pln_tensor_dims(scores)[2];
    const float *s = pln_tensor_data_const(scores);
    int64_t last = 0;
    for (int64_t t = 0; t < steps; t++, s += classes) {
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            if (s[c] > s[best])
                best = c;
        if (best != 0 && best != last) {
            const char *ch =
                best < classes - 1 ? character(list, size, best - 1, &len) : NULL;
            if (ch)
                printf("%.*s", (int)len, ch);
            else
                putchar(' ');
        }
        last = best;
    }
    putchar('\n');
}

static pln_status read_line(const pln_model *model, const picture *p, pln_error *err)
{
    int width = (HEIGHT * p->width + p->height - 1) / p->height;
    if (width < HEIGHT)
        width = HEIGHT;
    const int64_t dims[] = { 1, 3, HEIGHT, width };
    pln_session *session = NULL;
    pln_run *run = NULL;
    pln_tensor *x = NULL;
    pln_io_info in;
    pln_status st = pln_session_new(model, NULL, &session, err);
    if (st == PLN_OK)
        st = pln_session_io(session, PLN_INPUT, 0, &in);
    if (st == PLN_OK)
        st = pln_tensor_new(NULL, PLN_DT_F32, 4, dims, &x, err);
    if (st == PLN_OK)
        st = pln_run_new(session, &run, err);
    if (st == PLN_OK) {
        resize(p, width, pln_tensor_data(x));
        st = pln_run_bind_input(run, in.name, x, err);
    }
    if (st == PLN_OK)
        st = pln_run_execute(run, NULL, err);
    const pln_tensor *y = st == PLN_OK ? pln_run_output_at(run, 0) : NULL;
    if (y && pln_tensor_rank(y) == 3 && pln_tensor_dtype(y) == PLN_DT_F32)
        print_text(model, y);
    pln_run_free(run);
    pln_tensor_unref(x);
    pln_session_free(session);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: read_text MODEL.onnx LINE.png\n");
        return 2;
    }
    picture p = { 0 };
    if (!read_png(argv[2], &p))
        return 3;
    pln_error *err = pln_error_new();
    pln_model *model = NULL;
    pln_status st = pln_model_load(NULL, argv[1], NULL, &model, err);
    if (st == PLN_OK)
        st = read_line(model, &p, err);
    if (st != PLN_OK)
        fprintf(stderr, "read_text: %s\n", pln_error_text(err));
    pln_model_free(model);
    pln_error_free(err);
    free(p.bgr);
    return pln_status_exit_code(st);
}
