//! What a command has said to be done survives a power cut right after it; a power cut in the midst of a command leaves what was there
//! before, or what it makes, and nothing half. What is undone is a removal at most: a container is there
//! again, or an image without its name.
//!
//! The file system is shut down without its journal's last entries, as `xfs_io -c shutdown` does, and mounted again.

use std::collections::BTreeSet;
use std::fs;
use std::io::Seek;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use layerlab_engine::image::Digest;
use serde_json::Value;

use crate::house::{Ground, House, base, context};

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

/// Without images that have no name: one of which the name was taken away may be there again.
fn named(told: &str) -> String {
    told.lines().filter(|line| !line.contains("<none>")).map(|line| format!("{line}\n")).collect()
}

/// What a line of [`told`] is about, whatever its names: of an image the digest of its archive, of a container its ID.
fn subject(line: &str) -> &str {
    let mut words = line.split(' ');
    if line.starts_with("sha256:") { words.next_back() } else { words.next() }.unwrap_or(line)
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

/// What a check finds but for what a command had begun, which the next one that makes or removes something clears.
fn damage(house: &House) -> Vec<Value> {
    let mut found = house.findings(&[]);
    found.retain(|fault| fault["Fault"] != "half-made");
    found
}

/// Checklist: CR-11~, CR-12~, N-02
#[test]
fn what_is_done_survives_a_power_cut() {
    for (kind, driver) in GROUNDS {
        let Some(ground) = Ground::on(kind, driver) else { continue };
        let house = House::empty(&ground);
        let commands: [(&[&str], Vec<u8>); 8] = [
            (&["import", "-", "base"], base()),
            (&["build", "-q", "-t", "top", "-"], context()),
            (&["tag", "top", "other"], Vec::new()),
            (&["create", "--name", "cc", "top", "true"], Vec::new()),
            (&["commit", "cc", "kept"], Vec::new()),
            (&["rename", "cc", "dd"], Vec::new()),
            (&["volume", "create", "vv"], Vec::new()),
            (&["rmi", "other", "kept"], Vec::new()),
        ];
        for (arguments, input) in commands {
            house.fed(arguments, &input);
            let before = told(&house);
            cut(&ground);
            assert_eq!(named(&told(&house)), named(&before), "{driver} on {kind} after {arguments:?}");
            assert_eq!(damage(&house), [] as [Value; 0], "{driver} on {kind} after {arguments:?}");
        }
        house.done(&["volume", "create", "last"]);
        house.done(&["check", "--repair"]);
        assert_eq!(house.findings(&[]), [] as [Value; 0]);
    }
}

/// A command, what it is given to read, and the name that is there afterwards, or is not. A container may be there again: its removal is not
/// synced.
type Act<'a> = (&'a [&'a str], &'a [u8], &'a str, Option<bool>);

/// Checklist: CR-11~, CR-12~, N-01~
#[test]
fn a_power_cut_in_the_midst_leaves_old_or_new() {
    for (kind, driver) in GROUNDS {
        let Some(ground) = Ground::on(kind, driver) else { continue };
        let house = House::empty(&ground);
        house.fed(&["import", "-", "base"], &base());
        house.fed(&["build", "-q", "-t", "top", "-"], &context());
        let archive = house.run(&["save", "top"], b"").stdout;
        let whole = told(&house).lines().find(|line| line.contains(" top:latest ")).unwrap().to_owned();
        let acts: [Act<'_>; 6] = [
            (&["rmi", "-f", "top"], b"", " top:latest ", Some(false)),
            (&["load", "-q"], &archive, " top:latest ", Some(true)),
            (&["create", "--name", "cc", "top", "true"], b"", " cc ", Some(true)),
            (&["commit", "cc", "kept"], b"", " kept:latest ", Some(true)),
            (&["rm", "-f", "cc"], b"", " cc ", None),
            (&["rmi", "-f", "kept"], b"", " kept:latest ", Some(false)),
        ];
        let mut hits = 0;
        for milliseconds in [5, 10, 17, 28, 45] {
            for (arguments, input, name, is_there) in acts {
                let case = format!("{driver} on {kind}, {arguments:?} cut off after {milliseconds} ms");
                let before = told(&house);
                let succeeded = cut_off(&ground, &house, arguments, input, milliseconds);
                let after = told(&house);
                match succeeded {
                    Some(true) => {
                        let is_right = is_there.is_none_or(|is_there| after.contains(name) == is_there);
                        assert!(is_right, "{case}, but it was done:\n{after}");
                    }
                    Some(false) => assert_eq!(after, before, "{case}, but it was refused"),
                    None => hits += 1,
                }
                let loaded = after.lines().find(|line| line.contains(" top:latest "));
                assert!(loaded.is_none_or(|line| line == whole), "{case}: it is not what was saved:\n{after}");
                let others = |line: &&str| !line.contains(name) && !line.contains("<none>");
                let kept: BTreeSet<&str> = after.lines().map(subject).collect();
                let lost = before.lines().filter(others).find(|line| !kept.contains(subject(line)));
                assert_eq!(lost, None, "{case}: it is gone:\n{after}");
                assert_eq!(damage(&house), [] as [Value; 0], "{case}");
            }
        }
        assert!(hits > 0, "{driver} on {kind}: no cut came in time");
        house.done(&["volume", "create", "last"]);
        house.done(&["check", "--repair"]);
        assert_eq!(house.findings(&[]), [] as [Value; 0]);
    }
}

/// Cuts the power some time after a command has begun; whether it had succeeded by then, nothing if it had not ended.
fn cut_off(ground: &Ground, house: &House, arguments: &[&str], mut input: &[u8], milliseconds: u64) -> Option<bool> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::copy(&mut input, &mut file).unwrap();
    file.rewind().unwrap();
    let mut command = house.command();
    let mut child = command.args(arguments).stdin(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(milliseconds));
    let ended = child.try_wait().unwrap();
    ground.place().cut_power().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    ground.place().restore_power().unwrap();
    ended.map(|status| status.success())
}
