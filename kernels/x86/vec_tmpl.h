/* The vector loops, for one instruction set. The includer defines the vector types and
 * primitives (see vec_avx2.c) and SUFFIX(name).
 *
 * MAX(a, b) and MIN(a, b) give b when either is NaN, as the processor does: the order of
 * the operands below keeps NaN where the C version keeps it.
 * SPDX-License-Identifier: Apache-2.0 */

#define C(x) SET1(x)

/* ---- mathematics: polynomials fitted for this file, Horner's scheme by FMA --------- */

/* n = round(x / ln 2) and e^r - 1 for the rest r in [-ln2/2, ln2/2]; relative error 4e-9
 * before rounding. */
static inline vf exp_parts(vf x, vf *n)
{
    *n = ROUND(x * C(1.44269504088896341f));
    vf r = FMA(*n, C(-0.693147182464599609375f), x);
    r = FMA(*n, C(1.90465421204893e-9f), r);
    vf q = C(0.0013951719738543034f);
    q = FMA(q, r, C(0.008369598537683487f));
    q = FMA(q, r, C(0.0416661873459816f));
    q = FMA(q, r, C(0.16666512191295624f));
    q = FMA(q, r, C(0.5f));
    return FMA(r * r, q, r);
}

static inline vf exp_v(vf x)
{
    vf n;
    const vf p = exp_parts(MIN(C(89.0f), MAX(C(-104.0f), x)), &n);
    return SCALE(C(1.0f) + p, n);
}

/* e^x - 1 without cancellation near 0. */
static inline vf expm1_v(vf x)
{
    vf n;
    const vf p = exp_parts(MIN(C(89.0f), MAX(C(-104.0f), x)), &n);
    return SELECT(LT(ABS(n), C(0.5f)), p, SCALE(C(1.0f) + p, n) - C(1.0f));
}

/* x = m 2^k, m in [sqrt(1/2), sqrt(2)): log(1 + f) = f - f^2/2 + f^3 P(f). */
static inline vf log_v(vf x)
{
    const vm tiny = LT(x, C(1.17549435e-38f));
    const vf scaled = SELECT(tiny, x * C(8388608.0f), x);
    const vi bits = SUBI(AS_INT(scaled), SET1I(0x3f3504f3)); /* sqrt(1/2) */
    const vf k = TO_FLOAT(SRAI(bits, 23)) - SELECT(tiny, C(23.0f), C(0.0f));
    const vf f = AS_FLOAT((bits & SET1I(0x7fffff)) + SET1I(0x3f3504f3)) - C(1.0f);
    vf p = C(0.06927270442247391f);
    p = FMA(p, f, C(-0.11808241158723831f));
    p = FMA(p, f, C(0.11877446621656418f));
    p = FMA(p, f, C(-0.1238170638680458f));
    p = FMA(p, f, C(0.1421777307987213f));
    p = FMA(p, f, C(-0.16669364273548126f));
    p = FMA(p, f, C(0.20002269744873047f));
    p = FMA(p, f, C(-0.24999985098838806f));
    p = FMA(p, f, C(0.3333331048488617f));
    const vf ff = f * f;
    vf y = FMA(p * f, ff, k * C(-1.90465421204893e-9f));
    y = FMA(ff, C(-0.5f), y);
    y = FMA(k, C(0.693147182464599609375f), y + f);
    y = SELECT(EQ(x, C(0.0f)), C(-INFINITY), y);
    y = SELECT(EQ(x, C(INFINITY)), x, y);
    return SELECT(LT(x, C(0.0f)), C(NAN), SELECT(UNORD(x), x, y));
}

static inline vf tanh_v(vf x)
{
    const vf a = ABS(x), x2 = x * x;
    vf p = C(-0.005679312162101269f);
    p = FMA(p, x2, C(0.020618129521608353f));
    p = FMA(p, x2, C(-0.05373400077223778f));
    p = FMA(p, x2, C(0.1333138346672058f));
    p = FMA(p, x2, C(-0.3333328068256378f));
    const vf small = FMA(p * x2, x, x);
    const vf large = C(1.0f) - C(2.0f) / (exp_v(a + a) + C(1.0f));
    return SELECT(LT(a, C(0.625f)), small, COPYSIGN(large, x));
}

static inline vf sigmoid_v(vf x)
{
    return C(1.0f) / (C(1.0f) + exp_v(C(0.0f) - x));
}

