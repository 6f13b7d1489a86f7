/* Files with the elements of tensors, beside the model and nowhere else.
 * SPDX-License-Identifier: Apache-2.0 */
#include "proto/external.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A mapped file that somebody shortens kills the process that reads its missing pages.
 * Small files are read: they are the ones that get rewritten in place. */
#define READ_BELOW (1u << 20)

bool pln_external_is_safe(const char *location, size_t len)
{
    if (len == 0 || len >= 4096 || location[0] == '/' || memchr(location, 0, len))
        return false;
    for (size_t i = 0; i < len;) {
        const char *slash = memchr(location + i, '/', len - i);
        const size_t part = slash ? (size_t)(slash - location) - i : len - i;
        if (part == 2 && location[i] == '.' && location[i + 1] == '.')
            return false;
        i += part + 1;
    }
    return location[len - 1] != '/';
}

/* Where the kernel has no openat2: one component after the other, none a link. */
static int walk_beneath(int dir, const char *path, int flags, unsigned mode)
{
    char part[256];
    int at = dir;
    for (;;) {
        const char *slash = strchr(path, '/');
        const size_t len = slash ? (size_t)(slash - path) : strlen(path);
        int fd = -1;
        if (len >= sizeof part) {
            errno = ENAMETOOLONG;
        } else {
            memcpy(part, path, len);
            part[len] = '\0';
            fd = !slash ? openat(at, part, flags | O_NOFOLLOW, mode)
                        : openat(at, len ? part : ".",
                                 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        const int saved = errno;
        if (at != dir)
            close(at);
        errno = saved;
        if (fd < 0 || !slash)
            return fd;
        at = fd;
        path = slash + 1;
    }
}

int pln_open_beneath(int dir, const char *path, int flags, unsigned mode)
{
    const struct open_how how = {
        .flags = (uint64_t)(flags | O_NOFOLLOW),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    const long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
        return (int)fd;
    return walk_beneath(dir, path, flags, mode);
}

static void unmap(void *user, void *data)
{
    munmap(data, (size_t)(uintptr_t)user);
}

static pln_status read_whole(const pln_allocator *a, int fd, size_t size,
                             const char *name, pln_buf **out, pln_error *err)
{
    pln_buf *buf = pln_buf_new(a, size);
    if (!buf)
        return pln_oom(err);
    size_t got = 0;
    while (got < size) {
        const ssize_t n = pread(fd, buf->data + got, size - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            const char *why =
                n < 0 ? strerror(errno) : "it became shorter while being read";
            pln_buf_unref(buf);
            return pln_fail(err, PLN_E_IO, "can't read %s: %s", name, why);
        }
        got += (size_t)n;
    }
    *out = buf;
    return PLN_OK;
}

static pln_status map_whole(const pln_allocator *a, int fd, size_t size, const char *name,
                            pln_buf **out, pln_error *err)
{
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return pln_fail(err, PLN_E_IO, "can't map %s: %s", name, strerror(errno));
    pln_buf *buf = pln_buf_wrap(a, p, size, unmap, (void *)(uintptr_t)size);
    if (!buf) {
        munmap(p, size);
        return pln_oom(err);
    }
    buf->mapped = true;
    buf->writable = false;
    *out = buf;
    return PLN_OK;
}

pln_status pln_buf_of_file(const pln_allocator *a, int fd, const char *name, bool copy,
                           uint64_t limit, pln_buf **out, pln_error *err)
{
    struct stat st;
    *out = NULL;
    if (fstat(fd, &st) < 0)
        return pln_fail(err, PLN_E_IO, "can't read %s: %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pln_fail(err, PLN_E_IO, "can't read %s: not a regular file", name);
    if ((uint64_t)st.st_size > limit)
        return pln_fail(err, PLN_E_LIMIT, "%s has %lld bytes, the limit is %llu", name,
                        (long long)st.st_size, (unsigned long long)limit);
    const size_t size = (size_t)st.st_size;
    PLN_TRY(copy || size < READ_BELOW ? read_whole(a, fd, size, name, out, err)
                                      : map_whole(a, fd, size, name, out, err));
    (*out)->file = (pln_file_id){ st.st_dev, st.st_ino };
    return PLN_OK;
}

void pln_externals_done(pln_externals *x)
{
    for (size_t i = 0; i < x->n; i++) {
        pln_release(x->alloc, x->files[i].location);
        pln_buf_unref(x->files[i].buf);
    }
    pln_release(x->alloc, x->files);
    x->files = NULL;
    x->n = x->cap = 0;
}

static pln_status open_file(const pln_externals *x, const char *location, pln_buf **out,
                            pln_error *err)
{
    const int dir = open(*x->directory ? x->directory : ".",
                         O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return pln_fail(err, PLN_E_IO, "can't open %s: %s", x->directory,
                        strerror(errno));
    /* O_NONBLOCK: opening a FIFO must not wait; it is refused afterwards. */
    const int fd = pln_open_beneath(dir, location, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    const int saved = errno;
    close(dir);
    if (fd < 0)
        return pln_fail(err, PLN_E_IO, "can't open external data '%s': %s", location,
                        saved == ELOOP ? "a symbolic link is on the way"
                                       : strerror(saved));
    const pln_status st = pln_buf_of_file(x->alloc, fd, location, x->copy, x->limit, out,
                                          err);
    close(fd);
    return st;
}

static pln_status remember(pln_externals *x, char *location, pln_buf *buf)
{
    if (!pln_grow(x->alloc, (void **)&x->files, &x->cap, x->n + 1, sizeof *x->files))
        return PLN_E_NOMEM;
    x->files[x->n++] = (pln_external_file){ location, buf };
    return PLN_OK;
}

pln_status pln_external_open(pln_externals *x, const char *location, size_t len,
                             pln_buf **out, pln_error *err)
{
    *out = NULL;
    if (x->refused || !x->directory)
        return pln_fail(err, PLN_E_IO, "external data '%.*s' is refused here", (int)len,
                        location);
    if (!pln_external_is_safe(location, len))
        return pln_fail(err, PLN_E_FORMAT,
                        "external data '%.*s' lies outside of the model's folder",
                        (int)(len < 200 ? len : 200), location);
    for (size_t i = 0; i < x->n; i++)
        if (strlen(x->files[i].location) == len &&
            !memcmp(x->files[i].location, location, len)) {
            *out = x->files[i].buf;
            return PLN_OK;
        }
    char *name = pln_alloc(x->alloc, len + 1);
    if (!name)
        return pln_oom(err);
    memcpy(name, location, len);
    name[len] = '\0';
    pln_buf *buf = NULL;
    pln_status st = open_file(x, name, &buf, err);
    if (st == PLN_OK && remember(x, name, buf) != PLN_OK) {
        pln_buf_unref(buf);
        st = pln_oom(err);
    }
    if (st != PLN_OK) {
        pln_release(x->alloc, name);
        return st;
    }
    *out = buf;
    return PLN_OK;
}
