/* Einsum in terms of older operators: operands are joined from left to right, each pair
 * by MatMul where labels are summed, by Mul where none is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/expand.h"

#define LABELS \
    (52 + PLN_MAX_RANK) /* letters, then the dimensions of "...", from behind */
#define TERMS  8

/* A value and the label of each of its dimensions. */
typedef struct term {
    pln_value *v;
    uint8_t label[PLN_MAX_RANK];
    int n;
} term;

typedef struct sum {
    pln_expander x;
    term in[TERMS], out;
    int n_in, n_dots; /* most dimensions that "..." stands for */
    bool has_out;
    pln_value *size[LABELS]; /* vectors of one; made when asked for */
    struct {
        pln_value *v;
        int axis;
    } from[LABELS];
} sum;

/* ---- the equation ---------------------------------------------------------------- */

static int letter(char c)
{
    return c >= 'a' && c <= 'z' ? c - 'a' : c >= 'A' && c <= 'Z' ? 26 + c - 'A' : -1;
}

static int count_letters(const char *s, const char *end)
{
    int n = 0;
    for (; s < end; s++)
        n += letter(*s) >= 0;
    return n;
}

static void add_label(sum *e, term *t, int label)
{
    if (t->n == PLN_MAX_RANK)
        pln_expand_refuse(&e->x, "it has too many dimensions");
    else
        t->label[t->n++] = (uint8_t)label;
}

/* `dots`: how many dimensions "..." has in this term. */
static void read_term(sum *e, const char *s, const char *end, int dots, term *t)
{
    for (; s < end; s++) {
        if (letter(*s) >= 0)
            add_label(e, t, letter(*s));
        if (*s != '.')
            continue;
        s += 2;
        for (int i = dots - 1; i >= 0; i--)
            add_label(e, t, 52 + i);
    }
}

static void read_input(sum *e, const char *s, const char *end)
{
    pln_node *n = e->x.n;
    if (e->n_in == TERMS || (uint32_t)e->n_in >= n->n_in) {
        pln_expand_refuse(&e->x, "it has too many operands");
        return;
    }
    term *t = &e->in[e->n_in];
    t->v = n->in[e->n_in++];
    const int rank = t->v->type.shape.rank;
    const int dots = rank - count_letters(s, end);
    if (rank < 0)
        pln_expand_refuse(&e->x, "a rank is not known");
    read_term(e, s, end, dots, t);
    e->n_dots = dots > e->n_dots ? dots : e->n_dots;
    if (e->x.st == PLN_OK && t->n != rank)
        pln_expand_refuse(&e->x, "the equation does not fit to a rank");
    for (int i = 0; i < t->n; i++)
        if (!e->from[t->label[i]].v || pln_expand_size(e->from[t->label[i]].v,
                                                       e->from[t->label[i]].axis) == 1) {
            e->from[t->label[i]].v = t->v;
            e->from[t->label[i]].axis = i;
        }
}

static int uses_of(const sum *e, int label)
{
    int n = 0;
    for (int i = 0; i < e->n_in; i++)
        for (int k = 0; k < e->in[i].n; k++)
            n += e->in[i].label[k] == label;
    return n;
}

/* Without "->": "...", then what occurs once, by the alphabet. */
static void imply_output(sum *e)
{
    for (int i = e->n_dots - 1; i >= 0; i--)
        add_label(e, &e->out, 52 + i);
    for (int big = 1; big >= 0; big--)
        for (int c = 0; c < 26; c++)
            if (uses_of(e, c + 26 * big) == 1)
                add_label(e, &e->out, c + 26 * big);
}

static void read_equation(sum *e)
{
    const pln_attr *a = pln_node_find_attr(e->x.n, "equation");
    const char *s = a && a->type == PLN_ATTR_STRING ? a->s : "";
    const char *arrow = strstr(s, "->"), *end = arrow ? arrow : s + strlen(s);
    while (e->x.st == PLN_OK) {
        const char *stop = memchr(s, ',', (size_t)(end - s));
        read_input(e, s, stop ? stop : end);
        if (!stop)
            break;
        s = stop + 1;
    }
    if (arrow)
        read_term(e, arrow + 2, arrow + strlen(arrow), e->n_dots, &e->out);
    else
        imply_output(e);
    if ((uint32_t)e->n_in != e->x.n->n_in)
        pln_expand_refuse(&e->x, "the equation has another number of operands");
}

/* ---- terms ----------------------------------------------------------------------- */

static int place_of(const term *t, int label)
{
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label)
            return i;
    return -1;
}

static pln_value *size_of(sum *e, int label)
{
    if (!e->size[label])
        e->size[label] = pln_expand_dims(&e->x, e->from[label].v, e->from[label].axis, 1);
    return e->size[label];
}

