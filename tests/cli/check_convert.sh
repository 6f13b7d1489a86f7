#!/bin/sh
# planish convert from outside. Speaks TAP.
# usage: check_convert.sh PLANISH
# SPDX-License-Identifier: Apache-2.0
planish=$1
. "$(dirname "$0")/tap.sh"

cat >"$tmp/m.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
m (float[N, 4] x, float[N, 4] mask) => (float[N, 4] y, float[N, 4] z)
<float[4] b = {1, 2, 3, 4}, float[4] s = {1, 1, 2, 2}>
{
   [first] t = Add(x, b)
   [norm] u = LayerNormalization <axis = -1> (t, s, b)
   [last] y = Mul(u, mask)
   z = Relu(t)
}
END
cat >"$tmp/no.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
no (float[2, 3] x, int64[1] k) => (float[2, 3] y, float[2, 3] w)
{
   [a] y = CumSum(x, k)
   [b] w = Round(x)
}
END
cat >"$tmp/body.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
body (float[2] x, bool c) => (float[2] y)
{
   t = Relu(x)
   y = If (c) <
      then_branch = a () => (float[2] p) { p = Neg(t) },
      else_branch = b () => (float[2] q) { q = Identity(t) }
   >
}
END
cat >"$tmp/colon.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
colon (float[2] "x:0") => (float[2] "y:0")
{
   "t:0" = Relu("x:0")
   "y:0" = Neg("t:0")
}
END
for m in m no body colon; do
    check "parse $m" 0 "$planish" parse "$tmp/$m.txt" "$tmp/$m.onnx"
done

check "an older set, verified" 0 "$planish" convert "$tmp/m.onnx" "$tmp/o.onnx" --opset 12 --verify 3
holds "it says how far off" "$tmp/out" "verified on 3"
check "print it" 0 "$planish" print "$tmp/o.onnx"
holds "the version is the new one" "$tmp/out" '"" : 12'
holds "the operator became others" "$tmp/out" "ReduceMean"
holds "the IR version fits" "$tmp/out" "ir_version: 7"
check "it is valid" 0 "$planish" check "$tmp/o.onnx"
check "a newer set" 0 "$planish" convert "$tmp/m.onnx" "$tmp/n.onnx" --opset 21 --verify 1
check "and back" 0 "$planish" convert "$tmp/n.onnx" "$tmp/n17.onnx" --opset 17
check "that is the same again" 0 "$planish" compare "$tmp/m.onnx" "$tmp/n17.onnx"

check "what can't be said there" 4 "$planish" convert "$tmp/no.onnx" "$tmp/none.onnx" --opset 10 --json -
cp "$tmp/out" "$tmp/blockers.json"
one_line "one line for it"
absent "nothing is written" "$tmp/none.onnx"
holds "the first node is listed" "$tmp/blockers.json" '"node": "a"'
holds "the second node is listed" "$tmp/blockers.json" '"node": "b"'
holds "with a reason" "$tmp/blockers.json" "lacks the operator"
check "set 0" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --opset 0
check "what needs a type" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --keep-io
check "no such set" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --opset 99
absent "nothing is written for it" "$tmp/none.onnx"

check "extract" 0 "$planish" convert "$tmp/m.onnx" "$tmp/e.onnx" --extract t:u
check "info of it" 0 "$planish" info "$tmp/e.onnx"
holds "the cut value is an input with its type" "$tmp/out" "input *t *float\[N,4\]"
holds "the end is an output" "$tmp/out" "output *u *float\[N,4\]"
holds "one node is left" "$tmp/out" " 1 nodes"
check "it runs" 0 "$planish" run -q "$tmp/e.onnx"
check "extract up to a value" 0 "$planish" convert "$tmp/m.onnx" "$tmp/e.onnx" --extract :t
check "extract from a value" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --extract u:
holds "what else is needed is named" "$tmp/err" "'x' is needed"
one_line "one line for it"
check "extract from two values" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --extract u,mask:
check "the other output needs more" 0 "$planish" convert "$tmp/m.onnx" "$tmp/e.onnx" \
    --extract u,mask:y
