/* .npz archives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/npz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "tools/common/report.h"

/* ---- reading ---------------------------------------------------------------------------- */

static int read_member(zip_t *z, zip_uint64_t i, const char *path, npz_item *item)
{
    zip_stat_t st;
    if (zip_stat_index(z, i, 0, &st) || !(st.valid & ZIP_STAT_SIZE) || !st.name)
        return fail(3, "a member can't be read (%s)", path);
    const size_t len = strlen(st.name);
    item->key = strdup(st.name);
    item->bytes = malloc(st.size ? st.size : 1);
    if (!item->key || !item->bytes)
        return fail(6, "out of memory (%s)", path);
    if (len > 4 && !strcmp(st.name + len - 4, ".npy"))
        item->key[len - 4] = '\0';
    zip_file_t *f = zip_fopen_index(z, i, 0);
    const bool ok = f && zip_fread(f, item->bytes, st.size) == (zip_int64_t)st.size;
    if (f)
        zip_fclose(f);
    if (!ok)
        return fail(3, "member '%s' can't be unpacked (%s)", item->key, path);
    const char *why;
    if (!npy_parse(item->bytes, st.size, &item->array, &why))
        return fail(3, "array '%s': %s (%s)", item->key, why, path);
    return 0;
}

static int read_zip(zip_t *z, const char *path, npz *out)
{
    const zip_int64_t n = zip_get_num_entries(z, 0);
    out->items = calloc(n > 0 ? (size_t)n : 1, sizeof *out->items);
    if (!out->items)
        return fail(6, "out of memory (%s)", path);
    for (zip_int64_t i = 0; i < n; i++) {
        out->n++;
        const int rc = read_member(z, (zip_uint64_t)i, path, &out->items[i]);
        if (rc)
            return rc;
    }
    return 0;
}

static int read_npy(const char *path, npz *out)
{
    char *data;
    size_t len;
    const int rc = read_file(path, &data, &len);
    if (rc)
        return rc;
    out->items = calloc(1, sizeof *out->items);
    const char *why;
    if (!out->items) {
        free(data);
        return fail(6, "out of memory (%s)", path);
    }
    out->n = 1;
    out->items[0].bytes = (unsigned char *)data;
    out->items[0].key = strdup("");
    if (!npy_parse(data, len, &out->items[0].array, &why))
        return fail(3, "%s (%s)", why, path);
    return 0;
}

int npz_read(const char *path, npz *out)
{
    *out = (npz){ 0 };
    char magic[4] = { 0 };
    FILE *f = fopen(path, "rb");
    if (f) {
        const size_t got = fread(magic, 1, 4, f);
        fclose(f);
        if (got == 4 && memcmp(magic, "PK\3\4", 4) && memcmp(magic, "PK\5\6", 4))
            return read_npy(path, out);
    }
    int code;
    zip_t *z = zip_open(path, ZIP_RDONLY, &code);
    if (!z) {
        zip_error_t e;
        zip_error_init_with_code(&e, code);
        const int rc = fail(3, "can't read: %s (%s)", zip_error_strerror(&e), path);
        zip_error_fini(&e);
        return rc;
    }
    const int rc = read_zip(z, path, out);
    zip_discard(z);
    if (rc)
        npz_free(out);
    return rc;
}

void npz_free(npz *z)
{
    for (size_t i = 0; i < z->n; i++) {
        free(z->items[i].key);
        free(z->items[i].bytes);
    }
    free(z->items);
    *z = (npz){ 0 };
}

