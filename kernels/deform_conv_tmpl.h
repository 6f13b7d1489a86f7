/* Planes [p0, p1) of all (image, output channel) pairs of a deformable convolution, for
 * one type.
 * SPDX-License-Identifier: Apache-2.0 */

/* The value between pixels, zero outside; positions that no number is give zero too. */
static ACC PLN_PASTE(sample, SUFFIX)(const T *x, int64_t h, int64_t w, double fy,
                                     double fx)
{
    if (!(fy > -1 && fy < (double)h && fx > -1 && fx < (double)w))
        return 0;
    const int64_t y0 = (int64_t)floor(fy), x0 = (int64_t)floor(fx);
    const ACC ay = (ACC)(fy - (double)y0), ax = (ACC)(fx - (double)x0);
    ACC sum = 0;
    for (int k = 0; k < 4; k++) {
        const int64_t y = y0 + k / 2, q = x0 + k % 2;
        if (y >= 0 && y < h && q >= 0 && q < w)
            sum += (k / 2 ? ay : 1 - ay) * (k % 2 ? ax : 1 - ax) * LOAD(x[y * w + q]);
    }
    return sum;
}

static void PLN_PASTE(deform, SUFFIX)(const deform *s, int64_t p0, int64_t p1)
{
    const pln_conv_geom *g = &s->g;
    const int64_t kh = g->kernel[0], kw = g->kernel[1], ow = g->out[1];
    const int64_t per_offset = g->c / s->offset_group;
    for (int64_t p = p0; p < p1; p++) {
        const int64_t n = p / g->m, m = p % g->m;
        for (int64_t o = 0; o < g->out_size; o++) {
            ACC sum = 0;
            for (int64_t t = 0; t < g->taps; t++) {
                const int64_t y =
                    o / ow * g->stride[0] - g->pad_lo[0] + t / kw * g->dilation[0];
                const int64_t x =
                    o % ow * g->stride[1] - g->pad_lo[1] + t % kw * g->dilation[1];
                for (int64_t c = 0; c < g->cg; c++) {
                    const int64_t ch = m / g->mg * g->cg + c, og = ch / per_offset;
                    const int64_t at =
                        ((n * s->offset_group + og) * kh * kw + t) * g->out_size;
                    /* Offsets are (y, x) pairs: two planes for each tap. */
                    const T *off = (const T *)s->offset + at * 2 + o;
                    ACC v = PLN_PASTE(sample, SUFFIX)(
                        (const T *)s->x + (n * g->c + ch) * g->in_size, g->in[0],
                        g->in[1], (double)y + (double)LOAD(off[0]),
                        (double)x + (double)LOAD(off[g->out_size]));
                    if (s->mask)
                        v *= LOAD(((const T *)s->mask)[at + o]);
                    sum += v * LOAD(((const T *)s->w)[m * g->w_m + c * g->w_c + t]);
                }
            }
            if (s->bias)
                sum += LOAD(((const T *)s->bias)[m]);
            ((T *)s->y)[p * g->out_size + o] = STORE(sum);
        }
    }
}
