/* How long idle threads spin.
 *
 * libgomp lets a thread that waits spin for milliseconds before it sleeps, unless the
 * environment says otherwise when the process starts. On a busy machine the spinning
 * thread keeps the processor from the very thread that it waits for: models with hundreds
 * of short parallel steps ran 5 to 20 times slower there. Some 30 microseconds bridge the
 * gaps between steps as well.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/spin.h"

#include <stdlib.h>
#include <unistd.h>

void spin_briefly(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") ||
        setenv("GOMP_SPINCOUNT", "2000", 1) != 0)
        return;
    execv("/proc/self/exe", argv); /* comes back only when it can't: then as it was */
}
