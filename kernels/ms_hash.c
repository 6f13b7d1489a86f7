/* MurmurHash3 of com.microsoft: a 32-bit hash of each element's bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/move.h"

typedef struct hash_attrs {
    int64_t positive, seed;
} hash_attrs;

static const pln_attr_spec hash_spec[] = {
    PLN_A_INT(hash_attrs, positive, 1),
    PLN_A_INT(hash_attrs, seed, 0),
    PLN_A_END,
};

static uint32_t rotate(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t mix_block(uint32_t k)
{
    return rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

/* The x86 32-bit form of MurmurHash3, on little-endian blocks. */
static uint32_t murmur(const unsigned char *p, size_t n, uint32_t h)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t k = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 |
                           (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24;
        h = rotate(h ^ mix_block(k), 13) * 5 + 0xe6546b64u;
    }
    uint32_t tail = 0;
    for (size_t j = n; j > i; j--)
        tail = tail << 8 | p[j - 1];
    if (n > i)
        h ^= mix_block(tail);
    h ^= (uint32_t)n;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static pln_status hash_infer(pln_infer *inf, pln_error *err)
{
    const hash_attrs *at = inf->attrs;
    PLN_TRY(pln_infer_same(inf, err));
    inf->out[0].kind = PLN_KIND_TENSOR;
    inf->out[0].dtype = at->positive ? PLN_DT_U32 : PLN_DT_S32;
    return PLN_OK;
}

static pln_status hash_ref(pln_call *c, pln_error *err)
{
    const pln_tensor *x = c->in[0];
    const uint32_t seed = (uint32_t)((const hash_attrs *)c->attrs)->seed;
    const size_t size = pln_dtype_size((pln_dtype)x->dtype);
    uint32_t *y = c->out[0]->data;
    (void)err;
    for (int64_t i = 0, n = pln_tensor_size(x); i < n; i++) {
        if (x->dtype != PLN_DT_STRING) {
            y[i] = murmur((const unsigned char *)x->data + (size_t)i * size, size, seed);
            continue;
        }
        const pln_string *s = PLN_DATA(pln_string *const, x)[i];
        y[i] = s ? murmur((const unsigned char *)s->bytes, s->len, seed)
                 : murmur(NULL, 0, seed);
    }
    return PLN_OK;
}

const pln_op_desc pln_ops_ms_hash[] = {
    { .name = "MurmurHash3",
      .domain = "com.microsoft",
      .since = 1,
      .in = { 1, 1 },
      .out = { 1, 1 },
      .types = "T:uint32,int32,uint64,int64,float,double,string;"
               "T2:uint32,int32",
      .sig = "T->T2",
      .attrs = hash_spec,
      .attrs_size = sizeof(hash_attrs),
      .infer = hash_infer,
      .ref = hash_ref },
    { .name = NULL },
};