check "extract what is not there" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --extract t:nope
holds "it is named" "$tmp/err" "'nope'"
check "extract without ends" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --extract u
absent "nothing is written by any of these" "$tmp/none.onnx"
check "names with colons" 0 "$planish" convert "$tmp/colon.onnx" "$tmp/e.onnx" --extract t:0:y:0

check "rename" 0 "$planish" convert "$tmp/m.onnx" "$tmp/r.onnx" --rename x=input --rename y=out \
    --rename norm=ln --rename N=batch
check "print the renamed" 0 "$planish" print "$tmp/r.onnx"
cp "$tmp/out" "$tmp/r.txt"
holds "the input is renamed" "$tmp/r.txt" "float\[batch, 4\] input"
holds "the output is renamed" "$tmp/r.txt" "float\[batch, 4\] out"
holds "the node is renamed" "$tmp/r.txt" "\[ln\]"
check "renaming onto a name" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --rename x=t
check "renaming onto an output" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --rename x=y
check "renaming nothing" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --rename nope=a
check "renaming to nothing" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --rename x=
absent "nothing is written by these" "$tmp/none.onnx"
check "readers in bodies follow" 0 "$planish" convert "$tmp/body.onnx" "$tmp/b.onnx" --rename t=shared
check "it still means the same" 0 "$planish" compare "$tmp/body.onnx" "$tmp/b.onnx"
check "renaming onto a name of a body" 2 "$planish" convert "$tmp/body.onnx" "$tmp/none.onnx" \
    --rename t=p

check "a size for a dimension" 0 "$planish" convert "$tmp/m.onnx" "$tmp/d.onnx" --dim N=2
check "info of the sized" 0 "$planish" info "$tmp/d.onnx"
holds "inputs have it" "$tmp/out" "float\[2,4\]"
check "a size past all numbers" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" \
    --dim N=99999999999999999999
check "a size for no dimension" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --dim Z=2
check "all in one" 0 "$planish" convert "$tmp/m.onnx" "$tmp/all.onnx" --extract x:u --dim N=2 \
    --opset 13 --rename u=result --verify 2 --json "$tmp/all.json"
holds "the facts after are there" "$tmp/all.json" '"after"'
check "half precision" 0 "$planish" convert "$tmp/m.onnx" "$tmp/h.onnx" --dtype f16 --verify 2
holds "the casts are counted" "$tmp/out" "are float16 now"
check "print the half" 0 "$planish" print "$tmp/h.onnx"
holds "inputs are half" "$tmp/out" "float16\[N, 4\] x"
check "it runs as half" 0 "$planish" run -q "$tmp/h.onnx"
check "it is valid as half" 0 "$planish" check "$tmp/h.onnx"
check "half inside" 0 "$planish" convert "$tmp/m.onnx" "$tmp/h.onnx" --dtype f16 --keep-io \
    --block norm,Relu --verify 2 --json "$tmp/h.json"
holds "the blocked node is kept" "$tmp/h.json" '"it is blocked"'
check "print the inside" 0 "$planish" print "$tmp/h.onnx"
holds "inputs are float" "$tmp/out" " (float\[N, 4\] x"
holds "there are casts" "$tmp/out" "Cast"
check "short and back" 0 "$planish" convert "$tmp/m.onnx" "$tmp/s.onnx" --dtype bf16
check "back" 0 "$planish" convert "$tmp/s.onnx" "$tmp/f.onnx" --dtype f32 --verify 1
check "bodies, too" 0 "$planish" convert "$tmp/body.onnx" "$tmp/h.onnx" --dtype f16 --verify 2
check "bodies, inside" 0 "$planish" convert "$tmp/body.onnx" "$tmp/h.onnx" --dtype f16 --keep-io --verify 2
check "a type that the set has not" 4 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --opset 12 \
    --dtype bf16
