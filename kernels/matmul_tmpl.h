/* Rows [r0, r1) of all batches of a product, for one element type. Columns go in blocks
 * so that B is read along its rows.
 * SPDX-License-Identifier: Apache-2.0 */
static void PLN_PASTE(mm_rows, SUFFIX)(const pln_mm *g, const void *pa, const void *pb,
                                       const void *pc, void *py, int64_t r0, int64_t r1)
{
    enum { BLOCK = 64 };
    const T *c = pc;
    T *y = py;
    for (int64_t r = r0; r < r1; r++) {
        int64_t ao, bo;
        pln_mm_offsets(g, r / g->m, &ao, &bo);
        const T *a = (const T *)pa + ao + r % g->m * g->a_rs;
        const T *b = (const T *)pb + bo;
        for (int64_t j0 = 0; j0 < g->n; j0 += BLOCK) {
            const int64_t jn = g->n - j0 < BLOCK ? g->n - j0 : BLOCK;
            ACC acc[BLOCK] = { 0 };
            for (int64_t k = 0; k < g->k; k++) {
                const ACC x = LOAD(a[k * g->a_cs]);
                const T *row = b + k * g->b_rs + j0 * g->b_cs;
                for (int64_t j = 0; j < jn; j++)
                    acc[j] += x * LOAD(row[j * g->b_cs]);
            }
            for (int64_t j = 0; j < jn; j++) {
                ACC v = g->alpha == 1.0f ? acc[j] : SCALE(g->alpha, acc[j]);
                if (c) {
                    const ACC w = LOAD(c[r % g->m * g->c_rs + (j0 + j) * g->c_cs]);
                    v += g->beta == 1.0f ? w : SCALE(g->beta, w);
                }
                y[r * g->n + j0 + j] = STORE(v);
            }
        }
    }
}
