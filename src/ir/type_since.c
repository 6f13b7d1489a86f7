/* Since when operators of ai.onnx take which element types, where that was later than the
 * operator itself: facts of the standard, which the rows, telling the newest meaning,
 * leave out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "src/ir/type_since.h"

#include <stdlib.h>
#include <string.h>

/* "VERSION:TYPE,... VERSION:TYPE,...", any of the operator's inputs and outputs. */
static const char *const histories[] = {
    /* 0 */ "22:bfloat16",
    /* 1 */ "13:bfloat16",
    /* 2 */ "28:bfloat16",
    /* 3 */ "12:int16,int32,int64,int8,uint16,uint32,uint64,uint8 13:bfloat16",
    /* 4 */ "16:bfloat16",
    /* 5 */ "6:int32,int64,uint32,uint64 13:bfloat16 14:int16,int8,uint16,uint8",
    /* 6 */ "13:bfloat16 19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"
    " 21:int4,uint4 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 7 */ "13:bfloat16"
    " 21:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz,int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 8 */ "16:bfloat16 19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"
    " 21:int4,uint4 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 9 */ "12:int8,uint8 13:bfloat16 20:bool",
    /* 10 */ "19:bfloat16,float16,float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"
    " 21:int16,int4,uint16,uint4 23:float4e2m1 24:float8e8m0 25:int2,uint2"
    " 28:float6e2m3,float6e3m2",
    /* 11 */ "28:bfloat16,float4e2m1,float6e2m3,float6e3m2,float8e4m3fn,float8e4m3fnuz,"
    "float8e5m2,float8e5m2fnuz,float8e8m0,int2,int4,uint2,uint4",
    /* 12 */ "9:int16,int32,int64,int8,uint16,uint32,uint64,uint8 13:bfloat16",
    /* 13 */ "9:int32,int64,uint32,uint64 13:bfloat16",
    /* 14 */ "10:bool 13:bfloat16"
    " 22:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz",
    /* 15 */ "11:double,float,float16,int16,int8,uint16,uint32,uint64,uint8 13:bfloat16"
    " 19:string",
    /* 16 */ "11:int16,int32,int64,int8,uint16,uint32,uint64,uint8"
    " 13:bfloat16,bool,complex128,complex64,string"
    " 21:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz,int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 17 */ "11:int16,int32,int8,uint16,uint32,uint64,uint8 24:bfloat16",
    /* 18 */ "13:bfloat16 14:int16,int32,int64,int8",
    /* 19 */ "13:bfloat16 20:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz",
    /* 20 */ "14:bfloat16",
    /* 21 */ "14:bfloat16,float16",
    /* 22 */ "18:complex128,complex64,double,float,float16,int16,int32,int64,int8,"
    "string,uint16,uint32,uint64,uint8"
    " 28:bfloat16,float4e2m1,float6e2m3,float6e3m2,float8e4m3fn,float8e4m3fnuz,"
    "float8e5m2,float8e5m2fnuz,float8e8m0,int2,int4,uint2,uint4",
    /* 23 */ "19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz 21:int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 24 */ "20:bfloat16,float16,float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz",
    /* 25 */ "20:bfloat16,float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"
    " 21:int4,uint4 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 26 */ "21:bfloat16,double,float,float16",
    /* 27 */ "21:bfloat16,float16,float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz",
    /* 28 */ "24:bfloat16",
    /* 29 */ "27:bfloat16,float16",
    /* 30 */ "28:bfloat16,double,float16",
    /* 31 */ "28:int16,int32,int64,int8",
    /* 32 */ "2:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16",
    /* 33 */ "4:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16",
    /* 34 */ "5:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16"
    " 19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz 21:int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 35 */ "6:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16",
    /* 36 */ "6:int16,int32,int64,int8 13:bfloat16",
    /* 37 */ "6:int16,int32,int64,int8,uint16,uint32,uint64,uint8 13:bfloat16",
    /* 38 */ "7:complex128,complex64,int16,int8,string,uint16,uint32,uint64,uint8",
    /* 39 */ "8:int64 12:int8,uint8 22:bfloat16",
    /* 40 */ "9:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16"
    " 19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz 21:int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 41 */ "9:bool,complex128,complex64,int16,int32,int64,int8,string,uint16,uint32,"
    "uint64,uint8 13:bfloat16"
    " 21:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz,int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2",
    /* 42 */ "9:int32,int64,uint32,uint64 16:bfloat16",
    /* 43 */ "9:string 13:bfloat16"
    " 19:float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz 21:int4,uint4"
    " 23:float4e2m1 24:float8e8m0 25:int2,uint2 28:float6e2m3,float6e3m2",
    /* the exponent's, which were one type with the base before */
    /* 44 */ "12:int16,int32,int64,int8,uint16,uint32,uint64,uint8 15:bfloat16",
};

typedef struct type_row {
    const char *op;
    uint8_t history;
} type_row;

