/* Geometry, inference and cost that matrix products share.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product.h"
#include "src/util/size.h"

/* The matrix that an operand is: rank 1 gains a dimension of 1, before (A) or after
 * (B). */
typedef struct matrix {
    int nb;
    int64_t rows, cols, rs, cs;
} matrix;

static matrix matrix_of(const pln_tensor *t, bool transposed, bool is_b)
{
    matrix m = { .nb = t->rank > 2 ? t->rank - 2 : 0 };
    if (t->rank == 1) {
        m.rows = is_b ? t->dims[0] : 1;
        m.cols = is_b ? 1 : t->dims[0];
        m.rs = is_b ? 1 : t->dims[0];
        m.cs = 1;
        return m;
    }
    m.rows = t->dims[t->rank - 2];
    m.cols = t->dims[t->rank - 1];
    m.rs = m.cols;
    m.cs = 1;
    if (transposed) {
        const matrix o = m;
        m.rows = o.cols, m.cols = o.rows, m.rs = o.cs, m.cs = o.rs;
    }
    return m;
}

/* Steps of a batch dimension, counted from the last: 0 where it broadcasts. */
static bool set_batch(pln_mm *g, const pln_tensor *a, int na, const pln_tensor *b, int nb)
{
    g->nb = na > nb ? na : nb;
    g->batch = 1;
    int64_t a_size = a->rank > 1 ? a->dims[a->rank - 2] * a->dims[a->rank - 1] : 0;
    int64_t b_size = b->rank > 1 ? b->dims[b->rank - 2] * b->dims[b->rank - 1] : 0;
    for (int i = 0; i < g->nb; i++) {
        const int64_t da = i < na ? a->dims[na - 1 - i] : 1;
        const int64_t db = i < nb ? b->dims[nb - 1 - i] : 1;
        if (da != db && da != 1 && db != 1)
            return false;
        const int j = g->nb - 1 - i;
        g->dim[j] = da == 1 ? db : da;
        g->a_step[j] = da == 1 ? 0 : a_size;
        g->b_step[j] = db == 1 ? 0 : b_size;
        a_size *= da;
        b_size *= db;
        if (!pln_i64_mul(&g->batch, g->batch, g->dim[j]))
            return false;
    }
    return true;
}

bool pln_mm_set(pln_mm *g, const pln_tensor *a, const pln_tensor *b, bool ta, bool tb)
{
    *g = (pln_mm){ .alpha = 1.0f, .beta = 1.0f };
    if (a->rank < 1 || b->rank < 1)
        return false;
    const matrix ma = matrix_of(a, ta, false), mb = matrix_of(b, tb, true);
    if (ma.cols != mb.rows)
        return false;
    g->m = ma.rows, g->k = ma.cols, g->n = mb.cols;
    g->a_rs = ma.rs, g->a_cs = ma.cs, g->b_rs = mb.rs, g->b_cs = mb.cs;
    return set_batch(g, a, ma.nb, b, mb.nb);
}

void pln_mm_offsets(const pln_mm *g, int64_t i, int64_t *a, int64_t *b)
{
    *a = *b = 0;
    for (int j = g->nb - 1; j >= 0; j--) {
        const int64_t at = i % g->dim[j];
        i /= g->dim[j];
        *a += at * g->a_step[j];
        *b += at * g->b_step[j];
    }
}

bool pln_mm_set_addend(pln_mm *g, const pln_tensor *c)
{
    const int64_t cols = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    const int64_t rows = c->rank > 1 ? c->dims[c->rank - 2] : 1;
    for (int i = 0; i < c->rank - 2; i++) {
        if (c->dims[i] != 1)
            return false;
    }
    if ((cols != 1 && cols != g->n) || (rows != 1 && rows != g->m))
        return false;
    g->c_cs = cols == 1 ? 0 : 1;
    g->c_rs = rows == 1 ? 0 : cols;
    return true;
}

/* ---- inference --------------------------------------------------------------------- */

/* Rows and columns of an operand as the product sees them. */
static void symbolic_matrix(const pln_infer *inf, uint32_t i, bool transposed, bool is_b,
                            pln_dim *rows, pln_dim *cols)
{
    const int rank = pln_infer_rank(inf, i);
    if (rank == 1) {
        *rows = is_b ? pln_infer_dim(inf, i, 0) : pln_dim_of(1);
        *cols = is_b ? pln_dim_of(1) : pln_infer_dim(inf, i, 0);
        return;
    }
    *rows = pln_infer_dim(inf, i, rank - (transposed ? 1 : 2));
    *cols = pln_infer_dim(inf, i, rank - (transposed ? 2 : 1));
}

