#!/bin/sh
# planish reduce from outside. Speaks TAP.
# usage: check_reduce.sh PLANISH
# SPDX-License-Identifier: Apache-2.0
planish=$1
. "$(dirname "$0")/tap.sh"

cat >"$tmp/m.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17], metadata_props: ["k" : "v"]>
m (float[2, 8] x, float[2, 8] other) => (float[2, 8] y, float[2, 8] z)
<float[8] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[8] b = {1, 2, 3, 4, 5, 6, 7, 8}>
{
   a = Relu(x)
   c = Mul(a, w)
   d = Add(c, b)
   e = Tanh(d)
   f = Sigmoid(e)
   g = Mul(f, other)
   h = LeakyRelu <alpha = 0.3> (g)
   y = Neg(h)
   z = Abs(other)
}
END
cat >"$tmp/has" <<END
#!/bin/sh
"$planish" print "\$2" >"$tmp/printed" || exit 77
grep -q "\$1" "$tmp/printed" && exit 3
exit 0
END
chmod +x "$tmp/has"
check "parse" 0 "$planish" parse "$tmp/m.txt" "$tmp/m.onnx"

check "one operator" 0 "$planish" reduce "$tmp/m.onnx" "$tmp/one.onnx" --check "$tmp/has Sigmoid"
holds "it says what it did" "$tmp/out" "smaller and still failing"
check "print it" 0 "$planish" print "$tmp/one.onnx"
cp "$tmp/out" "$tmp/one.txt"
holds "the operator is there" "$tmp/one.txt" "= Sigmoid"
check "nothing else is" 0 test "$(grep -c ' = [A-Z]' "$tmp/one.txt")" = 1
check "no metadata either" 1 grep -q '"k"' "$tmp/one.txt"
check "it is valid" 0 "$planish" check "$tmp/one.onnx"
check "it runs" 0 "$planish" run -q "$tmp/one.onnx"
check "again" 0 "$planish" reduce -q "$tmp/m.onnx" "$tmp/two.onnx" --check "$tmp/has Sigmoid {}"
check "the same bytes" 0 cmp "$tmp/one.onnx" "$tmp/two.onnx"
check "a chain" 0 "$planish" reduce -q "$tmp/m.onnx" "$tmp/chain.onnx" \
    --check "$tmp/has Tanh %s && exit 0; $tmp/has Neg %s" --json "$tmp/r.json"
holds "the report" "$tmp/r.json" '"checks"'

cat >"$tmp/differs" <<END
#!/bin/sh
"$planish" convert -q "\$1" "$tmp/half.onnx" --dtype f16 --keep-io || exit 0
"$planish" compare -q "\$1" "$tmp/half.onnx" --rtol 0 --atol 0 --range other=1:2
END
chmod +x "$tmp/differs"
check "what makes half precision differ" 0 "$planish" reduce -q "$tmp/m.onnx" "$tmp/half.out.onnx" \
    --check "$tmp/differs"
check "print that" 0 "$planish" print "$tmp/half.out.onnx"
check "one node does" 0 test "$(grep -c ' = [A-Z]' "$tmp/out")" = 1

# A miscompile: a rule that is wrong, found in a model with a body and large weights.
cat >"$tmp/wrong.rules" <<'END'
wrong [exact]: Tanh(Mul!(x, y)) => Tanh(Add(x, y))
END
cat >"$tmp/deep.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
deep (float[4, 64] x, bool c, float[64] v) => (float[4, 512] y)
<float[64, 512] w = ["location": "seed:1"], float[512] b = ["location": "seed:2"]>
{
   h = MatMul(x, w)
   i = Add(h, b)
   j = If (c) <
      then_branch = a () => (float[4, 512] p) { o = Neg(i) r = Mul(o, b) t = Tanh(r) p = Relu(t) },
      else_branch = d () => (float[4, 512] q) { q = Identity(i) }
   >
   k = Sigmoid(j)
   z = Mul(x, v)
   y = Softmax(k)
}
END
cat >"$tmp/miscompiled" <<END
#!/bin/sh
"$planish" optimize -q "\$1" "$tmp/wrong.onnx" --rules "$tmp/wrong.rules" --passes rules --no-stamp || exit 0
"$planish" compare -q "\$1" "$tmp/wrong.onnx" --range c=1:2
END
chmod +x "$tmp/miscompiled"
sed -i 's/= \["location": "seed:1"\]/= {@W}/; s/= \["location": "seed:2"\]/= {@B}/' "$tmp/deep.txt"
awk 'BEGIN { for (i = 0; i < 64 * 512; i++) w = w (i ? "," : "") (i % 7) / 8
             for (i = 0; i < 512; i++) b = b (i ? "," : "") (i % 5) / 4 + 1 }
     { sub("@W", w); sub("@B", b); print }' "$tmp/deep.txt" >"$tmp/deep.full.txt"
