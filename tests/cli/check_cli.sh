#!/bin/sh
# The command from outside: exit codes, one-line errors, JSON, no partial files. Speaks TAP.
# usage: check_cli.sh PLANISH [PLUGIN]
# SPDX-License-Identifier: Apache-2.0
planish=$1
plugin=$2
. "$(dirname "$0")/tap.sh"

cat >"$tmp/add.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
add (float[N, 3] x) => (float[N, 3] y)
<float[3] b = {1, 2, 3}>
{
   t = Add(x, b)
   y = Relu(t)
}
EOF
cat >"$tmp/idle.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
idle (float[N, 3] x) => (float[N, 3] y)
{
   t = Identity(x)
   y = Relu(t)
}
EOF
cat >"$tmp/cycle.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
loop (float[3] x) => (float[3] y)
{
   a = Add(x, y)
   y = Relu(a)
}
EOF
cat >"$tmp/unknown.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
unknown (float[3] x) => (float[3] y)
{
   y = NoSuchOperator(x)
}
EOF

check "--help" 0 "$planish" --help
holds "help lists the verbs" "$tmp/out" "^  run "
check "--version" 0 "$planish" --version
check "no verb" 2 "$planish"
check "misspelt verb" 2 "$planish" rnu
holds "a verb is suggested" "$tmp/err" "did you mean 'run'"
one_line "one line for a misspelt verb"
check "misspelt option" 2 "$planish" run --inptus a b
holds "an option is suggested" "$tmp/err" "did you mean '--inputs'"
for verb in info check print parse run optimize convert quantize compare diff reduce bench test; do
    check "$verb --help" 0 "$planish" $verb --help
done
check "missing file" 3 "$planish" info "$tmp/none.onnx"
one_line "one line for a missing file"

check "parse" 0 "$planish" parse "$tmp/add.txt" "$tmp/add.onnx"
check "parse another" 0 "$planish" parse "$tmp/idle.txt" "$tmp/idle.onnx"
check "print" 0 "$planish" print "$tmp/add.onnx"
holds "print shows the graph" "$tmp/out" "Relu"
check "check of a valid model" 0 "$planish" check "$tmp/add.onnx"
check "info as JSON" 0 "$planish" info "$tmp/add.onnx" --json -
holds "JSON has a schema" "$tmp/out" '"schema": 1'
cp "$tmp/out" "$tmp/info.json"
check "JSON is JSON" 0 python3 -m json.tool "$tmp/info.json"
check "run with random input" 0 "$planish" run "$tmp/add.onnx" --dim N=2 --outputs "$tmp/y.npz"
holds "random input is announced" "$tmp/err" "random, seed 0"
holds "the shape follows --dim" "$tmp/out" "float\[2,3\]"
check "the same seed gives the same output" 0 "$planish" run "$tmp/add.onnx" --dim N=2 \
    --outputs "$tmp/z.npz"
check "compare archives" 0 "$planish" compare "$tmp/y.npz" "$tmp/z.npz"
check "compare models" 0 "$planish" compare "$tmp/add.onnx" "$tmp/add.onnx"
check "optimize" 0 "$planish" optimize "$tmp/add.onnx" "$tmp/opt.onnx"
check "optimize for planish" 0 "$planish" optimize -O3 --target planish "$tmp/add.onnx" \
    "$tmp/opt3.onnx" --verify 2