const npz_item *npz_find(const npz *z, const char *key)
{
    for (size_t i = 0; i < z->n; i++)
        if (z->items[i].key && !strcmp(z->items[i].key, key))
            return &z->items[i];
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------ */

typedef struct member {
    char *name; /* with .npy */
    unsigned char *bytes;
    size_t len;
} member;

struct npz_writer {
    member *members;
    size_t n;
};

npz_writer *npz_writer_new(void)
{
    return calloc(1, sizeof(npz_writer));
}

void npz_writer_free(npz_writer *w)
{
    for (size_t i = 0; w && i < w->n; i++) {
        free(w->members[i].name);
        free(w->members[i].bytes);
    }
    if (w)
        free(w->members);
    free(w);
}

static int add_dense(npz_writer *w, const char *name, const pln_tensor *t)
{
    member *grown = realloc(w->members, (w->n + 1) * sizeof *grown);
    if (!grown)
        return fail(6, "out of memory");
    w->members = grown;
    member *m = &grown[w->n];
    const size_t size = strlen(name) + 5;
    m->name = malloc(size);
    m->bytes = npy_from_tensor(t, &m->len);
    if (!m->name || !m->bytes) {
        free(m->name);
        free(m->bytes);
        return fail(6, "out of memory");
    }
    snprintf(m->name, size, "%s.npy", name);
    w->n++;
    return 0;
}

static int add_named(npz_writer *w, const char *name, const char *suffix,
                     const pln_tensor *t)
{
    const size_t size = strlen(name) + strlen(suffix) + 1;
    char *full = malloc(size);
    if (!full)
        return fail(6, "out of memory");
    snprintf(full, size, "%s%s", name, suffix);
    const int rc = npz_writer_add(w, full, t);
    free(full);
    return rc;
}

static int add_sequence(npz_writer *w, const char *name, const pln_tensor *t)
{
    const int64_t n = (int64_t)pln_tensor_items(t);
    pln_tensor *len = NULL;
    int rc = 0;
    for (int64_t i = 0; !rc && i < n; i++) {
        char suffix[32];
        snprintf(suffix, sizeof suffix, "[%lld]", (long long)i);
        rc = add_named(w, name, suffix, pln_tensor_item(t, (size_t)i));
    }
    if (!rc && pln_tensor_new(NULL, PLN_DT_S64, 0, NULL, &len, NULL) != PLN_OK)
        rc = fail(6, "out of memory");
    if (!rc) {
        memcpy(pln_tensor_data(len), &n, sizeof n);
        rc = add_named(w, name, ".len", len);
    }
    pln_tensor_unref(len);
    return rc;
}

int npz_writer_add(npz_writer *w, const char *name, const pln_tensor *t)
{
    static const char *const parts[][2] = {
        [PLN_KIND_MAP] = { ".keys", ".values" },
        [PLN_KIND_SPARSE] = { ".values", ".indices" },
    };
    const pln_kind kind = pln_tensor_kind(t);
    if (kind == PLN_KIND_TENSOR)
        return add_dense(w, name, t);
    if (kind == PLN_KIND_SEQUENCE)
        return add_sequence(w, name, t);
    if (kind == PLN_KIND_OPTIONAL)
        return pln_tensor_items(t) ? npz_writer_add(w, name, pln_tensor_item(t, 0)) : 0;
    int rc = 0;
    for (size_t i = 0; !rc && i < pln_tensor_items(t) && i < 2; i++)
        rc = add_named(w, name, parts[kind][i], pln_tensor_item(t, i));
    return rc;
}

int npz_writer_save(npz_writer *w, const char *path)
{
    const size_t size = strlen(path) + 32;
    char *tmp = malloc(size);
    int code = 0;
    if (!tmp)
        return fail(6, "out of memory");
    snprintf(tmp, size, "%s.%ld.part", path, (long)getpid());
    zip_t *z = zip_open(tmp, ZIP_CREATE | ZIP_TRUNCATE, &code);
    bool ok = z != NULL;
    for (size_t i = 0; ok && i < w->n; i++) {
        zip_source_t *s = zip_source_buffer(z, w->members[i].bytes, w->members[i].len, 0);
        const zip_int64_t at =
            s ? zip_file_add(z, w->members[i].name, s, ZIP_FL_ENC_UTF_8 | ZIP_FL_OVERWRITE)
              : -1;
        if (s && at < 0)
            zip_source_free(s);
        ok = at >= 0 && !zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_STORE, 0);
    }
    if (z && (!ok || zip_close(z))) {
        zip_discard(z);
        ok = false;
    }
    /* An archive without members is not written at all; NumPy reads this end record. */
    if (ok && w->n == 0)
        ok = write_file(tmp, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22) == 0;
    ok = ok && rename(tmp, path) == 0;
    if (!ok)
        unlink(tmp);
    free(tmp);
    return ok ? 0 : fail(3, "can't write (%s)", path);
}
