//! After a life of pulls, containers, commits and kills a check finds nothing wrong.
//!
//! Checklist: CR-05~

use layerlab_scenarios::skip::skip;

use super::{SKIPPED, lab, text};

/// Every image that the project embeds is pulled; containers are made, run, killed and committed, commands killed; then one more
/// command, and a check.
const LIFE: &str = r#"
for image in httpd centos nginx ubuntu; do docker pull -q $image >/dev/null 2>&1; done
docker create --name made -v data:/data httpd true >/dev/null
docker run -d --name runs --network none centos sleep 1000 >/dev/null
docker exec runs sh -c 'rm /etc/passwd; mkdir /new; echo x > /new/y; ln /new/y /new/z'
docker commit runs kept >/dev/null
docker run -d --name killed --network none kept sleep 1000 >/dev/null
docker run --name ended --network none kept sh -c 'rm -r /new; mkdir /new' 
docker commit ended more >/dev/null
docker rmi -f $(docker tag more other; echo other) >/dev/null
docker save -o saved.tar more && docker load -q -i saved.tar >/dev/null
echo whole: $(docker check | tail -n 1 | sed 's/.*: //')
kill -9 $(cat /run/layerlab/$(docker inspect -f '{{.Id}}' killed)/monitor.pid)
for i in 02 04 06 08 10; do timeout -s KILL 0.$i docker create httpd true >/dev/null 2>&1; done
for i in 02 04 06 08 10; do timeout -s KILL 0.$i docker commit made x$i >/dev/null 2>&1; done
docker create --name last httpd true >/dev/null
docker ps >/dev/null
docker check > said; echo code: $?
grep -v ': no fault found' said
docker kill runs >/dev/null
"#;

fn no_fault_is_found(driver: &str, options: &[&str]) {
    let output = lab().args(["shell", "--driver", driver]).args(options).args(["bash", "-c", LIFE]).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        return skip("user", &text(&output));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let shown: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(shown, ["whole: no fault found", "code: 0"], "{driver} {options:?}: {}", text(&output));
}

#[test]
fn a_store_with_containers_that_run_or_were_killed_has_no_fault() {
    for driver in ["overlay2", "overlay", "vfs"] {
        no_fault_is_found(driver, &[]);
        no_fault_is_found(driver, &["--rootless"]);
    }
}
