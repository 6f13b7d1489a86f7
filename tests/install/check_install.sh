#!/bin/sh
# What `meson install` gives is enough for a program outside the tree. Speaks TAP.
# usage: check_install.sh BUILD_DIR CC SOURCE_DIR
# SPDX-License-Identifier: Apache-2.0
build=$1 cc=$2 source=$3
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
failed=0
ok() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$tmp/log" 2>/dev/null | tail -20
        failed=1
    fi
}

# Debug information names the tree that it was compiled in; it is no part of a release.
DESTDIR=$tmp/root meson install -C "$build" --no-rebuild --quiet --strip >"$tmp/log" 2>&1
ok $? "meson install"
pc=$(find "$tmp/root" -name planish.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
dir=$tmp/root$prefix
libdir=$(dirname "$(dirname "$pc")")

for file in include/planish/planish.h bin/planish share/man/man1/planish.1; do
    test -f "$dir/$file"
    ok $? "$file is installed"
done
test -e "$libdir/libplanish.so" && test -e "$libdir/libplanish.a"
ok $? "the shared and the static library are installed"
test -e "$libdir/libplanish-image.so.0"
ok $? "the module of picture formats is installed"

cat >"$tmp/main.c" <<'EOF'
#include <planish/planish.h>
#include <stdio.h>
int main(void)
{
    pln_error *err = pln_error_new();
    pln_model *model = NULL;
    const pln_status st = pln_model_load(NULL, "/nonexistent.onnx", NULL, &model, err);
    printf("%s %s\n", pln_version_string(), pln_status_name(st));
    pln_error_free(err);
    return st == PLN_E_IO && !model ? 0 : 1;
}
EOF
flags=$(PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tmp/root \
    pkg-config --cflags --libs planish)
$cc "$tmp/main.c" -o "$tmp/main" $flags >"$tmp/log" 2>&1
ok $? "a program builds with pkg-config's flags"
LD_LIBRARY_PATH=$libdir "$tmp/main" >"$tmp/log" 2>&1
ok $? "it runs"
"$dir/bin/planish" --version >"$tmp/log" 2>&1
ok $? "the installed command finds its library"
printf '<ir_version: 8, opset_import: ["" : 13]> g (float[2] x) => (float[2] y) { y = Abs(x) }' \
    >"$tmp/m.txt"
"$dir/bin/planish" parse "$tmp/m.txt" "$tmp/m.onnx" >"$tmp/log" 2>&1 &&
    "$dir/bin/planish" run "$tmp/m.onnx" --outputs "$tmp/y.npz" >"$tmp/log" 2>&1 &&
    test -s "$tmp/y.npz"
ok $? "it finds the module of archives"

# No path of the build or source tree is left in a binary.
: >"$tmp/log"
for f in "$dir/bin/planish" "$libdir"/libplanish-archive.so "$libdir"/libplanish.so.*.*; do
    if readelf -d "$f" | grep -E 'RPATH|RUNPATH' | grep -F -e "$source" -e "$build" >>"$tmp/log"; then
        echo "$f" >>"$tmp/log"
    fi
    if grep -qF -e "$build" "$f"; then
        echo "$f names the build tree" >>"$tmp/log"
    fi
done
test ! -s "$tmp/log"
ok $? "no path of the build tree is left in a binary"

echo "1..$n"
exit $failed
