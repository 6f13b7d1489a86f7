/* How long idle threads spin.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_TOOLS_SPIN_H
#define PLN_TOOLS_SPIN_H

/* Starts the command again with short spinning, where the user has not settled it. */
void spin_briefly(char **argv);

#endif
