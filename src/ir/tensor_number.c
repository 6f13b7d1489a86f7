/* Elements of any type as numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "src/ir/numeric.h"
#include "src/ir/tensor.h"

double pln_tensor_get_f64(const pln_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PLN_DT_F32:
        return (double)PLN_DATA(const float, t)[i];
    case PLN_DT_F64:
        return PLN_DATA(const double, t)[i];
    case PLN_DT_F16:
        return (double)pln_f16_to_f32(PLN_DATA(const uint16_t, t)[i]);
    case PLN_DT_BF16:
        return (double)pln_bf16_to_f32(PLN_DATA(const uint16_t, t)[i]);
    case PLN_DT_F8E4M3FN:
    case PLN_DT_F8E4M3FNUZ:
    case PLN_DT_F8E5M2:
    case PLN_DT_F8E5M2FNUZ:
    case PLN_DT_F8E8M0:
        return (double)pln_f8_to_f32((pln_dtype)t->dtype, PLN_DATA(const uint8_t, t)[i]);
    case PLN_DT_F6E2M3:
    case PLN_DT_F6E3M2:
        return (double)pln_f6_to_f32((pln_dtype)t->dtype, PLN_DATA(const uint8_t, t)[i]);
    case PLN_DT_F4E2M1:
        return (double)pln_f4_to_f32(PLN_DATA(const uint8_t, t)[i]);
    case PLN_DT_C64:
        return (double)PLN_DATA(const float, t)[2 * i];
    case PLN_DT_C128:
        return PLN_DATA(const double, t)[2 * i];
    case PLN_DT_U64:
        return (double)PLN_DATA(const uint64_t, t)[i];
    default:
        return (double)pln_tensor_get_i64(t, i);
    }
}

/* As C converts, but defined for what is out of range. */
static int64_t trunc_i64(double v)
{
    if (isnan(v))
        return 0;
    if (v >= 9223372036854775808.0)
        return INT64_MAX;
    return v < -9223372036854775808.0 ? INT64_MIN : (int64_t)v;
}

int64_t pln_tensor_get_i64(const pln_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PLN_DT_S64:
        return PLN_DATA(const int64_t, t)[i];
    case PLN_DT_U64:
        return (int64_t)PLN_DATA(const uint64_t, t)[i];
    case PLN_DT_S32:
        return PLN_DATA(const int32_t, t)[i];
    case PLN_DT_U32:
        return PLN_DATA(const uint32_t, t)[i];
    case PLN_DT_S16:
        return PLN_DATA(const int16_t, t)[i];
    case PLN_DT_U16:
        return PLN_DATA(const uint16_t, t)[i];
    case PLN_DT_S8:
    case PLN_DT_S4:
    case PLN_DT_S2:
        return PLN_DATA(const int8_t, t)[i];
    case PLN_DT_U8:
    case PLN_DT_U4:
    case PLN_DT_U2:
    case PLN_DT_BOOL:
        return PLN_DATA(const uint8_t, t)[i];
    case PLN_DT_STRING:
        return 0;
    default:
        return trunc_i64(pln_tensor_get_f64(t, i));
    }
}

void pln_tensor_set_f64(pln_tensor *t, int64_t i, double v)
{
    switch (t->dtype) {
    case PLN_DT_F32:
        PLN_DATA(float, t)[i] = (float)v;
        break;
    case PLN_DT_F64:
        PLN_DATA(double, t)[i] = v;
        break;
    case PLN_DT_F16:
        PLN_DATA(uint16_t, t)[i] = pln_f64_to_f16(v);
        break;
    case PLN_DT_BF16:
        PLN_DATA(uint16_t, t)[i] = pln_f64_to_bf16(v);
        break;
    case PLN_DT_F8E4M3FN:
    case PLN_DT_F8E4M3FNUZ:
    case PLN_DT_F8E5M2:
    case PLN_DT_F8E5M2FNUZ:
    case PLN_DT_F8E8M0:
        PLN_DATA(uint8_t, t)[i] = pln_f32_to_f8((pln_dtype)t->dtype, (float)v, true);
        break;
    case PLN_DT_F6E2M3:
    case PLN_DT_F6E3M2:
        PLN_DATA(uint8_t, t)[i] = pln_f32_to_f6((pln_dtype)t->dtype, (float)v);
        break;
    case PLN_DT_F4E2M1:
        PLN_DATA(uint8_t, t)[i] = pln_f32_to_f4((float)v);
        break;
    case PLN_DT_C64:
        PLN_DATA(float, t)[2 * i] = (float)v;
        PLN_DATA(float, t)[2 * i + 1] = 0;
        break;
    case PLN_DT_C128:
        PLN_DATA(double, t)[2 * i] = v;
        PLN_DATA(double, t)[2 * i + 1] = 0;
        break;
    case PLN_DT_BOOL:
        PLN_DATA(uint8_t, t)[i] = v != 0;
        break;
    case PLN_DT_U64:
        PLN_DATA(uint64_t, t)
        [i] = v >= 9223372036854775808.0 && v < 18446744073709551616.0
                  ? (uint64_t)v
                  : (uint64_t)trunc_i64(v);
        break;
    default:
        pln_tensor_set_i64(t, i, trunc_i64(v));
    }
}

void pln_tensor_set_i64(pln_tensor *t, int64_t i, int64_t v)
{
    const uint64_t u = (uint64_t)v;
    switch (t->dtype) {
    case PLN_DT_S64:
    case PLN_DT_U64:
        PLN_DATA(uint64_t, t)[i] = u;
        break;
    case PLN_DT_S32:
    case PLN_DT_U32:
        PLN_DATA(uint32_t, t)[i] = (uint32_t)u;
        break;
    case PLN_DT_S16:
    case PLN_DT_U16:
        PLN_DATA(uint16_t, t)[i] = (uint16_t)u;
        break;
    case PLN_DT_S8:
    case PLN_DT_U8:
        PLN_DATA(uint8_t, t)[i] = (uint8_t)u;
        break;
    case PLN_DT_U4:
        PLN_DATA(uint8_t, t)[i] = (uint8_t)(u & 15);
        break;
    case PLN_DT_U2:
        PLN_DATA(uint8_t, t)[i] = (uint8_t)(u & 3);
        break;
    case PLN_DT_S4: /* sign-extended in its byte */
        PLN_DATA(uint8_t, t)[i] = (uint8_t)(((u & 15) ^ 8) - 8);
        break;
    case PLN_DT_S2:
        PLN_DATA(uint8_t, t)[i] = (uint8_t)(((u & 3) ^ 2) - 2);
        break;
    case PLN_DT_BOOL:
        PLN_DATA(uint8_t, t)[i] = v != 0;
        break;
    case PLN_DT_STRING:
        break;
    default:
        pln_tensor_set_f64(t, i, (double)v);
    }
}

PLN_API double pln_tensor_number(const pln_tensor *t, int64_t i)
{
    return pln_tensor_get_f64(t, i);
}

PLN_API void pln_tensor_set_number(pln_tensor *t, int64_t i, double v)
{
    pln_tensor_set_f64(t, i, v);
}
