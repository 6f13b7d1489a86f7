/* The public header compiles alone, as C11 and as C++.
 * SPDX-License-Identifier: Apache-2.0 */
#include <planish/planish.h>

int main(void)
{
    return pln_version() == 0;
}
