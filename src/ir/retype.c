/* Constants in another float type.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/retype.h"

#include <math.h>

#include "src/ir/numeric.h"

typedef struct range {
    double largest, least; /* finite, positive */
} range;

static range range_of(pln_dtype dt)
{
    if (dt == PLN_DT_F16)
        return (range){ 65504, 0x1p-24 };
    if (dt == PLN_DT_BF16)
        return (range){ 0x1.fep127, 0x1p-133 };
    return (range){ 0x1.fffffep127, 0x1p-149 };
}

pln_status pln_tensor_retype(pln_tensor *t, pln_dtype to, pln_tensor **out,
                             pln_retyped *what, pln_error *err)
{
    const range r = range_of(to);
    *what = (pln_retyped){ 0, 0 };
    PLN_TRY(pln_tensor_materialize(t, err));
    PLN_TRY(pln_tensor_make(t->alloc, to, t->rank, t->dims, out, err));
    const int64_t n = pln_tensor_size(t);
    for (int64_t i = 0; i < n; i++) {
        double v = pln_tensor_get_f64(t, i);
        pln_tensor_set_f64(*out, i, v);
        const double now = pln_tensor_get_f64(*out, i);
        if (isfinite(v) && !isfinite(now)) {
            pln_tensor_set_f64(*out, i, copysign(r.largest, v));
            what->clamped++;
        } else if (v != 0 && now == 0) {
            if (n == 1) /* such as what keeps a division from 0 */
                pln_tensor_set_f64(*out, i, copysign(r.least, v));
            what->underflow++;
        }
    }
    return PLN_OK;
}
