/* Loops over OpenMP threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>

/* A child has none of its parent's threads, but the memory that says they wait for work:
 * its first loop would wait for them forever. So the thread that forks lets its team go
 * before. */
static void let_team_go(void)
{
    omp_pause_resource_all(omp_pause_hard);
}

__attribute__((constructor)) static void watch_fork(void)
{
    pthread_atfork(let_team_go, NULL, NULL);
}
#endif

void pln_parallel_for(int n_threads, int64_t n, int64_t grain, pln_range_fn fn, void *arg)
{
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
#ifdef _OPENMP
    const int64_t chunks = (n + grain - 1) / grain;
    const int team = chunks < n_threads ? (int)chunks : n_threads;
    if (team > 1) {
        const int64_t step = (n + team - 1) / team;
#pragma omp parallel num_threads(team)
        {
            /* The system may give fewer threads than asked for: stride over the parts. */
            for (int64_t t = omp_get_thread_num(); t < team; t += omp_get_num_threads()) {
                const int64_t begin = t * step;
                const int64_t end = begin + step < n ? begin + step : n;
                if (begin < end)
                    fn(arg, begin, end);
            }
        }
        return;
    }
#endif
    fn(arg, 0, n);
}

int pln_parallel_default_threads(void)
{
    const char *env = getenv("OMP_NUM_THREADS");
    const int want = env ? atoi(env) : 0;
    if (want > 0)
        return want;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

int pln_parallel_set_threads(int n_threads)
{
#ifdef _OPENMP
    const int before = omp_get_max_threads();
    if (before != n_threads)
        omp_set_num_threads(n_threads);
    return before;
#else
    return n_threads;
#endif
}
