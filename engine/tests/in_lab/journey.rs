//! What a container made comes back as it was after a commit, a save, a removal and a load, on each driver: types, all bits of modes, owners,
//! times, link groups, devices, pipes, names with line breaks and of the greatest length.

use layerlab_scenarios::skip::skip;

use super::{SKIPPED, lab, text};

/// The tree is listed by stat(1) and sha256sum(1), in the container that made it and in one of the image that was loaded. A further container
/// changes something else before the second journey. How many names a file has is not asked (the driver `overlay` links those of other
/// layers), but which names are one file.
const JOURNEY: &str = r#"
docker pull -q centos >/dev/null
docker run --name maker --network none centos sh -c '
mkdir -m 3751 /j && cd /j && long=$(printf %0255d 0)
for mode in 0000 0777 4711 2755 1644 6777; do echo $mode > m$mode; chmod $mode m$mode; mkdir d$mode; chmod $mode d$mode; done
echo linked > a && ln a b && mkdir sub && ln a sub/c && ln -s a link && ln -s /nowhere/at/all dangling
mkfifo pipe && mknod chr c 1 3 && mknod blk b 7 0 && chmod 640 chr
echo owned > o && chown 33:44 o && chown -h 55:66 link && echo far > p && chown 3000000:3000001 p
echo long > $long && echo line > "two
lines"
truncate -s 1000000 hole && echo end >> hole
touch -d "1969-12-31 23:59:50" o && touch -d "2001-02-03 04:05:06" a && touch -hd "2002-02-03 04:05:06" link'
list='cd /j && find . | sort | while read -r name; do stat -c "%A %u:%g %t:%T %s %Y %N" "$name" 2>/dev/null; done; find . -type f -exec sha256sum {} + | sort; stat -c %i a b sub/c | uniq | wc -l'
docker commit maker one >/dev/null
docker run --rm --network none one sh -c "$list" > first
docker save -o one.tar one
docker inspect -f '{{json .RootFS.Layers}}' one > ids
docker rm maker >/dev/null && docker rmi one >/dev/null && docker load -qi one.tar >/dev/null
docker inspect -f '{{json .RootFS.Layers}}' one | cmp - ids && docker save one | cmp - one.tar && echo same bytes
docker run --name again --network none one sh -c "$list; echo more > /elsewhere" | cmp - first && echo same tree
docker commit again two >/dev/null && docker save -o two.tar two && docker rm again >/dev/null && docker rmi two one >/dev/null
docker load -qi two.tar >/dev/null && docker run --rm --network none two sh -c "$list" | cmp - first && echo same tree
wc -l < first
docker rmi two centos >/dev/null
"#;

#[test]
fn what_a_container_made_survives_every_journey() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "device files and great numbers of owners need root");
    }
    for driver in ["overlay2", "overlay", "vfs", "btrfs"] {
        let output = lab().args(["shell", "--driver", driver, "bash", "-c", JOURNEY]).output().unwrap();
        if output.status.code() == Some(SKIPPED) {
            return skip("user", &text(&output));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let shown: Vec<&str> = said.lines().map(str::trim).collect();
        assert_eq!(shown, ["same bytes", "same tree", "same tree", LINES], "{driver}: {}", text(&output));
    }
}

/// Of the listing: a line for each name, and one for each file's content.
const LINES: &str = "42";
