/* Names of element types as the rows' type tables list them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef PLN_KERNELS_TYPE_SETS_H
#define PLN_KERNELS_TYPE_SETS_H

#define PLN_TS_FLOAT  "float,double,float16,bfloat16"
#define PLN_TS_UINT   "uint8,uint16,uint32,uint64"
#define PLN_TS_SINT   "int8,int16,int32,int64"
#define PLN_TS_INT    PLN_TS_UINT "," PLN_TS_SINT
#define PLN_TS_NUM    PLN_TS_INT "," PLN_TS_FLOAT
#define PLN_TS_F8     "float8e4m3fn,float8e4m3fnuz,float8e5m2,float8e5m2fnuz"
#define PLN_TS_F6     "float6e2m3,float6e3m2"
#define PLN_TS_SMALL  "uint4,int4,uint2,int2,float4e2m1,float8e8m0"
#define PLN_TS_COMPLEX "complex64,complex128"
#define PLN_TS_ALL    PLN_TS_NUM ",bool,string," PLN_TS_COMPLEX

#endif
