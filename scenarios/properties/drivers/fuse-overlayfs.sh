#!/bin/sh
# fuse-overlayfs with nothing around it, as a driver program: each layer is a directory, and the program stacks them. It has no tars of layers.
set -eu
command -v fuse-overlayfs > /dev/null || { echo "it needs fuse-overlayfs: apt-get install fuse-overlayfs" >&2; exit 77; }
cd "$LAYERLAB_DATA_ROOT" # Paths are relative from here, and its own, with a comma or a colon perhaps, is in no option.
word=${1:-} id=${2:-} parent=${3:-}

lowers() { # the layers below one, the topmost first
    below=$(cat "$1/parent") colon=
    while [ "$below" ]; do
        printf '%s' "$colon$below/diff"
        below=$(cat "$below/parent") colon=:
    done
}

case $word in
    promises) echo '{ "like": "layerlab-fuse-overlayfs" }' ;;
    create)
        [ ! "$parent" ] || [ -d "$parent" ] || { echo "there is no layer $parent" >&2; exit 1; }
        mkdir "$id"
        mkdir -m 755 -p none "$id/diff" "$id/work" "$id/merged"
        echo "$parent" > "$id/parent"
        ;;
    mount)
        below=$(lowers "$id")
        fuse-overlayfs -o "lowerdir=${below:-none},upperdir=$id/diff,workdir=$id/work" "$id/merged" > /dev/null 2> "$id/said" ||
            { cat "$id/said" >&2; exit 1; }
        echo "$id/merged"
        ;;
    umount) ! mountpoint -q "$id/merged" || umount "$id/merged" ;;
    remove) rm -rf "$id" ;;
    list) for layer in */parent; do [ ! -e "$layer" ] || dirname "$layer"; done ;;
    *)
        echo "it has no tars of its layers" >&2
        exit 77
        ;;
esac
