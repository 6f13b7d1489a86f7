/* Quantizing in terms of older operators.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/expand.h"

/* Scales or zero points of the places along an axis. */
static pln_value *along(pln_expander *x, pln_value *v)
{
    int64_t dims[PLN_MAX_RANK];
    const pln_shape s = v->type.shape;
    if (s.rank == 0 || (s.rank == 1 && pln_dim_is(s.dims[0], 1)))
        return v;
    const int rank = pln_expand_rank(x);
    int64_t axis = pln_expand_int(x, "axis", 1);
    axis += axis < 0 ? rank : 0;
    if (s.rank != 1 || axis < 0 || axis >= rank || pln_expand_int(x, "block_size", 0))
        pln_expand_refuse(x,
                          "its scales are neither one nor one for each place of an axis");
    for (int i = 0; i < rank; i++)
        dims[i] = i == axis ? -1 : 1;
    return x->st == PLN_OK ? pln_expand_reshape(x, v, dims, (size_t)rank) : NULL;
}

static pln_value *cast(pln_expander *x, pln_value *v, pln_dtype from, pln_dtype to)
{
    return from == to ? v : pln_expand_cast(x, v, to);
}

static bool range_of(pln_dtype dt, double *lo, double *hi)
{
    static const struct {
        uint8_t dt;
        double lo, hi;
    } ranges[] = { { PLN_DT_U8, 0, 255 },
                   { PLN_DT_S8, -128, 127 },
                   { PLN_DT_U16, 0, 65535 },
                   { PLN_DT_S16, -32768, 32767 } };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].dt == dt) {
            *lo = ranges[i].lo;
            *hi = ranges[i].hi;
            return true;
        }
    return false;
}

pln_status pln_expand_quantize(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_value *zero = pln_expand_in(&x, 2), *scale = n->in[1];
    const pln_dtype stated = (pln_dtype)pln_expand_int(&x, "output_dtype", 0);
    const pln_dtype to = zero ? zero->type.dtype : stated ? stated : PLN_DT_U8;
    double lo = 0, hi = 0;
    if (!range_of(to, &lo, &hi))
        pln_expand_refuse(&x, NULL);
    if (scale->type.dtype == PLN_DT_NONE || !pln_dtype_is_float(x.dt))
        pln_expand_refuse(&x, "its element types are not known");
    pln_value *v = cast(&x, n->in[0], x.dt, PLN_DT_F32);
    pln_value *s = cast(&x, along(&x, scale), scale->type.dtype, PLN_DT_F32);
    v = pln_expand_1(&x, "Round", pln_expand_2(&x, "Div", v, s));
    if (zero)
        v = pln_expand_2(&x, "Add", v, pln_expand_cast(&x, along(&x, zero), PLN_DT_F32));
    v = pln_expand_3(&x, "Clip", v, pln_expand_scalar(&x, PLN_DT_F32, lo),
                     pln_expand_scalar(&x, PLN_DT_F32, hi));
    pln_expand_give(&x, 0, pln_expand_cast(&x, v, to));
    return pln_expand_end(&x);
}

pln_status pln_expand_dequantize(pln_node *n, int64_t version, pln_error *err)
{
    pln_expander x = pln_expand_begin(n, version, err);
    pln_value *zero = pln_expand_in(&x, 2), *scale = n->in[1], *v = n->in[0];
    const pln_dtype dt = scale->type.dtype;
    const pln_dtype to = (pln_dtype)pln_expand_int(&x, "output_dtype", dt);
    if (dt == PLN_DT_NONE)
        pln_expand_refuse(&x, "the type of its scale is not known");
    if (pln_dtype_is_integer(x.dt) && zero)
        v = pln_expand_2(&x, "Sub", cast(&x, v, x.dt, PLN_DT_S32),
                         cast(&x, along(&x, zero), x.dt, PLN_DT_S32));
    v = pln_expand_cast(&x, v, PLN_DT_F32);
    v = pln_expand_2(&x, "Mul", v, cast(&x, along(&x, scale), dt, PLN_DT_F32));
    v = cast(&x, v, PLN_DT_F32, to);
    pln_expand_give(&x, 0, v);
    return pln_expand_end(&x);
}
