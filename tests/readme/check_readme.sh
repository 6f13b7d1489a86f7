#!/bin/sh
# The README's C example compiles without warnings and does what it says. Speaks TAP.
# usage: check_readme.sh README CC INCLUDE_DIR LIBRARY_DIR PLANISH
# SPDX-License-Identifier: Apache-2.0
readme=$1 cc=$2 include=$3 lib=$4 planish=$5
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
echo "1..2"
failed=0
sed -n '/^```c$/,/^```$/p' "$readme" | sed '/^```/d' >"$tmp/app.c"
if [ -s "$tmp/app.c" ] && $cc -std=c11 -Wall -Wextra -Werror -I"$include" "$tmp/app.c" -o "$tmp/app" \
    -L"$lib" -lplanish -Wl,-rpath,"$lib" 2>"$tmp/log"; then
    echo "ok 1 - the example compiles"
else
    echo "not ok 1 - the example compiles"
    sed 's/^/# /' "$tmp/log"
    failed=1
fi
cat >"$tmp/relu.txt" <<'EOF'
<ir_version: 8, opset_import: ["" : 17]>
relu (float[1, 3] x) => (float[1, 3] y) { y = Relu(x) }
EOF
out=$("$planish" parse "$tmp/relu.txt" "$tmp/relu.onnx" && "$tmp/app" "$tmp/relu.onnx")
if [ "$out" = "0 2 3" ]; then
    echo "ok 2 - it runs a model"
else
    echo "not ok 2 - it runs a model: '$out'"
    failed=1
fi
exit $failed
