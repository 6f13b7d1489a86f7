/* Conversion between row-major and channels-last: transposes of [channels, positions].
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/parallel.h"

#include <string.h>

#define TILE 16

/* Both layouts put the elements at the same places. */
bool rt_layout_same_bytes(int rank, const int64_t *dims)
{
    int64_t positions = 1;
    if (rank < 3 || dims[1] == 1)
        return true;
    for (int k = 2; k < rank; k++)
        positions *= dims[k];
    return positions == 1;
}

typedef struct job {
    const char *src;
    char *dst;
    int64_t rows, cols, tiles; /* of one matrix; tiles of rows in it */
    size_t size;
} job;

#define TRANSPOSE_TILE(type)                                                        \
    static void tile_##type(const void *src, void *dst, int64_t rows, int64_t cols, \
                            int64_t r0, int64_t r1)                                 \
    {                                                                               \
        const type *restrict s = src;                                               \
        type *restrict d = dst;                                                     \
        for (int64_t c0 = 0; c0 < cols; c0 += TILE) {                               \
            const int64_t c1 = c0 + TILE < cols ? c0 + TILE : cols;                 \
            if (r1 - r0 == TILE && c1 - c0 == TILE) {                               \
                for (int c = 0; c < TILE; c++)                                      \
                    for (int r = 0; r < TILE; r++)                                  \
                        d[(c0 + c) * rows + r0 + r] = s[(r0 + r) * cols + c0 + c];  \
                continue;                                                           \
            }                                                                       \
            for (int64_t c = c0; c < c1; c++)                                       \
                for (int64_t r = r0; r < r1; r++)                                   \
                    d[c * rows + r] = s[r * cols + c];                              \
        }                                                                           \
    }

typedef struct wide {
    uint64_t half[2];
} wide;

TRANSPOSE_TILE(uint8_t)
TRANSPOSE_TILE(uint16_t)
TRANSPOSE_TILE(uint32_t)
TRANSPOSE_TILE(uint64_t)
TRANSPOSE_TILE(wide)

static void transpose_range(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    void (*const tile)(const void *, void *, int64_t, int64_t, int64_t, int64_t) =
        j->size == 1   ? tile_uint8_t
        : j->size == 2 ? tile_uint16_t
        : j->size == 4 ? tile_uint32_t
        : j->size == 8 ? tile_uint64_t
                       : tile_wide;
    const int64_t matrix = j->rows * j->cols * (int64_t)j->size;
    for (int64_t i = begin; i < end; i++) {
        const int64_t m = i / j->tiles, r0 = i % j->tiles * TILE;
        const int64_t r1 = r0 + TILE < j->rows ? r0 + TILE : j->rows;
        tile(j->src + m * matrix, j->dst + m * matrix, j->rows, j->cols, r0, r1);
    }
}

void rt_layout_convert(const pln_tensor *src, pln_tensor *dst, int n_threads)
{
    const size_t size = pln_dtype_size((pln_dtype)src->dtype);
    const int64_t count = pln_tensor_size(src);
    if (src->layout == dst->layout || rt_layout_same_bytes(src->rank, src->dims) ||
        !count) {
        if (src->data != dst->data && count)
            memcpy(dst->data, src->data, (size_t)count * size);
        return;
    }
    int64_t positions = 1;
    for (int k = 2; k < src->rank; k++)
        positions *= src->dims[k];
    const bool to_last = dst->layout == PLN_LAYOUT_CHANNELS_LAST;
    job j = { .src = src->data,
              .dst = dst->data,
              .rows = to_last ? src->dims[1] : positions,
              .cols = to_last ? positions : src->dims[1],
              .size = size };
    j.tiles = (j.rows + TILE - 1) / TILE;
    const int64_t work = TILE * j.cols * (int64_t)size; /* bytes of a tile row */
    pln_parallel_for(n_threads, src->dims[0] * j.tiles, 1 + 65536 / (work + 1),
                     transpose_range, &j);
}
