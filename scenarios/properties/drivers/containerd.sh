#!/bin/sh
# containerd's snapshots, as a driver program: a containerd of its own begins with the first layer and ends with `quit`. It says how a layer is mounted, and we mount.
# LAYERLAB_KIND says by which of its snapshotters: overlayfs, native or btrfs.
set -eu
umask 022 # as a service has it; the root of btrfs's first snapshot has what it leaves
cd "$LAYERLAB_DATA_ROOT"
for program in containerd ctr; do
    command -v "$program" > /dev/null || { echo "it needs $program: apt-get install containerd" >&2; exit 77; }
done
word=${1:-} id=${2:-} parent=${3:-}
kind=${LAYERLAB_KIND:-overlayfs}

asked() { ctr --address socket "$@"; }
snapshots() { asked snapshots --snapshotter "$kind" "$@"; }
is_running() { [ -e "/proc/$(cat pid)/exe" ]; }
is_there() { # What ctr says of anything but what is not there is an error.
    said=$(snapshots info "$1" 2>&1) && return 0
    case $said in *": not found"*) return 1 ;; esac
    echo "$said" >&2
    exit 1
}

begun() { # what it mounts for itself goes with it
    if [ ! -e pid ]; then
        printf 'version = 2\nroot = "%s"\nstate = "%s"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "socket"\n' "$PWD/root" "$PWD/state" > config.toml
        unshare --mount containerd --config config.toml > log 2>&1 &
        echo $! > pid
        end=$(($(date +%s) + 60))
        until asked version > /dev/null 2>&1; do
            is_running || { echo "containerd ended at once:" >&2; tail -n 5 log >&2; exit 1; }
            [ "$(date +%s)" -lt $end ] || { echo "containerd does not answer:" >&2; tail -n 5 log >&2; exit 1; }
            sleep 0.02
        done
    fi
    plugins=$(asked plugins ls)
    status=$(echo "$plugins" | awk -v kind="$kind" '$1 ~ /snapshotter[.]v1$/ && $2 == kind { print $NF }')
    [ "$status" != ok ] || return 0
    why=$(grep "snapshotter[.]v1[.]$kind\W.*error=" log | sed 's/.*error=//; s/ *type=[^ ]*$//' | tail -n 1)
    echo "this containerd cannot have the snapshotter $kind there${why:+: $why}" >&2
    # It has not tried what it skips.
    case $status in "" | skip) exit 77 ;; esac
    exit 1
}

# A layer on which another lies is committed, and that has a name of its own. No layer's name has a colon.
is_frozen() { is_there "$1:frozen"; }
name_of() { if is_frozen "$1"; then echo "$1:frozen"; else echo "$1"; fi; }

case $word in
    promises) # native copies: times of directories and lists that they hand down before what is in them, and each name of a device (continuity's `fs/copy.go`)
        case $kind in
            overlayfs) echo '{ "like": "layerlab-overlay2", "root_is_inherited": true, "root_mode_is_inherited": false, "paths_are_odd": false }' ;;
            btrfs) echo '{ "like": "layerlab-btrfs", "paths_are_odd": false }' ;;
            *) echo '{ "like": "layerlab-vfs", "directories_keep_their_time": false, "lists_are_kept": false, "names_of_one_file_can_lie_below": false, "paths_are_odd": false }' ;;
        esac
        ;;
    create)
        begun
        [ ! "$parent" ] || is_frozen "$parent" || snapshots commit "$parent:frozen" "$parent"
        snapshots prepare "$id" ${parent:+"$parent:frozen"} > /dev/null
        ;;
    mount)
        mkdir -p "merged/$id"
        how=$(snapshots mounts "$PWD/merged/$id" "$id")
        eval "$how" > /dev/null
        echo "merged/$id"
        ;;
    umount) ! mountpoint -q "merged/$id" || umount "merged/$id" ;;
    diff)
        name=$(name_of "$id")
        snapshots diff --media-type application/vnd.oci.image.layer.v1.tar "$name"
        ;;
    remove)
        name=$(name_of "$id")
        ! is_there "$name" || snapshots rm "$name"
        ;;
    list)
        snapshots=$(snapshots ls)
        echo "$snapshots" | awk 'NR > 1 { sub(/:frozen$/, "", $1); print $1 }'
        ;;
    quit)
        [ ! -e pid ] || {
            ! is_running || kill "$(cat pid)"
            end=$(($(date +%s) + 60))
            while is_running; do
                [ "$(date +%s)" -lt $end ] || { echo "containerd does not end: see $PWD/log" >&2; exit 1; }
                sleep 0.01
            done
            rm pid
        }
        ;;
    *)
        echo "ctr has no word for '$word'" >&2
        exit 77
        ;;
esac
