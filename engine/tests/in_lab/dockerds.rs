//! A data root that a real dockerd filled has no fault, while dockerd lives and after, and each loss that was tried on one is found.
//!
//! Checklist: CR-05~
//!
//! The losses are those of which it is recorded what dockerd 20.10 does: mostly it starts, and says nothing until an image is saved, or a
//! container is started.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use layerlab_scenarios::skip::skip;

use super::{SKIPPED, lab, text};

const ALL: &[&str] = &["overlay2", "overlay", "vfs", "btrfs"];
const OVERLAY2: &[&str] = &["overlay2"];
/// Losses in books, which are the same with every driver: `engine/tests/check` tries them with each.
const ONCE: &[&str] = OVERLAY2;

/// A life with dockerd: images pulled, built, committed, imported, loaded, untagged and removed by force; containers made, run and ended,
/// one that runs and one whose image is gone. Then dockerd is killed, or ended.
const LIFE: &str = r#"
for image in httpd centos; do docker pull -q $image >/dev/null 2>&1; done
docker create --name made -v data:/data httpd true >/dev/null
docker run -d --name runs --network none centos sleep 1000 >/dev/null
docker exec runs sh -c 'rm /etc/passwd; mkdir /new; echo x > /new/y; ln /new/y /new/z; ln -s y /new/s'
docker commit runs kept >/dev/null
docker run --name ended --network none kept sh -c 'rm -r /new; mkdir /new'
docker commit ended more >/dev/null
mkdir /context
printf 'FROM centos\nRUN touch /built && mkdir /etc/d\nCOPY Dockerfile /etc/d/\nRUN rm /built\n' > /context/Dockerfile
for name in built again; do docker build -q --network none -t $name /context >/dev/null; done
docker export ended | docker import - flat >/dev/null
docker tag flat other; docker rmi flat other >/dev/null
docker save -o /saved.tar more && docker load -q -i /saved.tar >/dev/null
docker rmi -f centos >/dev/null
D=/var/lib/docker; I=$D/image/$DRIVER; L=$I/layerdb/sha256
# The exit code, and the kinds of faults; whatever else is told, too.
said() { layerlab check --format '{{.Fault}}' > /faults 2>&1; echo "$?" $(sort -u /faults); }
repaired() { layerlab check --repair > /mended 2>&1; code=$?; [ $code = 0 ] || cat /mended; echo "$code, then $(said)"; }
# The second layer of httpd, the one below, and the last of all its layers.
layer() { grep -l $(docker image inspect -f "{{index .RootFS.Layers $1}}" httpd) $L/*/diff | head -n 1 | sed 's,/diff$,,'; }
layers=$(for index in 0 1 2 3 4; do layer $index; done)
base=$(layer 0); middle=$(layer 1); top=$(layer 4)
httpd=$(docker image inspect -f '{{.Id}}' httpd | sed 's/sha256://')
made=$(docker inspect -f '{{.Id}}' made)
echo "while dockerd lives: $(said)"
layerlab check --repair > /refusal 2>&1; echo "a repair then: $? $(grep -c 'stop it first' /refusal)"
"#;

/// Kills dockerd, then what it ran.
const KILLED: &str = r#"
first=$(docker inspect -f '{{.State.Pid}}' runs)
kill -9 $(cat /run/docker.pid)
n=0; while layerlab check | grep -q 'a dockerd works here' && [ $((n += 1)) -lt 300 ]; do sleep 0.1; done
echo "when dockerd was killed: $(said)"
kill -9 $first
n=0; while [ -e /proc/$first/root/bin ] && [ $((n += 1)) -lt 300 ]; do sleep 0.1; done
echo "when its container was, too: $(said)"
echo "after a repair: $(repaired)"
"#;

/// Ends dockerd as an administrator does.
const ENDED: &str = r#"
kill $(cat /run/docker.pid)
n=0; while layerlab check | grep -q 'a dockerd works here' && [ $((n += 1)) -lt 300 ]; do sleep 0.1; done
echo "after dockerd ended: $(said)"
home=$(find $D/$DRIVER -type d -name $(cat $middle/cache-id))
H=${home%/*}; mount=$(cat $I/layerdb/mounts/$made/mount-id)
lower=$H/$(cat $top/cache-id)/lower
files() {
    case $DRIVER in
        overlay2) echo $H/$(cat $1/cache-id)/diff ;;
        overlay) echo $H/$(cat $1/cache-id)/root ;;
        *) echo $H/$(cat $1/cache-id) ;;
    esac
}
mkdir $D/aside
count=0
lose() { count=$((count + 1)); echo "$1" > $D/aside/$count.path; mv "$1" $D/aside/$count; }
put() { lose "$1"; printf '%s' "$2" > "$1"; }
add() { count=$((count + 1)); echo "$1" > $D/aside/$count.path; }
# An image of one layer, of the tar of httpd's second, with no more than dockerd needs: the name of its directory, its configuration but for
# the layers.
hand() {
    diff=$(cat $middle/diff); R=$L/${diff#sha256:}; N=$H/$1
    copied $middle "$1" ''; named "$2" "\"$diff\""
}
# One more layer on httpd's second.
hand_above() {
    diff=$(cat $base/diff); chain=sha256:${middle##*/}; R=$L/$(printf %s "$chain $diff" | sha256sum | cut -c1-64); N=$H/above
    copied $base above "$chain"
    printf %s "l/$(cat $home/link):$(cat $home/lower)" > $N/lower; mkdir $N/work
    named "$1" "\"$diff\",\"$(cat $middle/diff)\",\"$diff\""
}
# The record R and the directory N of a layer like that with the record $1.
copied() {
    add $R; mkdir $R; add $N; mkdir $N; add $H/l/$hands; ln -s ../$2/diff $H/l/$hands; printf %s $hands > $N/link
    cp $1/diff $1/size $1/tar-split.json.gz $R; cp -a $(files $1) $N/diff; printf %s "$2" > $R/cache-id
    [ -z "$3" ] || printf %s "$3" > $R/parent
}
named() {
    config="{$1\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$2]}}"; id=$(printf %s "$config" | sha256sum | cut -c1-64)
    add $I/imagedb/content/sha256/$id; printf %s "$config" > $I/imagedb/content/sha256/$id
    names=$(sed "s/:{/:{\"hand\":{\"hand:latest\":\"sha256:$id\"},/" $I/repositories.json); put $I/repositories.json "$names"
}
hands=HANDHANDHANDHANDHANDHANDHA
platform='"architecture":"amd64","os":"linux",'; settings='"config":{"Cmd":["/bin/sh"]},'
# Tells what is found, and undoes what was lost.
verdict() {
    echo "$1: $(said)"
    while [ $count -gt 0 ]; do
        path=$(cat $D/aside/$count.path); rm -rf "$path"
        [ ! -e $D/aside/$count -a ! -L $D/aside/$count ] || mv $D/aside/$count "$path"
        count=$((count - 1))
    done
}
"#;

