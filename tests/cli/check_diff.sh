#!/bin/sh
# planish diff from outside. Speaks TAP.
# usage: check_diff.sh PLANISH
# SPDX-License-Identifier: Apache-2.0
planish=$1
. "$(dirname "$0")/tap.sh"

cat >"$tmp/a.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17], metadata_props: ["k" : "v"]>
g (float[N, 3] x) => (float[N, 3] y)
<float[3] b = {1, 2, 3}, float[3] gone = {0, 0, 0}>
{
   [one] t = Add(x, b)
   u = Mul(t, gone)
   [two] v = LeakyRelu <alpha = 0.5> (u)
   [three] y = Neg(v)
}
END
sed -e 's/alpha = 0.5/alpha = 0.25/' -e 's/{1, 2, 3}/{1, 2, 3.5}/' -e 's/"v"/"w"/' \
    -e 's/float\[N, 3\] y/float[M, 3] y/' -e 's/Mul(t, gone)/Relu(t)/' \
    -e 's/, float\[3\] gone = {0, 0, 0}//' -e 's/y = Neg(v)/y = Abs(v)/' \
    -e 's/"" : 17/"" : 18/' "$tmp/a.txt" >"$tmp/b.txt"
sed -e 's/Mul(t, gone)/Mul(b, t)/' "$tmp/a.txt" >"$tmp/c.txt"
for m in a b c; do
    check "parse $m" 0 "$planish" parse "$tmp/$m.txt" "$tmp/$m.onnx"
done

check "a model and itself" 0 "$planish" diff "$tmp/a.onnx" "$tmp/a.onnx"
holds "it says so" "$tmp/out" "the same"
check "a model and its text form" 0 sh -c \
    "'$planish' print '$tmp/a.onnx' | '$planish' parse - '$tmp/again.onnx' &&
     '$planish' diff '$tmp/a.onnx' '$tmp/again.onnx'"
check "two models" 1 "$planish" diff "$tmp/a.onnx" "$tmp/b.onnx"
cp "$tmp/out" "$tmp/d.txt"
holds "the attribute" "$tmp/d.txt" "two (LeakyRelu)  attribute alpha: 0.5 -> 0.25"
holds "the operator" "$tmp/d.txt" "three (Neg)  operator: Neg -> Abs"
holds "the counts" "$tmp/d.txt" "Abs  *0 -> 1"
holds "the weight that changed" "$tmp/d.txt" "b  float\[3\]  max |d| 0.5"
holds "the weight that went" "$tmp/d.txt" "gone  float\[3\]"
holds "the output" "$tmp/d.txt" "y  float\[N,3\] -> float\[M,3\]"
holds "the operator set" "$tmp/d.txt" "ai.onnx  17 -> 18"
holds "the metadata" "$tmp/d.txt" "k  v -> w"
check "the other way round" 1 "$planish" diff "$tmp/b.onnx" "$tmp/a.onnx"
holds "what went has come" "$tmp/out" "weights added: 1"
check "other inputs" 1 "$planish" diff "$tmp/a.onnx" "$tmp/c.onnx" --json -
holds "as JSON" "$tmp/out" "input 0: 't' -> 'b'"
check "JSON is JSON" 0 sh -c "'$planish' diff '$tmp/a.onnx' '$tmp/c.onnx' --json - |
    python3 -m json.tool"
check "quietly" 1 "$planish" diff -q "$tmp/a.onnx" "$tmp/b.onnx"
check "nothing is said" 0 test ! -s "$tmp/out"
check "after a round trip through another set" 0 sh -c \
    "'$planish' convert -q '$tmp/a.onnx' '$tmp/o.onnx' --opset 13 &&
     '$planish' convert -q '$tmp/o.onnx' '$tmp/p.onnx' --opset 17 &&
     '$planish' diff '$tmp/a.onnx' '$tmp/p.onnx'"
check "a missing file" 3 "$planish" diff "$tmp/a.onnx" "$tmp/none.onnx"
one_line "one line for it"
check "one file" 2 "$planish" diff "$tmp/a.onnx"

echo "1..$n"
exit $failed
