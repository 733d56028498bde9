#!/bin/sh
# fuse-overlayfs with nothing around it, as a driver program: it stacks the layers that overlay.sh keeps.
set -eu
command -v fuse-overlayfs > /dev/null || { echo "it needs fuse-overlayfs: apt-get install fuse-overlayfs" >&2; exit 77; }
case ${1:-} in
    promises) echo '{ "like": "layerlab-fuse-overlayfs" }' ;;
    *) LAYERLAB_MOUNT=fuse-overlayfs exec "$(dirname "$0")/overlay.sh" "$@" ;;
esac