/// The losses: what each is called, with which drivers it can be, how it is made, what is found.
const LOSSES: &[(&str, &[&str], &str, &str)] = &[
    ("tar-split.json.gz of a middle layer", ALL, "lose $middle/tar-split.json.gz", "tar-split"),
    (
        "tar-split.json.gz of every layer of an image",
        ONCE,
        "for entry in $layers; do lose $entry/tar-split.json.gz; done",
        "tar-split",
    ),
    ("tar-split.json.gz is garbage", ONCE, "put $middle/tar-split.json.gz garbage", "tar-split"),
    ("cache-id", ALL, "lose $middle/cache-id", "layer-record orphan-directory"),
    ("cache-id is empty", ONCE, "put $middle/cache-id ''", "layer-record orphan-directory"),
    ("cache-id names no directory", ALL, "put $middle/cache-id $(printf '%064d' 0)", "directory orphan-directory"),
    ("diff", ONCE, "lose $middle/diff", "layer-record"),
    ("size", ONCE, "lose $middle/size", "layer-record"),
    ("size is wrong", ONCE, "put $middle/size 12345", "layer-size"),
    ("size is no number", ONCE, "put $middle/size x", "layer-record"),
    ("parent", ONCE, "lose $middle/parent", "layer-record"),
    ("the entry of a middle layer", ONCE, "lose $middle", "image-layer orphan-directory"),
    ("layerdb", ALL, "lose $I/layerdb", "image-layer layer-record mount-record orphan-directory"),
    ("link of a middle layer", OVERLAY2, "lose $home/link", "link"),
    ("l", OVERLAY2, "lose $H/l", "link"),
    ("one link in l", OVERLAY2, "lose $H/l/$(cat $home/link)", "link"),
    ("lower of a middle layer", OVERLAY2, "lose $home/lower", "lower"),
    ("lower of the top layer", OVERLAY2, "lose $lower", "lower"),
    ("committed of all layers", OVERLAY2, "for file in $H/*/committed; do lose $file; done", "lower"),
    ("work of an image's layer", OVERLAY2, "lose $home/work", "directory"),
    ("diff of a middle layer's directory", OVERLAY2, "lose $home/diff", "directory"),
    ("the directory of a middle layer", ALL, "lose $home", "directory"),
    ("a directory that nobody knows", ALL, "add $H/nobodys; mkdir $H/nobodys", "orphan-directory"),
    ("a configuration", ONCE, "lose $I/imagedb/content/sha256/$httpd", "container-image image-config"),
    ("a configuration was changed", ONCE, "put $I/imagedb/content/sha256/$httpd {}", "container-image image-config"),
    (
        "a configuration is no JSON, though its name fits",
        ONCE,
        "none=$(printf x | sha256sum | cut -c1-64); add $I/imagedb/content/sha256/$none; printf x > $I/imagedb/content/sha256/$none",
        "image-config",
    ),
    ("imagedb's metadata", ONCE, "lose $I/imagedb/metadata", "image-facts"),
    ("repositories.json", ONCE, "lose $I/repositories.json", "names"),
    ("repositories.json is no JSON", ONCE, "put $I/repositories.json x", "names"),
    (
        "repositories.json names an image that is not there",
        ONCE,
        "names=$(sed \"s/:{/:{\\\"gone\\\":{\\\"gone:latest\\\":\\\"sha256:$(printf '%064d' 0)\\\"},/\" $I/repositories.json); put $I/repositories.json \"$names\"",
        "dangling-name",
    ),
    ("distribution", ONCE, "lose $I/distribution", "distribution"),
    ("the mount of a container", ALL, "lose $I/layerdb/mounts/$made", "mount-record orphan-directory"),
    ("init-id", ONCE, "lose $I/layerdb/mounts/$made/init-id", "mount-record"),
    ("parent of a container", ONCE, "lose $I/layerdb/mounts/$made/parent", "mount-record"),
    ("mount-id", ONCE, "lose $I/layerdb/mounts/$made/mount-id", "mount-record orphan-directory"),
    ("the layer of a container's mount points", ALL, "lose $H/$mount-init", "directory"),
    ("the own layer of a container", ALL, "lose $H/$mount", "directory"),
    ("the files of the own layer of a container", OVERLAY2, "lose $H/$mount/diff", "directory"),
    ("config.v2.json", ONCE, "lose $D/containers/$made/config.v2.json", "container-record"),
    ("hostconfig.json", ONCE, "lose $D/containers/$made/hostconfig.json", "container-record"),
    (
        "config.v2.json with no more than dockerd needs",
        ONCE,
        "put $D/containers/$made/config.v2.json \"{\\\"ID\\\":\\\"$made\\\",\\\"Name\\\":\\\"/made\\\",\\\"Driver\\\":\\\"$DRIVER\\\",\\\"OS\\\":\\\"linux\\\",\\\"Image\\\":\\\"sha256:$httpd\\\",\\\"Path\\\":\\\"true\\\",\\\"Args\\\":[],\\\"State\\\":{},\\\"Config\\\":{},\\\"NetworkSettings\\\":{}}\"",
        "",
    ),
    (
        "all of a container but config.v2.json and hostconfig.json",
        ONCE,
        "for file in hostname hosts resolv.conf resolv.conf.hash checkpoints mounts; do [ ! -e $D/containers/$made/$file ] || lose $D/containers/$made/$file; done",
        "",
    ),
    (
        "all but image, the driver's directory and containers",
        ONCE,
        "for name in buildkit network plugins runtimes swarm tmp trust volumes; do lose $D/$name; done",
        "",
    ),
    ("containers", ONCE, "lose $D/containers", "container-record"),
    (
        "image",
        ONCE,
        "lose $D/image",
        "container-image distribution image-config image-facts layer-record mount-record names orphan-directory",
    ),
    ("an image by hand", OVERLAY2, "hand byhand \"$platform$settings\"", ""),
    ("an image by hand, with a long name", OVERLAY2, "hand $(printf '%064d' 7) \"$platform$settings\"", ""),
    ("an image by hand without architecture and os", OVERLAY2, "hand byhand \"$settings\"", ""),
    ("an image by hand without config", OVERLAY2, "hand byhand \"$platform\"", ""),
    (
        "an image by hand without tar-split.json.gz",
        OVERLAY2,
        "hand byhand \"$platform$settings\"; rm $R/tar-split.json.gz",
        "tar-split",
    ),
    ("an image by hand without size", OVERLAY2, "hand byhand \"$platform$settings\"; rm $R/size", "layer-record"),
    (
        "an image by hand without link and short name",
        OVERLAY2,
        "hand byhand \"$platform$settings\"; rm $N/link $H/l/$hands",
        "link",
    ),
    ("a layer by hand above another's", OVERLAY2, "hand_above \"$platform$settings\"", ""),
    (
        "a layer by hand above another's without work",
        OVERLAY2,
        "hand_above \"$platform$settings\"; rmdir $N/work",
        "directory",
    ),
    // The parent's time is another after this: it is mended at the end.
    ("a file in a layer was changed", ALL, "put $(files $base)/etc/passwd x", "content"),
    ("a file in a layer", ALL, "lose $(files $base)/etc/passwd", "content"),
    (
        "a file was added to a layer",
        ALL,
        "add $(files $base)/etc/added; echo x > $(files $base)/etc/added",
        "added-file",
    ),
];