/* Up to 1 an odd polynomial, beyond it 1 - e^Q(x); past 4 the result is 1. */
static inline vf erf_v(vf x)
{
    const vf a = MIN(C(4.0f), ABS(x)), x2 = x * x;
    vf p = C(-9.680140465206932e-06f);
    p = FMA(p, x2, C(0.00011270545655861497f));
    p = FMA(p, x2, C(-0.0008484711870551109f));
    p = FMA(p, x2, C(0.005221074912697077f));
    p = FMA(p, x2, C(-0.02686544507741928f));
    p = FMA(p, x2, C(0.11283782869577408f));
    p = FMA(p, x2, C(-0.37612637877464294f));
    p = FMA(p, x2, C(1.128379225730896f));
    vf q = C(0.0001855731097748503f);
    q = FMA(q, a, C(-0.0029395988676697016f));
    q = FMA(q, a, C(0.021805286407470703f));
    q = FMA(q, a, C(-0.10303730517625809f));
    q = FMA(q, a, C(-0.6382257342338562f));
    q = FMA(q, a, C(-1.1270400285720825f));
    q = FMA(q, a, C(-0.0003537292068358511f));
    const vf large = C(1.0f) - exp_v(q);
    return SELECT(LT(ABS(x), C(1.0f)), p * x, COPYSIGN(SELECT(UNORD(x), x, large), x));
}

/* log(1 + e) for e in [0, 1]: the error of 1 + e is divided out. */
static inline vf log1p_v(vf e)
{
    const vf u = C(1.0f) + e;
    return SELECT(EQ(u, C(1.0f)), e, log_v(u) * e / (u - C(1.0f)));
}

static inline vf softplus_v(vf x)
{
    return MAX(C(0.0f), x) + log1p_v(exp_v(C(0.0f) - ABS(x)));
}

/* tanh(log(1 + e)) = (e^2 + 2e) / (e^2 + 2e + 2). */
static inline vf mish_v(vf x)
{
    const vf e = exp_v(MIN(C(20.0f), x)), t = FMA(e, e, e + e);
    return x * (t / (t + C(2.0f)));
}

static inline vf gelu_tanh_v(vf x)
{
    const vf u = x * FMA(x * x, C(0.044715f), C(1.0f));
    return x * sigmoid_v(u * C(1.5957691216057308f));
}

/* x = n pi/2 + r, r in [-pi/4, pi/4], by pi/2 in three parts: of the first the product
 * with n is exact. sin and cos of r; q counts the quarters of a turn. */
#define TURNS_LIMIT 1e5f
static inline vf turn_v(vf x, vi more)
{
    const vf n = ROUND(x * C(0.63661977236758134f));
    vf r = FMA(n, C(-1.5707963705062866f), x);
    r = FMA(n, C(4.3711388286737929e-08f), r);
    r = FMA(n, C(1.7151245100058819e-15f), r);
    const vf rr = r * r;
    vf s = C(-0.00019517216423992068f);
    s = FMA(s, rr, C(0.008332177996635437f));
    s = FMA(s, rr, C(-0.16666655242443085f));
    s = FMA(s * rr, r, r);
    vf c = C(2.4438359105261043e-05f);
    c = FMA(c, rr, C(-0.0013887366512790322f));
    c = FMA(c, rr, C(0.041666645556688309f));
    c = FMA(c * rr, rr, FMA(rr, C(-0.5f), C(1.0f)));
    const vi q = ADDI(TO_INT(n), more);
    const vf y = SELECT(EQ(TO_FLOAT(q & SET1I(1)), C(0.0f)), s, c);
    return AS_FLOAT(AS_INT(y) ^ SLLI(q & SET1I(2), 30));
}

/* Far from 0 pi/2 needs more bits than these; the C library has them. */
static __attribute__((noinline)) vf far_v(vf x, vf y, float (*f)(float))
{
    float px[VL], py[VL];
    STORE(px, x);
    STORE(py, y);
    for (int i = 0; i < VL; i++)
        py[i] = fabsf(px[i]) < TURNS_LIMIT ? py[i] : f(px[i]);
    return LOAD(py);
}

static inline vf sin_v(vf x)
{
    const vm near = LT(ABS(x), C(TURNS_LIMIT));
    const vf y = SELECT(EQ(x, C(0.0f)), x, turn_v(x, SET1I(0)));
    return ALL(near) ? y : far_v(x, y, sinf);
}

