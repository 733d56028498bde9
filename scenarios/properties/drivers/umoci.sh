#!/bin/sh
# umoci as a driver program: each layer is an image unpacked, and becomes a layer of the next image when another is made on it.
set -eu
umask 022
command -v umoci > /dev/null || { echo "it needs umoci: apt-get install umoci" >&2; exit 77; }
cd "$LAYERLAB_DATA_ROOT"
word=${1:-} id=${2:-} parent=${3:-}

case $word in
    promises) # Layers come through tars, in which a name without the others is a file of its own.
        echo '{ "like": "layerlab-vfs", "layers_are_whole": false, "clock_times_are_kept": false, "lists_are_kept": false, "whiteout_names_are_names": false, "inode_numbers_survive_a_remount": false, "files_have_holes": false, "names_of_one_file_can_lie_below": false }'
        ;;
    create)
        [ -d images ] || { umoci init --layout images; umoci new --image images:first-image; }
        image=first-image
        if [ "$parent" ]; then
            image=$parent
            [ -e "$parent/frozen" ] || umoci repack --image "images:$parent" "$parent"
            # Its image is all of it that is wanted from now on.
            rm -rf "$parent/rootfs"
            touch "$parent/frozen"
        fi
        umoci unpack --image "images:$image" "$id"
        ;;
    mount) echo "$id/rootfs" ;;
    umount) ;;
    remove)
        [ ! -e "$id/frozen" ] || umoci rm --image "images:$id"
        rm -rf "$id"
        ;;
    list) for layer in */umoci.json; do [ ! -e "$layer" ] || dirname "$layer"; done ;;
    *)
        echo "umoci tells no changes of a layer" >&2
        exit 77
        ;;
esac
