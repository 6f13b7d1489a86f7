/* Putting written messages on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/external.h"

#define MAX_PATH_BYTES 4096
#define WRITE_AT_ONCE  ((size_t)1 << 26)

typedef struct out_file {
    int dir, fd;
    char name[MAX_PATH_BYTES], temp[MAX_PATH_BYTES];
    char shown[256];
} out_file;

static pln_status failed(const out_file *f, const char *what, pln_error *err)
{
    return pln_fail(err, PLN_E_IO, "can't %s %s: %s", what, f->shown, strerror(errno));
}

/* Opens the folder of a path; `*base` is the rest. */
static int open_folder(const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    char folder[MAX_PATH_BYTES] = ".";
    *base = slash ? slash + 1 : path;
    if (slash && (size_t)(slash - path) >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path),
                 path);
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool pln_same_directory(const char *directory, const char *path)
{
    struct stat a, b;
    const char *base;
    if (!directory || stat(*directory ? directory : ".", &a) < 0)
        return false;
    const int dir = open_folder(path, &base);
    const bool ok = dir >= 0 && fstat(dir, &b) == 0;
    if (dir >= 0)
        close(dir);
    return ok && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A new file under a name that nobody has, in the folder where it will be renamed. */
static pln_status begin(out_file *f, const char *path, pln_error *err)
{
    const char *base;
    f->fd = -1;
    snprintf(f->shown, sizeof f->shown, "%.250s", path);
    f->dir = open_folder(path, &base);
    if (f->dir < 0)
        return failed(f, "open the folder of", err);
    struct stat st;
    if (!*base || strlen(base) > 240) {
        errno = *base ? ENAMETOOLONG : EISDIR;
        return failed(f, "write", err);
    }
    if (fstatat(f->dir, base, &st, 0) == 0 && !S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return failed(f, "replace", err);
    }
    snprintf(f->name, sizeof f->name, "%s", base);
    for (unsigned k = 0; k < 100 && f->fd < 0; k++) {
        snprintf(f->temp, sizeof f->temp, ".%.240s.%ld.%u", base, (long)getpid(), k);
        f->fd = openat(f->dir, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       0666);
        if (f->fd < 0 && errno != EEXIST)
            break;
    }
    return f->fd < 0 ? failed(f, "write", err) : PLN_OK;
}

static pln_status put(out_file *f, const void *data, size_t len, pln_error *err)
{
    const char *p = data;
    while (len) {
        const ssize_t n = write(f->fd, p, len < WRITE_AT_ONCE ? len : WRITE_AT_ONCE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(f, "write", err);
        p += n;
        len -= (size_t)n;
    }
    return PLN_OK;
}

static pln_status commit(out_file *f, pln_error *err)
{
    const int fd = f->fd;
    f->fd = -1;
    if (close(fd) < 0)
        return failed(f, "write", err);
    if (renameat(f->dir, f->temp, f->dir, f->name) < 0)
        return failed(f, "write", err);
    f->temp[0] = '\0';
    return PLN_OK;
}

/* Leaves nothing behind that was not committed. */
static void end(out_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->temp[0])
        unlinkat(f->dir, f->temp, 0);
    if (f->dir >= 0)
        close(f->dir);
}

static pln_status put_message(out_file *f, const pln_writer *w, pln_error *err)
{
    const void *data;
    size_t len, part = 0;
    while (pln_writer_part(w, &part, &data, &len))
        PLN_TRY(put(f, data, len, err));
    return PLN_OK;
}

static pln_status put_outside(out_file *f, const pln_writer *w, pln_error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < w->n_outside; i++) {
        static const char zeros[4096];
        const pln_outside *o = &w->outside[i];
        PLN_TRY(put(f, zeros, (size_t)(o->offset - at), err));
        PLN_TRY(put(f, o->data, o->len, err));
        at = o->offset + o->len;
    }
    return PLN_OK;
}

/* The external file lies beside the model, by a plain name: nowhere else is written. */
static pln_status external_path(const char *path, const char *location, char *out,
                                pln_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!pln_external_is_safe(location, strlen(location)) || strchr(location, '/') ||
        !strcmp(location, slash ? slash + 1 : path))
        return pln_fail(err, PLN_E_USAGE, "external data '%s' is no plain file name beside "
                        "the model", location);
    const int n = snprintf(out, MAX_PATH_BYTES, "%.*s%s",
                           slash ? (int)(slash - path + 1) : 0, path, location);
    return n < MAX_PATH_BYTES ? PLN_OK : pln_fail(err, PLN_E_USAGE, "the path is too long");
}

pln_status pln_save_files(const pln_writer *w, const char *path, pln_error *err)
{
    char outside[MAX_PATH_BYTES];
    out_file model = { .dir = -1, .fd = -1 }, data = { .dir = -1, .fd = -1 };
    pln_status st = begin(&model, path, err);
    if (st == PLN_OK)
        st = put_message(&model, w, err);
    if (st == PLN_OK && w->n_outside) {
        st = external_path(path, w->location, outside, err);
        if (st == PLN_OK)
            st = begin(&data, outside, err);
        if (st == PLN_OK)
            st = put_outside(&data, w, err);
        if (st == PLN_OK)
            st = commit(&data, err);
    }
    if (st == PLN_OK)
        st = commit(&model, err);
    end(&data);
    end(&model);
    return st;
}
