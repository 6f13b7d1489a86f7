/* Files that appear under their name only when all of them is there: temporary ones
 * beside them, which are renamed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_AT_ONCE ((size_t)1 << 26)
#define MAX_NAME      240 /* leaves room for what a temporary name adds */

static pln_status failed(const pln_out_file *f, const char *what, pln_error *err)
{
    return pln_fail(err, PLN_E_IO, "can't %s %s: %s", what, f->shown, strerror(errno));
}

int pln_open_folder(const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    char folder[PLN_MAX_PATH] = ".";
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

static pln_status begin_beside(pln_out_file *f, const char *path, bool follow,
                               pln_error *err)
{
    const char *base;
    struct stat st;
    f->dir = pln_open_folder(path, &base);
    if (f->dir < 0)
        return failed(f, "open the folder of", err);
    if (!*base || strlen(base) > MAX_NAME) {
        errno = *base ? ENAMETOOLONG : EISDIR;
        return failed(f, "write", err);
    }
    const int found = fstatat(f->dir, base, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW);
    if (found == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return failed(f, "replace", err);
    }
    snprintf(f->name, sizeof f->name, "%s", base);
    for (unsigned k = 0; k < 100 && f->fd < 0; k++) {
        snprintf(f->temp, sizeof f->temp, ".%.240s.%ld.%u", base, (long)getpid(), k);
        f->fd = openat(f->dir, f->temp,
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST)
            break;
    }
    if (f->fd >= 0)
        return PLN_OK;
    f->temp[0] = '\0';
    return failed(f, "write", err);
}

/* Devices, pipes and sockets have no contents that could be half there. */
static bool is_stream(const struct stat *st)
{
    return S_ISCHR(st->st_mode) || S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode);
}

pln_status pln_out_begin(pln_out_file *f, const char *path, bool follow, pln_error *err)
{
    struct stat st;
    char target[PLN_MAX_PATH];
    *f = (pln_out_file)PLN_OUT_FILE_INIT;
    snprintf(f->shown, sizeof f->shown, "%.250s", path);
    if (!follow || stat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return begin_beside(f, path, follow, err);
    if (is_stream(&st)) {
        f->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return f->fd < 0 ? failed(f, "write", err) : PLN_OK;
    }
    return realpath(path, target) ? begin_beside(f, target, follow, err)
                                  : failed(f, "write", err);
}

pln_status pln_out_put(pln_out_file *f, const void *data, size_t len, pln_error *err)
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

pln_status pln_out_commit(pln_out_file *f, pln_error *err)
{
    const int fd = f->fd;
    f->fd = -1;
    if (close(fd) < 0)
        return failed(f, "write", err);
    if (f->temp[0] && renameat(f->dir, f->temp, f->dir, f->name) < 0)
        return failed(f, "write", err);
    f->temp[0] = '\0';
    return PLN_OK;
}

void pln_out_end(pln_out_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->temp[0])
        unlinkat(f->dir, f->temp, 0);
    if (f->dir >= 0)
        close(f->dir);
    *f = (pln_out_file)PLN_OUT_FILE_INIT;
}