static inline vf cos_v(vf x)
{
    const vm near = LT(ABS(x), C(TURNS_LIMIT));
    const vf y = turn_v(x, SET1I(1));
    return ALL(near) ? y : far_v(x, y, cosf);
}

/* An odd polynomial up to 1; beyond it pi/2 less that of 1/x. */
static inline vf atan_v(vf x)
{
    const vf a = ABS(x);
    const vm far = LT(C(1.0f), a);
    const vf t = SELECT(far, C(1.0f) / a, a), tt = t * t;
    vf p = C(-0.001827213098295033f);
    p = FMA(p, tt, C(0.011064441874623299f));
    p = FMA(p, tt, C(-0.03145570307970047f));
    p = FMA(p, tt, C(0.058234553784132004f));
    p = FMA(p, tt, C(-0.084194593131542206f));
    p = FMA(p, tt, C(0.10957576334476471f));
    p = FMA(p, tt, C(-0.14265245199203491f));
    p = FMA(p, tt, C(0.19998638331890106f));
    p = FMA(p, tt, C(-0.33333301544189453f));
    p = FMA(p * tt, t, t);
    const vf y = SELECT(far, C(1.57079637050628662f) - p, p);
    return SELECT(UNORD(x), x, COPYSIGN(y, x));
}

static inline vf unit_v(vf x)
{
    return MIN(C(1.0f), MAX(C(0.0f), x));
}

static inline vf max_v(vf a, vf b)
{
    return SELECT(UNORD(a), a, MAX(a, b));
}

static inline vf min_v(vf a, vf b)
{
    return SELECT(UNORD(a), a, MIN(a, b));
}

/* ---- elementwise ------------------------------------------------------------------- */

#define UNARY(name, expr)                                                               \
    static void name##_u(float *y, const float *px, int64_t n, float alpha, float beta) \
    {                                                                                   \
        const vf va = SET1(alpha), vb = SET1(beta);                                     \
        int64_t i = 0;                                                                  \
        (void)va, (void)vb;                                                             \
        for (; i + VL <= n; i += VL) {                                                  \
            const vf x = LOAD(px + i);                                                  \
            STORE(y + i, expr);                                                         \
        }                                                                               \
        if (i < n) {                                                                    \
            const tm m = TAIL(n - i);                                                   \
            const vf x = LOADM(m, px + i);                                              \
            STOREM(m, y + i, expr);                                                     \
        }                                                                               \
    }
UNARY(relu, MAX(C(0.0f), x))
UNARY(leaky_relu, SELECT(LT(x, C(0.0f)), va *x, x))
UNARY(clip, MIN(vb, MAX(va, x)))
UNARY(sigmoid, sigmoid_v(x))
UNARY(tanh, tanh_v(x))
UNARY(gelu, C(0.5f) * x * (C(1.0f) + erf_v(x * C(0.70710678118654752f))))
UNARY(gelu_tanh, gelu_tanh_v(x))
UNARY(swish, x *sigmoid_v(va *x))
UNARY(hard_sigmoid, unit_v(va *x + vb))
UNARY(hard_swish, x *unit_v(va *x + vb))
UNARY(elu, SELECT(LT(x, C(0.0f)), va *expm1_v(x), x))
UNARY(softplus, softplus_v(x))
UNARY(mish, mish_v(x))
UNARY(exp, exp_v(x))
UNARY(log, log_v(x))
UNARY(sqrt, SQRT(x))
UNARY(abs, ABS(x))
UNARY(neg, NEG(x))
UNARY(linear, va *x + vb)
UNARY(erf, erf_v(x))
UNARY(reciprocal, C(1.0f) / x)
UNARY(floor, FLOOR(x))
UNARY(ceil, CEIL(x))
UNARY(round, ROUND(x))
UNARY(square, x *x)
UNARY(sin, sin_v(x))
UNARY(cos, cos_v(x))
UNARY(atan, atan_v(x))
UNARY(selu, vb *SELECT(LT(C(0.0f), x), x, va *expm1_v(x)))
UNARY(celu, SELECT(LT(x, C(0.0f)), va *expm1_v(x / va), x))
UNARY(softsign, x / (C(1.0f) + ABS(x)))
UNARY(thresholded_relu, SELECT(OR(LT(va, x), UNORD(x)), x, C(0.0f)))