static pln_status fail_inner(pln_infer *inf, pln_dim ka, pln_dim kb, pln_error *err)
{
    pln_text t;
    pln_text_init(&t, NULL);
    pln_dim_print(&t, ka);
    pln_text_str(&t, " columns meet ");
    pln_dim_print(&t, kb);
    const pln_status st = pln_infer_fail(inf, err, "inner dimensions differ: %s rows",
                                         t.failed ? "" : t.data);
    pln_text_done(&t);
    return st;
}

static pln_shape batch_shape(pln_infer *inf, uint32_t i, int rank)
{
    pln_shape s = pln_infer_shape(inf, rank > 2 ? rank - 2 : 0);
    for (int d = 0; d < s.rank; d++)
        s.dims[d] = pln_infer_dim(inf, i, d);
    return s;
}

pln_status pln_mm_infer(pln_infer *inf, uint32_t ia, uint32_t ib, bool ta, bool tb,
                        pln_dtype out, pln_error *err)
{
    const int ra = pln_infer_rank(inf, ia), rb = pln_infer_rank(inf, ib);
    if (ra == 0 || rb == 0)
        return pln_infer_fail(inf, err, "input %u is a scalar", ra == 0 ? ia : ib);
    if (ra < 0 || rb < 0) {
        pln_infer_set(inf, 0, out, pln_shape_unknown());
        return PLN_OK;
    }
    pln_dim m, ka, kb, n;
    symbolic_matrix(inf, ia, ta, false, &m, &ka);
    symbolic_matrix(inf, ib, tb, true, &kb, &n);
    if (pln_dim_differ(inf->syms, ka, kb))
        return fail_inner(inf, ka, kb, err);
    const pln_shape batches[2] = { batch_shape(inf, ia, ra), batch_shape(inf, ib, rb) };
    pln_shape b;
    PLN_TRY(pln_infer_broadcast_shapes(inf, batches, 2, &b, err));
    if (b.rank < 0) {
        pln_infer_set(inf, 0, out, pln_shape_unknown());
        return PLN_OK;
    }
    pln_shape s = pln_infer_shape(inf, b.rank + (ra > 1) + (rb > 1));
    if (s.rank < 0)
        return pln_oom(err);
    int d = 0;
    for (; d < b.rank; d++)
        s.dims[d] = b.dims[d];
    if (ra > 1)
        s.dims[d++] = m;
    if (rb > 1)
        s.dims[d] = n;
    pln_infer_set(inf, 0, out, s);
    return PLN_OK;
}

pln_status pln_gemm_infer(pln_infer *inf, bool ta, bool tb, pln_error *err)
{
    const pln_dtype dt = pln_infer_dtype(inf, 0);
    const int ra = pln_infer_rank(inf, 0), rb = pln_infer_rank(inf, 1);
    for (uint32_t i = 0; i < 2; i++) {
        const int r = i ? rb : ra;
        if (r >= 0 && r != 2)
            return pln_infer_fail(inf, err, "input %u has rank %d, want 2", i, r);
    }
    pln_dim m = pln_dim_unknown(), n = m, ka = m, kb = m;
    if (ra == 2)
        symbolic_matrix(inf, 0, ta, false, &m, &ka);
    if (rb == 2)
        symbolic_matrix(inf, 1, tb, true, &kb, &n);
    if (pln_dim_differ(inf->syms, ka, kb))
        return fail_inner(inf, ka, kb, err);
    pln_shape s = pln_infer_shape(inf, 2);
    if (s.rank < 0)
        return pln_oom(err);
    s.dims[0] = m;
    s.dims[1] = n;
    const int rc = pln_infer_has(inf, 2) ? pln_infer_rank(inf, 2) : 0;
    if (rc > 2)
        return pln_infer_fail(inf, err, "C has rank %d, want at most 2", rc);
    for (int d = 0; d < rc; d++) {
        const pln_dim c = pln_infer_dim(inf, 2, d), y = s.dims[2 - rc + d];
        if (!pln_dim_is(c, 1) && pln_dim_differ(inf->syms, c, y))
            return pln_infer_fail(inf, err, "C does not broadcast to the product");
    }
    pln_infer_set(inf, 0, dt, s);
    return PLN_OK;
}

double pln_product_dims(const pln_type *t, int first)
{
    double n = 1;
    for (int i = first; i < t->shape.rank; i++) {
        if (pln_dim_is_known(t->shape.dims[i]))
            n *= (double)t->shape.dims[i].value;
    }
    return n;
}

void pln_product_cost(const pln_infer *inf, double k, pln_cost *cost)
{
    double bytes = 0;
    for (uint32_t i = 0; i < inf->n_in; i++) {
        if (inf->in[i])
            bytes += pln_product_dims(inf->in[i], 0) *
                     (double)pln_dtype_size(inf->in[i]->dtype);
    }
    const double out = pln_product_dims(&inf->out[0], 0);
    cost->bytes = bytes + out * (double)pln_dtype_size(inf->out[0].dtype);
    cost->flops = 2 * out * k;
}
