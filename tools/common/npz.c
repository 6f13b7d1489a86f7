/* .npz archives.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/npz.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/archive.h"
#include "tools/common/out_file.h"
#include "tools/common/report.h"

/* ---- the module ------------------------------------------------------------------ */

/* The module lies beside the library. */
static void *open_module(void)
{
    Dl_info lib;
    char path[4096];
    const char *(*const in_library)(void) = pln_version_string;
    void *at;
    memcpy(&at, &in_library, sizeof at);
    if (!dladdr(at, &lib) || !lib.dli_fname)
        return NULL;
    const char *slash = strrchr(lib.dli_fname, '/');
    const int dir = slash ? (int)(slash + 1 - lib.dli_fname) : 0;
    const int n =
        snprintf(path, sizeof path, "%.*s%s", dir, lib.dli_fname, ARCHIVE_MODULE);
    return n < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

/* NULL after an error was printed. It stays loaded. */
static const archive_fns *archives(void)
{
    static const archive_fns *fns;
    if (!fns) {
        void *lib = open_module();
        fns = lib ? (const archive_fns *)dlsym(lib, ARCHIVE_SYMBOL) : NULL;
    }
    if (!fns)
        fail(3, "no module that reads and writes archives: %s", dlerror());
    return fns;
}

/* ---- reading --------------------------------------------------------------------- */

/* Takes what the member owns. */
static int take_member(archive_member *m, const char *path, npz_item *item)
{
    const size_t len = strlen(m->name);
    *item = (npz_item){ .key = m->name, .bytes = m->bytes };
    const size_t size = m->len;
    *m = (archive_member){ 0 };
    if (len > 4 && !strcmp(item->key + len - 4, ".npy"))
        item->key[len - 4] = '\0';
    const char *why;
    if (!npy_parse(item->bytes, size, &item->array, &why))
        return fail(3, "array '%s': %s (%s)", item->key, why, path);
    return 0;
}

static int read_zip(const char *path, npz *out)
{
    const archive_fns *fns = archives();
    archive_member *members = NULL;
    size_t n = 0;
    char why[160];
    if (!fns)
        return 3;
    int rc = fns->read(path, &members, &n, why, sizeof why);
    if (rc)
        return fail(rc, "%s (%s)", why, path);
    out->items = calloc(n ? n : 1, sizeof *out->items);
    if (!out->items)
        rc = fail(6, "out of memory (%s)", path);
    for (size_t i = 0; !rc && i < n; i++) {
        out->n++;
        rc = take_member(&members[i], path, &out->items[i]);
    }
    for (size_t i = 0; i < n; i++) {
        free(members[i].name);
        free(members[i].bytes);
    }
    free(members);
    return rc;
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
    const int rc = read_zip(path, out);
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

/* ---- writing --------------------------------------------------------------------- */

struct npz_writer {
    archive_member *members; /* names with .npy */
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
    archive_member *grown = realloc(w->members, (w->n + 1) * sizeof *grown);
    if (!grown)
        return fail(6, "out of memory");
    w->members = grown;
    archive_member *m = &grown[w->n];
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
    out_file o;
    const archive_fns *fns = archives();
    int rc = fns ? out_begin(&o, path) : 3;
    if (rc)
        return rc;
    if (!fns->write(o.temp, w->members, w->n))
        rc = fail(3, "can't write (%s)", path);
    return out_end(&o, rc);
}
