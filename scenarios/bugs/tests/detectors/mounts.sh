#!/bin/sh
# A detector: whether deletions and hard links in a mount are what they should be, and stay so.

[ "$LAYERLAB_SUBJECT" = mount ] || { echo "this one looks at mounts only"; exit 77; }
merged=$LAYERLAB_MERGED

caught() {
    echo "$1"
    exit 1
}

rm "$merged/file" "$merged/dir/b" || caught "a file cannot be deleted"
rm -r "$merged/replaced" || caught "a directory cannot be deleted"
if ls "$merged" | grep -qx file; then caught "a deleted file is still listed"; fi

ln "$merged/one" "$merged/further" || caught "a hard link cannot be made"
[ "$merged/one" -ef "$merged/further" ] || caught "a hard link is another file"

# Nothing in the mount may be in use now.
"$LAYERLAB_REMOUNT" > /dev/null || { echo "the mount cannot be mounted again"; exit 77; }
for gone in file dir/b replaced; do
    [ ! -e "$merged/$gone" ] || caught "$gone was deleted, and is there again"
done

# The upper layer becomes a lower one; where the layers are then is told in the words of a shell.
echo anew > "$merged/deleted"
layers=$("$LAYERLAB_COMMIT") || { echo "the upper layer cannot be made a lower one"; exit 77; }
eval "$layers"
[ "$(cat "$merged/deleted")" = anew ] || caught "what was made anew is not in the layer"
[ -z "$(ls "$LAYERLAB_UPPER")" ] || caught "the new upper layer is not empty"
