/* Conversion between row-major and channels-last: transposes of [channels, positions].
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"
#include "src/util/parallel.h"
#include "src/util/transpose.h"

#include <string.h>

#define TILE 32

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

static void transpose_range(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const pln_transpose_fn block = pln_transpose_of(j->size);
    const int64_t size = (int64_t)j->size, matrix = j->rows * j->cols * size;
    for (int64_t i = begin; i < end; i++) {
        const int64_t r0 = i % j->tiles * TILE, left = j->rows - r0;
        const char *src = j->src + i / j->tiles * matrix + r0 * j->cols * size;
        char *dst = j->dst + i / j->tiles * matrix + r0 * size;
        for (int64_t c0 = 0; c0 < j->cols; c0 += TILE)
            block(dst + c0 * j->rows * size, j->rows * size, src + c0 * size,
                  j->cols * size, j->cols - c0 < TILE ? j->cols - c0 : TILE,
                  left < TILE ? left : TILE);
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