/// What is recorded of dockerd 20.10, under its heading there, and the loss here that is the same. What was lost in other files of a kind, or was
/// left in a larger heap, is one loss here.
const RECORDED: [(&str, &str); 55] = [
    ("tar-split.json.gz of a middle layer removed", "tar-split.json.gz of a middle layer"),
    ("tar-split.json.gz of every layer removed", "tar-split.json.gz of every layer of an image"),
    ("tar-split.json.gz is garbage", "tar-split.json.gz is garbage"),
    ("a file in a layer directory was changed behind the back of docker", "a file in a layer was changed"),
    ("a file in a layer directory was removed", "a file in a layer"),
    ("cache-id of a middle layer missing", "cache-id"),
    ("cache-id is empty", "cache-id is empty"),
    ("cache-id names no directory", "cache-id names no directory"),
    ("diff of a middle layer missing", "diff"),
    ("size of a middle layer missing", "size"),
    ("size is wrong (12345)", "size is wrong"),
    ("size is not a number", "size is no number"),
    ("parent of a middle layer missing", "parent"),
    ("the layerdb entry of a middle layer missing", "the entry of a middle layer"),
    ("layerdb missing altogether", "layerdb"),
    ("overlay2/<id>/link of a middle layer missing", "link of a middle layer"),
    ("overlay2/l missing altogether", "l"),
    ("one symlink in overlay2/l missing", "one link in l"),
    ("overlay2/<id>/lower of a middle layer missing", "lower of a middle layer"),
    ("overlay2/<id>/lower of the top layer missing", "lower of the top layer"),
    ("overlay2/<id>/committed of all layers missing", "committed of all layers"),
    ("overlay2/<id>/work of all layers missing", "work of an image's layer"),
    ("overlay2/<id>/diff of a middle layer missing", "diff of a middle layer's directory"),
    ("overlay2/<id> of a middle layer missing", "the directory of a middle layer"),
    ("an unknown directory in overlay2", "a directory that nobody knows"),
    ("imagedb content file of ubuntu missing", "a configuration"),
    ("imagedb content file of ubuntu changed (digest mismatch)", "a configuration was changed"),
    (
        "imagedb content file that is not JSON but whose name matches",
        "a configuration is no JSON, though its name fits",
    ),
    ("imagedb metadata missing altogether", "imagedb's metadata"),
    ("repositories.json missing", "repositories.json"),
    ("repositories.json is not JSON", "repositories.json is no JSON"),
    ("repositories.json names an image that is not there", "repositories.json names an image that is not there"),
    ("distribution missing altogether", "distribution"),
    ("layerdb/mounts/<container> missing", "the mount of a container"),
    ("layerdb/mounts/<container>/init-id missing", "init-id"),
    ("layerdb/mounts/<container>/parent missing", "parent of a container"),
    ("layerdb/mounts/<container>/mount-id missing", "mount-id"),
    ("overlay2/<mount-id>-init missing", "the layer of a container's mount points"),
    ("overlay2/<mount-id>/diff missing", "the files of the own layer of a container"),
    ("containers/<id>/config.v2.json missing", "config.v2.json"),
    ("containers/<id>/hostconfig.json missing", "hostconfig.json"),
    (
        "containers/<id> has config.v2.json and hostconfig.json only",
        "all of a container but config.v2.json and hostconfig.json",
    ),
    ("containers/<id>/config.v2.json is minimal", "config.v2.json with no more than dockerd needs"),
    ("everything but image, overlay2, containers removed", "all but image, the driver's directory and containers"),
    ("only image and overlay2 left", "containers"),
    ("image/overlay2 removed (layers stay as garbage)", "image"),
    ("HAND-MADE image of one layer, with tar-split", "an image by hand, with a long name"),
    ("HAND-MADE image of one layer, without tar-split", "an image by hand without tar-split.json.gz"),
    ("HAND-MADE image of one layer, without size", "an image by hand without size"),
    ("HAND-MADE image of one layer, without link and l/ symlink", "an image by hand without link and short name"),
    ("HAND-MADE image: config without architecture and os", "an image by hand without architecture and os"),
    ("HAND-MADE image: config without config", "an image by hand without config"),
    ("HAND-MADE image: cache-id is a plain name", "an image by hand"),
    ("HAND-MADE layer on top of ubuntu", "a layer by hand above another's"),
    ("HAND-MADE layer on top of ubuntu, without work", "a layer by hand above another's without work"),
];
/// Headings of what is no loss.
const NO_LOSSES: [&str; 2] = ["control: nothing changed", "dockerd running"];

