#!/bin/sh
# A driver program: each layer is a directory, and the kernel's overlayfs stacks them, or what LAYERLAB_MOUNT says. scenarios/bugs/README.md has the words.
set -eu
cd "$LAYERLAB_DATA_ROOT" # Paths are relative from here, and its own, with a comma perhaps, is in no option.
word=${1:-} id=${2:-} parent=${3:-}

lowers() { # the layers below one, the topmost first
    below=$(cat "$1/parent") colon=
    while [ "$below" ]; do
        printf '%s' "$colon$below/diff"
        below=$(cat "$below/parent") colon=:
    done
}

case $word in
    promises)
        echo '{ "like": "overlay", "root_is_inherited": false }'
        ;;
    create)
        [ ! "$parent" ] || [ -d "$parent" ] || { echo "there is no layer $parent" >&2; exit 1; }
        mkdir "$id"
        mkdir -m 755 -p none "$id/diff" "$id/work" "$id/merged"
        echo "$parent" > "$id/parent"
        ;;
    mount)
        below=$(lowers "$id")
        ${LAYERLAB_MOUNT:-mount -t overlay overlay} -o "lowerdir=${below:-none},upperdir=$id/diff,workdir=$id/work" "$id/merged" > /dev/null
        echo "$id/merged"
        ;;
    umount)
        ! mountpoint -q "$id/merged" || umount "$id/merged"
        ;;
    remove)
        rm -rf "$id"
        ;;
    list)
        for layer in */parent; do [ ! -e "$layer" ] || dirname "$layer"; done
        ;;
    *) # diff, apply, changes: its layers never leave it
        echo "it has no tars of its layers" >&2
        exit 77
        ;;
esac
