# What the tests of the command share: a folder of their own, checks that speak TAP.
# SPDX-License-Identifier: Apache-2.0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
failed=0

# check NAME WANTED_EXIT COMMAND...: stdout in $tmp/out, stderr in $tmp/err
check() {
    name=$1 want=$2
    shift 2
    "$@" >"$tmp/out" 2>"$tmp/err"
    got=$?
    n=$((n + 1))
    if [ "$got" = "$want" ]; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name: exit $got, want $want"
        sed 's/^/# /' "$tmp/err"
        failed=1
    fi
}

# holds NAME FILE PATTERN
holds() {
    n=$((n + 1))
    if grep -q -e "$3" "$2"; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: no '$3' in:"
        sed 's/^/# /' "$2"
        failed=1
    fi
}

# one_line NAME: there is one error, on the last line of stderr
one_line() {
    n=$((n + 1))
    if [ "$(grep -c '^planish: error: ' "$tmp/err")" = 1 ] &&
        tail -n 1 "$tmp/err" | grep -q '^planish: error: ' &&
        ! grep -v '^planish: ' "$tmp/err" >/dev/null; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$tmp/err"
        failed=1
    fi
}

# absent NAME FILE
absent() {
    n=$((n + 1))
    if [ -e "$2" ] || [ -n "$(ls "$tmp" | grep -e '\.part$' -e 'onnx\.......$')" ]; then
        echo "not ok $n - $1"
        failed=1
    else
        echo "ok $n - $1"
    fi
}