#[test]
fn every_loss_that_was_tried_on_a_dockerd_is_tried_here() {
    for (heading, loss) in RECORDED {
        assert!(LOSSES.iter().any(|(name, ..)| *name == loss), "{heading}: there is no loss called {loss}");
    }
    // Where the recordings lie beside the documents, none of them may have been left out.
    let documents = std::env::var_os("LAYERLAB_DOCUMENTS").map(PathBuf::from);
    let beside = documents.and_then(|path| fs::read_dir(path.parent()?).ok()).into_iter().flatten();
    let mut tables = beside.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("INTEROP-TABLE.md")).ok());
    let Some(recorded) = tables.next() else {
        return skip("documents", "LAYERLAB_DOCUMENTS names no directory beside which the recordings of a dockerd lie");
    };
    let headings: BTreeSet<&str> = recorded.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let known = RECORDED.iter().map(|(heading, _)| *heading).chain(NO_LOSSES);
    assert_eq!(known.collect::<BTreeSet<_>>(), headings);
}

/// What the script says in a lab with dockerd and this engine's command; nothing on a host without a dockerd.
fn said_in_lab(driver: &str, script: &str) -> Option<Vec<String>> {
    let script = format!("DRIVER={driver}{LIFE}{script}");
    let mut lab = lab();
    lab.args(["shell", "--on", "docker", "--beside", "layerlab", "--driver", driver, "bash", "-c", &script]);
    let output = lab.output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        skip("docker", &text(&output));
        return None;
    }
    assert!(output.status.success(), "{driver}: {}", text(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    Some(said.lines().map(|line| line.trim_end().to_owned()).collect())
}

fn each_loss_is_found(driver: &str) {
    let losses: Vec<_> = LOSSES.iter().filter(|(_, drivers, ..)| drivers.contains(&driver)).collect();
    let mut script = ENDED.to_owned();
    let mut expected: Vec<String> =
        ["while dockerd lives: 0", "a repair then: 1 1", "after dockerd ended: 0"].map(str::to_owned).to_vec();
    for (name, _, lose, found) in losses {
        script += &format!("{lose}\nverdict \"{name}\"\n");
        let code = i32::from(!found.is_empty());
        expected.push(format!("{name}: {code} {found}").trim_end().to_owned());
    }
    script += "rmdir $D/aside; echo \"at the end: $(repaired)\"\n";
    expected.push("at the end: 0, then 0".to_owned());
    let Some(said) = said_in_lab(driver, &script) else { return };
    assert_eq!(said.join("\n"), expected.join("\n"), "{driver}");
}

#[test]
fn each_loss_on_a_root_of_dockerds_is_found_with_overlay2() {
    each_loss_is_found("overlay2");
}

#[test]
fn each_loss_on_a_root_of_dockerds_is_found_with_overlay() {
    each_loss_is_found("overlay");
}

#[test]
fn each_loss_on_a_root_of_dockerds_is_found_with_vfs() {
    each_loss_is_found("vfs");
}

#[test]
fn each_loss_on_a_root_of_dockerds_is_found_with_btrfs() {
    each_loss_is_found("btrfs");
}

#[test]
fn a_killed_dockerd_leaves_a_container_that_nobody_watches_and_its_mount() {
    let Some(said) = said_in_lab("overlay2", KILLED) else { return };
    let expected = [
        "while dockerd lives: 0",
        "a repair then: 1 1",
        "when dockerd was killed: 1 unwatched",
        "when its container was, too: 1 leftover-mount unwatched",
        "after a repair: 0, then 0",
    ];
    assert_eq!(said, expected);
}