/* Sorted. */
static const type_row rows[] = {
    { "Abs", 37 }, { "Acos", 0 }, { "Acosh", 0 }, { "Add", 5 }, { "ArgMax", 1 },
    { "ArgMin", 1 }, { "Asin", 0 }, { "Asinh", 0 }, { "Atan", 0 }, { "Atanh", 0 },
    { "AveragePool", 0 }, { "BatchNormalization", 20 }, { "BitShift", 31 },
    { "Cast", 43 }, { "CastLike", 23 }, { "Ceil", 1 }, { "Celu", 30 }, { "Clip", 3 },
    { "Compress", 2 }, { "Concat", 33 }, { "Constant", 40 }, { "ConstantOfShape", 25 },
    { "Conv", 0 }, { "ConvTranspose", 0 }, { "Cos", 0 }, { "Cosh", 0 },
    { "CumSum", 21 }, { "DeformConv", 0 }, { "DepthToSpace", 1 },
    { "DequantizeLinear", 10 }, { "Det", 0 }, { "Div", 5 }, { "Dropout", 14 },
    { "Einsum", 2 }, { "Elu", 0 }, { "Equal", 15 }, { "Erf", 1 }, { "Exp", 1 },
    { "Expand", 1 }, { "EyeLike", 0 }, { "Flatten", 41 }, { "Floor", 1 }, { "GRU", 0 },
    { "Gather", 1 }, { "GatherElements", 1 }, { "GatherND", 1 }, { "Gemm", 13 },
    { "GlobalAveragePool", 0 }, { "GlobalLpPool", 0 }, { "GlobalMaxPool", 0 },
    { "Greater", 12 }, { "GreaterOrEqual", 4 }, { "GridSample", 0 },
    { "GroupNormalization", 26 }, { "HardSigmoid", 0 }, { "HardSwish", 0 },
    { "Hardmax", 1 }, { "Identity", 6 }, { "If", 8 }, { "InstanceNormalization", 0 },
    { "IsInf", 24 }, { "IsNaN", 19 }, { "LRN", 1 }, { "LSTM", 0 }, { "LeakyRelu", 4 },
    { "Less", 12 }, { "LessOrEqual", 4 }, { "Log", 1 }, { "LogSoftmax", 1 },
    { "Loop", 8 }, { "LpNormalization", 0 }, { "LpPool", 0 }, { "MatMul", 13 },
    { "Max", 3 }, { "MaxPool", 39 }, { "MaxRoiPool", 0 }, { "MaxUnpool", 0 },
    { "Mean", 1 }, { "MeanVarianceNormalization", 1 }, { "Min", 3 }, { "Mish", 0 },
    { "Mod", 1 }, { "Mul", 5 }, { "Multinomial", 0 }, { "Neg", 36 },
    { "NegativeLogLikelihoodLoss", 0 }, { "NonZero", 1 }, { "OneHot", 2 },
    { "Optional", 11 }, { "OptionalGetElement", 11 }, { "OptionalHasElement", 22 },
    { "PRelu", 42 }, { "Pad", 16 }, { "Pow", 44 }, { "QLinearMatMul", 27 },
    { "QuantizeLinear", 10 }, { "RNN", 0 }, { "RandomNormal", 0 },
    { "RandomNormalLike", 0 }, { "RandomUniform", 0 }, { "RandomUniformLike", 0 },
    { "Range", 29 }, { "Reciprocal", 1 }, { "ReduceL1", 1 }, { "ReduceL2", 1 },
    { "ReduceLogSum", 1 }, { "ReduceLogSumExp", 1 }, { "ReduceMax", 9 },
    { "ReduceMean", 1 }, { "ReduceMin", 9 }, { "ReduceProd", 1 }, { "ReduceSum", 1 },
    { "ReduceSumSquare", 1 }, { "Relu", 18 }, { "Reshape", 34 }, { "Resize", 1 },
    { "ReverseSequence", 2 }, { "RoiAlign", 0 }, { "Round", 0 }, { "Scan", 8 },
    { "ScatterElements", 1 }, { "ScatterND", 1 }, { "Selu", 0 }, { "Shape", 6 },
    { "Sigmoid", 1 }, { "Sign", 1 }, { "Sin", 0 }, { "Sinh", 0 }, { "Size", 6 },
    { "Slice", 1 }, { "Softmax", 1 }, { "SoftmaxCrossEntropyLoss", 1 },
    { "Softplus", 0 }, { "Softsign", 0 }, { "SpaceToDepth", 1 }, { "Split", 32 },
    { "SplitToSequence", 28 }, { "Sqrt", 1 }, { "Squeeze", 7 }, { "Sub", 5 },
    { "Sum", 1 }, { "Tan", 0 }, { "Tanh", 1 }, { "ThresholdedRelu", 0 }, { "Tile", 35 },
    { "TopK", 17 }, { "Transpose", 7 }, { "Unique", 2 }, { "Unsqueeze", 7 },
    { "Upsample", 38 }, { "Where", 4 },
};

static int compare_row(const void *key, const void *row)
{
    return strcmp(key, ((const type_row *)row)->op);
}

int pln_type_since(const char *op, pln_dtype dt)
{
    const char *type = pln_dtype_name(dt);
    const size_t len = strlen(type);
    const type_row *row = bsearch(op, rows, sizeof rows / sizeof rows[0], sizeof rows[0],
                                  compare_row);
    long version = 0;
    for (const char *p = row ? histories[row->history] : ""; *p;) {
        char *end;
        if (*p >= '0' && *p <= '9') {
            version = strtol(p, &end, 10);
            p = end + 1;
        }
        const size_t n = strcspn(p, ", ");
        if (n == len && !memcmp(p, type, len))
            return (int)version;
        p += n + (p[n] != '\0');
    }
    return 0;
}

int pln_kind_since(const char *op, pln_kind kind)
{
    static const struct {
        const char *op;
        uint8_t sequence, optional;
    } kinds[] = { { "Identity", 14, 16 }, { "If", 13, 16 }, { "Loop", 13, 16 } };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kinds[i].op, op))
            return kind == PLN_KIND_SEQUENCE   ? kinds[i].sequence
                   : kind == PLN_KIND_OPTIONAL ? kinds[i].optional
                                               : 0;
    return 0;
}

const char *pln_kind_name(pln_kind kind)
{
    return kind == PLN_KIND_SEQUENCE   ? "sequences"
           : kind == PLN_KIND_OPTIONAL ? "optionals"
           : kind == PLN_KIND_MAP      ? "maps"
                                       : "values";
}
