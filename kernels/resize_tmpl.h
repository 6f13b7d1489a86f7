/* One axis of an interpolation, in float or double. Before including it: NAME(x), ACC.
 * SPDX-License-Identifier: Apache-2.0 */

/* in is [outer, in, inner], out [outer, out, inner]; rows [begin, end) of outer x out. */
static void NAME(axis_range)(void *arg, int64_t begin, int64_t end)
{
    const axis_job *j = arg;
    const resize_axis *a = j->axis;
    const int64_t inner = j->inner;
    for (int64_t r = begin; r < end; r++) {
        const int64_t o = r / a->out, x = r % a->out;
        const ACC *in = (const ACC *)j->in + o * a->in * inner;
        ACC *out = (ACC *)j->to + r * inner;
        const int32_t *index = a->index + x * a->taps;
        const double *weight = a->weight + x * a->taps;
        if (a->taps == 2) {
            const ACC *p = in + index[0] * inner, *q = in + index[1] * inner;
            const ACC u = (ACC)weight[0], v = (ACC)weight[1];
            for (int64_t i = 0; i < inner; i++)
                out[i] = u * p[i] + v * q[i];
            continue;
        }
        for (int64_t i = 0; i < inner; i++)
            out[i] = 0;
        for (int t = 0; t < a->taps; t++) {
            const ACC *p = in + index[t] * inner, w = (ACC)weight[t];
            for (int64_t i = 0; i < inner; i++)
                out[i] += w * p[i];
        }
    }
}

/* The same for inner == 1: rows of outer. */
static void NAME(line_range)(void *arg, int64_t begin, int64_t end)
{
    const axis_job *j = arg;
    const resize_axis *a = j->axis;
    for (int64_t o = begin; o < end; o++) {
        const ACC *in = (const ACC *)j->in + o * a->in;
        ACC *out = (ACC *)j->to + o * a->out;
        const int32_t *index = a->index;
        const double *weight = a->weight;
        if (a->taps == 2) {
            for (int64_t x = 0; x < a->out; x++)
                out[x] = (ACC)weight[2 * x] * in[index[2 * x]] +
                         (ACC)weight[2 * x + 1] * in[index[2 * x + 1]];
            continue;
        }
        for (int64_t x = 0; x < a->out; x++, index += a->taps, weight += a->taps) {
            ACC sum = 0;
            for (int t = 0; t < a->taps; t++)
                sum += (ACC)weight[t] * in[index[t]];
            out[x] = sum;
        }
    }
}

#undef NAME
#undef ACC
