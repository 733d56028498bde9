//! Whatever command is killed at whatever moment: when its containers and images are removed, nothing is left on disk.

use super::{lab, text};

/// Kills pulls, creates, commits, loads, imports and removals after a few milliseconds each, removes what they made, and lists what is
/// left of it.
const STORM: &str = r#"
sed -i 's/^{/{"storage-driver":"DRIVER",/' /etc/docker/daemon.json
for i in 1 2 3 4 5 6 7 8 9; do timeout -s KILL 0.0$i docker pull -q httpd >/dev/null 2>&1; done
docker pull -q httpd >/dev/null
for i in 03 05 07 09 11 13 15 17 19 21 23 25 04 06 08 10 12; do
  timeout -s KILL 0.0$i docker create -v /etc -v /nameless httpd true >/dev/null 2>&1
done
for c in $(docker ps -aq); do timeout -s KILL 0.006 docker rm -v $c >/dev/null 2>&1; done
docker create --name base httpd true >/dev/null
for i in 04 06 08 10 12 14; do timeout -s KILL 0.0$i docker commit base x$i >/dev/null 2>&1; done
docker save -o /tmp/httpd.tar httpd
docker rm base >/dev/null
docker rmi -f httpd >/dev/null
for i in 02 04 06 08 10 12 14 16 18 20; do timeout -s KILL 0.0$i docker load -i /tmp/httpd.tar >/dev/null 2>&1; done
for i in 02 04 06 08 10 12; do timeout -s KILL 0.0$i docker import /tmp/httpd.tar >/dev/null 2>&1; done
for i in $(docker images -q); do timeout -s KILL 0.008 docker rmi -f $i >/dev/null 2>&1; done
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
    let output = lab().arg("shell").args(options).args(["bash", "-c", &storm]).output().unwrap();
    let text = text(&output);
    let layers = if driver == "overlay2" { "layers: l" } else { "layers:" };
    for line in ["tmp:", layers, "links:", "chains:", "mounts:", "aside:", "containers:", "volumes:"] {
        assert!(text.lines().any(|shown| shown.trim_end() == line), "{line} is not in:\n{text}");
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