check "no such type" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --dtype f17
check "blocking what is not there" 2 "$planish" convert "$tmp/m.onnx" "$tmp/none.onnx" --dtype f16 \
    --block nope
holds "that is named" "$tmp/err" "'nope'"
absent "nothing is written by those" "$tmp/none.onnx"
check "weights beside the model" 0 "$planish" convert "$tmp/m.onnx" "$tmp/x.onnx" \
    --external-data w.bin --external-threshold 1
check "they are there" 0 test -s "$tmp/w.bin"

# What does not fit into half precision stays in float.
cat >"$tmp/wide.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
wide (float[2] x, float[2] z) => (float[2] y, float[2] s)
<float[2] b = {100000, 1}, float mask = {-3.4e38}, float h = {0.5}>
{
   [square] q = Mul(x, x)
   [root] r = Sqrt(q)
   [big] u = Div(z, b)
   [masked] v = Add(u, mask)
   [plain] w = Add(r, z)
   y = Max(v, w)
   [sizes] n = Shape(x)
   [float] f = Cast <to = 1> (n)
   [half] g = Mul(f, h)
   [whole] i = Cast <to = 7> (g)
   s = Expand(h, n)
}
END
cat >"$tmp/feed.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
feed () => (float[2] x, float[2] z)
{
   x = Constant <value = float[2] {300, 200}> ()
   z = Constant <value = float[2] {1, 2}> ()
}
END
check "parse what is wide" 0 "$planish" parse "$tmp/wide.txt" "$tmp/wide.onnx"
check "parse its inputs" 0 "$planish" parse "$tmp/feed.txt" "$tmp/feed.onnx"
check "write its inputs" 0 "$planish" run -q "$tmp/feed.onnx" --outputs "$tmp/wide.npz"
check "by ranges" 0 "$planish" convert "$tmp/wide.onnx" "$tmp/wide16.onnx" --dtype f16 --keep-io \
    --inputs "$tmp/wide.npz" -v
cp "$tmp/out" "$tmp/wide.out"
holds "what overflows is kept" "$tmp/wide.out" "square (Mul): what it gives is out of the type's range"
holds "and its reader" "$tmp/wide.out" "root (Sqrt): a number that it reads is out"
holds "a constant that does not fit" "$tmp/wide.out" "big (Div): a number that it reads is out"
holds "a size is one" "$tmp/wide.out" "half (Mul): it computes sizes"
holds "infinity is clamped" "$tmp/wide.out" "mask: 1 elements are out of range"
check "others are not kept" 1 grep -q "plain" "$tmp/wide.out"
check "it is right" 0 "$planish" compare -q "$tmp/wide.onnx" "$tmp/wide16.onnx" \
    --inputs "$tmp/wide.npz" --rtol 2e-3 --atol 2e-3
check "without them it is not" 0 "$planish" convert "$tmp/wide.onnx" "$tmp/narrow16.onnx" --dtype f16 \
    --keep-io --block none
check "it overflows" 1 "$planish" compare -q "$tmp/wide.onnx" "$tmp/narrow16.onnx" \
    --inputs "$tmp/wide.npz" --rtol 2e-3 --atol 2e-3

