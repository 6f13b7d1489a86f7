/* Scattered updates of one element type. Before including it:
 *     NAME(x)            a name for this type
 *     ELEM               the element in memory
 *     VAL, LOAD, STORE   what is computed with, and how it gets there
 *     ADD MUL MAX MIN    of two VALs (MAX undefined: no order)
 * SPDX-License-Identifier: Apache-2.0 */

/* out[indices[i] * step + i * move] = op(that, update[i]); indices were checked. */
#define ROW(op, OP)                                                                      \
    static void NAME(op##_row)(void *out, const void *update, const pln_tensor *indices, \
                               int64_t from, int64_t n, int64_t dim, int64_t step,       \
                               int64_t move)                                             \
    {                                                                                    \
        ELEM *o = out;                                                                   \
        const ELEM *u = update;                                                          \
        for (int64_t i = 0; i < n; i++) {                                                \
            int64_t v = pln_move_index(indices, from + i);                               \
            v += v < 0 ? dim : 0;                                                        \
            ELEM *e = o + v * step + i * move;                                           \
            const VAL a = LOAD(*e), b = LOAD(u[i]);                                      \
            *e = STORE(OP(a, b));                                                        \
        }                                                                                \
    }                                                                                    \
    static void NAME(op##_run)(void *out, const void *update, int64_t n)                 \
    {                                                                                    \
        ELEM *o = out;                                                                   \
        const ELEM *u = update;                                                          \
        for (int64_t i = 0; i < n; i++) {                                                \
            const VAL a = LOAD(o[i]), b = LOAD(u[i]);                                    \
            o[i] = STORE(OP(a, b));                                                      \
        }                                                                                \
    }

ROW(add, ADD)
ROW(mul, MUL)
#ifdef MAX
ROW(max, MAX)
ROW(min, MIN)
#endif

static const scatter_fns NAME(fns)[] = {
    { NULL, NULL },
    { NAME(add_row), NAME(add_run) },
    { NAME(mul_row), NAME(mul_run) },
#ifdef MAX
    { NAME(max_row), NAME(max_run) },
    { NAME(min_row), NAME(min_run) },
#else
    { NULL, NULL },
    { NULL, NULL },
#endif
};

#undef ROW
#undef NAME
#undef ELEM
#undef VAL
#undef LOAD
#undef STORE
#undef ADD
#undef MUL
#undef MAX
#undef MIN
