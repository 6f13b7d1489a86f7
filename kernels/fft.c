/* Radix-2 transforms, and Bluestein's way to other lengths.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/fft.h"

#include <math.h>
#include <string.h>

#include "src/util/size.h"

struct pln_fft {
    const pln_allocator *alloc;
    int64_t n, m;  /* m: power of two that is transformed: n, or at least 2n - 1 */
    double *twist; /* [m / 2] pairs: exp(-2 pi i k / m) */
    double *chirp; /* [n] pairs: exp(-pi i k k / n); NULL when n is a power of two */
    double *other; /* [m] pairs: transform of the chirp's inverse */
    double *work;  /* [m] pairs */
};

static double *pairs(const pln_allocator *a, int64_t n)
{
    size_t bytes;
    if (!pln_size_mul(&bytes, (size_t)n + 1, 2 * sizeof(double)))
        return NULL;
    double *v = pln_alloc(a, bytes);
    if (v)
        memset(v, 0, bytes);
    return v;
}

static void bit_reverse(double *v, int64_t m)
{
    for (int64_t i = 1, j = 0; i < m; i++) {
        int64_t bit = m >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i >= j)
            continue;
        for (int k = 0; k < 2; k++) {
            const double t = v[2 * i + k];
            v[2 * i + k] = v[2 * j + k];
            v[2 * j + k] = t;
        }
    }
}

/* Forward transform of a power of two. */
static void radix2(const pln_fft *f, double *v)
{
    const int64_t m = f->m;
    bit_reverse(v, m);
    for (int64_t len = 2; len <= m; len *= 2) {
        const int64_t half = len / 2, step = m / len;
        for (int64_t i = 0; i < m; i += len) {
            for (int64_t k = 0; k < half; k++) {
                const double *w = f->twist + 2 * k * step;
                double *a = v + 2 * (i + k), *b = a + 2 * half;
                const double re = b[0] * w[0] - b[1] * w[1],
                             im = b[0] * w[1] + b[1] * w[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

static void conjugate(double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        v[2 * i + 1] = -v[2 * i + 1];
}

static bool make_chirp(pln_fft *f)
{
    const int64_t n = f->n;
    f->chirp = pairs(f->alloc, n);
    f->other = pairs(f->alloc, f->m);
    f->work = pairs(f->alloc, f->m);
    if (!f->chirp || !f->other || !f->work)
        return false;
    for (int64_t k = 0; k < n; k++) {
        /* k * k modulo 2n keeps the angle exact for large k. */
        const int64_t q =
            (int64_t)((unsigned __int128)k * (uint64_t)k % (uint64_t)(2 * n));
        const double t = M_PI * (double)q / (double)n;
        f->chirp[2 * k] = cos(t);
        f->chirp[2 * k + 1] = -sin(t);
    }
    for (int64_t k = 0; k < n; k++) {
        const int64_t at[2] = { k, (f->m - k) % f->m };
        for (int j = 0; j < 2; j++) {
            f->other[2 * at[j]] = f->chirp[2 * k];
            f->other[2 * at[j] + 1] = -f->chirp[2 * k + 1];
        }
    }
    radix2(f, f->other);
    return true;
}

pln_fft *pln_fft_new(const pln_allocator *a, int64_t n)
{
    if (n < 1 || n > INT64_C(1) << 40)
        return NULL;
    pln_fft *f = pln_calloc(a, 1, sizeof *f);
    if (!f)
        return NULL;
    f->alloc = a;
    f->n = n;
    const bool power = (n & (n - 1)) == 0;
    f->m = 1;
    while (f->m < (power ? n : 2 * n - 1))
        f->m *= 2;
    f->twist = pairs(a, f->m / 2);
    for (int64_t k = 0; f->twist && k < f->m / 2; k++) {
        const double t = 2 * M_PI * (double)k / (double)f->m;
        f->twist[2 * k] = cos(t);
        f->twist[2 * k + 1] = -sin(t);
    }
    if (f->twist && (power || make_chirp(f)))
        return f;
    pln_fft_free(f);
    return NULL;
}

void pln_fft_free(pln_fft *f)
{
    if (!f)
        return;
    pln_release(f->alloc, f->twist);
    pln_release(f->alloc, f->chirp);
    pln_release(f->alloc, f->other);
    pln_release(f->alloc, f->work);
    pln_release(f->alloc, f);
}

static void multiply(double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double re = a[2 * i] * b[2 * i] - a[2 * i + 1] * b[2 * i + 1];
        a[2 * i + 1] = a[2 * i] * b[2 * i + 1] + a[2 * i + 1] * b[2 * i];
        a[2 * i] = re;
    }
}

/* A transform as a convolution with a chirp, which powers of two can do. */
static void bluestein(pln_fft *f, double *v)
{
    double *w = f->work;
    memset(w, 0, (size_t)f->m * 2 * sizeof *w);
    memcpy(w, v, (size_t)f->n * 2 * sizeof *w);
    multiply(w, f->chirp, f->n);
    radix2(f, w);
    multiply(w, f->other, f->m);
    conjugate(w, f->m);
    radix2(f, w);
    conjugate(w, f->n);
    multiply(w, f->chirp, f->n);
    for (int64_t i = 0; i < 2 * f->n; i++)
        v[i] = w[i] / (double)f->m;
}

void pln_fft_run(pln_fft *f, double *v, bool inverse)
{
    if (inverse)
        conjugate(v, f->n);
    if (f->chirp)
        bluestein(f, v);
    else
        radix2(f, v);
    if (inverse)
        conjugate(v, f->n);
}