# Integers that are made of floats are sizes, positions, counts.
cat >"$tmp/durations.txt" <<'END'
<ir_version: 9, opset_import: ["" : 22]>
durations (float[1, 8] x) => (float[M] y)
<float[8, 8] w = {0.91, 0.12, 0.53, 0.34, 0.75, 0.26, 0.47, 0.68, 0.11, 0.92, 0.33, 0.54, 0.15,
    0.76, 0.37, 0.58, 0.21, 0.42, 0.63, 0.84, 0.25, 0.46, 0.67, 0.88, 0.31, 0.52, 0.73, 0.94,
    0.35, 0.56, 0.77, 0.98, 0.41, 0.62, 0.83, 0.14, 0.45, 0.66, 0.87, 0.18, 0.51, 0.72, 0.93,
    0.24, 0.55, 0.76, 0.97, 0.28, 0.61, 0.82, 0.13, 0.34, 0.65, 0.86, 0.17, 0.38, 0.71, 0.92,
    0.23, 0.44, 0.75, 0.96, 0.27, 0.48}, float s = {1.7}, float h = {0.5}>
{
   [product] t = MatMul(x, w)
   [grow] e = Exp(t)
   [scale] d = Mul(e, s)
   [up] c = Ceil(d)
   [sum] r = ReduceSum <keepdims = 0> (c)
   [whole] i = Cast <to = 7> (r)
   a = Constant <value_ints = [1]> ()
   n = Reshape(i, a)
   [made] z = ConstantOfShape(n)
   [other] y = Add(z, h)
}
END
check "parse durations" 0 "$planish" parse "$tmp/durations.txt" "$tmp/durations.onnx"
check "as bfloat16" 0 "$planish" convert "$tmp/durations.onnx" "$tmp/d16.onnx" --dtype bf16 \
    --keep-io -v
cp "$tmp/out" "$tmp/d16.out"
for node in grow scale up sum whole; do
    holds "$node stays" "$tmp/d16.out" "^  $node (.*): integers are made there"
done
holds "they are summed up" "$tmp/d16.out" "^ *5 kept: integers are made there"
check "the product does not" 1 grep -q "^  product" "$tmp/d16.out"
check "it is valid" 0 "$planish" check "$tmp/d16.onnx"
check "nothing stays by itself" 0 "$planish" convert "$tmp/durations.onnx" "$tmp/d16.onnx" \
    --dtype bf16 --keep-io -v --block none
check "that is so" 1 grep -q "integers are made there" "$tmp/out"

cat >"$tmp/own.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17, "com.x" : 1]>
own (float[N, 2] x) => (float[N, 2] y, int64[2] z)
{
   n = Shape(x)
   z = com.x.Sizes(n)
   y = Neg(x)
}
END
check "parse what reads sizes and is unknown" 0 "$planish" parse "$tmp/own.txt" "$tmp/own.onnx"
check "it is left as it is" 0 "$planish" convert "$tmp/own.onnx" "$tmp/own16.onnx" --dtype f16
check "that is valid" 0 "$planish" check "$tmp/own16.onnx"

cat >"$tmp/absent.txt" <<'END'
<ir_version: 9, opset_import: ["" : 20]>
absent (float[4] x) => (float[2] y, float[2] z)
{
   [bad] y, z = Split <num_outputs = 2> ("")
}
END
check "parse what lacks an input" 0 "$planish" parse "$tmp/absent.txt" "$tmp/absent.onnx"
rm -f "$tmp/none.onnx"
check "it has no form in another set" 4 "$planish" convert "$tmp/absent.onnx" "$tmp/none.onnx" --opset 13
one_line "one line for it"
holds "that says why" "$tmp/err" "bad (Split): input 0 is absent"
absent "nothing is written" "$tmp/none.onnx"

sed -e 's/Split <num_outputs = 2> ("")/Max(x, "")/' -e 's/y, z =/y =/' \
    -e 's/, float\[2\] z)/)/' -e 's/float\[2\] y/float[4] y/' "$tmp/absent.txt" >"$tmp/max.txt"
check "parse what lacks one of many" 0 "$planish" parse "$tmp/max.txt" "$tmp/max.onnx"
check "it has no form there, either" 4 "$planish" convert "$tmp/max.onnx" "$tmp/none.onnx" --opset 7
check "and can't be run" 3 "$planish" run -q "$tmp/max.onnx"
holds "for the same reason" "$tmp/err" "bad (Max): input 1 is absent"

check "a missing file" 3 "$planish" convert "$tmp/gone.onnx" "$tmp/none.onnx" --opset 13
check "an unwritable place" 3 "$planish" convert "$tmp/m.onnx" "$tmp/no/such.onnx"

echo "1..$n"
exit $failed
