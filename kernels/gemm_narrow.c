/* Packing and blocking of products whose B stays narrow.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm_narrow.h"
#include "src/util/cpu.h"
#include "src/util/parallel.h"
#include "src/util/size.h"

#include <string.h>

const pln_narrow_fns *pln_narrow(void)
{
    const pln_narrow_fns *f = pln_narrow_for(PLN_ISA_AVX512);
    f = f ? f : pln_narrow_for(PLN_ISA_AVX2);
    return f ? f : pln_narrow_for(PLN_ISA_C);
}

/* Four bits are spread to bytes. */
static const struct {
    uint8_t dtype, type, size;
} types[] = {
    { PLN_DT_S8, PLN_NARROW_S8, 1 },   { PLN_DT_U8, PLN_NARROW_U8, 1 },
    { PLN_DT_S4, PLN_NARROW_S8, 1 },   { PLN_DT_U4, PLN_NARROW_U8, 1 },
    { PLN_DT_F16, PLN_NARROW_F16, 2 }, { PLN_DT_BF16, PLN_NARROW_BF16, 2 },
};

static int find_type(pln_dtype dt)
{
    for (int i = 0; i < (int)(sizeof types / sizeof types[0]); i++)
        if (types[i].dtype == dt)
            return i;
    return -1;
}

bool pln_narrow_type_of(pln_dtype dt, pln_narrow_type *out)
{
    const int i = find_type(dt);
    if (i >= 0)
        *out = (pln_narrow_type)types[i].type;
    return i >= 0;
}

static size_t element_size(pln_narrow_type t)
{
    return t == PLN_NARROW_F16 || t == PLN_NARROW_BF16 ? 2 : 1;
}

static int64_t rows_of(const pln_narrow_source *s)
{
    return s->b->dims[s->transposed];
}

static int64_t columns_of(const pln_narrow_source *s)
{
    return s->b->dims[!s->transposed];
}

static int64_t group_of(const pln_narrow_source *s)
{
    const int64_t k = rows_of(s);
    return s->block > 0 && s->block < k ? s->block : k > 0 ? k : 1;
}

static bool has_place(const pln_narrow_source *s, const pln_tensor *t)
{
    const int64_t n = columns_of(s), size = pln_tensor_size(t);
    if (!s->block)
        return size == 1 || (t->rank == 1 && size == n);
    const int64_t blocks = (rows_of(s) + s->block - 1) / s->block;
    return t->rank == 2 && t->dims[s->transposed] == blocks &&
           t->dims[!s->transposed] == n;
}

bool pln_narrow_fits(const pln_narrow_source *s)
{
    return s->b->rank == 2 && (!s->zero || s->scale) && s->block >= 0 &&
           (!s->scale || has_place(s, s->scale)) && (!s->zero || has_place(s, s->zero));
}

/* ---- packing -------------------------------------------------------------------- */

/* The number that column j of group g has. */
static float number_at(const pln_narrow_source *s, const pln_tensor *t, int64_t g,
                       int64_t j)
{
    const int64_t n = columns_of(s);
    int64_t at = pln_tensor_size(t) == 1 ? 0 : j;
    if (s->block)
        at = s->transposed ? j * t->dims[1] + g : g * n + j;
    return (float)pln_tensor_get_f64(t, at);
}

static bool pack_numbers(const pln_narrow_b *b, int nr, const pln_narrow_source *s,
                         const pln_tensor *t, float **out)
{
    const int64_t groups = (b->k + b->group - 1) / b->group,
                  panels = (b->n + nr - 1) / nr;
    size_t bytes;
    if (!pln_size_mul(&bytes, (size_t)(groups * panels), sizeof(float) * (size_t)nr))
        return false;
    float *o = pln_alloc_aligned(b->alloc, bytes + 64, 64);
    *out = o;
    for (int64_t p = 0; o && p < panels; p++) {
        for (int64_t g = 0; g < groups; g++) {
            for (int64_t j = p * nr; j < (p + 1) * nr; j++)
                *o++ = j < b->n ? number_at(s, t, g, j) : 0.0f;
        }
    }
    return *out != NULL;
}

