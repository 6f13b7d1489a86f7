/* Writing models.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tools/common/save.h"

#include <string.h>

#include "tools/common/report.h"

int model_save(const pln_model *model, const char *path, const save_args *args)
{
    pln_save_options o = PLN_SAVE_OPTIONS_INIT;
    if (args->external && strcmp(args->external, "none"))
        o.external_data = args->external;
    if (o.external_data && (!*o.external_data || !strcmp(path, "-")))
        return fail(2, *o.external_data ? "external data has no place beside stdout"
                                        : "--external-data needs a file's name, or none");
    o.external_threshold = args->threshold > 0 ? (uint64_t)args->threshold : 0;
    pln_error *err = pln_error_new();
    int rc = 0;
    if (strcmp(path, "-")) {
        if (pln_model_save(model, path, &o, err) != PLN_OK)
            rc = fail_status(err, path);
    } else {
        void *data = NULL;
        size_t len;
        if (pln_model_save_memory(model, &data, &len, err) != PLN_OK)
            rc = fail_status(err, "stdout");
        else
            rc = write_file("-", data, len);
        pln_free(NULL, data);
    }
    pln_error_free(err);
    return rc;
}
