/* TopK by keys: each element becomes an integer that orders like it, with its position
 * behind it, so that comparing two is one comparison of integers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/topk.h"

#include "kernels/block.h"
#include "kernels/move.h"
#include "src/util/parallel.h"

/* The larger key comes first. 64: of 8, 16 and 32-bit elements; 128: of 64-bit ones. */
typedef uint64_t key64;
__extension__ typedef unsigned __int128 key128;

typedef struct job {
    const pln_tensor *x;
    void *values; /* NULL: not wanted */
    int64_t *places;
    int64_t n, k, inner;
    uint64_t flip; /* ones where the smallest come first */
    char *room;    /* of each thread's range: one piece for a row, one for the heap */
    size_t room_size;
} job;

/* ---- elements as integers that order like them; NaN above all, -0 as 0 ---- */

static inline uint32_t order_f32(uint32_t v)
{
    const uint32_t size = v & 0x7fffffffu;
    if (size > 0x7f800000u)
        return UINT32_MAX;
    return size == 0 ? 0x80000000u : v >> 31 ? ~v : v | 0x80000000u;
}

static inline uint64_t order_f64(uint64_t v)
{
    const uint64_t size = v & 0x7fffffffffffffffu;
    if (size > 0x7ff0000000000000u)
        return UINT64_MAX;
    return size == 0 ? 1ull << 63 : v >> 63 ? ~v : v | 1ull << 63;
}

static inline uint32_t order_16(uint32_t v, uint32_t infinity)
{
    const uint32_t size = v & 0x7fffu;
    if (size > infinity)
        return UINT32_MAX;
    return size == 0 ? 0x8000u : v >> 15 ? 0xffffu & ~v : v | 0x8000u;
}

#define BIAS32(v) ((uint32_t)(v) ^ 0x80000000u)
#define BIAS64(v) ((uint64_t)(v) ^ 1ull << 63)

/* X(enumerator, element, order of a value v) */
#define TYPES_32(X)                                  \
    X(PLN_DT_F32, uint32_t, order_f32(v))            \
    X(PLN_DT_F16, uint16_t, order_16(v, 0x7c00u))    \
    X(PLN_DT_BF16, uint16_t, order_16(v, 0x7f80u))   \
    X(PLN_DT_S32, int32_t, BIAS32(v))                \
    X(PLN_DT_S16, int16_t, BIAS32((int32_t)v))       \
    X(PLN_DT_S8, int8_t, BIAS32((int32_t)v))         \
    X(PLN_DT_U32, uint32_t, v)                       \
    X(PLN_DT_U16, uint16_t, v)                       \
    X(PLN_DT_U8, uint8_t, v)
#define TYPES_64(X)                       \
    X(PLN_DT_F64, uint64_t, order_f64(v)) \
    X(PLN_DT_S64, int64_t, BIAS64(v))     \
    X(PLN_DT_U64, uint64_t, v)

static void load64(const job *j, int64_t at, key64 *out)
{
    const uint32_t flip = (uint32_t)j->flip;
#define CASE(dt, type, order)                                                  \
    if (j->x->dtype == (dt)) {                                                 \
        const type *p = PLN_DATA(const type, j->x) + at;                       \
        for (int64_t i = 0; i < j->n; i++) {                                   \
            const type v = p[i * j->inner];                                    \
            out[i] = (key64)((order) ^ flip) << 32 | (uint32_t)~(uint32_t)i;   \
        }                                                                      \
        return;                                                                \
    }
    TYPES_32(CASE)
#undef CASE
}

static void load128(const job *j, int64_t at, key128 *out)
{
#define CASE(dt, type, order)                                                  \
    if (j->x->dtype == (dt)) {                                                 \
        const type *p = PLN_DATA(const type, j->x) + at;                       \
        for (int64_t i = 0; i < j->n; i++) {                                   \
            const type v = p[i * j->inner];                                    \
            out[i] = (key128)((order) ^ j->flip) << 64 | ~(uint64_t)i;         \
        }                                                                      \
        return;                                                                \
    }
    TYPES_64(CASE)
#undef CASE
}

static inline int64_t place64(key64 v)
{
    return (uint32_t) ~(uint32_t)v;
}

static inline int64_t place128(key128 v)
{
    return (int64_t) ~(uint64_t)v;
}

/* ---- the k largest keys ---- */