/* The bytes of a tensor of 4 bits, one for each element. */
static uint8_t *spread(const pln_allocator *a, const pln_tensor *t)
{
    const int64_t n = pln_tensor_size(t);
    uint8_t *out = pln_alloc(a, (size_t)n + 1);
    for (int64_t i = 0; out && i < n; i++)
        out[i] = (uint8_t)pln_tensor_get_i64(t, i);
    return out;
}

#define PACK(T)                                                                 \
    static void pack_##T(T *out, const T *b, int64_t rs, int64_t cs, int64_t k, \
                         int64_t n,                                             \
                         int nr)                                                \
    {                                                                           \
        for (int64_t j0 = 0; j0 < n; j0 += nr, out += k * nr) {                 \
            const int64_t cols = n - j0 < nr ? n - j0 : nr;                     \
            for (int64_t p0 = 0; p0 < k; p0 += 64) {                            \
                const int64_t p1 = p0 + 64 < k ? p0 + 64 : k;                   \
                for (int64_t j = 0; rs == 1 && j < cols; j++)                   \
                    for (int64_t p = p0; p < p1; p++)                           \
                        out[p * nr + j] = b[p + (j0 + j) * cs];                 \
                for (int64_t p = p0; rs != 1 && p < p1; p++)                    \
                    for (int64_t j = 0; j < cols; j++)                          \
                        out[p * nr + j] = b[p * rs + (j0 + j) * cs];            \
            }                                                                   \
        }                                                                       \
    }
PACK(uint8_t)
PACK(uint16_t)

static pln_status pack_data(pln_narrow_b *b, int nr, const pln_narrow_source *s,
                            pln_error *err)
{
    const int64_t cols = s->b->dims[1], rs = s->transposed ? 1 : cols;
    const int64_t cs = s->transposed ? cols : 1;
    const size_t size = element_size(b->type);
    size_t bytes;
    if (!pln_size_mul(&bytes, (size_t)b->k, (size_t)((b->n + nr - 1) / nr * nr)) ||
        !pln_size_mul(&bytes, bytes, size))
        return pln_fail(err, PLN_E_LIMIT, "the weights are too large");
    b->data = pln_alloc_aligned(b->alloc, bytes + 64, 64);
    if (!b->data)
        return pln_oom(err);
    if (b->n % nr)
        memset(b->data, 0, bytes);
    if (size == 2) {
        pack_uint16_t((uint16_t *)b->data, PLN_DATA(const uint16_t, s->b), rs, cs, b->k,
                      b->n, nr);
        return PLN_OK;
    }
    const bool small = pln_dtype_bits((pln_dtype)s->b->dtype) < 8;
    uint8_t *bytes_of = small ? spread(b->alloc, s->b) : NULL;
    if (small && !bytes_of)
        return pln_oom(err);
    pack_uint8_t(b->data, small ? bytes_of : PLN_DATA(const uint8_t, s->b), rs, cs, b->k,
                 b->n, nr);
    pln_release(b->alloc, bytes_of);
    return PLN_OK;
}

static bool is_zero(const pln_tensor *t)
{
    for (int64_t i = 0; i < pln_tensor_size(t); i++)
        if (pln_tensor_get_f64(t, i) != 0)
            return false;
    return true;
}

pln_status pln_narrow_pack(const pln_allocator *a, const pln_narrow_fns *f,
                           const pln_narrow_source *s, pln_narrow_b **out, pln_error *err)
{
    pln_narrow_b *b = pln_calloc(a, 1, sizeof *b);
    if (!b)
        return pln_oom(err);
    b->alloc = a;
    b->k = rows_of(s), b->n = columns_of(s), b->group = group_of(s);
    pln_narrow_type_of((pln_dtype)s->b->dtype, &b->type);
    const int nr = f->gemm->nr;
    pln_status st = pack_data(b, nr, s, err);
    if (st == PLN_OK && s->scale && !pack_numbers(b, nr, s, s->scale, &b->scale))
        st = pln_oom(err);
    if (st == PLN_OK && s->zero && !is_zero(s->zero) &&
        !pack_numbers(b, nr, s, s->zero, &b->zero))
        st = pln_oom(err);
    if (st == PLN_OK)
        *out = b;
    else
        pln_narrow_free(b);
    return st;
}

