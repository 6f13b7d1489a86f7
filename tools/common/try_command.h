/* Running a command of the user's on a file, with a time limit.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_TRY_COMMAND_H
#define TOOLS_TRY_COMMAND_H

#include <stdbool.h>

#define TRY_TIMEOUT (-2)
#define TRY_BROKEN  (-1)

/* `command` through /bin/sh with {} and %s replaced by the path in quotes, which is
 * appended where neither is there. What it writes goes to the file `log`. Its exit status
 * (128 and the signal's number when one ended it), TRY_TIMEOUT after `seconds` (0:
 * never), or TRY_BROKEN when it can't be started or *stop became true. */
int try_command(const char *command, const char *path, const char *log, double seconds,
                const volatile bool *stop);

#endif