holds "it says how far they are apart" "$tmp/out" "verified on 2 random inputs: off by"
check "optimize a model with something to do" 0 "$planish" optimize "$tmp/idle.onnx" "$tmp/opt.onnx"
holds "the table has the operators that changed" "$tmp/out" "Identity  *1  *0"
check "and not those that did not" 1 grep -q "Relu " "$tmp/out"
check "optimize is quiet" 0 "$planish" optimize -q "$tmp/add.onnx" "$tmp/opt.onnx" --verify 1
check "nothing is said" 0 test ! -s "$tmp/out"
check "optimize as JSON" 0 "$planish" optimize "$tmp/add.onnx" "$tmp/opt.onnx" --verify 1 --json -
holds "it has the facts before" "$tmp/out" '"before"'
holds "it has what was verified" "$tmp/out" '"verified"'
check "a second run gives the same bytes" 0 "$planish" optimize "$tmp/opt.onnx" "$tmp/opt2.onnx"
check "they are the same" 0 cmp "$tmp/opt.onnx" "$tmp/opt2.onnx"
holds "there is a recipe" "$tmp/opt.onnx" "planish.recipe"
check "no recipe when not wanted" 0 "$planish" optimize --no-stamp "$tmp/add.onnx" "$tmp/bare.onnx"
check "there is none" 1 grep -q planish.recipe "$tmp/bare.onnx"
cat >"$tmp/sizes.txt" <<'END'
<ir_version: 8, opset_import: ["" : 17]>
sizes (float[?, 3, ?, ?] x) => (float[?, ?] y)
{
   t = MaxPool <kernel_shape = [9, 9]> (x)
   y = Flatten (t)
}
END
check "sizes that nobody names" 0 "$planish" parse "$tmp/sizes.txt" "$tmp/sizes.onnx"
check "verify at some of them" 0 "$planish" optimize "$tmp/sizes.onnx" "$tmp/opt.onnx" --verify 2
holds "an unchanged graph gives the same bits" "$tmp/out" "off by 0 x max"
check "verify from stdin" 0 sh -c "'$planish' optimize - '$tmp/opt.onnx' --verify 1 <'$tmp/add.onnx'"
check "external data" 0 "$planish" optimize "$tmp/add.onnx" "$tmp/ext.onnx" \
    --external-data ext.bin --external-threshold 1
holds "the model names the file" "$tmp/ext.onnx" "ext.bin"
check "external data can be read" 0 "$planish" compare "$tmp/add.onnx" "$tmp/ext.onnx"
check "and taken in again" 0 "$planish" optimize "$tmp/ext.onnx" "$tmp/in.onnx" --external-data none
check "it is gone" 1 grep -q ext.bin "$tmp/in.onnx"
check "external data elsewhere" 2 "$planish" optimize "$tmp/add.onnx" "$tmp/away.onnx" \
    --external-data ../away.bin --external-threshold 1
absent "nothing is written then" "$tmp/away.onnx"
absent "nor beside it" "$tmp/away.bin"
check "external data of another model" 2 "$planish" optimize "$tmp/ext.onnx" "$tmp/away.onnx" \
    --external-data ext.bin --external-threshold 1
one_line "one line for it"
absent "nothing is written then" "$tmp/away.onnx"
check "a model in place of weights" 2 "$planish" optimize "$tmp/ext.onnx" "$tmp/ext.bin"
check "they are as they were" 0 "$planish" compare "$tmp/add.onnx" "$tmp/ext.onnx"
check "a model in place, with its data" 0 "$planish" optimize "$tmp/ext.onnx" "$tmp/ext.onnx" \
    --external-data ext.bin --external-threshold 1
check "it is as it was" 0 "$planish" compare "$tmp/add.onnx" "$tmp/ext.onnx"
check "external data of stdout" 2 "$planish" optimize "$tmp/add.onnx" - --external-data e.bin
check "external data of a device" 2 "$planish" optimize "$tmp/add.onnx" /dev/null \
    --external-data e.bin --external-threshold 1
check "external data without a name" 2 "$planish" optimize "$tmp/add.onnx" "$tmp/away.onnx" \
    --external-data ""
check "a negative size" 2 "$planish" optimize "$tmp/add.onnx" "$tmp/away.onnx" \
    --external-threshold -1
ln -s ext.bin "$tmp/ext.lnk"
check "external data that is a link" 0 "$planish" optimize "$tmp/add.onnx" "$tmp/ext2.onnx" \
    --external-data ext.lnk --external-threshold 1
check "the link is replaced, not followed" 1 test -L "$tmp/ext.lnk"
check "compare before and after" 0 "$planish" compare "$tmp/add.onnx" "$tmp/opt3.onnx"
cat >"$tmp/mm.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
mm (float[N, 2] x) => (float[N, 2] y)
<float[2, 2] w = {1, -2, 3, 4}, float[2] b = {1, -2}>
{
   t = MatMul(x, w)
   u = Add(t, b)
   y = Relu(u)
}
EOF
check "parse a product" 0 "$planish" parse "$tmp/mm.txt" "$tmp/mm.onnx"
check "fuse it" 0 "$planish" optimize -q -O3 --target planish --no-stamp "$tmp/mm.onnx" "$tmp/fused.onnx"
check "info of the fused" 0 "$planish" info "$tmp/fused.onnx"
holds "it is fused" "$tmp/out" "planish.Fused"
check "fuse it again" 0 "$planish" optimize -q -O3 --target planish --no-stamp "$tmp/fused.onnx" \
    "$tmp/fused2.onnx"
