/* What changed between the versions of Resize and Upsample.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/resize.h"

#include <string.h>

#include "kernels/raise.h"

static pln_status set_string(pln_node *n, const char *name, const char *v, pln_error *err)
{
    return pln_node_set_string(n, name, v, strlen(v)) == PLN_OK ? PLN_OK : pln_oom(err);
}

/* Do all constant scales enlarge (1), all reduce (-1)? 0: mixed or not known. */
static int direction(const pln_value *scales)
{
    int64_t more = 0, less = 0;
    if (!pln_value_is_const(scales) ||
        pln_tensor_materialize(scales->cst, NULL) != PLN_OK)
        return 0;
    for (int64_t i = 0, n = pln_tensor_size(scales->cst); i < n; i++) {
        const double v = pln_tensor_get_f64(scales->cst, i);
        more += v > 1;
        less += !(v >= 1);
    }
    return !less ? 1 : !more ? -1 : 0;
}

/* Version 10 was Upsample with another name: X and scales, positions x / scale, the
 * nearest being the pixel before where it enlarges and the one behind where it
 * reduces. */
static pln_status raise_11(pln_node *n, pln_error *err)
{
    PLN_TRY(set_string(n, "coordinate_transformation_mode", "asymmetric", err));
    pln_value *scales = n->n_in > 1 ? n->in[1] : NULL;
    if (!scales)
        return pln_raise_fail(n, err, "input 'scales' is absent");
    const int way = direction(scales);
    PLN_TRY(set_string(n, "nearest_mode", way < 0 ? "ceil" : "floor", err));
    const pln_attr *mode = pln_node_find_attr(n, "mode");
    const bool nearest =
        !mode || mode->type != PLN_ATTR_STRING || !strcmp(mode->s, "nearest");
    if (way == 0 && nearest && pln_node_set_int(n, "pln_downsample", 1) != PLN_OK)
        return pln_oom(err);
    if (pln_node_set_input(n, 2, scales) != PLN_OK ||
        pln_node_set_input(n, 1, NULL) != PLN_OK)
        return pln_oom(err);
    return PLN_OK;
}

static pln_status lower_11(pln_node *n, pln_error *err)
{
    static const char *const newer[] = { "cubic_coeff_a", "exclude_outside",
                                         "extrapolation_value" };
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++)
        PLN_TRY(pln_lower_refuse(n, newer[i], err));
    const pln_attr *coords = pln_node_find_attr(n, "coordinate_transformation_mode");
    const pln_attr *mode = pln_node_find_attr(n, "mode");
    const pln_attr *nearest = pln_node_find_attr(n, "nearest_mode");
    const bool linear = mode && !strcmp(mode->s, "linear");
    if (!coords || strcmp(coords->s, "asymmetric") ||
        (mode && !strcmp(mode->s, "cubic")) || !pln_lower_has(n, 2) ||
        pln_lower_has(n, 3))
        return pln_lower_fail(n, err,
                              "version 10 knows asymmetric positions and scales only");
    pln_value *scales = n->in[2];
    const pln_attr *both = pln_node_find_attr(n, "pln_downsample");
    const int way = direction(scales);
    if (!linear && !(both && both->i) &&
        (way == 0 || !nearest || strcmp(nearest->s, way < 0 ? "ceil" : "floor")))
        return pln_lower_fail(n, err, "version 10 rounds to the pixel before where it "
                                      "enlarges, behind where it reduces");
    pln_node_drop_attr(n, "pln_downsample");
    if (pln_node_set_input(n, 1, scales) != PLN_OK ||
        pln_node_set_input(n, 2, NULL) != PLN_OK)
        return pln_oom(err);
    pln_node_trim_inputs(n);
    pln_node_drop_attr(n, "coordinate_transformation_mode");
    pln_node_drop_attr(n, "nearest_mode");
    return PLN_OK;
}

/* It was called Upsample, and did enlarge. */
static pln_status lower_10(pln_node *n, pln_error *err)
{
    if (!pln_lower_has(n, 1) || direction(n->in[1]) <= 0)
        return pln_lower_fail(n, err, "version 9 enlarges by constant scales only");
    pln_node_set_op(n, "", "Upsample");
    return PLN_OK;
}

static pln_status lower_18(pln_node *n, pln_error *err)
{
    PLN_TRY(pln_lower_drop_int(n, "antialias", 0, err));
    PLN_TRY(pln_lower_refuse(n, "axes", err));
    return pln_lower_drop_string(n, "keep_aspect_ratio_policy", "stretch", err);
}

static pln_status lower_19(pln_node *n, pln_error *err)
{
    const pln_attr *a = pln_node_find_attr(n, "coordinate_transformation_mode");
    if (a && !strcmp(a->s, "half_pixel_symmetric"))
        return pln_lower_fail(n, err, "the older version has no 'half_pixel_symmetric'");
    return PLN_OK;
}

/* Versions 11 and 12 required all of roi and scales; an absent one was an empty tensor,
 * which newer ones accept too. */
static pln_status lower_13(pln_node *n, pln_error *err)
{
    for (uint32_t i = 1; i <= 2; i++) {
        if (pln_lower_has(n, i))
            continue;
        pln_tensor *t = NULL;
        pln_tensor_from_f32(n->graph->model->alloc, 1, NULL, 0, &t);
        PLN_TRY(pln_raise_constant(n, i == 1 ? "roi" : "scales", i, t, err));
    }
    return PLN_OK;
}

const pln_version_change pln_resize_versions[] = {
    { 10, NULL, lower_10 },
    { 11, raise_11, lower_11 },
    { 13, NULL, lower_13 },
    { 18, NULL, lower_18 },
    { 19, NULL, lower_19 },
    { 0 },
};

/* Upsample: version 1 had height_scale and width_scale, version 7 a list. */
static pln_status upsample_raise_7(pln_node *n, pln_error *err)
{
    const pln_attr *h, *w;
    PLN_TRY(pln_raise_attr(n, "height_scale", PLN_ATTR_FLOAT, &h, err));
    PLN_TRY(pln_raise_attr(n, "width_scale", PLN_ATTR_FLOAT, &w, err));
    if (!h || !w)
        return pln_raise_fail(n, err,
                              "attribute 'height_scale' or 'width_scale' is missing");
    const float scales[4] = { 1, 1, h->f, w->f };
    if (pln_node_set_floats(n, "scales", scales, 4) != PLN_OK)
        return pln_oom(err);
    pln_node_drop_attr(n, "height_scale");
    pln_node_drop_attr(n, "width_scale");
    const pln_attr *mode = pln_node_find_attr(n, "mode");
    if (mode && mode->type == PLN_ATTR_STRING && !strcmp(mode->s, "bilinear"))
        return set_string(n, "mode", "linear", err);
    return PLN_OK;
}

static pln_status upsample_raise_9(pln_node *n, pln_error *err)
{
    if (!pln_node_find_attr(n, "scales"))
        return pln_raise_fail(n, err, "attribute 'scales' is missing");
    return pln_raise_floats_to_input(n, "scales", 1, err);
}

static pln_status upsample_lower_9(pln_node *n, pln_error *err)
{
    return pln_lower_input_to_floats(n, 1, "scales", err);
}

static pln_status upsample_raise_10(pln_node *n, pln_error *err)
{
    pln_node_set_op(n, "", "Resize");
    return PLN_OK;
}

const pln_version_change pln_upsample_versions[] = {
    { 7, upsample_raise_7, NULL },
    { 9, upsample_raise_9, upsample_lower_9 },
    { 10, upsample_raise_10, NULL },
    { 0 },
};