#define HEAP(KEY)                                                              \
    /* heap[0] is the smallest. */                                             \
    static void sift_##KEY(KEY *heap, int64_t n, int64_t i)                    \
    {                                                                          \
        const KEY v = heap[i];                                                 \
        for (int64_t child; (child = 2 * i + 1) < n; i = child) {              \
            child += child + 1 < n && heap[child + 1] < heap[child];           \
            if (v <= heap[child])                                              \
                break;                                                         \
            heap[i] = heap[child];                                             \
        }                                                                      \
        heap[i] = v;                                                           \
    }                                                                          \
    /* The k largest of row, in order, at its beginning. */                    \
    static void select_##KEY(KEY *row, int64_t n, int64_t k)                   \
    {                                                                          \
        for (int64_t i = k / 2 - 1; i >= 0; i--)                               \
            sift_##KEY(row, k, i);                                             \
        for (int64_t i = k; i < n; i++)                                        \
            if (row[i] > row[0]) {                                             \
                row[0] = row[i];                                               \
                sift_##KEY(row, k, 0);                                         \
            }                                                                  \
        for (int64_t i = k - 1; i > 0; i--) {                                  \
            const KEY least = row[0];                                          \
            row[0] = row[i];                                                   \
            row[i] = least;                                                    \
            sift_##KEY(row, i, 0);                                             \
        }                                                                      \
    }

HEAP(key64)
HEAP(key128)

/* ---- rows ---- */

static void put(const job *j, int64_t to, int64_t from, const int64_t *place)
{
#define MOVE(W, SIZE)                                                          \
    if (size == (SIZE)) {                                                      \
        const W *x = (const W *)j->x->data + from;                             \
        W *y = (W *)j->values + to;                                            \
        for (int64_t i = 0; i < j->k; i++)                                     \
            y[i * j->inner] = x[place[i] * j->inner];                          \
    }
    const size_t size = pln_dtype_size((pln_dtype)j->x->dtype);
    if (j->values) {
        PLN_MOVE_SIZES(MOVE)
    }
#undef MOVE
    for (int64_t i = 0; j->places && i < j->k; i++)
        j->places[to + i * j->inner] = place[i];
}

static bool is_wide(const pln_tensor *x)
{
    return pln_dtype_size((pln_dtype)x->dtype) == 8;
}

/* One piece of work is a share of the rows with room of its own. */
static void shares(void *arg, int64_t begin, int64_t end)
{
    const job *j = (const job *)arg;
    const int64_t rows = pln_tensor_size(j->x) / j->n;
    for (int64_t s = begin; s < end; s++) {
        char *room = j->room + (size_t)s * j->room_size;
        int64_t *place = (int64_t *)room;
        void *keys = room + (((size_t)j->k * sizeof *place + 15) & ~(size_t)15);
        for (int64_t r = rows * s / PLN_TOPK_SHARES; r < rows * (s + 1) / PLN_TOPK_SHARES;
             r++) {
            const int64_t o = r / j->inner, i = r % j->inner;
            if (is_wide(j->x)) {
                load128(j, o * j->n * j->inner + i, keys);
                select_key128(keys, j->n, j->k);
                for (int64_t p = 0; p < j->k; p++)
                    place[p] = place128(((key128 *)keys)[p]);
            } else {
                load64(j, o * j->n * j->inner + i, keys);
                select_key64(keys, j->n, j->k);
                for (int64_t p = 0; p < j->k; p++)
                    place[p] = place64(((key64 *)keys)[p]);
            }
            put(j, o * j->k * j->inner + i, o * j->n * j->inner + i, place);
        }
    }
}

bool pln_topk_can(pln_dtype dt)
{
#define CASE(enumerator, type, order) dt == (enumerator) ||
    return TYPES_32(CASE) TYPES_64(CASE) false;
#undef CASE
}

pln_status pln_topk_keys(pln_call *c, int axis, int64_t k, bool largest, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    job j = { .x = x,
              .values = pln_call_wants(c, 0) ? c->out[0]->data : NULL,
              .places = pln_call_wants(c, 1) ? PLN_DATA(int64_t, c->out[1]) : NULL,
              .n = x->dims[axis],
              .k = k,
              .inner = pln_move_count(x->dims, axis + 1, x->rank),
              .flip = largest ? 0 : UINT64_MAX };
    size_t row, places, all;
    if (k == 0 || pln_tensor_size(x) == 0)
        return PLN_OK;
    if (!pln_size_mul(&row, (size_t)j.n, is_wide(x) ? sizeof(key128) : sizeof(key64)) ||
        !pln_size_mul(&places, (size_t)k, sizeof(int64_t)) || row > SIZE_MAX / 4)
        return pln_oom(err);
    j.room_size = (row + places + 64 + 63) / 64 * 64;
    if (!pln_size_mul(&all, j.room_size, PLN_TOPK_SHARES) ||
        !(j.room = pln_call_scratch(c, all)))
        return pln_oom(err);
    const int64_t grain = 1 + 262144 / pln_tensor_size(x);
    pln_parallel_for(c->n_threads, PLN_TOPK_SHARES, grain, shares, &j);
    return PLN_OK;
}