/* Dimensions in the order of `label`, all of which the term has. */
static void reorder(sum *e, term *t, const uint8_t *label, int n)
{
    int64_t perm[PLN_MAX_RANK];
    bool moves = false;
    for (int i = 0; i < n; i++) {
        perm[i] = place_of(t, label[i]);
        moves |= perm[i] != i;
    }
    if (moves)
        t->v = pln_expand_transpose(&e->x, t->v, perm, (size_t)n);
    memcpy(t->label, label, (size_t)n);
}

/* The diagonal of two dimensions of one label: as one, of which every (size + 1)-th. */
static void take_diagonal(sum *e, term *t, int a, int b)
{
    uint8_t order[PLN_MAX_RANK];
    int64_t flat[PLN_MAX_RANK] = { 0 }, perm[PLN_MAX_RANK];
    int n = 0;
    const int label = t->label[a];
    for (int i = 0; i < t->n; i++)
        if (i != a && i != b) {
            perm[n] = i;
            order[n++] = t->label[i];
        }
    perm[n] = a;
    perm[n + 1] = b;
    pln_value *v = pln_expand_transpose(&e->x, t->v, perm, (size_t)t->n);
    flat[n] = -1;
    v = pln_expand_reshape(&e->x, v, flat, (size_t)n + 1);
    pln_value *size = size_of(e, label);
    pln_value *step =
        pln_expand_2(&e->x, "Add", size, pln_expand_scalar(&e->x, PLN_DT_S64, 1));
    pln_value *at = pln_expand_2(&e->x, "Mul", pln_expand_count(&e->x, size), step);
    t->v = pln_expand_set(&e->x, pln_expand_2(&e->x, "Gather", v, at), "axis", n);
    order[n++] = (uint8_t)label;
    memcpy(t->label, order, (size_t)n);
    t->n = n;
}

static void take_diagonals(sum *e, term *t)
{
    for (int a = 0; a < t->n; a++)
        for (int b = a + 1; b < t->n; b++)
            if (t->label[a] == t->label[b]) {
                take_diagonal(e, t, a, b);
                a = -1;
                break;
            }
}

/* Whether what comes behind operand i needs the label. */
static bool is_needed(const sum *e, int label, int i)
{
    if (place_of(&e->out, label) >= 0)
        return true;
    for (int k = i + 1; k < e->n_in; k++)
        if (place_of(&e->in[k], label) >= 0)
            return true;
    return false;
}

/* Labels that neither `other` nor what is behind operand i has are summed. */
static void sum_alone(sum *e, term *t, const term *other, int i)
{
    int64_t axes[PLN_MAX_RANK];
    int n = 0, left = 0;
    for (int k = 0; k < t->n; k++) {
        if (is_needed(e, t->label[k], i) || (other && place_of(other, t->label[k]) >= 0))
            t->label[left++] = t->label[k];
        else
            axes[n++] = k;
    }
    if (!n)
        return;
    t->n = left;
    t->v =
        pln_expand_2(&e->x, "ReduceSum", t->v, pln_expand_ints(&e->x, axes, (size_t)n));
    pln_expand_set(&e->x, t->v, "keepdims", 0);
}

/* ---- pairs ----------------------------------------------------------------------- */

typedef struct groups { /* labels of both, of both and summed, of one */
    uint8_t batch[PLN_MAX_RANK], inner[PLN_MAX_RANK], rows[PLN_MAX_RANK],
        columns[PLN_MAX_RANK];
    int n_batch, n_inner, n_rows, n_columns;
} groups;

static void group(const sum *e, const term *a, const term *b, int i, groups *g)
{
    *g = (groups){ .n_batch = 0 };
    for (int k = 0; k < a->n; k++) {
        const uint8_t l = a->label[k];
        if (place_of(b, l) < 0)
            g->rows[g->n_rows++] = l;
        else if (is_needed(e, l, i))
            g->batch[g->n_batch++] = l;
        else
            g->inner[g->n_inner++] = l;
    }
    for (int k = 0; k < b->n; k++)
        if (place_of(a, b->label[k]) < 0)
            g->columns[g->n_columns++] = b->label[k];
}

static int put(uint8_t *to, int n, const uint8_t *labels, int count)
{
    memcpy(to + n, labels, (size_t)count);
    return n + count;
}

/* Element by element: each gets dimensions of 1 where the other has its own. */
static void multiply(sum *e, term *a, term *b, const groups *g)
{
    uint8_t order[3 * PLN_MAX_RANK];
    int64_t axes[PLN_MAX_RANK];
    int n = put(order, 0, g->batch, g->n_batch);
    n = put(order, n, g->rows, g->n_rows);
    reorder(e, a, order, n);
    for (int i = 0; i < g->n_columns; i++)
        axes[i] = n + i;
    if (g->n_columns)
        a->v = pln_expand_unsqueeze(&e->x, a->v, axes, (size_t)g->n_columns);
    n = put(order, 0, g->batch, g->n_batch);
    n = put(order, n, g->columns, g->n_columns);
    reorder(e, b, order, n);
    for (int i = 0; i < g->n_rows; i++)
        axes[i] = g->n_batch + i;
    if (g->n_rows && g->n_columns + g->n_batch) /* else it is a scalar */
        b->v = pln_expand_unsqueeze(&e->x, b->v, axes, (size_t)g->n_rows);
    a->v = pln_expand_2(&e->x, "Mul", a->v, b->v);
    a->n = put(a->label, g->n_batch, g->rows, g->n_rows);
    a->n = put(a->label, a->n, g->columns, g->n_columns);
}