void pln_narrow_free(void *p)
{
    pln_narrow_b *b = p;
    pln_release(b->alloc, b->data);
    pln_release(b->alloc, b->scale);
    pln_release(b->alloc, b->zero);
    pln_release(b->alloc, b);
}

/* ---- the product ---------------------------------------------------------------- */

/* rows x k of A in panels of [k][mr]. */
static void pack_a(float *out, const float *a, int64_t rs, int64_t k, int64_t rows,
                   int mr)
{
    for (int64_t i = 0; i < rows; i++) {
        float *o = out + i / mr * mr * k + i % mr;
        for (int64_t p = 0; p < k; p++)
            o[p * mr] = a[i * rs + p];
    }
}

/* A part of a panel of B: steps [k0, k0 + k) that share a scale. */
typedef struct segment {
    int64_t k0, k;
    const void *b;
    const float *scale, *zero;
} segment;

static segment segment_at(const pln_narrow_b *b, int nr, int64_t panel, int64_t k0,
                          int64_t k1)
{
    const int64_t g = k0 / b->group,
                  end = (g + 1) * b->group < k1 ? (g + 1) * b->group : k1;
    const int64_t groups = (b->k + b->group - 1) / b->group;
    const int64_t at = (panel * groups + g) * nr;
    return (segment){ k0, end - k0,
                      b->data +
                          (size_t)((panel * b->k + k0) * nr) * element_size(b->type),
                      b->scale ? b->scale + at : NULL, b->zero ? b->zero + at : NULL };
}

/* A few rows x columns [j0, j1): B is read once, from its beginning to its end. */
static void few_rows(const pln_narrow_job *t, int64_t i0, int rows, int64_t j0,
                     int64_t j1)
{
    const pln_narrow_b *b = t->b;
    const int nr = t->fns->gemm->nr;
    for (int64_t j = j0; j < j1; j += nr) {
        const int cols = j1 - j < nr ? (int)(j1 - j) : nr;
        int64_t k = 0;
        do {
            const segment s = segment_at(b, nr, j / nr, k, b->k);
            t->fns->loops[b->type].tile(s.k, t->a + i0 * t->a_rs + k, t->a_rs, s.b,
                                        s.scale, s.zero, t->c + i0 * b->n + j, b->n, rows,
                                        cols, k > 0);
            k += s.k;
        } while (k < b->k);
    }
}

/* The block that comes next lies elsewhere: the processor can't foresee it. */
static void fetch_next(const pln_narrow_b *b, int nr, int64_t panel, int64_t k0,
                       int64_t k1)
{
    const size_t size = element_size(b->type);
    if (panel * nr >= b->n)
        return;
    const uint8_t *at = b->data + (size_t)((panel * b->k + k0) * nr) * size;
    for (int64_t i = 0; i < (k1 - k0) * nr * (int64_t)size; i += 64)
        __builtin_prefetch(at + i);
}

static void many_rows(const pln_narrow_job *t, const float *a, int64_t i0, int64_t i1,
                      int64_t k0, int64_t k1, int64_t j, int cols)
{
    const pln_gemm_fns *f = t->fns->gemm;
    float wide[PLN_NARROW_KC * PLN_GEMM_NR_MAX] __attribute__((aligned(64)));
    for (int64_t k = k0; k < k1;) {
        const segment s = segment_at(t->b, f->nr, j / f->nr, k, k1);
        t->fns->loops[t->b->type].widen(wide + (k - k0) * f->nr, s.b, s.k, s.scale,
                                        s.zero);
        k += s.k;
    }
    fetch_next(t->b, f->nr, j / f->nr + 1, k0, k1);
    for (int64_t i = i0; i < i1; i += f->mr) {
        const int rows = i1 - i < f->mr ? (int)(i1 - i) : f->mr;
        f->tile(k1 - k0, a + (i - i0) * (k1 - k0), f->mr, wide, f->nr,
                t->c + i * t->b->n + j, t->b->n, rows, cols, k0 > 0);
    }
}

