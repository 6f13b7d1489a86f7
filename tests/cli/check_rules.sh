#!/bin/sh
# Seeing rules at work, from outside: rules of one's own, a wrong rule that is refused, named
# and bisected, statistics, near misses, dumps. Speaks TAP.
# usage: check_rules.sh PLANISH
# SPDX-License-Identifier: Apache-2.0
planish=$1
. "$(dirname "$0")/tap.sh"

cat >"$tmp/net.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 18]>
net (float[N, 4] x) => (float[N, 3] y)
<float[4, 3] w = {1, -2, 3, 4, -5, 6, 7, 8, -9, 10, 11, -12}, float[3] b = {1, 2, 3}>
{
   i = Identity(x)
   m = MatMul(i, w)
   h = Add(m, b)
   r = Relu(h)
   s = Sigmoid(r)
   y = Neg(s)
}
EOF
cat >"$tmp/good.rules" <<'EOF'
negative [exact]: Neg(x) => Mul(x, -1)
dense: Add~(MatMul!(x, w#), b#) => com.example.Dense<units = dim(w, 1)>(x, w, b)
EOF
cat >"$tmp/wrong.rules" <<'EOF'
harmless: Neg(x) => Mul(x, -1)
deliberately-wrong: Relu(x) => Abs(x)
EOF
printf 'ok: Neg(x) => x\n\nbad: Relu(x) =>\n   Abs(z)\n' >"$tmp/mistake.rules"
check "a model" 0 "$planish" parse "$tmp/net.txt" "$tmp/net.onnx"

check "rules of one's own" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/good.rules" --verify-each rewrite --json "$tmp/o.json"
check "their operator is written" 0 "$planish" print "$tmp/out.onnx"
holds "with its attribute" "$tmp/out" "com.example.Dense <units: int = 3>"
holds "and the other rule's, too" "$tmp/out" " Mul (s, "
holds "what nobody can run is told" "$tmp/o.json" "no reference kernel for com.example.Dense"
holds "nothing is refused" "$tmp/o.json" '"refused": \[\]'

rm -f "$tmp/no.onnx"
check "a mistake in a rule" 3 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --rules "$tmp/mistake.rules"
one_line "one line for it"
holds "with its place" "$tmp/err" "mistake.rules:4:8: no such name"
absent "no file" "$tmp/no.onnx"
printf 'typo: Relu(x) => Rleu(x)\n' >"$tmp/typo.rules"
check "a misspelt operator" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/typo.onnx" \
    --rules "$tmp/typo.rules" --explain typo -O0
holds "is refused with the reason" "$tmp/out" "an operator that its domain has not"
check "and the file is valid" 0 "$planish" check "$tmp/typo.onnx"
check "no such file of rules" 3 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --rules "$tmp/none.rules"

check "a wrong rule, verified" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/wrong.rules" --verify-each rewrite --verify 3
holds "is refused by name" "$tmp/err" "refused: deliberately-wrong at r (Relu)"
holds "the others are not" "$tmp/out" "1 refused"
check "the file is right" 0 "$planish" print "$tmp/out.onnx"
holds "it kept the operator" "$tmp/out" "Relu"
check "a wrong rule, pass by pass" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/wrong.rules" --verify-each pass --verify 3
holds "the pass is refused" "$tmp/err" "refused: rules at graph"
check "a wrong rule, not verified" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/bad.onnx" \
    --rules "$tmp/wrong.rules"
rm -f "$tmp/no.onnx"
check "a wrong rule, the whole compared" 1 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --rules "$tmp/wrong.rules" --verify 3 --json "$tmp/v.json"
one_line "one line for it"
holds "with the output" "$tmp/err" "output 'y' differs by .*; nothing is written"
absent "nothing is written" "$tmp/no.onnx"
holds "in JSON, too" "$tmp/v.json" '"within": false'
check "the models differ" 1 "$planish" compare --dim N=16 "$tmp/net.onnx" "$tmp/bad.onnx"

rm -f "$tmp/no.onnx"
check "bisect" 1 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --rules "$tmp/wrong.rules" --bisect --bisect-out "$tmp/cut" --json "$tmp/b.json"
one_line "one line for the culprit"
holds "it names the rule" "$tmp/err" "rule deliberately-wrong of pass rules at r (Relu)"
holds "in JSON, too" "$tmp/b.json" '"rule": "deliberately-wrong"'
absent "nothing is written" "$tmp/no.onnx"
check "the fragment before" 0 "$planish" print "$tmp/cut-before.onnx"
holds "is the old node" "$tmp/out" "= Relu"
check "the fragment after" 0 "$planish" print "$tmp/cut-after.onnx"
holds "is the new node" "$tmp/out" "= Abs"
check "the fragments are valid" 0 "$planish" check "$tmp/cut-after.onnx"
check "and differ" 1 "$planish" compare --dim N=16 "$tmp/cut-before.onnx" "$tmp/cut-after.onnx"
check "bisect where nothing is wrong" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --bisect
check "a rule switched off" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/wrong.rules" --disable deliberately-wrong --verify 2

check "statistics" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" -O3 \
    --target planish --stats --json "$tmp/s.json"
holds "of a rule that was applied" "$tmp/out" "^  identity  *noop  *1  *1  *1 "
holds "in JSON" "$tmp/s.json" '"nodes_saved"'
check "explain a rule" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/good.rules" --explain dense
holds "where it was applied" "$tmp/out" "dense: applied at h (Add)"
check "explain a node" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" --explain h
holds "a near miss and its reason" "$tmp/out" "operators at h (Add): .*'m' comes from MatMul"
check "explain the value of a node without a name" 0 "$planish" optimize "$tmp/net.onnx" \
    "$tmp/out.onnx" --explain r
holds "the node has the name of its output" "$tmp/out" " at r (Relu)"
check "explain what is not there" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --explain identtiy
one_line "one line for it"
holds "with what may have been meant" "$tmp/err" "is called 'identtiy'; did you mean 'identity'?"
check "switch off what is not there" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --disable noop,gellu
holds "with what may have been meant" "$tmp/err" "is called 'gellu'; did you mean 'gelu'?"
check "a pass that is not there" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --passes noop,fuse-matmull
holds "with what may have been meant" "$tmp/err" "did you mean 'fuse-matmul'?"
check "explain a pass that does not run" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --explain fuse-matmul
holds "says why not" "$tmp/out" "fuse-matmul: it is for target planish"
absent "nothing is written" "$tmp/no.onnx"
check "reasons change no byte" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/plain.onnx"
check "nor do statistics" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/told.onnx" --stats --explain h
check "the files are the same" 0 cmp "$tmp/plain.onnx" "$tmp/told.onnx"
cat >"$tmp/names.txt" <<'EOF'
<ir_version: 7, opset_import: ["" : 13]>
names (float[N, 4] x) => (float[N, 4] y)
<float three = {3}, float six = {6}, float zero = {0}>
{
   a = Add(x, three)
   c = Clip(a, zero, six)
   d = Div(c, six)
   y = Mul(x, d)
}
EOF
check "a model of an older set" 0 "$planish" parse "$tmp/names.txt" "$tmp/names.onnx"
check "what it forbids is tried for reasons" 0 "$planish" optimize "$tmp/names.onnx" \
    "$tmp/told.onnx" --explain hard-swish
holds "that says so" "$tmp/out" "it needs operator set 14, the model has 13"
check "without reasons" 0 "$planish" optimize "$tmp/names.onnx" "$tmp/plain.onnx"
check "new names are the same" 0 cmp "$tmp/plain.onnx" "$tmp/told.onnx"
check "dumps" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" --dump-dir "$tmp/d"
check "one for each pass that changed something" 0 grep -q MatMul "$tmp/d/001-noop.txt"
check "the model as it was" 0 "$planish" compare --dim N=16 "$tmp/net.onnx" "$tmp/d/000-model.onnx"
check "a model for each pass" 0 "$planish" compare --dim N=16 "$tmp/net.onnx" "$tmp/d/001-noop.onnx"
check "dumps of rewrites" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --dump-dir "$tmp/d" --dump-each rewrite --rules "$tmp/wrong.rules"
check "what the wrong rule took away" 0 grep -q "= Relu" \
    "$tmp"/d/rewrites/0000[0-9]-deliberately-wrong-before.txt
check "and what it put there" 0 grep -q "= Abs" \
    "$tmp"/d/rewrites/0000[0-9]-deliberately-wrong-after.txt
check "as models" 0 "$planish" check "$tmp"/d/rewrites/0000[0-9]-deliberately-wrong-after.onnx
check "each needs a folder" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" --dump-each pass
check "each of what" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --dump-dir "$tmp/d" --dump-each node
check "a folder that can't be made" 3 "$planish" optimize "$tmp/net.onnx" "$tmp/no.onnx" \
    --dump-dir "$tmp/no/d"
one_line "one line for it"
absent "nothing is written" "$tmp/no.onnx"
# The examples of docs/rules.md do what it says.
docs=$(dirname "$0")/../../docs/rules.md
cat >"$tmp/doc.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 18]>
doc (float[N, 4] x, float[2, 3, N] v) => (float[N, 3] y, float[N, 4] z, float[2, 3, N] s)
<float[4, 3] w = {1, -2, 3, 4, -5, 6, 7, 8, -9, 10, 11, -12}, float[3] b = {1, 2, 3}>
{
   p = Softplus(x)
   t = Tanh(p)
   i = Mul(t, x)
   m = MatMul(i, w)
   y = Add(b, m)
   a = Add(x, x)
   r = Relu(a)
   z = Sub(a, r)
   s = Softmax <axis = 2> (v)
}
EOF
check "a model for the examples" 0 "$planish" parse "$tmp/doc.txt" "$tmp/doc.onnx"
sed -n '/^```/,/^```/p' "$docs" | grep -v '^```' >"$tmp/doc.rules"
sed -n 's/^    \(pair: .*\)/\1/p' "$docs" >>"$tmp/doc.rules"
sed -n 's/^    => Softmax/soft: s=Softmax<axis = 2>(x) => Softmax/p' "$docs" >>"$tmp/doc.rules"
check "there are four examples" 0 test "$(grep -c '^[a-z].*: ' "$tmp/doc.rules")" = 4
check "they run" 0 "$planish" optimize "$tmp/doc.onnx" "$tmp/doc.out.onnx" -O0 \
    --rules "$tmp/doc.rules" --verify-each rewrite --stats
cp "$tmp/out" "$tmp/doc.stats"
holds "what is wrong here is refused" "$tmp/err" "refused: soft at s (Softmax)"
check "print what they made" 0 "$planish" print "$tmp/doc.out.onnx"
cp "$tmp/out" "$tmp/doc.printed"
holds "three operators became one" "$tmp/doc.printed" "com.example.Mish (x)"
holds "with attributes that are expressions" "$tmp/doc.printed" 'kind: string = "row"'
holds "of two results" "$tmp/doc.printed" "a, r = com.example.AddRelu"
for rule in mish linear pair; do
    holds "$rule is counted" "$tmp/doc.stats" "^  $rule  *rules .* 1  *0 "
done
# The rules of examples/, on a model with all that they are for, in bodies too.
cat >"$tmp/acc.txt" <<'EOF'
<ir_version: 9, opset_import: ["" : 18]>
acc (float[1, 3, 8, 8] x, float[N, 4] z, bool c)
    => (float[1, 2, 6, 6] y, float[N, 2] v, int64[N, 2] i, float[1, 4, 8, 8] g, float[N, 3] d)
<float[2, 3, 3, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
    45, 46, 47, 48, 49, 50, 51, 52, 53, 54},
 float[1, 2, 1, 9] wide = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, float[2] b = {1, 2}, int64[1] k = {2},
 float[4, 3] m = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[3] a = {1, 2, 3}, float o = {1},
 int64[1] zero = {0}, int64[1] one = {1}, int64[1] four = {4}>
{
   [conv] t = Conv <strides = [1, 1]> (x, w, b)
   y = Relu(t)
   [widest] u = Conv <pads = [0, 2, 0, 2]> (y, wide)
   [other] u2 = Relu(u)
   v, i = TopK <axis = -1> (z, k)
   g = If (c) <
      then_branch = yes () => (float[1, 4, 8, 8] p) {
         e = Softplus(x)
         f = Tanh(e)
         h = Mul(f, x)
         first = ReduceMax(h, one)
         all = Concat <axis = 1> (h, first)
         p = Neg(all)
      },
      else_branch = no () => (float[1, 4, 8, 8] r) {
         e2 = Exp(x)
         f2 = Add(e2, o)
         h2 = Log(f2)
         l2 = Tanh(h2)
         n2 = Mul(x, l2)
         last = ReduceMin(n2, one)
         both = Concat <axis = 1> (n2, last, last)
         only = Slice(both, zero, four, one)
         r = Neg(only)
      }
   >
   mm = MatMul(z, m)
   d = Add(a, mm)
}
EOF
check "a model for the accelerator" 0 "$planish" parse "$tmp/acc.txt" "$tmp/acc.onnx"
check "the rules of the example" 0 "$planish" optimize "$tmp/acc.onnx" "$tmp/npu.onnx" -O0 \
    --rules "$(dirname "$0")/../../examples/accelerator.rules" --verify-each rewrite --stats
cp "$tmp/out" "$tmp/npu.stats"
for rule in conv mish dense top join; do
    holds "$rule is applied" "$tmp/npu.stats" "^  $rule  *rules  *[0-9]*  *[0-9]*  *[12] "
done
holds "what is too wide says so" "$tmp/npu.stats" "it is not so that .*dim(w, 3) <= 7"
check "print what they made" 0 "$planish" print "$tmp/npu.onnx"
cp "$tmp/out" "$tmp/npu.txt"
holds "attributes are carried" "$tmp/npu.txt" "strides: ints = \[1, 1\], activation: string = \"fused\", has_bias: int = 1"
holds "any number of inputs" "$tmp/npu.txt" "Join <axis: int = 1> (n2, last, last)"
holds "of several results" "$tmp/npu.txt" "v, i = com.example.npu.TopK"
check "it is valid" 0 "$planish" check "$tmp/npu.onnx"
check "again" 0 "$planish" optimize -q "$tmp/npu.onnx" "$tmp/npu2.onnx" -O0 \
    --rules "$(dirname "$0")/../../examples/accelerator.rules"
check "changes nothing" 0 cmp "$tmp/npu.onnx" "$tmp/npu2.onnx"
printf 'r: Cos(x) => x\n' >"$tmp/idle.rules"
check "rules that fit nowhere" 0 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --rules "$tmp/idle.rules"
holds "that is said" "$tmp/err" "none of the rules given was applied"
printf 'r: Rleu(x) => x\n' >"$tmp/typo.rules"
check "an operator in a pattern that is not there" 3 "$planish" optimize "$tmp/net.onnx" \
    "$tmp/no.onnx" --rules "$tmp/typo.rules"
holds "with its place and a suggestion" "$tmp/err" "typo.rules:1:4: .*did you mean 'Relu'"
check "unknown word for --verify-each" 2 "$planish" optimize "$tmp/net.onnx" "$tmp/out.onnx" \
    --verify-each sometimes

echo "1..$n"
exit $failed
