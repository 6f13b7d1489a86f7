/* Running a command of the user's on a file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/try_command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/report.h"

/* The path in single quotes, for the shell. */
static char *quoted(const char *path)
{
    char *out = malloc(strlen(path) * 4 + 3), *p = out;
    if (!out)
        return NULL;
    *p++ = '\'';
    for (; *path; path++)
        if (*path == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *path;
        }
    *p++ = '\'';
    *p = '\0';
    return out;
}

static char *fill_in(const char *command, const char *path)
{
    char *file = quoted(path);
    size_t places = 1;
    for (const char *c = command; *c; c++)
        places += !strncmp(c, "{}", 2) || !strncmp(c, "%s", 2);
    char *out = file ? malloc(strlen(command) + places * (strlen(file) + 1) + 1) : NULL;
    char *p = out;
    bool found = false;
    while (out && *command) {
        if (!strncmp(command, "{}", 2) || !strncmp(command, "%s", 2)) {
            p = stpcpy(p, file);
            command += 2;
            found = true;
        } else {
            *p++ = *command++;
        }
    }
    if (out && !found) {
        *p++ = ' ';
        p = stpcpy(p, file);
    }
    if (out)
        *p = '\0';
    free(file);
    return out;
}

static void run_child(const char *command, const char *log)
{
    setpgid(0, 0); /* so that all of it can be ended */
    const int in = open("/dev/null", O_RDONLY);
    const int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0)
        _exit(127);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* What the command left running goes with it. */
static void end_group(pid_t pid)
{
    kill(-pid, SIGKILL);
}

static int wait_for(pid_t pid, double seconds, const volatile bool *stop)
{
    const double begin = now_seconds();
    long pause = 200 * 1000; /* ns; grows to 10 ms */
    for (;;) {
        int status;
        const pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid)
            end_group(pid);
        if (done == pid)
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        if (done < 0 && errno != EINTR)
            return TRY_BROKEN;
        const bool late = seconds > 0 && now_seconds() - begin > seconds;
        if (late || *stop) {
            end_group(pid);
            waitpid(pid, &status, 0);
            return late ? TRY_TIMEOUT : TRY_BROKEN;
        }
        nanosleep(&(struct timespec){ 0, pause }, NULL);
        pause = pause < 10 * 1000 * 1000 ? pause * 2 : pause;
    }
}

int try_command(const char *command, const char *path, const char *log, double seconds,
                const volatile bool *stop)
{
    char *text = fill_in(command, path);
    if (!text)
        return TRY_BROKEN;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        run_child(text, log);
    free(text);
    if (pid < 0)
        return TRY_BROKEN;
    setpgid(pid, pid);
    return wait_for(pid, seconds, stop);
}