static void finish(const pln_narrow_job *t, int64_t i0, int64_t i1, int64_t j0,
                   int64_t j1)
{
    for (int64_t i = i0; t->epilogue->n && i < i1; i++)
        pln_epilogue_row(t->epilogue, t->c + i * t->b->n + j0, i, j0, j1 - j0);
}

/* Rows [i0, i1), at most PLN_NARROW_ROWS of them, x columns [j0, j1). */
static void wide_rows(const pln_narrow_job *t, int64_t i0, int64_t i1, int64_t j0,
                      int64_t j1)
{
    const pln_gemm_fns *f = t->fns->gemm;
    const int64_t depth = t->b->k;
    float a[PLN_NARROW_KC * (PLN_NARROW_ROWS + PLN_GEMM_MR_MAX)]
        __attribute__((aligned(64)));
    for (int64_t k0 = 0; k0 == 0 || k0 < depth; k0 += PLN_NARROW_KC) {
        const int64_t k1 = k0 + PLN_NARROW_KC < depth ? k0 + PLN_NARROW_KC : depth;
        pack_a(a, t->a + i0 * t->a_rs + k0, t->a_rs, k1 - k0, i1 - i0, f->mr);
        for (int64_t j = j0; j < j1; j += f->nr) {
            const int cols = j1 - j < f->nr ? (int)(j1 - j) : f->nr;
            many_rows(t, a, i0, i1, k0, k1, j, cols);
        }
    }
}

static void run_part(const pln_narrow_job *t, int64_t i0, int64_t i1, int64_t j0,
                     int64_t j1)
{
    const int64_t mr = t->fns->gemm->mr, most = PLN_NARROW_ROWS / mr * mr;
    const int64_t blocks = (i1 - i0 + most - 1) / most;
    const int64_t step = ((i1 - i0 + blocks - 1) / blocks + mr - 1) / mr * mr;
    for (int64_t i = i0; i < i1; i += step) {
        const int64_t end = i1 - i < step ? i1 : i + step;
        if (end - i <= t->fns->few)
            few_rows(t, i, (int)(end - i), j0, j1);
        else
            wide_rows(t, i, end, j0, j1);
        finish(t, i, end, j0, j1);
    }
}

typedef struct part {
    const pln_narrow_job *t;
    int64_t step; /* rows or columns of a part */
} part;

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t i1 = end * p->step < p->t->m ? end * p->step : p->t->m;
    run_part(p->t, begin * p->step, i1, 0, p->t->b->n);
}

static void run_columns(void *arg, int64_t begin, int64_t end)
{
    const part *p = arg;
    const int64_t n = p->t->b->n, j1 = end * p->step < n ? end * p->step : n;
    run_part(p->t, 0, p->t->m, begin * p->step, j1);
}

/* Each element is summed alone and in the same order whatever the split. */
void pln_narrow_run(const pln_narrow_job *t, int n_threads)
{
    const pln_gemm_fns *f = t->fns->gemm;
    const int64_t n = t->b->n;
    if (t->m <= 0 || n <= 0)
        return;
    if (n_threads <= 1 || 2.0 * (double)t->m * (double)n * (double)t->b->k < 2e5) {
        run_part(t, 0, t->m, 0, n);
        return;
    }
    const int64_t rows = (t->m + PLN_NARROW_ROWS - 1) / PLN_NARROW_ROWS;
    if (rows >= 4 * n_threads) {
        part p = { t, PLN_NARROW_ROWS / f->mr * f->mr };
        pln_parallel_for(n_threads, (t->m + p.step - 1) / p.step, 1, run_rows, &p);
    } else {
        part p = { t, f->nr };
        pln_parallel_for(n_threads, (n + f->nr - 1) / f->nr, 1, run_columns, &p);
    }
}