#define BINARY_LOOP(la, lb, ta, tb, expr) \
    for (; i + VL <= n; i += VL) {        \
        const vf a = la, b = lb;          \
        STORE(y + i, expr);               \
    }                                     \
    if (i < n) {                          \
        const tm m = TAIL(n - i);         \
        const vf a = ta, b = tb;          \
        STOREM(m, y + i, expr);           \
    }
#define BINARY(name, expr)                                                              \
    static void name##_b(float *y, const float *pa, int64_t sa, const float *pb,        \
                         int64_t sb, int64_t n)                                         \
    {                                                                                   \
        int64_t i = 0;                                                                  \
        if (sa && sb) {                                                                 \
            BINARY_LOOP(LOAD(pa + i), LOAD(pb + i), LOADM(m, pa + i), LOADM(m, pb + i), \
                        expr)                                                           \
        } else if (sa) {                                                                \
            const vf one = SET1(*pb);                                                   \
            BINARY_LOOP(LOAD(pa + i), one, LOADM(m, pa + i), one, expr)                 \
        } else if (sb) {                                                                \
            const vf one = SET1(*pa);                                                   \
            BINARY_LOOP(one, LOAD(pb + i), one, LOADM(m, pb + i), expr)                 \
        } else {                                                                        \
            const vf va = SET1(*pa), vb = SET1(*pb);                                    \
            BINARY_LOOP(va, vb, va, vb, expr)                                           \
        }                                                                               \
    }
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(max, max_v(a, b))
BINARY(min, min_v(a, b))
BINARY(prelu, SELECT(LT(a, C(0.0f)), b *a, a))

/* ---- reductions -------------------------------------------------------------------- */

static inline float sum_lanes(vf v)
{
    float t[VL], s = 0;
    STORE(t, v);
    for (int i = 0; i < VL; i++)
        s += t[i];
    return s;
}

/* Four partial sums: independent chains of additions. */
#define SUM(name, args, expr)                             \
    static float name args                                \
    {                                                     \
        vf s[4] = { C(0.0f), C(0.0f), C(0.0f), C(0.0f) }; \
        int64_t i = 0;                                    \
        for (; i + 4 * VL <= n; i += 4 * VL)              \
            for (int k = 0; k < 4; k++) {                 \
                const vf x = LOAD(px + i + k * VL);       \
                s[k] = s[k] + (expr);                     \
            }                                             \
        for (; i + VL <= n; i += VL) {                    \
            const vf x = LOAD(px + i);                    \
            s[0] = s[0] + (expr);                         \
        }                                                 \
        if (i < n) {                                      \
            const tm m = TAIL(n - i);                     \
            const vf x = LOADM(m, px + i);                \
            s[1] = s[1] + ZEROM(m, expr);                 \
        }                                                 \
        return sum_lanes((s[0] + s[1]) + (s[2] + s[3]));  \
    }
SUM(sum_r, (const float *px, int64_t n), x)
SUM(sum_abs_r, (const float *px, int64_t n), ABS(x))
SUM(sum_square_r, (const float *px, int64_t n, float shift),
    (x - C(shift)) * (x - C(shift)))
SUM(exp_total, (const float *px, int64_t n, float shift), exp_v(x - C(shift)))

static float log_sum_exp_r(const float *x, int64_t n, float shift)
{
    return logf(exp_total(x, n, shift));
}

static float dot_r(const float *pa, const float *pb, int64_t n)
{
    vf s[4] = { C(0.0f), C(0.0f), C(0.0f), C(0.0f) };
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int k = 0; k < 4; k++)
            s[k] = FMA(LOAD(pa + i + k * VL), LOAD(pb + i + k * VL), s[k]);
    for (; i + VL <= n; i += VL)
        s[0] = FMA(LOAD(pa + i), LOAD(pb + i), s[0]);
    if (i < n) {
        const tm m = TAIL(n - i);
        s[1] = FMA(LOADM(m, pa + i), LOADM(m, pb + i), s[1]);
    }
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3]));
}

