//! Several commands work on one container, or one image, at once: none loses what another does, and none waits for ever.

use super::{lab, text};

/// What all scripts begin with. `slowly` takes its input only after a while, so that whoever writes to it
/// stands still; `done` is there from then on. What a
/// command is not expected to say comes between the lines that are, as does its exit code when it is not the expected one.
const BEGIN: &str = r#"
exec 2>&1
docker pull -q centos >/dev/null || exit 1
slowly() { sleep 2; touch done; cat; }
same() { if cmp -s "$1" "$2"; then echo "$3: whole"; else echo "$3: differs"; fi; }
quiet() { "$@" > said || echo "$*: exit code $?: $(cat said)"; }
state() { docker inspect -f '{{.State.Status}}' "$1"; }
mkdir /work && cd /work
"#;

/// Runs a script and compares all that it says, line by line.
fn holds(script: &str, options: &[&str], lines: &[&str]) {
    let script = format!("{BEGIN}{script}");
    let output = lab().args(["shell"]).args(options).args(["timeout", "100", "bash", "-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let shown: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(shown, lines, "{}", text(&output));
    assert!(output.status.success(), "{}", text(&output));
}

fn holds_for_everybody(script: &str, lines: &[&str]) {
    holds(script, &[], lines);
    holds(script, &["--rootless"], lines);
}

/// Checklist: CN-04
#[test]
fn a_container_that_is_removed_while_it_is_exported_goes_when_the_archive_is_whole() {
    let script = r#"
docker create --name cc --network none centos true >/dev/null
docker export cc > before.tar
docker export cc | slowly > exported.tar &
sleep 1
echo removed: $(docker rm cc) $(ls done)
wait
same before.tar exported.tar export
echo left: $(docker ps -aq)
"#;
    holds_for_everybody(script, &["removed: cc done", "export: whole", "left:"]);
}

/// Checklist: TR-03~
#[test]
fn an_image_that_is_removed_while_it_is_saved_goes_at_once_and_its_layers_when_the_archive_is_whole() {
    let script = r#"
docker save centos > before.tar
docker save centos | slowly > saved.tar &
sleep 1
echo deleted: $(docker rmi centos | grep -c Deleted)
echo images: $(docker images -q) $(ls done 2>/dev/null)
wait
same before.tar saved.tar save
docker load -q < saved.tar
rm done
docker save centos | slowly > /dev/null &
sleep 1
echo untagged: $(docker rmi -f centos | grep -c Untagged)
docker load -q < before.tar
docker run --rm --network none centos echo runs before it is saved $(ls done 2>/dev/null)
wait
quiet docker run --rm --network none centos true
quiet docker rmi centos
echo chains: $(ls /var/lib/docker/image/overlay2/layerdb/sha256)
echo layers: $(ls /var/lib/docker/overlay2)
echo notes: $(ls /var/lib/docker/tmp)
"#;
    let lines = [
        "deleted: 1",
        "images:",
        "save: whole",
        "Loaded image: centos:latest",
        "untagged: 1",
        "Loaded image: centos:latest",
        "runs before it is saved",
        "chains:",
        "layers: l",
        "notes:",
    ];
    holds_for_everybody(script, &lines);
}

/// Checklist: CR-09
#[test]
fn the_layers_of_an_image_whose_save_was_killed_go_with_the_next_command() {
    let script = r#"
timeout -s KILL 2 docker save centos | (sleep 4; cat) > /dev/null &
sleep 1
quiet docker rmi centos
echo kept: $(ls /var/lib/docker/image/overlay2/layerdb/sha256 | wc -l)
sleep 2
docker pull -q nosuch >/dev/null 2>&1
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
quiet docker start cc
echo before: $(docker exec cc cat /first 2>/dev/null)
wait
echo after: $(docker exec cc cat /first)
quiet docker kill cc
"#;
    holds_for_everybody(script, &["before:", "after: first"]);
}

/// Checklist: DL-05~, CN-04
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
docker rm cc > removed 2>/dev/null & docker start cc >/dev/null 2>&1
wait
echo there or removed: $(($(docker ps -aq | wc -l) + $(wc -l < removed)))
"#;
    holds_for_everybody(script, &["arrived: 72", "1 12 2 12 3 12 4 12 5 12 6 12", "there or removed: 1"]);
}

/// Checklist: DL-05~
#[test]
fn one_container_may_be_both_ends_of_a_pipe() {
    let script = r#"
docker create --name cc --network none centos sleep 1000 >/dev/null
docker cp cc:/bin - | docker cp - cc:/tmp && echo stopped
quiet docker start cc
docker cp cc:/bin - | docker cp - cc:/opt && echo running
quiet docker cp cc:/bin/layerlab-guest one
quiet docker cp cc:/opt/bin/layerlab-guest other
same one other copy
quiet docker kill cc
"#;
    holds_for_everybody(script, &["stopped", "running", "copy: whole"]);
}

/// Checklist: MN-09
#[test]
fn a_container_that_is_read_ends_and_starts_again_when_it_has_been_read() {
    let script = r#"
docker run -d --name cc --network none centos sleep 1000 >/dev/null
docker export cc | slowly > exported.tar &
sleep 1
quiet docker stop -t 0 cc
echo state: $(state cc) $(ls done 2>/dev/null)
quiet docker start cc
echo state: $(state cc) $(ls done)
docker export cc > after.tar
same exported.tar after.tar export
quiet docker rm -f cc
wait
echo mounts: $(grep -c merged /proc/self/mounts)
"#;
    holds_for_everybody(script, &["state: exited", "state: running done", "export: whole", "mounts: 0"]);
}

#[test]
fn a_save_that_is_refused_while_an_image_is_removed_keeps_nobody_waiting() {
    let script = r#"
printf 'FROM scratch\nLABEL a=b\n' > Dockerfile
docker build -q -t empty . >/dev/null
docker save centos | slowly > saved.tar &
sleep 1
quiet docker rmi centos
timeout 20 docker save empty > empty.tar 2> refusal
echo refused: $? $(cat refusal)
echo images: $(timeout 20 docker images -q | wc -l) $(ls done 2>/dev/null)
wait
echo chains: $(ls /var/lib/docker/image/overlay2/layerdb/sha256)
"#;
    let refused = "refused: 1 Error response from daemon: empty export - not implemented";
    holds_for_everybody(script, &[refused, "images: 1", "chains:"]);
}

#[test]
fn what_is_said_to_a_container_that_is_being_started_is_said_when_it_runs() {
    let script = r#"
docker create --name cc --network none centos sleep 1000 >/dev/null
docker create --name aa --network none centos sh -c 'sleep 2; echo said; exit 3' >/dev/null
while_starting() {
    rm -f done
    docker export $1 | slowly > exported.tar &
    sleep 1
    docker start $1 > started &
    sleep 0.5
}
while_starting cc
quiet docker stop -t 0 cc
echo stop: $(state cc) $(ls done)
wait
while_starting cc
quiet docker kill cc
echo kill: $(state cc) $(ls done)
wait
while_starting cc
echo exec: $(docker exec cc echo said) $(ls done)
wait
quiet docker kill cc
while_starting aa
docker start -a aa
echo start: $? $(ls done)
wait
"#;
    let lines = ["stop: exited done", "kill: exited done", "exec: said done", "said", "start: 3 done"];
    holds_for_everybody(script, &lines);
}

#[test]
fn a_container_that_goes_with_its_end_has_ended_while_it_is_still_read() {
    let script = r#"
docker run -d --rm --name cc --network none centos sleep 1000 >/dev/null
docker export cc > before.tar
docker export cc | slowly > exported.tar &
sleep 1
quiet docker stop -t 0 cc
echo stop: $(state cc) $(ls done 2>/dev/null)
quiet docker rm cc
echo left: $(docker ps -aq) $(ls done)
wait
same before.tar exported.tar export
rm done
docker run --rm --name cc --network none centos sh -c 'sleep 2; exit 3' &
sleep 1
docker export cc | slowly > exported.tar &
wait %1
echo run: $? $(state cc) $(ls done 2>/dev/null)
wait
until [ "$(docker ps -aq)" = '' ]; do sleep 0.1; done
"#;
    holds_for_everybody(script, &["stop: removing", "left: done", "export: whole", "run: 3 removing"]);
}

/// Checklist: CR-07~
#[test]
fn a_container_that_was_to_go_with_its_end_goes_though_its_monitor_was_killed() {
    let script = r#"
docker run -d --rm --name cc --network none centos sleep 1000 >/dev/null
docker export cc | slowly > exported.tar &
sleep 1
quiet docker stop -t 0 cc
kill -9 $(cat /run/layerlab/*/monitor.pid)
echo still: $(docker ps -a --format '{{.Names}} {{.Status}}')
wait
echo left: $(docker ps -aq) $(ls /var/lib/docker/containers)
"#;
    holds_for_everybody(script, &["still: cc Removal In Progress", "left:"]);
}

#[test]
fn of_two_who_remove_one_container_one_is_told_that_it_is_gone() {
    let script = r#"
docker create --name cc --network none centos true >/dev/null
docker export cc | slowly > exported.tar &
sleep 1
for one in 1 2; do (docker rm cc; echo $?) > removed$one 2>&1 & done
wait
cat removed1 removed2 | sort
"#;
    holds_for_everybody(script, &["0", "1", "Error: No such container: cc", "cc"]);
}

/// Checklist: N-18~
#[test]
fn an_image_that_is_removed_while_it_is_loaded_or_pulled_anew_is_whole() {
    let script = r#"
printf 'FROM centos\nRUN head -c 300000 /dev/urandom > /random; head -c 1000000 /dev/zero > /zeros\n' > Dockerfile
quiet docker build -q -t upper .
docker save upper > upper.tar
quiet docker rmi upper
docker save centos | slowly > saved.tar &
sleep 1
docker rmi centos >/dev/null
docker pull -q centos
wait
docker run --rm --network none centos echo pulled runs
docker load -q < upper.tar
docker run --rm --network none upper ls /random
"#;
    let lines = ["docker.io/library/centos:latest", "pulled runs", "Loaded image: upper:latest", "/random"];
    holds_for_everybody(script, &lines);
}
