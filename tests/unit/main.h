/* The main function of a unit test: TAP on stdout.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_TESTS_UNIT_MAIN_H
#define PLN_TESTS_UNIT_MAIN_H

#include <check.h>
#include <stdlib.h>

static inline int unit_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