static float exp_sum_r(float *y, const float *px, int64_t n, float shift)
{
    const vf sh = C(shift);
    vf s0 = C(0.0f), s1 = C(0.0f);
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf a = exp_v(LOAD(px + i) - sh), b = exp_v(LOAD(px + i + VL) - sh);
        STORE(y + i, a);
        STORE(y + i + VL, b);
        s0 = s0 + a;
        s1 = s1 + b;
    }
    for (; i < n; i += VL) {
        const tm m = TAIL(n - i < VL ? n - i : VL);
        const vf a = exp_v(LOADM(m, px + i) - sh);
        STOREM(m, y + i, a);
        s0 = s0 + ZEROM(m, a);
    }
    return sum_lanes(s0 + s1);
}

static void softmax_columns_r(float *s, int64_t n, int64_t width, float *max, float *sum,
                              float *factor)
{
    for (int64_t j = 0; j < width; j += VL) {
        const vf old = LOAD(max + j);
        vf top = old, t0 = C(0.0f), t1 = t0;
        int64_t i = 0;
        for (; i < n; i++)
            top = MAX(LOAD(s + i * width + j), top);
        const vf shift = SELECT(EQ(top, C(-INFINITY)), C(0.0f), top);
        for (i = 0; i + 2 <= n; i += 2) {
            float *p = s + i * width + j;
            const vf a = exp_v(LOAD(p) - shift), b = exp_v(LOAD(p + width) - shift);
            STORE(p, a);
            STORE(p + width, b);
            t0 = t0 + a;
            t1 = t1 + b;
        }
        if (i < n) {
            const vf a = exp_v(LOAD(s + i * width + j) - shift);
            STORE(s + i * width + j, a);
            t0 = t0 + a;
        }
        const vf f = exp_v(old - shift);
        STORE(factor + j, f);
        STORE(sum + j, FMA(LOAD(sum + j), f, t0 + t1));
        STORE(max + j, top);
    }
}