check "the same bytes" 0 cmp "$tmp/fused.onnx" "$tmp/fused2.onnx"
check "plain operators again" 0 "$planish" optimize -q --no-stamp "$tmp/fused.onnx" "$tmp/plain.onnx" \
    --verify 2
check "info of the plain" 0 "$planish" info "$tmp/plain.onnx"
check "optimize without the way round" 0 "$planish" optimize -q --no-stamp "$tmp/mm.onnx" "$tmp/mm2.onnx"
check "the same operators" 0 sh -c "
    '$planish' info '$tmp/mm2.onnx' | sed -n 's/ nodes.*//p' >'$tmp/n1'
    '$planish' info '$tmp/plain.onnx' | sed -n 's/ nodes.*//p' | cmp - '$tmp/n1'"
check "none is ours" 1 grep -q planish "$tmp/plain.onnx"
check "bench as JSON" 0 "$planish" bench "$tmp/add.onnx" --seconds 0.1 --json -
holds "bench has p50" "$tmp/out" '"p50_ms"'
check "a model from stdin" 0 sh -c "'$planish' info - <'$tmp/add.onnx'"

check "a size that is none" 2 "$planish" run "$tmp/add.onnx" --dim N=two
check "a size of no dimension" 0 "$planish" run "$tmp/add.onnx" --dim M=2 --range z=0:1
holds "is told" "$tmp/err" "no input has a dimension 'M'"
holds "and a range of no input" "$tmp/err" "'z' is not an input"
check "unknown input" 3 "$planish" run "$tmp/add.onnx" --input "nope=$tmp/y.npz"
one_line "one line for an unknown input"
check "wrong shape" 3 "$planish" run "$tmp/add.onnx" --shape x=2x4
one_line "one line for a wrong shape"
check "a text with a cycle" 3 "$planish" parse "$tmp/cycle.txt" "$tmp/cycle.onnx"
absent "nothing is written for it" "$tmp/cycle.onnx"
check "a text with an unknown operator" 0 "$planish" parse "$tmp/unknown.txt" "$tmp/u.onnx"
check "check of it" 1 "$planish" check "$tmp/u.onnx"
check "run of it" 4 "$planish" run "$tmp/u.onnx"
holds "the operator is named" "$tmp/err" "NoSuchOperator"
check "optimize takes it as opaque" 0 "$planish" optimize "$tmp/u.onnx" "$tmp/u2.onnx"
check "info takes it as opaque" 0 "$planish" info "$tmp/u.onnx"

head -c 40 "$tmp/add.onnx" >"$tmp/short.onnx"
check "truncated file" 3 "$planish" optimize "$tmp/short.onnx" "$tmp/short-out.onnx"
one_line "one line for a truncated file"
absent "nothing is written for it" "$tmp/short-out.onnx"
check "unwritable output" 3 "$planish" optimize "$tmp/add.onnx" "$tmp/no/such/dir.onnx"
check "an output that is a folder" 3 "$planish" optimize "$tmp/add.onnx" "$tmp/"
one_line "one line for a folder"
check "an output without a name" 3 "$planish" optimize "$tmp/add.onnx" ""
check "an output that is a device" 0 "$planish" optimize -q "$tmp/add.onnx" /dev/null
check "the device is still one" 0 test -c /dev/null
if [ -c /dev/full ]; then
    check "a full disk" 3 "$planish" optimize -q "$tmp/add.onnx" /dev/full
    one_line "one line for a full disk"
    check "a full disk by -" 3 sh -c "'$planish' optimize -q '$tmp/add.onnx' - >/dev/full"
    check "a full disk for results" 3 "$planish" run -q "$tmp/add.onnx" --outputs /dev/full
    check "a full disk for JSON" 3 "$planish" info -q "$tmp/add.onnx" --json /dev/full
