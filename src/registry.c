/* The registry: every built-in operator and device, and the user's own operators.
 * One of the two kinds of file that see all lists.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/registry.h"

#include <string.h>

#include "config.h"
#include "src/util/map.h"

#define PLN_OPS(family) extern const pln_op_desc pln_ops_##family[];
#include "kernels/op_list.inc"
#undef PLN_OPS

static const pln_op_desc *const families[] = {
#define PLN_OPS(family) pln_ops_##family,
#include "kernels/op_list.inc"
#undef PLN_OPS
    NULL,
};

#if PLN_DNNL
extern const pln_device pln_device_dnnl;
#endif

extern const pln_device pln_device_wide;

static const pln_device *const devices[] = {
#if PLN_DNNL
    &pln_device_dnnl,
#endif
    &pln_device_wide,
    NULL,
};

typedef struct op_slot {
    const pln_op_desc *op;
    uint64_t hash;
} op_slot;

struct pln_registry {
    const pln_allocator *alloc;
    const pln_op_desc **rows;
    size_t n_rows, cap_rows;
    op_slot *slots;
    size_t cap;
};

static uint64_t hash_of(const char *domain, const char *name)
{
    return pln_hash(pln_hash(PLN_HASH_SEED, domain, strlen(domain) + 1), name,
                    strlen(name));
}

static size_t find(const pln_registry *r, const char *domain, const char *name,
                   uint64_t h)
{
    size_t i = (size_t)h & (r->cap - 1);
    for (; r->slots[i].op; i = (i + 1) & (r->cap - 1))
        if (r->slots[i].hash == h && !strcmp(r->slots[i].op->name, name) &&
            !strcmp(r->slots[i].op->domain, domain))
            break;
    return i;
}

static bool rehash(pln_registry *r, size_t cap)
{
    op_slot *slots = pln_calloc(r->alloc, cap, sizeof *slots);
    if (!slots)
        return false;
    pln_release(r->alloc, r->slots);
    r->slots = slots;
    r->cap = cap;
    for (size_t k = 0; k < r->n_rows; k++) {
        const pln_op_desc *op = r->rows[k];
        const uint64_t h = hash_of(op->domain, op->name);
        slots[find(r, op->domain, op->name, h)] = (op_slot){ op, h };
    }
    return true;
}

bool pln_registry_add(pln_registry *r, const pln_op_desc *op)
{
    if (!pln_grow(r->alloc, (void **)&r->rows, &r->cap_rows, r->n_rows + 1,
                  sizeof *r->rows))
        return false;
    r->rows[r->n_rows++] = op;
    if (r->n_rows * 2 > r->cap)
        return rehash(r, r->cap * 2);
    const uint64_t h = hash_of(op->domain, op->name);
    r->slots[find(r, op->domain, op->name, h)] = (op_slot){ op, h };
    return true;
}

static bool add_builtin(pln_registry *r)
{
    for (size_t f = 0; families[f]; f++)
        for (const pln_op_desc *op = families[f]; op->name; op++)
            if (!pln_registry_add(r, op))
                return false;
    return true;
}

pln_registry *pln_registry_new(const pln_allocator *a)
{
    pln_registry *r = pln_calloc(a, 1, sizeof *r);
    if (!r)
        return NULL;
    r->alloc = a;
    if (!rehash(r, 1024) || !add_builtin(r)) {
        pln_registry_free(r);
        return NULL;
    }
    return r;
}

void pln_registry_free(pln_registry *r)
{
    if (!r)
        return;
    pln_release(r->alloc, r->rows);
    pln_release(r->alloc, r->slots);
    pln_release(r->alloc, r);
}

const pln_op_desc *pln_registry_find(const pln_registry *r, const char *domain,
                                     const char *name)
{
    const char *d = pln_domain_normal(domain);
    const pln_op_desc *op = r->slots[find(r, d, name, hash_of(d, name))].op;
    /* `planish` has every standard operator, too, in its newest meaning. */
    if (!op && !strcmp(d, "planish"))
        op = r->slots[find(r, "", name, hash_of("", name))].op;
    return op;
}

const pln_op_desc *pln_registry_at(const pln_registry *r, size_t i)
{
    return i < r->n_rows ? r->rows[i] : NULL;
}

const pln_device *pln_registry_device(size_t i)
{
    return i < sizeof devices / sizeof *devices ? devices[i] : NULL;
}