static pln_value *product(sum *e, const uint8_t *labels, int n)
{
    pln_value *v = NULL;
    for (int i = 0; i < n; i++)
        v = v ? pln_expand_2(&e->x, "Mul", v, size_of(e, labels[i]))
              : size_of(e, labels[i]);
    return v;
}

/* (batch, first, second), where each of the latter is one dimension. */
static void as_matrix(sum *e, term *t, const groups *g, const uint8_t *first, int n_first,
                      const uint8_t *second, int n_second)
{
    uint8_t order[3 * PLN_MAX_RANK];
    const int64_t one = 1, zero = 0;
    int n = put(order, 0, g->batch, g->n_batch);
    n = put(order, n, first, n_first);
    n = put(order, n, second, n_second);
    reorder(e, t, order, n);
    if (n_first == 1 && n_second == 1)
        return;
    pln_value *dims[PLN_MAX_RANK + 2];
    for (int i = 0; i < g->n_batch; i++)
        dims[i] = pln_expand_ints(&e->x, &zero, 1);
    dims[g->n_batch] =
        n_first ? product(e, first, n_first) : pln_expand_ints(&e->x, &one, 1);
    dims[g->n_batch + 1] =
        n_second ? product(e, second, n_second) : pln_expand_ints(&e->x, &one, 1);
    t->v = pln_expand_2(&e->x, "Reshape", t->v,
                        pln_expand_concat(&e->x, 0, dims, (uint32_t)g->n_batch + 2));
}

static void contract(sum *e, term *a, term *b, const groups *g)
{
    const int64_t zero = 0;
    as_matrix(e, a, g, g->rows, g->n_rows, g->inner, g->n_inner);
    as_matrix(e, b, g, g->inner, g->n_inner, g->columns, g->n_columns);
    a->v = pln_expand_2(&e->x, "MatMul", a->v, b->v);
    a->n = put(a->label, 0, g->batch, g->n_batch);
    a->n = put(a->label, a->n, g->rows, g->n_rows);
    a->n = put(a->label, a->n, g->columns, g->n_columns);
    if (g->n_rows == 1 && g->n_columns == 1)
        return;
    if (!a->n) {
        pln_value *none = pln_expand_ints(&e->x, &zero, 0);
        a->v = pln_expand_2(&e->x, "Reshape", a->v, none);
        return;
    }
    pln_value *dims[PLN_MAX_RANK];
    for (int i = 0; i < a->n; i++)
        dims[i] = i < g->n_batch ? pln_expand_ints(&e->x, &zero, 1)
                                 : size_of(e, a->label[i]);
    a->v = pln_expand_2(&e->x, "Reshape", a->v,
                        pln_expand_concat(&e->x, 0, dims, (uint32_t)a->n));
}

static void join(sum *e, term *a, int i)
{
    term *b = &e->in[i];
    groups g;
    sum_alone(e, a, b, i);
    sum_alone(e, b, a, i);
    group(e, a, b, i, &g);
    if (e->x.st != PLN_OK)
        return;
    if (g.n_batch + g.n_rows + g.n_columns > PLN_MAX_RANK)
        pln_expand_refuse(&e->x, "it has too many dimensions");
    else if (g.n_inner)
        contract(e, a, b, &g);
    else
        multiply(e, a, b, &g);
}

pln_status pln_expand_einsum(pln_node *n, int64_t version, pln_error *err)
{
    sum e = { .x = pln_expand_begin(n, version, err) };
    read_equation(&e);
    for (int i = 0; i < e.n_in && e.x.st == PLN_OK; i++)
        take_diagonals(&e, &e.in[i]);
    term t = e.in[0];
    if (e.n_in == 1)
        sum_alone(&e, &t, NULL, 0);
    for (int i = 1; i < e.n_in && e.x.st == PLN_OK; i++)
        join(&e, &t, i);
    if (e.x.st == PLN_OK && t.n != e.out.n)
        pln_expand_refuse(&e.x, "its result has other dimensions");
    for (int i = 0; e.x.st == PLN_OK && i < e.out.n; i++)
        if (place_of(&t, e.out.label[i]) < 0)
            pln_expand_refuse(&e.x, "its result has other dimensions");
    if (e.x.st == PLN_OK)
        reorder(&e, &t, e.out.label, e.out.n);
    if (t.v == n->in[0])
        t.v = pln_expand_1(&e.x, "Identity", t.v);
    pln_expand_give(&e.x, 0, t.v);
    return pln_expand_end(&e.x);
}
