/* The operator as a plug-in: planish run model.onnx --plugin ./weighted_sum.so
 * SPDX-License-Identifier: Apache-2.0 */
#include "weighted_sum.h"

PLN_API pln_status pln_plugin_init(pln_env *env, pln_error *err);

PLN_API pln_status pln_plugin_init(pln_env *env, pln_error *err)
{
    return pln_op_register(env, &weighted_sum, err);
}
