//! Whatever command is killed at whatever moment: when its containers and images are removed, nothing is left on disk.
//!
//! Checklist: GC-07, CR-04~, CR-09, N-14~, N-15~

use super::{lab, text};

/// Kills pulls, creates, commits, builds, loads, imports and removals after a few milliseconds each, removes what they made, and lists
/// what is left of it. `hit` counts the kills that came in time.
const STORM: &str = r#"
echo driver: $(docker info -f '{{.Driver}}')
hits=0
hit() { timeout -s KILL "$@" >/tmp/said 2>&1; code=$?; case $code in 124|137) hits=$((hits + 1));; *) last="$code $(tail -n 1 /tmp/said)";; esac; }
told() { test $hits -gt 0 || echo "not killed: $last"; echo killed $1: $hits; hits=0; }
for i in 1 2 3 4 5 6 7 8 9; do hit 0.0$i docker pull -q httpd; done
told pulls
docker pull -q httpd >/dev/null
echo pulled: $(docker images --format '{{.Repository}}')
for i in 03 05 07 09 11 13 15 17 19 21 23 25 04 06 08 10 12; do hit 0.0$i docker create -v /etc -v /nameless httpd true; done
told creates
for c in $(docker ps -aq); do hit 0.006 docker rm -v $c; done
docker create --name base httpd true >/dev/null
for i in 04 06 08 10 12 14; do hit 0.0$i docker commit base x$i; done
docker save -o /tmp/httpd.tar httpd
mkdir /tmp/context
printf 'FROM httpd\nARG number\nCOPY . /context/\nLABEL number=$number\n' > /tmp/context/Dockerfile
for i in 1 2 3 4 5 6 7 8 9; do cp /tmp/httpd.tar /tmp/context/$i.tar; done
tar -C /tmp/context -cf /tmp/context.tar .
for i in 04 06 08 10 12 14 16 20 30 40 50 60; do hit 0.0$i docker build --build-arg number=$i - < /tmp/context.tar; done
told builds
docker rm base >/dev/null
for c in $(docker ps -aq); do docker rm -v $c >/dev/null; done
for i in $(docker images -q); do docker rmi -f $i >/dev/null; done
for i in 02 04 06 08 10 12 14 16 18 20; do hit 0.0$i docker load -i /tmp/httpd.tar; docker rmi -f httpd >/dev/null 2>&1; done
told loads
for i in 02 04 06 08 10 12; do hit 0.0$i docker import /tmp/httpd.tar; done
for i in $(docker images -q); do hit 0.008 docker rmi -f $i; done
for c in $(docker ps -aq); do docker rm -v $c >/dev/null; done
for i in $(docker images -q); do docker rmi -f $i >/dev/null; done
docker rmi nosuch 2>/dev/null
docker pull -q nosuch 2>/dev/null
cd /var/lib/docker
echo tmp: $(ls tmp)
echo layers: $(ls PLACE)
echo links: $(ls overlay2/l 2>/dev/null)
echo chains: $(ls image/DRIVER/layerdb/sha256)
echo mounts: $(ls image/DRIVER/layerdb/mounts)
echo aside: $(ls image/DRIVER/layerdb/tmp)
echo containers: $(ls containers)
echo volumes: $(ls volumes)
"#;

fn nothing_is_left(driver: &str, options: &[&str]) {
    let place = if driver == "vfs" { "vfs/dir" } else { driver };
    let storm = STORM.replace("DRIVER", driver).replace("PLACE", place);
    let output = lab().args(["shell", "--driver", driver]).args(options).args(["bash", "-c", &storm]).output().unwrap();
    let text = text(&output);
    let has = |line: &str| text.lines().any(|shown| shown.trim_end() == line);
    for line in [&format!("driver: {driver}"), "pulled: httpd"] {
        assert!(has(line), "{line} is not in:\n{text}");
    }
    for verb in ["pulls", "creates", "builds", "loads"] {
        let told = format!("killed {verb}: ");
        let hits = text.lines().find_map(|line| line.trim_end().strip_prefix(&told)?.parse::<u32>().ok());
        assert!(hits.is_some_and(|hits| hits > 0), "no kill came in time for {verb}:\n{text}");
    }
    let layers = if driver == "overlay2" { "layers: l" } else { "layers:" };
    for line in ["tmp:", layers, "links:", "chains:", "mounts:", "aside:", "containers:", "volumes: metadata.db"] {
        assert!(has(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn killed_commands_leave_nothing() {
    nothing_is_left("overlay2", &[]);
}

#[test]
fn killed_commands_of_an_ordinary_user_leave_nothing() {
    nothing_is_left("overlay2", &["--rootless"]);
}

#[test]
fn killed_commands_leave_nothing_with_the_legacy_driver() {
    nothing_is_left("overlay", &[]);
}

#[test]
fn killed_commands_of_an_ordinary_user_leave_nothing_with_the_legacy_driver() {
    nothing_is_left("overlay", &["--rootless"]);
}

#[test]
fn killed_commands_leave_nothing_with_vfs() {
    nothing_is_left("vfs", &[]);
}
