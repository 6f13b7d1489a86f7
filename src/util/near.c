/* The name that somebody may have meant, for messages.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/util/near.h"

#include <string.h>

/* Edit distance with transpositions (optimal string alignment), for short words. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 40 };
    size_t d[3][MAX + 1];
    const size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *cur = d[i % 3], *up = d[(i - 1) % 3], *up2 = d[(i + 1) % 3];
        cur[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);
            best = up[j] + 1 < best ? up[j] + 1 : best;
            best = cur[j - 1] + 1 < best ? cur[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            cur[j] = best;
        }
    }
    return d[n % 3][m];
}

void pln_near_begin(pln_near *n, const char *word)
{
    *n = (pln_near){ .word = word, .least = strlen(word) / 3 + 2 };
}

void pln_near_offer(pln_near *n, const char *name)
{
    const size_t d = distance(n->word, name);
    if (d >= n->least)
        return;
    n->least = d;
    n->best = name;
}