fi
mkfifo "$tmp/pipe"
cat "$tmp/pipe" >"$tmp/through.onnx" &
check "an output that is a pipe" 0 "$planish" optimize -q "$tmp/add.onnx" "$tmp/pipe"
wait
check "it went through" 0 "$planish" check "$tmp/through.onnx"
check "stdout by its name" 0 sh -c "'$planish' optimize -q '$tmp/add.onnx' /dev/stdout | '$planish' check -"
mkdir "$tmp/linked"
cp "$tmp/idle.onnx" "$tmp/linked/real.onnx"
ln -s linked/real.onnx "$tmp/link.onnx"
check "an output that is a link to the input" 0 "$planish" optimize -q "$tmp/link.onnx" "$tmp/link.onnx"
check "the link is still one" 0 test -L "$tmp/link.onnx"
check "and what it stands for is written" 0 grep -q planish.recipe "$tmp/linked/real.onnx"
check "nothing else is there" 0 test "$(ls -A "$tmp/linked")" = real.onnx
check "an output that is the input" 0 "$planish" optimize -q "$tmp/linked/real.onnx" "$tmp/linked/real.onnx"
check "results of a pipe" 0 sh -c "'$planish' run -q '$tmp/add.onnx' --outputs /dev/stdout | grep -q PK"
check "wrong level" 2 "$planish" optimize -O9 "$tmp/add.onnx" "$tmp/x.onnx"
check "a dimension without a number" 2 "$planish" optimize --dim N=x "$tmp/add.onnx" "$tmp/x.onnx"
check "wrong target" 2 "$planish" optimize --target tpu "$tmp/add.onnx" "$tmp/x.onnx"
check "other sizes" 0 "$planish" run -q "$tmp/add.onnx" --dim N=3 --outputs "$tmp/three.npz"
check "compare of other sizes" 1 "$planish" compare "$tmp/y.npz" "$tmp/three.npz"
holds "they are told" "$tmp/out" "got float\[3,3\], want float\[2,3\]  DIFFERS"
check "compare of a model and an archive" 2 "$planish" compare "$tmp/add.onnx" "$tmp/y.npz"
check "static quantize without data" 2 "$planish" quantize "$tmp/add.onnx" "$tmp/q.onnx"

cat >"$tmp/fused.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 2, 3] x, float[1, 2, 2] r) => (float[1, 2, 2] y) <float[3, 2] w = {1, -2, 3, -4, 5, -6}>
{
   a = MatMul(x, w)
   b = Add(a, r)
   y = Relu(b)
}
EOF
check "parse of a product with a chain" 0 "$planish" parse "$tmp/fused.txt" "$tmp/chain.onnx"
check "it is fused" 0 "$planish" optimize -O3 --target planish "$tmp/chain.onnx" \
    "$tmp/fused.onnx" --verify 2
check "print of the fused file" 0 "$planish" print "$tmp/fused.onnx"
holds "its function is read back as our operator" "$tmp/out" \
    'y = planish.FusedMatMul:f0 <post: strings = \["add", "relu"\],.* (x, w, "", r)'
check "optimize again" 0 "$planish" optimize -O3 --target planish "$tmp/fused.onnx" \
    "$tmp/again.onnx" --no-stamp
check "and without change" 0 "$planish" optimize -O0 "$tmp/fused.onnx" "$tmp/same.onnx" --no-stamp
check "the fused file runs as the first" 0 "$planish" compare "$tmp/chain.onnx" "$tmp/fused.onnx"
check "print of it again" 0 "$planish" print "$tmp/again.onnx"
holds "it is as it was" "$tmp/out" 'y = planish.FusedMatMul:f0 <post: strings = .* (x, w, "", r)'
n=$((n + 1))
if grep -aq 'FusedMatMul_f0' "$tmp/fused.onnx" && grep -aq 'FusedMatMul_f0' "$tmp/same.onnx"; then
    echo "ok $n - in the file it calls a function"
else
    echo "not ok $n - in the file it calls a function"
    failed=1
fi

if [ -n "$plugin" ]; then
    cat >"$tmp/own.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17, "example.org" : 1]>
own (float[2] x) => (float[2] y)
{
   t = example.org.WeightedSum <p1: float = 2, p2: float = -1> (x, x)
   y = Relu(t)
}
EOF
    cp "$tmp/own.txt" "$tmp/relu.txt"
    sed -i -e '/WeightedSum/d' -e 's/Relu(t)/Relu(x)/' "$tmp/relu.txt"
    check "a text with an operator of one's own" 0 "$planish" parse "$tmp/own.txt" "$tmp/own.onnx"
    check "parse of what it equals" 0 "$planish" parse "$tmp/relu.txt" "$tmp/relu.onnx"
    check "it can't run without the plug-in" 4 "$planish" run "$tmp/own.onnx"
    check "it runs with the plug-in" 0 "$planish" run "$tmp/own.onnx" --plugin "$plugin"
    check "2x - x is x" 0 "$planish" compare "$tmp/own.onnx" "$tmp/relu.onnx" --plugin "$plugin"
    check "a plug-in that is none" 3 "$planish" run "$tmp/own.onnx" --plugin "$tmp/own.txt"
fi

echo "1..$n"
exit $failed
