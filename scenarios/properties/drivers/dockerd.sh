#!/bin/sh
# dockerd's storage drivers, as a driver program: each layer is a container of its parent's image, running while it is mounted. What is looked at is one directory in its
# root, by /proc: steps are done by a process of ours in that root, with its own capabilities and limits, and by none of the container's. A dockerd of its own, with its own containerd, begins with the first layer and ends with `quit`. LAYERLAB_KIND says by
# which storage driver: overlay2, vfs, btrfs or fuse-overlayfs.
set -eu
umask 022 # as a service has it
cd "$LAYERLAB_DATA_ROOT"
for program in dockerd docker; do
    command -v "$program" > /dev/null || { echo "it needs $program: apt-get install docker.io" >&2; exit 77; }
done
word=${1:-} id=${2:-} parent=${3:-}
kind=${LAYERLAB_KIND:-overlay2}
# The host's settings have no say, neither in the daemon nor in the command.
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CONTENT_TRUST
export DOCKER_CONFIG="$PWD/docker"
# Of control groups it has a tree of its own, named after the data root: no two directories have the same device and number.
group=layerlab-dockerd-$(stat --format %d-%i .)

asked() { docker --host "unix://$PWD/socket" "$@"; }
is_there() { # What docker says of anything but what is not there is an error.
    said=$(asked "$1" inspect --format there "$2" 2>&1) && return 0
    case $said in *"No such $1"*) return 1 ;; esac
    echo "$said" >&2
    exit 1
}
is_running() { [ -e "$1" ] && [ -e "/proc/$(cat "$1")/exe" ]; }

wanting() { # This host, or this place, has no such thing (77); whatever else goes wrong is a failure.
    echo "$1" >&2
    exit 77
}

begun() { # What it mounts goes with it and its containers.
    [ ! -e pid ] || return 0
    if [ "$(id -u)" != 0 ] || [ "$(awk '{ print $3 }' /proc/self/uid_map)" != 4294967295 ]; then wanting "it needs root, and in no user namespace"; fi
    grep -q ' - cgroup' /proc/self/mountinfo || wanting "it needs control groups, and none are mounted"
    case $kind in
        btrfs) [ "$(stat --file-system --format %T .)" = btrfs ] || wanting "its layers need to lie on btrfs" ;;
        fuse-overlayfs)
            command -v fuse-overlayfs > /dev/null || wanting "it needs fuse-overlayfs: apt-get install fuse-overlayfs"
            [ -e /dev/fuse ] || wanting "it needs /dev/fuse"
            ;;
    esac
    echo '{}' > config.json # instead of /etc/docker/daemon.json
    unshare --mount sh -c 'mount -t tmpfs run /run && exec "$@"' sh dockerd --storage-driver "$kind" --data-root "$PWD/root" --exec-root "$PWD/exec" \
        --config-file "$PWD/config.json" --pidfile "$PWD/dockerd.pid" --host "unix://$PWD/socket" \
        --bridge none --iptables=false --ip6tables=false --cgroup-parent "/$group" > log 2>&1 &
    echo $! > pid
    end=$(($(date +%s) + 60))
    until asked version > /dev/null 2>&1; do
        is_running pid || { echo "dockerd with $kind ended at once:" >&2; tail -n 5 log >&2; exit 1; }
        [ "$(date +%s)" -lt $end ] || { echo "dockerd with $kind does not answer:" >&2; tail -n 5 log >&2; exit 1; }
        sleep 0.1
    done
    mkdir -m 755 tree
    tar c tree | asked import - first:image > /dev/null
}

ungrouped() { # whether no control group of it is left; what is in the way is told in `left`
    for tree in /sys/fs/cgroup/"$group" /sys/fs/cgroup/*/"$group"; do
        [ ! -d "$tree" ] || find "$tree" -depth -type d -exec rmdir {} + 2> left || return 1
    done
}

case $word in
    promises) # Layers come through tars, and the root is a directory of a layer below. vfs copies, and each name of a device or a link apart (moby's pkg/copy).
        case $kind in
            overlay2) like='"overlay"' ;;
            vfs) like='"layerlab-vfs", "names_of_one_file_can_lie_below": false' ;;
            *) like="\"layerlab-$kind\"" ;;
        esac
        printf '{ "like": %s, "layers_are_whole": false, "clock_times_are_kept": false, "lists_are_kept": false, "whiteout_names_are_names": false, ' "$like"
        echo '"inode_numbers_survive_a_remount": false, "root_is_inherited": true, "lower_layers_max": 100, "files_have_holes": false, "paths_are_odd": false }'
        ;;
    create)
        begun
        image=first:image
        if [ "$parent" ]; then
            image=layer:$parent
            # It never changes from now on: its image is all of it that is wanted.
            is_there image "$image" || { asked commit "$parent" "$image"; asked rm "$parent"; } > /dev/null
        fi
        host= # What runs in it is the host's.
        for from in /usr /bin /lib /lib64; do [ ! -e $from ] || host="$host --volume $from:$from:ro"; done
        # shellcheck disable=SC2086
        asked create --name "$id" --network none --log-driver none --stop-signal KILL $host "$image" sleep infinity > /dev/null
        ;;
    mount)
        asked start "$id" > /dev/null
        pid=$(asked inspect --format '{{.State.Pid}}' "$id")
        [ "$pid" != 0 ] || { echo "the container has ended: $(asked inspect --format '{{.State.Error}}' "$id")" >&2; exit 1; }
        echo "/proc/$pid/root/tree"
        ;;
    umount) asked stop "$id" > /dev/null ;;
    remove)
        ! is_there container "$id" || asked rm "$id" > /dev/null
        ! is_there image "layer:$id" || asked rmi "layer:$id" > /dev/null
        ;;
    list)
        asked ps --all --format '{{.Names}}'
        asked images --format '{{.Tag}}' layer
        ;;
    quit)
        [ ! -e pid ] || {
            # Where nothing is mounted it need not put anything in order, for which it takes a second; its containerd ends with it.
            if running=$(asked ps --quiet 2> /dev/null) && [ ! "$running" ]; then signal=KILL; else signal=TERM; fi
            ! is_running pid || kill -s $signal "$(cat pid)"
            end=$(($(date +%s) + 60))
            while is_running pid || is_running exec/containerd/containerd.pid; do
                [ "$(date +%s)" -lt $end ] || { echo "dockerd or its containerd does not end: see $PWD/log" >&2; exit 1; }
                sleep 0.01
            done
            rm pid
            # One is busy for a moment longer than the last process in it.
            until ungrouped; do
                [ "$(date +%s)" -lt $end ] || { echo "control groups are left: $(cat left)" >&2; exit 1; }
                sleep 0.05
            done
        }
        ;;
    *)
        echo "the tars and changes of its layers have more in them than the directory" >&2
        exit 77
        ;;
esac
