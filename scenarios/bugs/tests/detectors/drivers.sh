#!/bin/sh
# A detector: whether a driver carries a deletion in a layer's tar, and gets it back from there.

[ "$LAYERLAB_SUBJECT" = driver ] || { echo "this one looks at drivers only"; exit 77; }
command -v tar > /dev/null || { echo "there is no tar to look into layers with"; exit 77; }
driver=$LAYERLAB_DRIVER
room=$(mktemp -d)

caught() {
    echo "$1"
    exit 1
}

"$driver" create base || caught "a layer cannot be made"
at=$("$driver" mount base) || caught "a layer cannot be mounted"
for name in file further other; do echo old > "$at/$name"; done
"$driver" umount base || caught "a layer cannot be unmounted"

"$driver" create top base || caught "a layer cannot be made on another"
at=$("$driver" mount top) || caught "a layer cannot be mounted"
rm "$at/file" "$at/further"
"$driver" umount top || caught "a layer cannot be unmounted"

"$driver" changes top base | grep -qx 'D /file' || caught "a deletion is not told"
"$driver" diff top base > "$room/layer.tar" || caught "there is no tar of a layer"
tar tvf "$room/layer.tar" > "$room/list" || caught "the tar of a layer cannot be read"
[ "$(grep -c '^-.*\.wh\.' "$room/list")" = 2 ] || caught "two deletions are not two empty files in the tar"

"$driver" apply again base < "$room/layer.tar" || caught "the tar is refused"
at=$("$driver" mount again) || caught "what was made of a tar cannot be mounted"
[ ! -e "$at/file" ] && [ ! -e "$at/further" ] || caught "a deletion did not come back from the tar"
[ "$(cat "$at/other")" = old ] || caught "what was not changed is other than it was"
"$driver" umount again

"$driver" remove again
if "$driver" list | grep -qx again; then caught "a layer that was removed is listed"; fi
exit 0
