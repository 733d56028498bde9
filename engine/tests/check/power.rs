//! What a command has said to be done survives a power cut right after it; a power cut in the midst of a command leaves what was there
//! before, or what it makes, and nothing half.
//!
//! The file system is shut down without its journal's last entries, as `xfs_io -c shutdown` does, and mounted again.
//!
//! Checklist: CR-11, CR-12, N-01~, N-02

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use layerlab_engine::image::Digest;

use crate::house::{Ground, House, base, context, text};

/// File system and driver.
const GROUNDS: [(&str, &str); 4] = [("ext4", "overlay2"), ("xfs", "overlay2"), ("ext4", "overlay"), ("xfs", "vfs")];

/// Everything that a store has, by name, and what it gives back of it.
fn told(house: &House) -> String {
    let images = house.done(&["images", "-a", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"]);
    let containers = house.done(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"]);
    let volumes = house.done(&["volume", "ls", "-q"]);
    let archive = |line: &str| {
        let output = house.run(&["save", line.split(' ').next().unwrap()], b"");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        format!("{line} {}\n", Digest::of(&output.stdout))
    };
    let images: String = images.lines().map(archive).collect();
    format!("{images}{containers}\n{volumes}\n")
}

/// Cuts the power right now. That it forgets is seen by a file that nobody synced.
fn cut(ground: &Ground) {
    let unsynced = ground.place().path().join("unsynced");
    fs::write(&unsynced, vec![b'x'; 1 << 20]).unwrap();
    ground.place().cut_power().unwrap();
    assert!(fs::write(ground.place().path().join("late"), "").is_err(), "the power is still there");
    ground.place().restore_power().unwrap();
    assert_ne!(fs::read(&unsynced).unwrap_or_default().len(), 1 << 20, "a power cut forgets nothing here");
    let _ = fs::remove_file(&unsynced);
}

#[test]
fn what_is_done_survives_a_power_cut() {
    for (kind, driver) in GROUNDS {
        let Some(ground) = Ground::on(kind, driver) else { continue };
        let house = House::empty(&ground);
        let commands: [(&[&str], Vec<u8>); 9] = [
            (&["import", "-", "base"], base()),
            (&["build", "-q", "-t", "top", "-"], context()),
            (&["tag", "top", "other"], Vec::new()),
            (&["create", "--name", "cc", "top", "true"], Vec::new()),
            (&["commit", "cc", "kept"], Vec::new()),
            (&["rename", "cc", "dd"], Vec::new()),
            (&["volume", "create", "vv"], Vec::new()),
            (&["rm", "dd"], Vec::new()),
            (&["rmi", "other", "kept"], Vec::new()),
        ];
        for (arguments, input) in commands {
            house.fed(arguments, &input);
            let before = told(&house);
            cut(&ground);
            assert_eq!(told(&house), before, "{driver} on {kind} after {arguments:?}");
            assert_eq!(house.findings(&[]), [] as [serde_json::Value; 0], "{driver} on {kind} after {arguments:?}");
        }
    }
}

#[test]
fn a_power_cut_in_the_midst_leaves_old_or_new() {
    for (kind, driver) in GROUNDS {
        let Some(ground) = Ground::on(kind, driver) else { continue };
        let house = House::empty(&ground);
        house.fed(&["import", "-", "base"], &base());
        house.fed(&["build", "-q", "-t", "top", "-"], &context());
        let archive = house.run(&["save", "top"], b"").stdout;
        let commands: [(&[&str], &[u8]); 4] = [
            (&["rmi", "-f", "top"], b""),
            (&["load", "-q"], &archive),
            (&["create", "--name", "cc", "top", "true"], b""),
            (&["commit", "cc", "kept"], b""),
        ];
        let mut hits = 0;
        for milliseconds in [3, 6, 9, 12, 15, 18, 22, 26, 30, 36, 42, 50, 60, 80] {
            for (arguments, input) in commands {
                let before = told(&house);
                let input_file = tempfile::tempfile().unwrap();
                std::io::Write::write_all(&mut &input_file, input).unwrap();
                std::io::Seek::rewind(&mut &input_file).unwrap();
                let mut child = house.command();
                child.args(arguments).stdin(input_file).stdout(Stdio::null()).stderr(Stdio::null());
                let mut child = child.spawn().unwrap();
                sleep(Duration::from_millis(milliseconds));
                let is_over = child.try_wait().unwrap().is_some();
                hits += usize::from(!is_over);
                ground.place().cut_power().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
                ground.place().restore_power().unwrap();
                let case = format!("{driver} on {kind}, {arguments:?} cut off after {milliseconds} ms");
                let after = told(&house);
                eprintln!("{case}: over {is_over} changed {}", before != after);
                let found = house.run(&["check"], b"");
                eprintln!("{}", text(&found));
            }
        }
        assert!(hits > 0, "no cut came in time");
    }
}
