/* Files that appear under their name only when all of them is there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/report.h"

static int cant(const char *path)
{
    return fail(3, "can't write: %s (%s)", strerror(errno), path);
}

static bool is_stream(const struct stat *st)
{
    return S_ISCHR(st->st_mode) || S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode);
}

static void forget(out_file *o)
{
    free(o->target);
    free(o->temp);
    *o = (out_file){ 0 };
}

int out_begin(out_file *o, const char *path)
{
    struct stat st;
    char resolved[PATH_MAX];
    const bool there = stat(path, &st) == 0;
    *o = (out_file){ .stream = there && is_stream(&st) };
    /* a link stays, and what it stands for is replaced */
    const bool links = there && !o->stream && realpath(path, resolved);
    const char *folder = getenv("TMPDIR");
    o->target = strdup(links ? resolved : path);
    const char *base = !o->stream ? o->target : folder && *folder ? folder : "/tmp";
    o->temp = malloc(strlen(base) + 16);
    if (!o->target || !o->temp) {
        forget(o);
        return fail(6, "out of memory (%s)", path);
    }
    sprintf(o->temp, "%s%s.XXXXXX", base, o->stream ? "/planish" : "");
    const int fd = mkstemp(o->temp);
    if (fd >= 0)
        return close(fd), 0;
    const int rc = cant(path);
    forget(o);
    return rc;
}

static int copy(const char *from, const char *to)
{
    char *data;
    size_t len;
    int rc = read_file(from, &data, &len);
    if (rc)
        return rc;
    FILE *f = fopen(to, "wb");
    bool ok = f && fwrite(data, 1, len, f) == len;
    if (f)
        ok = fclose(f) == 0 && ok;
    rc = ok ? 0 : cant(to);
    free(data);
    return rc;
}

int out_end(out_file *o, int rc)
{
    const mode_t mask = umask(0);
    umask(mask);
    if (!rc && o->stream)
        rc = copy(o->temp, o->target);
    else if (!rc && (chmod(o->temp, 0666 & ~mask) || rename(o->temp, o->target)))
        rc = cant(o->target);
    if (rc || o->stream)
        unlink(o->temp);
    forget(o);
    return rc;
}