/* Lanes outside the tail repeat x[0], which changes nothing. */
#define EXTREME(name, start, op)                                                 \
    static float name(const float *px, int64_t n)                                \
    {                                                                            \
        vf s[2] = { C(start), C(start) };                                        \
        vm nan = UNORD(s[0]);                                                    \
        int64_t i = 0;                                                           \
        for (; i + 2 * VL <= n; i += 2 * VL)                                     \
            for (int k = 0; k < 2; k++) {                                        \
                const vf x = LOAD(px + i + k * VL);                              \
                nan = OR(nan, UNORD(x));                                         \
                s[k] = op(s[k], x);                                              \
            }                                                                    \
        for (; i < n; i += VL) {                                                 \
            const tm m = TAIL(n - i < VL ? n - i : VL);                          \
            const vf x = FILLM(m, LOADM(m, px + i), C(*px));                     \
            nan = OR(nan, UNORD(x));                                             \
            s[0] = op(s[0], x);                                                  \
        }                                                                        \
        if (ANY(nan))                                                            \
            return NAN;                                                          \
        float t[VL];                                                             \
        STORE(t, op(s[0], s[1]));                                                \
        float r = t[0];                                                          \
        for (int k = 1; k < VL; k++)                                             \
            r = _mm_cvtss_f32(_mm_##name##_ss(_mm_set_ss(r), _mm_set_ss(t[k]))); \
        return r;                                                                \
    }
EXTREME(max, -INFINITY, MAX)
EXTREME(min, INFINITY, MIN)

#define ACCUMULATE(name, expr)                               \
    static void name(float *acc, const float *px, int64_t n) \
    {                                                        \
        int64_t i = 0;                                       \
        for (; i + VL <= n; i += VL) {                       \
            const vf x = LOAD(px + i);                       \
            STORE(acc + i, LOAD(acc + i) + (expr));          \
        }                                                    \
        if (i < n) {                                         \
            const tm m = TAIL(n - i);                        \
            const vf x = LOADM(m, px + i);                   \
            STOREM(m, acc + i, LOADM(m, acc + i) + (expr));  \
        }                                                    \
    }
ACCUMULATE(add_to_r, x)
ACCUMULATE(add_square_to_r, x *x)

static void axpy_r(float *y, const float *x, float a, int64_t n)
{
    const vf va = C(a);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE(y + i, FMA(va, LOAD(x + i), LOAD(y + i)));
    if (i < n) {
        const tm m = TAIL(n - i);
        STOREM(m, y + i, FMA(va, LOADM(m, x + i), LOADM(m, y + i)));
    }
}

/* K vectors of columns stay in registers while the rows go by. */
#define GEMV_BLOCK(K)                                               \
    for (; j + K * VL <= n; j += K * VL) {                          \
        vf s[K];                                                    \
        for (int b = 0; b < K; b++)                                 \
            s[b] = LOAD(y + j + b * VL);                            \
        for (int64_t i = 0; i < k; i++) {                           \
            const vf v = C(x[i]);                                   \
            for (int b = 0; b < K; b++)                             \
                s[b] = FMA(v, LOAD(m + i * ld + j + b * VL), s[b]); \
        }                                                           \
        for (int b = 0; b < K; b++)                                 \
            STORE(y + j + b * VL, s[b]);                            \
    }
static void gemv_r(float *y, const float *m, int64_t ld, const float *x, int64_t k,
                   int64_t n)
{
    int64_t j = 0;
    GEMV_BLOCK(8)
    GEMV_BLOCK(4)
    GEMV_BLOCK(1)
    if (j < n) {
        const tm t = TAIL(n - j);
        vf s = LOADM(t, y + j);
        for (int64_t i = 0; i < k; i++)
            s = FMA(C(x[i]), LOADM(t, m + i * ld + j), s);
        STOREM(t, y + j, s);
    }
}

#define NORMALIZE(expr)                             \
    for (; i < n; i += VL) {                        \
        const tm m = TAIL(n - i < VL ? n - i : VL); \
        const vf v = (LOADM(m, x + i) - me) * in;   \
        STOREM(m, y + i, expr);                     \
    }
static void normalize_r(float *y, const float *x, const float *gamma, const float *beta,
                        float mean, float inv, int64_t n)
{
    const vf me = C(mean), in = C(inv);
    int64_t i = 0;
    if (gamma && beta) {
        for (; i + VL <= n; i += VL)
            STORE(y + i, (LOAD(x + i) - me) * in * LOAD(gamma + i) + LOAD(beta + i));
        NORMALIZE(v * LOADM(m, gamma + i) + LOADM(m, beta + i))
    } else if (gamma) {
        NORMALIZE(v * LOADM(m, gamma + i))
    } else if (beta) {
        NORMALIZE(v + LOADM(m, beta + i))
    } else {
        NORMALIZE(v)
    }
}

static void scale_shift_r(float *y, const float *x, const float *scale,
                          const float *shift, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE(y + i, LOAD(x + i) * LOAD(scale + i) + LOAD(shift + i));
    if (i < n) {
        const tm m = TAIL(n - i);
        STOREM(m, y + i, LOADM(m, x + i) * LOADM(m, scale + i) + LOADM(m, shift + i));
    }
}

/* ---- quantization and conversion --------------------------------------------------- */

static inline vi quant_v(vf x, vf scale, vf zero, vf lo, vf hi)
{
    return TO_INT(MIN(MAX(ROUND(x / scale) + zero, lo), hi));
}

static inline float quant_1(float x, float scale, int32_t zero, float lo, float hi)
{
    const float q = rintf(x / scale) + (float)zero;
    return !(q > lo) ? lo : q < hi ? q : hi;
}

#define QUANT(name, type, store, lo, hi)                                            \
    static void name(type *y, const float *x, int64_t n, float scale, int32_t zero) \
    {                                                                               \
        const vf s = C(scale), z = C((float)zero);                                  \
        int64_t i = 0;                                                              \
        for (; i + VL <= n; i += VL)                                                \
            store(y + i, quant_v(LOAD(x + i), s, z, C(lo), C(hi)));                 \
        for (; i < n; i++)                                                          \
            y[i] = (type)quant_1(x[i], scale, zero, lo, hi);                        \
    }
QUANT(quant_u8_r, uint8_t, STORE_U8, 0.0f, 255.0f)
QUANT(quant_s8_r, int8_t, STORE_S8, -128.0f, 127.0f)

#define DEQUANT(name, type, load)                                                   \
    static void name(float *y, const type *x, int64_t n, float scale, int32_t zero) \
    {                                                                               \
        const vf s = C(scale);                                                      \
        const vi z = SET1I(zero);                                                   \
        int64_t i = 0;                                                              \
        for (; i + VL <= n; i += VL)                                                \
            STORE(y + i, TO_FLOAT(load(x + i) - z) * s);                            \
        for (; i < n; i++)                                                          \
            y[i] = (float)((int32_t)x[i] - zero) * scale;                           \
    }
DEQUANT(dequant_u8_r, uint8_t, LOAD_U8)
DEQUANT(dequant_s8_r, int8_t, LOAD_S8)

/* Rows of 16 entries, one after the other: a shuffle takes nothing where the index has
 * its highest bit set, and the low 4 bits elsewhere. With row k joined with row k - 1,
 * what all rows up to the right one give together is that row's entry. The second half
 * does the same for indices from 128 on. */
static void map_bytes_r(uint8_t *restrict y, const uint8_t *x, int64_t n,
                        const uint8_t table[256])
{
    __m256i row[16], last = _mm256_setzero_si256();
    for (int k = 0; k < 16; k++) {
        const __m128i r = _mm_loadu_si128((const __m128i *)(table + 16 * k));
        const __m256i both = _mm256_broadcastsi128_si256(r);
        row[k] = k % 8 ? _mm256_xor_si256(both, last) : both;
        last = both;
    }
    const __m256i step = _mm256_set1_epi8(16), top = _mm256_set1_epi8(-128);
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i lo = _mm256_loadu_si256((const __m256i *)(x + i));
        __m256i hi = _mm256_xor_si256(lo, top);
        __m256i u = _mm256_shuffle_epi8(row[0], lo), v = _mm256_shuffle_epi8(row[8], hi);
        for (int k = 1; k < 8; k++) {
            lo = _mm256_subs_epi8(lo, step);
            hi = _mm256_subs_epi8(hi, step);
            u = _mm256_xor_si256(u, _mm256_shuffle_epi8(row[k], lo));
            v = _mm256_xor_si256(v, _mm256_shuffle_epi8(row[k + 8], hi));
        }
        _mm256_storeu_si256((__m256i *)(y + i), _mm256_xor_si256(u, v));
    }
    for (; i < n; i++)
        y[i] = table[x[i]];
}

