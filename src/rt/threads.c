/* How many threads a step gets. Waking a team costs microseconds on an idle machine and
 * far more on a busy one: small steps run on the caller's thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/rt/rt.h"

/* What one thread does in a microsecond, roughly. */
#define FLOPS_PER_US 5e4
#define BYTES_PER_US 1e4
#define WORTH_US     40

int rt_threads_for(int n_threads, double flops, double bytes)
{
    return flops / FLOPS_PER_US + bytes / BYTES_PER_US < WORTH_US ? 1 : n_threads;
}
