//! Several commands work on one container, or one image, at once: none loses what another does, and none waits for ever.

use super::{lab, text};

/// What all scripts begin with. `slowly` takes its input only after a while, so that whoever writes to it stands still.
const BEGIN: &str = r#"
docker pull -q centos >/dev/null
slowly() { sleep 2; cat; touch done; }
same() { if cmp -s "$1" "$2"; then echo "$3: whole"; else echo "$3: differs"; fi; }
mkdir /work && cd /work
"#;

fn holds(script: &str, options: &[&str], lines: &[&str]) {
    let script = format!("{BEGIN}{script}");
    let output = lab().args(["shell"]).args(options).args(["timeout", "100", "bash", "-c", &script]).output().unwrap();
    let text = text(&output);
    for line in lines {
        assert!(text.lines().any(|shown| shown.trim_end() == *line), "{line} is not in:\n{text}");
    }
}

fn holds_for_everybody(script: &str, lines: &[&str]) {
    holds(script, &[], lines);
    holds(script, &["--rootless"], lines);
}

#[test]
fn a_container_that_is_removed_while_it_is_exported_goes_when_the_archive_is_whole() {
    let script = r#"
docker create --name cc --network none centos true >/dev/null
docker export cc > before.tar
docker export cc | slowly > exported.tar &
sleep 1
docker rm cc
wait
same before.tar exported.tar export
echo left: $(docker ps -aq)
"#;
    holds_for_everybody(script, &["cc", "export: whole", "left:"]);
}

#[test]
fn an_image_that_is_removed_while_it_is_saved_goes_at_once_and_its_layers_when_the_archive_is_whole() {
    let script = r#"
docker save centos > before.tar
docker save centos | slowly > saved.tar &
sleep 1
echo deleted: $(docker rmi centos | grep -c Deleted)
echo images: $(docker images -q)
wait
same before.tar saved.tar save
docker load -q < saved.tar
docker save centos | slowly > /dev/null &
sleep 1
docker rmi -f centos | grep -c Untagged
docker load -q < before.tar
docker run --rm --network none centos echo runs
wait
docker rmi centos >/dev/null
echo chains: $(ls /var/lib/docker/image/overlay2/layerdb/sha256)
echo layers: $(ls /var/lib/docker/overlay2)
echo notes: $(ls /var/lib/docker/tmp)
"#;
    let lines = ["images:", "save: whole", "Loaded image: centos:latest", "runs", "chains:", "layers: l", "notes:"];
    holds_for_everybody(script, &lines);
}

#[test]
fn the_layers_of_an_image_whose_save_was_killed_go_with_the_next_command() {
    let script = r#"
timeout -s KILL 2 docker save centos | (sleep 4; cat) > /dev/null &
sleep 1
docker rmi centos >/dev/null
echo kept: $(ls /var/lib/docker/image/overlay2/layerdb/sha256 | wc -l)
sleep 2
docker pull -q nosuch 2>/dev/null
echo chains: $(ls /var/lib/docker/image/overlay2/layerdb/sha256)
wait
"#;
    holds_for_everybody(script, &["kept: 1", "chains:"]);
}

#[test]
fn what_was_being_copied_into_a_container_when_it_started_is_seen_by_it() {
    let script = r#"
docker create --name cc --network none centos sleep 1000 >/dev/null
echo first > first && tar -cf first.tar first
(head -c 512 first.tar; sleep 3; tail -c +513 first.tar) | docker cp - cc:/ &
sleep 1
docker start cc
docker exec cc ls /first 2>&1 | grep -c 'No such'
wait
docker exec cc cat /first
docker kill cc
"#;
    holds_for_everybody(script, &["cc", "1", "first"]);
}

#[test]
fn copies_into_one_container_at_once_all_arrive_and_a_killed_one_leaves_no_lock() {
    let script = r#"
docker create --name cc --network none centos true >/dev/null
for d in 1 2 3 4 5 6; do mkdir d$d; for f in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $d $f > d$d/$f; done; done
timeout -s KILL 0.05 docker cp d1 cc:/ 2>/dev/null
for d in 1 2 3 4 5 6; do docker cp d$d cc:/tmp & done
docker cp cc:/etc - > etc.tar &
docker diff cc > /dev/null &
wait
echo arrived: $(docker diff cc | grep -c '^A /tmp/d./')
for d in 1 2 3 4 5 6; do docker cp cc:/tmp/d$d/12 - | tar -xO; done | tr '\n' ' '; echo
docker rm cc > removed 2>/dev/null & docker start cc 2>/dev/null
wait
echo there or removed: $(($(docker ps -aq | wc -l) + $(wc -l < removed)))
"#;
    holds_for_everybody(script, &["arrived: 72", "1 12 2 12 3 12 4 12 5 12 6 12", "there or removed: 1"]);
}

#[test]
fn one_container_may_be_both_ends_of_a_pipe() {
    let script = r#"
docker create --name cc --network none centos sleep 1000 >/dev/null
docker cp cc:/bin - | docker cp - cc:/tmp && echo stopped
docker start cc
docker cp cc:/bin - | docker cp - cc:/opt && echo running
docker cp cc:/bin/layerlab-guest one; docker cp cc:/opt/bin/layerlab-guest other
same one other copy
docker kill cc
"#;
    holds_for_everybody(script, &["stopped", "running", "copy: whole"]);
}

#[test]
fn a_container_that_is_read_ends_and_starts_again_when_it_has_been_read() {
    let script = r#"
docker run -d --name cc --network none centos sleep 1000 >/dev/null
docker export cc | slowly > exported.tar &
sleep 1
docker stop -t 0 cc
echo state: $(docker inspect -f '{{.State.Running}}' cc) $(ls done 2>/dev/null)
docker start cc
docker export cc > after.tar
same exported.tar after.tar export
docker rm -f cc
wait
echo mounts: $(grep -c merged /proc/self/mounts)
"#;
    holds_for_everybody(script, &["state: false", "export: whole", "mounts: 0"]);
}
