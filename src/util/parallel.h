/* Loops over threads. The split never changes a result: each index is computed alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_UTIL_PARALLEL_H
#define PLN_UTIL_PARALLEL_H

#include <stdint.h>

typedef void (*pln_range_fn)(void *arg, int64_t begin, int64_t end);

/* Calls fn on ranges that cover [0, n), each at least `grain` long (but the last), on at
 * most n_threads threads. Serial when it is not worth a team. */
void pln_parallel_for(int n_threads, int64_t n, int64_t grain, pln_range_fn fn,
                      void *arg);
/* Sets the size of this thread's teams for libraries that take it from OpenMP; returns
 * what it was. */
int pln_parallel_set_threads(int n_threads);
/* Processors that this process may use. */
int pln_parallel_default_threads(void);

#endif
