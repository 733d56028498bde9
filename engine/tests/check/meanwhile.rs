//! What others do while a repair lasts: it changes nothing that they use, and looks at what they have changed.
//!
//! Checklist: CR-04~

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Output;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::damage::{layer, remove, split, write};
use super::healthy::listing;
use super::house::{Ground, House, text};

/// Kept by whoever reads what is there, as by a `save` or a `cp` of this engine.
fn shared(directory: &Path) -> File {
    let held = File::open(directory).unwrap();
    held.lock_shared().unwrap();
    held
}

/// Repairs, but for what is used: that must be told, and all below `kept` be left as it is.
fn refused(house: &House, told: &str, kept: &Path) {
    let before = listing(kept);
    let output = house.run(&["check", "--repair"], b"");
    assert!(text(&output).contains("not mended: ") && text(&output).contains(told), "{}", text(&output));
    assert_eq!((output.status.code(), listing(kept) == before), (Some(1), true), "{}", text(&output));
}

/// Waits until somebody has called, who gets no answer yet.
fn await_call(listener: &TcpListener) {
    let mut called = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
    assert_eq!(poll(&mut called, Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap(), 1, "nobody pulled");
}

/// A repair that waits for its registry while `act` is done.
fn while_it_pulls(house: &mut House, act: impl FnOnce(&House)) -> Output {
    let (listener, digest) = (house.silence_registry(), house.manifest_digest());
    let house = &*house;
    std::thread::scope(|scope| {
        let repair = scope.spawn(|| house.run(&["check", "--repair"], b""));
        await_call(&listener);
        act(house);
        let registry = house.registry_again(listener, &digest);
        let output = repair.join().unwrap();
        let has_come = registry.requests().iter().any(|request| request.path.contains("/blobs/"));
        assert!(has_come, "nothing was pulled: {}", text(&output));
        output
    })
}

#[test]
fn a_layer_that_a_command_reads_is_not_replaced_until_it_is_done() {
    let house = House::pulled(&Ground::of("overlay2").unwrap());
    remove(&split(&house, 1));
    let reader = shared(&house.records()[1]);
    refused(&house, "another command reads this layer", &house.directories()[1]);
    drop(reader);
    house.done(&["check", "--repair"]);
}

#[test]
fn nothing_is_taken_from_below_a_container_that_a_command_reads() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    write(&layer(&house, 0).join("etc/added"), "x");
    let reader = shared(&house.container().1);
    refused(&house, "uses this layer", &house.directories()[0]);
    drop(reader);
    house.done(&["check", "--repair"]);
    assert!(!layer(&house, 0).join("etc/added").exists());
}

#[test]
fn a_layer_whose_image_is_removed_while_it_is_pulled_is_put_nowhere() {
    let mut house = House::pulled(&Ground::of("overlay2").unwrap());
    remove(&house.records()[2].join("tar-split.json.gz"));
    let output = while_it_pulls(&mut house, |house| {
        house.done(&["rm", "cc"]);
        let images = house.done(&["images", "-q", "--no-trunc", "top"]);
        house.done(&["rmi", "-f", images.lines().next().unwrap()]);
    });
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new());
    assert_eq!(house.records().len(), 1, "{}", text(&output));
    assert_eq!(fs::read_dir(house.data().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_was_mended_by_others_while_it_was_pulled_stays_as_they_made_it() {
    let mut house = House::pulled(&Ground::of("overlay2").unwrap());
    let lost = split(&house, 1);
    let kept = fs::read(&lost).unwrap();
    remove(&lost);
    let mut theirs = Vec::new();
    let output = while_it_pulls(&mut house, |house| {
        fs::write(&lost, &kept).unwrap();
        theirs = listing(&house.directories()[1]);
    });
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(listing(&house.directories()[1]), theirs);
}

#[test]
fn no_dockerd_begins_while_a_repair_lasts() {
    let mut house = House::pulled(&Ground::of("overlay2").unwrap());
    remove(&split(&house, 1));
    let database = File::options().read(true).write(true).open(house.data().join("volumes/metadata.db")).unwrap();
    // As dockerd asks.
    let asked = || database.try_lock().map(|()| database.unlock().unwrap());
    asked().unwrap();
    let output = while_it_pulls(&mut house, |_| assert!(matches!(asked(), Err(TryLockError::WouldBlock))));
    assert!(output.status.success(), "{}", text(&output));
    asked().unwrap();
}
