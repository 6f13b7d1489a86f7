/* The loops of pool_fns.h for one instruction set: TABLE is the table's name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pool_fns.h"

#include <math.h>

#include "kernels/pool_index_tmpl.h"

#define PLAIN(x)     (x)
#define MAX2(a, b)   ((b) > (a) ? (b) : (a))
#define SUM2(a, b)   ((a) + (b))
#define SAME(a, n)   ((void)(n), (a))
#define MEAN(a, n)   ((a) / (n))
#define POW_F(a, v)  ((a) + powf(fabsf(v), (float)g->p))
#define ROOT_F(a, n) ((void)(n), powf(a, (float)g->inv_p))
#define POW_D(a, v)  ((a) + pow(fabs(v), (double)g->p))
#define ROOT_D(a, n) ((void)(n), pow(a, g->inv_p))
#define SQ(a, v)     ((a) + (v) * (v))
#define SQRT_F(a, n) ((void)(n), sqrtf(a))

#define NAME(x) max_f32_##x
#define ELEM    float
#define ACC     float
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    -INFINITY
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"
#define NAME(x) max_f64_##x
#define ELEM    double
#define ACC     double
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    -INFINITY
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"
#define NAME(x) max_f16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_f16_to_f32
#define STORE   pln_f32_to_f16
#define INIT    -INFINITY
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"
#define NAME(x) max_bf16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_bf16_to_f32
#define STORE   pln_f32_to_bf16
#define INIT    -INFINITY
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"
#define NAME(x) max_u8_##x
#define ELEM    uint8_t
#define ACC     uint8_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"
#define NAME(x) max_s8_##x
#define ELEM    int8_t
#define ACC     int8_t
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    INT8_MIN
#define STEP    MAX2
#define JOIN    MAX2
#define FINISH  SAME
#include "kernels/pool_tmpl.h"

#define NAME(x) avg_f32_##x
#define ELEM    float
#define ACC     float
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    SUM2
#define JOIN    SUM2
#define FINISH  MEAN
#include "kernels/pool_tmpl.h"
#define NAME(x) avg_f64_##x
#define ELEM    double
#define ACC     double
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    SUM2
#define JOIN    SUM2
#define FINISH  MEAN
#include "kernels/pool_tmpl.h"
#define NAME(x) avg_f16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_f16_to_f32
#define STORE   pln_f32_to_f16
#define INIT    0
#define STEP    SUM2
#define JOIN    SUM2
#define FINISH  MEAN
#include "kernels/pool_tmpl.h"
#define NAME(x) avg_bf16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_bf16_to_f32
#define STORE   pln_f32_to_bf16
#define INIT    0
#define STEP    SUM2
#define JOIN    SUM2
#define FINISH  MEAN
#include "kernels/pool_tmpl.h"

#define NAME(x) l2_f32_##x
#define ELEM    float
#define ACC     float
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    SQ
#define JOIN    SUM2
#define FINISH  SQRT_F
#include "kernels/pool_tmpl.h"
#define NAME(x) lp_f32_##x
#define ELEM    float
#define ACC     float
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    POW_F
#define JOIN    SUM2
#define FINISH  ROOT_F
#include "kernels/pool_tmpl.h"
#define NAME(x) lp_f64_##x
#define ELEM    double
#define ACC     double
#define LOAD    PLAIN
#define STORE   PLAIN
#define INIT    0
#define STEP    POW_D
#define JOIN    SUM2
#define FINISH  ROOT_D
#include "kernels/pool_tmpl.h"
#define NAME(x) lp_f16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_f16_to_f32
#define STORE   pln_f32_to_f16
#define INIT    0
#define STEP    POW_F
#define JOIN    SUM2
#define FINISH  ROOT_F
#include "kernels/pool_tmpl.h"
#define NAME(x) lp_bf16_##x
#define ELEM    uint16_t
#define ACC     float
#define LOAD    pln_bf16_to_f32
#define STORE   pln_f32_to_bf16
#define INIT    0
#define STEP    POW_F
#define JOIN    SUM2
#define FINISH  ROOT_F
#include "kernels/pool_tmpl.h"

#define FNS(x) { x##_plain, x##_last }
const pool_table TABLE = {
    .fns = {
        [POOL_MAX] = { [PLN_DT_F32] = FNS(max_f32),
                       [PLN_DT_F64] = FNS(max_f64),
                       [PLN_DT_F16] = FNS(max_f16),
                       [PLN_DT_BF16] = FNS(max_bf16),
                       [PLN_DT_U8] = FNS(max_u8),
                       [PLN_DT_S8] = FNS(max_s8) },
        [POOL_AVG] = { [PLN_DT_F32] = FNS(avg_f32),
                       [PLN_DT_F64] = FNS(avg_f64),
                       [PLN_DT_F16] = FNS(avg_f16),
                       [PLN_DT_BF16] = FNS(avg_bf16) },
        [POOL_LP] = { [PLN_DT_F32] = FNS(lp_f32),
                      [PLN_DT_F64] = FNS(lp_f64),
                      [PLN_DT_F16] = FNS(lp_f16),
                      [PLN_DT_BF16] = FNS(lp_bf16) },
        [POOL_L2] = { [PLN_DT_F32] = FNS(l2_f32) },
    },
    .positions = { [PLN_DT_F32] = positions_f32, [PLN_DT_F64] = positions_f64,
                   [PLN_DT_F16] = positions_f16, [PLN_DT_BF16] = positions_bf16,
                   [PLN_DT_U8] = positions_u8, [PLN_DT_S8] = positions_s8 },
};
