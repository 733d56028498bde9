//! Promises about what goes wrong meanwhile: a stream that breaks off, an attribute that cannot be kept, a restart, a power cut, and somebody else who
//! is at work.

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use layerlab_engine::layer::{Owners, UnpackError, Unpacked};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::scene::{Scene, Tree, change_everything, tree};
use super::{mounts_below, promises::tar_of};

/// Takes so many bytes, and fails then; nothing can be read from it.
struct BreaksOff(usize);

fn broken_off() -> io::Error {
    io::Error::other("it breaks off")
}

impl Write for BreaksOff {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.min(bytes.len());
        self.0 -= count;
        if count == 0 { Err(broken_off()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for BreaksOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(broken_off())
    }
}

/// Unpacks a layer tar into a directory of its own.
fn unpacked(scene: &Scene, tar: &mut dyn Read) -> Result<Unpacked, UnpackError> {
    let content = tempfile::tempdir_in(scene.root.path()).unwrap();
    scene.driver.unpack(tar, content.path(), Owners::SquashUnmapped, &mut io::sink())
}

/// However much of a layer has gone through: who cannot be written to any more, or read from, is not passed over.
pub fn a_stream_that_breaks_off_is_an_error(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.edit("c", change_everything);
    let tar = scene.tar("c", Some("c-init"));
    for bytes in (0..tar.len()).step_by(512) {
        let read = unpacked(scene, &mut tar[..bytes].chain(BreaksOff(0)));
        assert!(read.is_err(), "{bytes} of {} bytes are taken for a layer", tar.len());
        let written = scene.driver.pack("c", Some("c-init"), &mut BreaksOff(bytes));
        assert!(written.is_err(), "a layer of {} bytes is written to where {bytes} were taken", tar.len());
    }
}

/// A tar of a file with an attribute.
fn tar_with(name: &str, value: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([(&*format!("SCHILY.xattr.{name}"), value)]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o644);
    builder.append_data(&mut header, "file", io::empty()).unwrap();
    builder.into_inner().unwrap()
}

/// As dockerd has it, what a file system does not know is left out, and told; anything else is an error.
pub fn an_attribute_that_cannot_be_kept_is_told(scene: &Scene) {
    // The kernel takes 64 KiB of any attribute (xattr(7)), and no name outside of its namespaces.
    let too_long = unpacked(scene, &mut &tar_with("user.long", &[b'x'; (64 << 10) + 1])[..]);
    assert!(too_long.is_err(), "an attribute that is too long is lost: {too_long:?}");
    let unknown = unpacked(scene, &mut &tar_with("nobodys.name", b"x")[..]).unwrap();
    assert_eq!(unknown.xattrs_lost, 1, "an attribute that is none is lost");
}

/// Who attached a layer need not be who detaches it.
pub fn what_was_attached_before_a_restart_is_detached_after_it(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    change_everything(&scene.driver.attach("c").unwrap());
    let written = scene.tree("c");
    scene.again().detach("c").unwrap();
    assert_eq!(mounts_below(scene.root.path()), [""; 0]);
    let restarted = scene.again();
    assert_eq!(tree(&restarted.attach("c").unwrap()), written);
    let restarted = scene.again();
    for id in ["c", "c-init"] {
        restarted.remove(id).unwrap();
    }
    assert_eq!(mounts_below(scene.root.path()), [""; 0]);
    assert_eq!(restarted.all().unwrap(), ["base"]);
}

/// One of them makes it, and it is his; the others are told.
pub fn one_of_many_who_make_a_layer_makes_it(scene: &Scene) {
    const MAKERS: usize = 6;
    scene.base();
    let below = scene.tree("base");
    for round in 0..3 {
        let (id, start) = (&format!("layer-{round}"), &Barrier::new(MAKERS));
        let make = |maker: usize| {
            let content = tempfile::tempdir_in(scene.root.path()).unwrap();
            fs::write(content.path().join("maker"), maker.to_string()).unwrap();
            fs::write(content.path().join(format!("of-{maker}")), "").unwrap();
            let driver = scene.again();
            start.wait();
            driver.adopt(id, Some("base"), content.path()).is_ok()
        };
        let made: Vec<usize> = thread::scope(|scope| {
            let makers: Vec<_> = (0..MAKERS).map(|maker| scope.spawn(move || make(maker))).collect();
            let made = makers.into_iter().enumerate().filter_map(|(maker, one)| one.join().unwrap().then_some(maker));
            made.collect()
        });
        let [maker] = made[..] else { panic!("{made:?} made {id}") };
        let names: Vec<String> = scene.tree(id).keys().map(|path| path.display().to_string()).collect();
        let mut expected: Vec<String> = below.keys().map(|path| path.display().to_string()).collect();
        expected.extend(["maker".to_owned(), format!("of-{maker}")]);
        expected.sort();
        assert_eq!(names, expected);
        let of = fs::read_to_string(scene.driver.view(id).unwrap().path().join("maker")).unwrap();
        assert_eq!(of, maker.to_string());
    }
}

/// A directory in the layer is swapped, again and again while it is unpacked, for a link that leads elsewhere; whether the layer can be unpacked is not
/// promised then.
pub fn a_name_that_is_swapped_meanwhile_leads_nowhere_else(scene: &Scene) {
    const FILES: usize = 500;
    let content = tempfile::tempdir_in(scene.root.path()).unwrap();
    let (canary, link) = (content.path().with_file_name("canary"), content.path().with_file_name("link"));
    fs::create_dir(&canary).unwrap();
    std::os::unix::fs::symlink(&canary, &link).unwrap();
    let names: Vec<String> = (0..FILES).map(|number| format!("directory/{number}")).collect();
    let tar = tar_of(&names.iter().map(|name| (name.as_str(), "content")).collect::<Vec<_>>());
    let (directory, is_over) = (content.path().join("directory"), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // It has to be there first.
                let _ = renameat_with(CWD, &directory, CWD, &link, RenameFlags::EXCHANGE);
            }
        });
        let _ = scene.driver.unpack(&mut &tar[..], content.path(), Owners::SquashUnmapped, &mut io::sink());
        is_over.store(true, Ordering::Relaxed);
    });
    let found: Vec<_> = fs::read_dir(&canary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(found.is_empty(), "{} files were unpacked elsewhere", found.len());
}