static void dequant_s32_r(float *y, const int32_t *x, int64_t n, float scale)
{
    const vf s = C(scale);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE(y + i, TO_FLOAT(LOAD_S32(x + i)) * s);
    for (; i < n; i++)
        y[i] = (float)x[i] * scale;
}

static void f16_f32_r(float *y, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE(y + i, FROM_F16(x + i));
    for (; i < n; i++)
        y[i] = _cvtsh_ss(x[i]);
}

static void f32_f16_r(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE_F16(y + i, LOAD(x + i));
    for (; i < n; i++)
        y[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

static void bf16_f32_r(float *y, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        STORE(y + i, AS_FLOAT(SLLI(LOAD_U16(x + i), 16)));
    for (; i < n; i++)
        y[i] = pln_bf16_to_f32(x[i]);
}

static void f32_bf16_r(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vf v = LOAD(x + i);
        const vi u = AS_INT(v), high = SRLI(u, 16);
        const vi even = SRLI(ADDI(ADDI(u, SET1I(0x7fff)), high & SET1I(1)), 16);
        STORE_U16(y + i, SELECTI(UNORD(v), high | SET1I(0x40), even));
    }
    for (; i < n; i++)
        y[i] = pln_f32_to_bf16(x[i]);
}

void SUFFIX(pln_vec_init)(pln_vec_fns *f)
{
#define X(name) f->name = name##_u;
    PLN_VEC_UNARY(X)
#undef X
#define X(name) f->name = name##_b;
    PLN_VEC_BINARY(X)
#undef X
    f->exp_sum = exp_sum_r;
    f->softmax_columns = softmax_columns_r;
    f->log_sum_exp = log_sum_exp_r;
    f->sum = sum_r;
    f->sum_abs = sum_abs_r;
    f->sum_square = sum_square_r;
    f->dot = dot_r;
    f->max_of = max;
    f->min_of = min;
    f->add_to = add_to_r;
    f->add_square_to = add_square_to_r;
    f->axpy = axpy_r;
    f->gemv = gemv_r;
    f->normalize = normalize_r;
    f->scale_shift = scale_shift_r;
    f->quant_u8 = quant_u8_r;
    f->quant_s8 = quant_s8_r;
    f->map_bytes = map_bytes_r;
    f->dequant_u8 = dequant_u8_r;
    f->dequant_s8 = dequant_s8_r;
    f->dequant_s32 = dequant_s32_r;
    f->f16_f32 = f16_f32_r;
    f->f32_f16 = f32_f16_r;
    f->bf16_f32 = bf16_f32_r;
    f->f32_bf16 = f32_bf16_r;
}
