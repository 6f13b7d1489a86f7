/* The products in front of an attention: what com.microsoft.Attention computes by itself,
 * and the biases that MultiHeadAttention adds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "passes/affine.h"
#include "passes/to_ms_attention.h"

#include <string.h>

/* x w + b; b may be NULL. */
typedef struct projection {
    pln_value *x, *w, *b;
    bool turned; /* and its first two dimensions changed places */
} projection;

static bool is_row(const pln_value *v, int64_t n)
{
    return pln_value_is_const(v) && v->type.dtype == PLN_DT_F32 &&
           pln_value_rank(v) == 1 && pln_value_count(v) == n;
}

/* v = z + a constant row of n numbers; nobody else reads v. */
static pln_value *row_of(const pln_value *v, int64_t n, pln_value **z)
{
    const pln_node *add = v->def;
    if (!add || !pln_node_is(add, "Add") || !pln_value_is_single_use(v))
        return NULL;
    for (int i = 0; i < 2; i++)
        if (is_row(add->in[i], n) && pln_value_same_type(add->in[1 - i], v)) {
            *z = add->in[1 - i];
            return add->in[i];
        }
    return NULL;
}

static bool is_turned(const pln_value *v)
{
    int64_t perm[PLN_MAX_RANK];
    int rank;
    return v->def && pln_node_is(v->def, "Transpose") && pln_value_is_single_use(v) &&
           pln_perm_of(v->def, perm, &rank) && rank == 3 && perm[0] == 1 && perm[1] == 0;
}

static bool is_projection(pln_value *v, int64_t n, projection *r)
{
    r->turned = is_turned(v);
    v = r->turned ? v->def->in[0] : v;
    pln_value *z = v;
    r->b = row_of(v, n, &z);
    const pln_node *mm = z->def;
    if (!mm || !pln_node_is(mm, "MatMul") || !pln_value_is_single_use(z) ||
        !pln_value_is_const(mm->in[1]) || mm->in[1]->type.dtype != PLN_DT_F32 ||
        pln_value_rank(mm->in[1]) != 2 || pln_value_rank(mm->in[0]) != 3)
        return false;
    r->x = mm->in[0];
    r->w = mm->in[1];
    return true;
}

/* ---- side by side ---------------------------------------------------------------- */

/* Constants with the same rows, next to each other; NULL among them: zeros. */
static pln_value *beside(pln_patch *p, pln_value *const *v, const int64_t *width,
                         int64_t rows, int rank, const char *hint)
{
    const int64_t all = width[0] + width[1] + width[2];
    const int64_t dims[2] = { rank == 2 ? rows : all, all };
    pln_error local = { .code = PLN_OK };
    pln_tensor *t = NULL;
    if (pln_tensor_make(p->graph->model->alloc, PLN_DT_F32, rank, dims, &t, NULL) !=
        PLN_OK)
        return pln_patch_const(p, NULL, hint);
    float *out = PLN_DATA(float, t);
    for (int i = 0; i < 3; out += width[i++]) {
        if (v[i] && pln_tensor_materialize(v[i]->cst, &local) != PLN_OK) {
            pln_tensor_unref(t);
            return pln_patch_const(p, NULL, hint);
        }
        for (int64_t r = 0; r < rows; r++)
            if (v[i])
                memcpy(out + r * all, PLN_DATA(const float, v[i]->cst) + r * width[i],
                       (size_t)width[i] * sizeof *out);
            else
                memset(out + r * all, 0, (size_t)width[i] * sizeof *out);
    }
    return pln_patch_const(p, t, hint);
}

static void widths_of(const pln_ms_attention *a, int64_t *width)
{
    width[0] = width[1] = a->heads * a->dim;
    width[2] = a->heads * a->v_dim;
}

/* Three products of one input become one. Weights that others use would stay, too. */
static bool merge(pln_patch *p, const pln_ms_attention *a, projection *r)
{
    projection each[3];
    int64_t width[3];
    widths_of(a, width);
    for (int i = 0; i < 3; i++)
        if (a->part[i].parts != 1 || !pln_value_is_single_use(a->part[i].x) ||
            a->part[i].len_first != a->part[0].len_first ||
            !is_projection(a->part[i].x, width[i], &each[i]) || each[i].x != each[0].x ||
            each[i].turned != each[0].turned ||
            !pln_value_is_own_weights(each[i].w))
            return false;
    if (each[0].w == each[1].w || each[0].w == each[2].w || each[1].w == each[2].w)
        return false;
    pln_value *const w[3] = { each[0].w, each[1].w, each[2].w };
    pln_value *const b[3] = { each[0].b, each[1].b, each[2].b };
    r->x = each[0].x;
    r->turned = each[0].turned;
    r->w = beside(p, w, width, w[0]->cst->dims[0], 2, w[0]->name);
    r->b = NULL;
    if (b[0] || b[1] || b[2])
        r->b = beside(p, b, width, 1, 1, b[0] ? b[0]->name : "bias");
    return r->w && (r->b || !(b[0] || b[1] || b[2]));
}

/* One product, whose result is taken apart in the order of queries, keys and values. */
static bool is_packed(const pln_ms_attention *a, projection *r)
{
    const pln_joined *j = a->part;
    int64_t width[3];
    widths_of(a, width);
    const int64_t all = width[0] + width[1] + width[2];
    if (j[0].parts == 3) {
        for (int i = 0; i < 3; i++)
            if (j[i].part != i)
                return false;
        return pln_joined_together(j) && is_projection(j[0].x, all, r);
    }
    const pln_node *split = j[0].x->def;
    if (!split || !pln_node_is(split, "Split") || split->n_out != 3)
        return false;
    const int64_t axis = pln_node_get_int(split, "axis", 0);
    for (int i = 0; i < 3; i++)
        if (j[i].parts != 1 || j[i].len_first != j[0].len_first ||
            j[i].x != split->out[i] || !pln_value_is_single_use(j[i].x))
            return false;
    return (axis == 2 || axis == -1) && is_projection(split->in[0], all, r);
}

pln_node *pln_ms_attention_packed(pln_patch *p, const pln_ms_attention *a)
{
    projection r;
    int64_t sizes[3];
    if (a->cache[0] || !a->joined[0] || !a->joined[1] || !a->joined[2] ||
        (!is_packed(a, &r) && !merge(p, a, &r)))
        return NULL;
    const pln_joined x = { .x = r.x, .len_first = a->part[0].len_first != r.turned };
    pln_value *in[6] = { pln_joined_value(p, &x), r.w, r.b, a->hidden, NULL, a->mask };
    pln_node *n = pln_patch_add_in(p, PLN_MS, "Attention", in, 6, 1);
    widths_of(a, sizes);
    if (n && sizes[2] != sizes[0] &&
        pln_node_set_ints(n, "qkv_hidden_sizes", sizes, 3) != PLN_OK)
        p->failed = PLN_E_NOMEM;
    return n;
}

pln_value *pln_ms_attention_bias(pln_patch *p, const pln_ms_attention *a, pln_value **in)
{
    int64_t width[3];
    pln_value *b[3] = { NULL }, *z[3];
    int n = 0;
    widths_of(a, width);
    for (int i = 0; i < 3; i++) {
        z[i] = in[i];
        if (a->joined[i] && a->part[i].parts == 1)
            n += (b[i] = row_of(in[i], width[i], &z[i])) != NULL;
    }
    if (n < 2)
        return NULL;
    memcpy(in, z, sizeof z);
    return beside(p, b, width, 1, 1, b[0] ? b[0]->name : b[1]->name);
}
