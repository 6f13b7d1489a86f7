/* A hash table from keys to their positions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ml_keys.h"

#include "src/util/map.h"

pln_key pln_key_int(int64_t v)
{
    return (pln_key){ .bits = (uint64_t)v };
}

pln_key pln_key_float(double v)
{
    pln_key k = { 0 };
    if (v != v)
        k.bits = UINT64_C(0x7ff8000000000000);
    else if (v != 0)
        memcpy(&k.bits, &v, sizeof v);
    return k;
}

pln_key pln_key_text(const char *s, size_t len)
{
    return (pln_key){ .s = s ? s : "", .len = len };
}

pln_key pln_key_of(const pln_tensor *t, int64_t i)
{
    if (t->dtype == PLN_DT_STRING) {
        const pln_string *s = PLN_DATA(pln_string *const, t)[i];
        return s ? pln_key_text(s->bytes, s->len) : pln_key_text("", 0);
    }
    if (pln_dtype_is_float((pln_dtype)t->dtype))
        return pln_key_float(pln_tensor_get_f64(t, i));
    return pln_key_int(pln_tensor_get_i64(t, i));
}

static bool equal(const pln_key *a, const pln_key *b)
{
    if (!a->s != !b->s)
        return false;
    if (!a->s)
        return a->bits == b->bits;
    return a->len == b->len && memcmp(a->s, b->s, a->len) == 0;
}

static uint64_t hash(const pln_key *k)
{
    uint64_t h = k->s ? pln_hash(PLN_HASH_SEED, k->s, k->len)
                      : k->bits * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

/* The slot of the key, or the free one where it would be. */
static size_t find(const pln_keys *k, const pln_key *key)
{
    size_t i = (size_t)hash(key) & (k->cap - 1);
    while (k->slots[i] && !equal(&k->keys[k->slots[i] - 1], key))
        i = (i + 1) & (k->cap - 1);
    return i;
}

bool pln_keys_init(pln_keys *k, const pln_allocator *a, size_t n)
{
    *k = (pln_keys){ .alloc = a, .cap = 8 };
    if (n > INT32_MAX / 4)
        return false;
    while (k->cap < 2 * n)
        k->cap *= 2;
    k->keys = pln_calloc(a, n + 1, sizeof *k->keys);
    k->slots = pln_calloc(a, k->cap, sizeof *k->slots);
    if (k->keys && k->slots)
        return true;
    pln_keys_done(k);
    return false;
}

void pln_keys_done(pln_keys *k)
{
    pln_release(k->alloc, k->keys);
    pln_release(k->alloc, k->slots);
    k->keys = NULL;
    k->slots = NULL;
}

void pln_keys_add(pln_keys *k, pln_key key)
{
    const size_t at = find(k, &key);
    k->keys[k->n++] = key;
    if (!k->slots[at])
        k->slots[at] = (int32_t)k->n;
}

int64_t pln_keys_find(const pln_keys *k, pln_key key)
{
    return (int64_t)k->slots[find(k, &key)] - 1;
}

bool pln_keys_from(pln_keys *k, const pln_allocator *a, pln_ints ints, pln_floats floats,
                   pln_strings strings, const pln_tensor *t)
{
    const size_t n = t           ? (size_t)pln_tensor_size(t)
                     : strings.n ? strings.n
                     : floats.n  ? floats.n
                                 : ints.n;
    if (!pln_keys_init(k, a, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (t)
            pln_keys_add(k, pln_key_of(t, (int64_t)i));
        else if (strings.n)
            pln_keys_add(k, pln_key_text(strings.v[i], pln_name_len(strings.v[i])));
        else if (floats.n)
            pln_keys_add(k, pln_key_float(floats.v[i]));
        else
            pln_keys_add(k, pln_key_int(ints.v[i]));
    }
    return true;
}
