/* Planes [p0, p1) of all (image, output channel) pairs of a convolution, for one type.
 * SPDX-License-Identifier: Apache-2.0 */
static void PLN_PASTE(conv_planes, SUFFIX)(const pln_conv_geom *g, const void *px,
                                           const void *pw, const void *pb, void *py,
                                           int64_t p0, int64_t p1)
{
    const T *b = pb;
    for (int64_t p = p0; p < p1; p++) {
        const int64_t m = p % g->m, grp = m / g->mg;
        const T *x = (const T *)px + (p / g->m * g->c + grp * g->cg) * g->in_size;
        const T *w = (const T *)pw +
                     (g->transposed ? grp * g->cg * g->w_c : grp * g->mg * g->w_m) +
                     m % g->mg * g->w_m;
        T *y = (T *)py + p * g->out_size;
        int64_t at[PLN_CONV_MAX + 1] = { 0 };
        for (int64_t o = 0; o < g->out_size; o++) {
            ACC acc = 0;
            int64_t tap[PLN_CONV_MAX + 1] = { 0 };
            for (int64_t t = 0; t < g->taps; t++) {
                const int64_t i = pln_conv_tap(g, at, tap);
                for (int64_t c = 0; i >= 0 && c < g->cg; c++)
                    acc += LOAD(x[i + c * g->in_size]) * LOAD(w[t + c * g->w_c]);
                pln_conv_next(g->nd, tap, g->kernel);
            }
            y[o] = STORE(b ? acc + LOAD(b[m]) : acc);
            pln_conv_next(g->nd, at, g->out);
        }
    }
}
