#!/bin/sh
# containers-storage, podman's and CRI-O's store of layers, as a driver program: each word is a command of its own.
# LAYERLAB_KIND says which of its drivers: overlay, vfs, btrfs, or fuse-overlayfs, by which its driver overlay has the program mount. Its configuration is its own.
set -eu
command -v containers-storage > /dev/null || { echo "it needs containers-storage: apt-get install containers-storage" >&2; exit 77; }
word=${1:-} id=${2:-} parent=${3:-}
kind=${LAYERLAB_KIND:-overlay}
unset STORAGE_DRIVER STORAGE_OPTS # they would have the last word
export CONTAINERS_STORAGE_CONF="$LAYERLAB_DATA_ROOT/storage.conf"
if [ ! -e "$CONTAINERS_STORAGE_CONF" ]; then
    driver=$kind program=
    [ "$kind" != fuse-overlayfs ] || driver=overlay program="mount_program = \"$(command -v fuse-overlayfs)\""
    printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n[storage.options.overlay]\n%s\n' \
        "$driver" "$LAYERLAB_DATA_ROOT/graph" "$LAYERLAB_DATA_ROOT/run" "$program" > "$CONTAINERS_STORAGE_CONF"
fi

# Lines like Modify "/a\xff" (Go's quotes) as C /a and the byte.
in_our_words() {
    python3 -c '
import ast, os, sys
for line in sys.stdin.buffer:
    word, path = line.split(b" ", 1)
    path = ast.literal_eval("b" + path.decode("latin-1")) if path.isascii() else ast.literal_eval(path.decode()).encode()
    path = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    os.write(1, {b"Add": b"A ", b"Modify": b"C ", b"Delete": b"D "}[word] + path + b"\n")'
}

case $word in
    promises) # 365 is 0555
        case $kind in
            overlay) echo '{ "like": "overlay", "root_owner_is_inherited": false, "paths_are_odd": false, "root_mode": 365 }' ;;
            fuse-overlayfs) echo '{ "like": "layerlab-fuse-overlayfs", "root_is_inherited": true, "root_owner_is_inherited": false, "paths_are_odd": false, "root_mode": 365 }' ;;
            *) echo "{ \"like\": \"layerlab-$kind\", \"paths_are_odd\": false, \"root_mode\": 365 }" ;;
        esac
        ;;
    create)
        [ "$kind" != btrfs ] || [ "$(stat -f -c %T "$LAYERLAB_DATA_ROOT")" = btrfs ] || { echo "its layers need to lie on btrfs" >&2; exit 77; }
        [ "$kind" != fuse-overlayfs ] || command -v fuse-overlayfs > /dev/null || { echo "it needs fuse-overlayfs: apt-get install fuse-overlayfs" >&2; exit 77; }
        containers-storage create-layer --id "$id" ${parent:+"$parent"} > /dev/null
        ;;
    mount) containers-storage mount "$id" ;;
    umount)
        containers-storage unmount "$id" > /dev/null
        # It leaves its directory mounted on itself: what it has must be removable.
        ! mountpoint -q "$LAYERLAB_DATA_ROOT/graph/overlay" || umount "$LAYERLAB_DATA_ROOT/graph/overlay" 2> /dev/null || : # another layer is mounted below
        ;;
    diff) containers-storage diff -u "$id" ${parent:+"$parent"} ;;
    apply)
        containers-storage create-layer --id "$id" ${parent:+"$parent"} > /dev/null
        containers-storage applydiff "$id" || { containers-storage delete-layer "$id" > /dev/null; exit 1; }
        ;;
    changes)
        told=$(containers-storage changes "$id" "$parent")
        [ ! "$told" ] || printf '%s\n' "$told" | in_our_words
        ;;
    remove) ! containers-storage exists --layer "$id" > /dev/null 2>&1 || containers-storage delete-layer "$id" > /dev/null ;;
    list)
        told=$(containers-storage layers)
        [ ! "$told" ] || printf '%s\n' "$told" | sed 's/[[:space:]].*//'
        ;;
    *) echo "there is no word '$word'" >&2; exit 77 ;;
esac