/// Every file that is a driver's note, and no layer's.
fn notes(scene: &Scene, ids: &[&str]) -> Vec<PathBuf> {
    let of_layers: Vec<_> = ids.iter().map(|id| scene.driver.own_files(id)).collect();
    let (mut found, mut left) = (Vec::new(), vec![scene.root.path().to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !of_layers.contains(&entry.path()) {
                left.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found
}

/// A file whose content had not come to the disk is empty after a power cut; what is made with it is refused then, or right.
pub fn a_note_that_was_emptied_is_noticed(scene: &Scene) {
    scene.base();
    scene.layer("second", Some("base"), &[("etc/second", "2")]);
    scene.driver.create("c", Some("second")).unwrap();
    let expected: Vec<(&str, Tree)> = ["base", "second", "c"].map(|id| (id, scene.tree(id))).into();
    for note in notes(scene, &["base", "second", "c"]) {
        let held = fs::read(&note).unwrap();
        fs::write(&note, "").unwrap();
        let what = note.strip_prefix(scene.root.path()).unwrap().display();
        for (id, whole) in &expected {
            if let Ok(view) = scene.again().view(id) {
                assert_eq!(tree(view.path()), *whole, "{id} is shown so without {what}");
            }
            let made = scene.again().create("probe", Some(id));
            if let Ok(view) = made.and_then(|()| scene.again().view("probe")) {
                assert_eq!(tree(view.path()), *whole, "what is made on {id} without {what} is shown so");
            }
            scene.driver.remove("probe").unwrap();
        }
        fs::write(&note, held).unwrap();
    }
    assert_eq!(scene.tree("c"), expected[2].1);
}