check "parse the deep one" 0 "$planish" parse "$tmp/deep.full.txt" "$tmp/deep.onnx"
check "a miscompile" 0 "$planish" reduce "$tmp/deep.onnx" "$tmp/deep.small.onnx" \
    --check "$tmp/miscompiled {}" --json "$tmp/deep.json"
holds "it is minimal" "$tmp/deep.json" '"minimal": true'
check "print it" 0 "$planish" print "$tmp/deep.small.onnx"
cp "$tmp/out" "$tmp/deep.small.txt"
holds "the pattern is left" "$tmp/deep.small.txt" "Tanh"
check "and little else" 0 test "$(grep -o ' = [A-Z][A-Za-z]* ' "$tmp/deep.small.txt" | wc -l)" -le 4
check "its sizes are small" 1 grep -q '512' "$tmp/deep.small.txt"
check "and it is small" 0 test "$(wc -c <"$tmp/deep.small.onnx")" -lt 1500
check "at most so many" 0 "$planish" reduce "$tmp/deep.onnx" "$tmp/some.onnx" \
    --check "$tmp/miscompiled {}" --max-checks 3 --json "$tmp/some.json"
holds "it stopped" "$tmp/some.json" '"stopped": true'
holds "it says so" "$tmp/out" "stopped at the limit"
check "the command sees weights beside" 0 "$planish" reduce -q "$tmp/deep.onnx" "$tmp/b.onnx" \
    --check "test ! -s {} || exit 3" --max-checks 2

check "a command that does not fail" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" --check true
one_line "one line for it"
check "the output does not match" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" \
    --check "$tmp/has Sigmoid" --match "no such text"
check "a command that hangs" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" \
    --check "sleep 20; : {}" --timeout 0.2
check "a command that is not there" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" \
    --check no-such-command
one_line "one line for it"
holds "it says so" "$tmp/err" "no such command"
check "what is no time" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" --check false \
    --timeout nan
check "a negative time" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx" --check false \
    --max-time -1
mkdir "$tmp/t"
check "a command that changes its file and leaves others" 0 env TMPDIR="$tmp/t" "$planish" \
    reduce -q "$tmp/m.onnx" "$tmp/x.onnx" --check 'mkdir {}.d; echo >{}; exit 3' --max-checks 4
check "nothing is left of it" 0 test -z "$(ls -A "$tmp/t")"
check "the model is none of its doing" 0 "$planish" check "$tmp/x.onnx"
check "a command that leaves a process" 0 "$planish" reduce -q "$tmp/m.onnx" "$tmp/x.onnx" \
    --check "(sleep 1; touch '$tmp/late') & exit 3" --max-checks 1
sleep 1.5
check "it is ended" 1 test -e "$tmp/late"
check "no command" 2 "$planish" reduce "$tmp/m.onnx" "$tmp/none.onnx"
check "a missing file" 3 "$planish" reduce "$tmp/gone.onnx" "$tmp/none.onnx" --check false
check "an unwritable place" 3 "$planish" reduce "$tmp/m.onnx" "$tmp/no/such.onnx" --check "$tmp/has Neg"
absent "nothing is written by any of these" "$tmp/none.onnx"

echo "1..$n"
exit $failed
