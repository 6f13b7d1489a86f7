/* Transposes of small matrices whose elements are words of 1 to 16 bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/transpose.h"

#include <string.h>

typedef uint32_t word4 __attribute__((may_alias, aligned(1)));
typedef uint64_t word8 __attribute__((may_alias, aligned(1)));
typedef uint64_t word16 __attribute__((may_alias, vector_size(16), aligned(1)));

#define BLOCK(W, size)                                                                   \
    static void block_##size(char *d, int64_t da, const char *s, int64_t sb, int64_t na, \
                             int64_t nb)                                                 \
    {                                                                                    \
        for (int64_t a = 0; a < na; a++) {                                               \
            W *o = (W *)(d + a * da);                                                    \
            const char *from = s + a * size;                                             \
            for (int64_t b = 0; b < nb; b++)                                             \
                o[b] = *(const W *)(from + b * sb);                                      \
        }                                                                                \
    }
BLOCK(word8, 8)
BLOCK(word16, 16)

typedef uint32_t vec4 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t vec2 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t vec1 __attribute__((vector_size(16), aligned(1), may_alias));
#ifdef __clang__
#define SHUFFLE(a, b, ...)   __builtin_shufflevector(a, b, __VA_ARGS__)
#define SHUFFLE_1(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define SHUFFLE_2(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef uint32_t idx4 __attribute__((vector_size(16)));
typedef uint16_t idx2 __attribute__((vector_size(16)));
typedef uint8_t idx1 __attribute__((vector_size(16)));
#define SHUFFLE(a, b, ...)   __builtin_shuffle(a, b, (idx4){ __VA_ARGS__ })
#define SHUFFLE_1(a, b, ...) __builtin_shuffle(a, b, (idx1){ __VA_ARGS__ })
#define SHUFFLE_2(a, b, ...) __builtin_shuffle(a, b, (idx2){ __VA_ARGS__ })
#endif

static inline void quad_4(char *d, int64_t da, const char *s, int64_t sb)
{
    const vec4 r0 = *(const vec4 *)s, r1 = *(const vec4 *)(s + sb);
    const vec4 r2 = *(const vec4 *)(s + 2 * sb), r3 = *(const vec4 *)(s + 3 * sb);
    const vec4 lo01 = SHUFFLE(r0, r1, 0, 4, 1, 5);
    const vec4 hi01 = SHUFFLE(r0, r1, 2, 6, 3, 7);
    const vec4 lo23 = SHUFFLE(r2, r3, 0, 4, 1, 5);
    const vec4 hi23 = SHUFFLE(r2, r3, 2, 6, 3, 7);
    *(vec4 *)d = SHUFFLE(lo01, lo23, 0, 1, 4, 5);
    *(vec4 *)(d + da) = SHUFFLE(lo01, lo23, 2, 3, 6, 7);
    *(vec4 *)(d + 2 * da) = SHUFFLE(hi01, hi23, 0, 1, 4, 5);
    *(vec4 *)(d + 3 * da) = SHUFFLE(hi01, hi23, 2, 3, 6, 7);
}

static void block_4(char *d, int64_t da, const char *s, int64_t sb, int64_t na,
                    int64_t nb)
{
    int64_t a = 0;
    for (; a + 4 <= na; a += 4) {
        int64_t b = 0;
        for (; b + 4 <= nb; b += 4)
            quad_4(d + a * da + b * 4, da, s + b * sb + a * 4, sb);
        for (; b < nb; b++)
            for (int64_t k = a; k < a + 4; k++)
                *(word4 *)(d + k * da + b * 4) = *(const word4 *)(s + b * sb + k * 4);
    }
    for (; a < na; a++)
        for (int64_t k = 0; k < nb; k++)
            *(word4 *)(d + a * da + k * 4) = *(const word4 *)(s + k * sb + a * 4);
}

/* A square of N elements on each side, N of them a vector: in log2 N rounds, row i and
 * row i + N/2 become rows 2i and 2i + 1, their elements in turns. */
#define SQUARE(size, N, ROUNDS, LOW, HIGH)                                               \
    static inline void square_##size(char *d, int64_t da, const char *s, int64_t sb)     \
    {                                                                                    \
        vec##size r[N], t[N];                                                            \
        for (int i = 0; i < (N); i++)                                                    \
            r[i] = *(const vec##size *)(s + i * sb);                                     \
        for (int round = 0; round < (ROUNDS); round++) {                                 \
            for (int i = 0; i < (N) / 2; i++) {                                          \
                t[2 * i] = LOW(r[i], r[i + (N) / 2]);                                    \
                t[2 * i + 1] = HIGH(r[i], r[i + (N) / 2]);                               \
            }                                                                            \
            memcpy(r, t, sizeof r);                                                      \
        }                                                                                \
        for (int i = 0; i < (N); i++)                                                    \
            *(vec##size *)(d + i * da) = r[i];                                           \
    }                                                                                    \
    static void block_##size(char *d, int64_t da, const char *s, int64_t sb, int64_t na, \
                             int64_t nb)                                                 \
    {                                                                                    \
        int64_t a = 0;                                                                   \
        for (; a + (N) <= na; a += (N)) {                                                \
            int64_t b = 0;                                                               \
            for (; b + (N) <= nb; b += (N))                                              \
                square_##size(d + a * da + b * (size), da, s + b * sb + a * (size), sb); \
            for (; b < nb; b++)                                                          \
                for (int64_t k = a; k < a + (N); k++)                                    \
                    memcpy(d + k * da + b * (size), s + b * sb + k * (size), size);      \
        }                                                                                \
        for (; a < na; a++)                                                              \
            for (int64_t k = 0; k < nb; k++)                                             \
                memcpy(d + a * da + k * (size), s + k * sb + a * (size), size);          \
    }
#define LOW_1(a, b) \
    SHUFFLE_1(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_1(a, b) \
    SHUFFLE_1(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LOW_2(a, b)  SHUFFLE_2(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_2(a, b) SHUFFLE_2(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
SQUARE(1, 16, 4, LOW_1, HIGH_1)
SQUARE(2, 8, 3, LOW_2, HIGH_2)

pln_transpose_fn pln_transpose_of(size_t size)
{
    switch (size) {
    case 1:
        return block_1;
    case 2:
        return block_2;
    case 4:
        return block_4;
    case 8:
        return block_8;
    default:
        return size == 16 ? block_16 : NULL;
    }
}
