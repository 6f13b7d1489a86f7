/* Elements [begin, end) of an Einsum's result, for one type.
 * SPDX-License-Identifier: Apache-2.0 */
static void PLN_PASTE(einsum, SUFFIX)(const einsum *s, int64_t begin, int64_t end)
{
    const int n = s->n_out + s->n_sum;
    for (int64_t o = begin; o < end; o++) {
        int64_t base[TERMS_MAX] = { 0 }, at[LABELS_MAX] = { 0 }, rest = o;
        for (int l = s->n_out - 1; l >= 0; l--) {
            for (int i = 0; i < s->n_in; i++)
                base[i] += rest % s->size[l] * s->step[i][l];
            rest /= s->size[l];
        }
        ACC sum = 0;
        for (int64_t t = 0; t < s->n_terms; t++) {
            ACC product = LOAD(((const T *)s->in[0])[base[0]]);
            for (int i = 1; i < s->n_in; i++)
                product *= LOAD(((const T *)s->in[i])[base[i]]);
            sum += product;
            /* The next combination of the summed dimensions. */
            for (int l = n - 1; l >= s->n_out; l--) {
                const bool wraps = ++at[l] == s->size[l];
                for (int i = 0; i < s->n_in; i++)
                    base[i] += wraps ? -(s->size[l] - 1) * s->step[i][l] : s->step[i][l];
                if (!wraps)
                    break;
                at[l] = 0;
            }
        }
        ((T *)s->out)[o] = STORE(sum);
    }
}
