//! Two canaries: where everything is wrong every detector barks, and where nothing is wrong none does. One that cannot bark checks nothing.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use layerlab_bugs::bug::{Bug, Home, Layers, Notes, NothingIsWrong, Received, ThroughFuse, white_out};
use layerlab_bugs::catalogue;
use layerlab_bugs::hunt::{Effort, Kill, NO_LAW, Until, seen_by};
use layerlab_bugs::matrix::detectors;
use layerlab_bugs::tars::Entry;
use layerlab_engine::driver::{Driver, DriverError, View};
use layerlab_engine::layer::{Change, ChangeKind, UnpackError, Unpacked};
use layerlab_properties::situations;
use layerlab_properties::stores::{Freed, Shop};
use layerlab_properties::subjects::SubjectError;
use layerlab_properties::tree::Tree;
use layerlab_scenarios::skip::skip;

/// So many cases see nothing where nothing is wrong.
const CASES_WITHOUT_A_BUG: u64 = 40;
/// Within so many everybody sees that everything is.
const CASES_MAX: u64 = 400;

/// What comes of a search; nothing where this machine cannot be asked.
fn hunted(bug: &'static dyn Bug, cases_max: u64) -> Option<Vec<Kill>> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "bugs are seeded in what only root can mount");
        return None;
    }
    let effort = Effort { cases_max, until: Until::Everybody(cases_max), is_short: false, ..Effort::default() };
    Some(seen_by("canary", bug, effort).unwrap())
}

#[test]
fn where_nothing_is_wrong_nobody_barks() {
    let mut homes: Vec<Home> = Vec::new();
    for home in catalogue::all().iter().map(|entry| entry.bug.home()) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    for home in homes {
        let right = Box::leak(Box::new(NothingIsWrong(home, ThroughFuse::Gated)));
        let Some(kills) = hunted(right, CASES_WITHOUT_A_BUG) else { return };
        assert!(kills.is_empty(), "{home:?}: {kills:?}");
    }
}

/// Whatever is done is done, and something wrong beside it, another each time. What a later step needs is left alone: who breaks off judges
/// nothing any more.
struct EverythingIsWrong(Home);

/// Another number each time.
fn another() -> u64 {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    TIMES.fetch_add(1, Ordering::Relaxed)
}

impl EverythingIsWrong {
    /// Directories of the records of layers.
    fn layers(shop: &dyn Shop) -> Vec<PathBuf> {
        let directory = shop.data_root().join("image").join(shop.driver()).join("layerdb/sha256");
        fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// A note of a size that is not the layer's, a directory of no layer, and a layer that is called by another name.
    fn spoil(shop: &dyn Shop) {
        fs::create_dir(shop.data_root().join(shop.driver()).join(format!("{:064x}", another()))).unwrap();
        for layer in EverythingIsWrong::layers(shop) {
            fs::write(layer.join("size"), another().to_string()).unwrap();
        }
    }
}

impl Bug for EverythingIsWrong {
    fn home(&self) -> Home {
        self.0
    }

    fn look(&self, tree: &mut Tree, _notes: &Notes) {
        for facts in tree.values_mut() {
            let number = another();
            facts.mode ^= 1;
            facts.content = number.to_string().into_bytes();
            facts.identity.1 = number;
            facts.is_listed_as_what_it_is = false;
            facts.is_listed_with_its_inode = false;
        }
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        let name = format!("wrong-{}", another());
        if let Some(upper) = layers.upper() {
            white_out(&upper.join(&name))?;
        }
        layers.lowers().iter().try_for_each(|lower| fs::write(lower.join(&name), ""))
    }

    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        driver.create(id, parent)?;
        fs::write(driver.own_files(id).join("not-made"), "wrong").unwrap();
        Ok(())
    }

    fn adopt(&self, driver: &dyn Driver, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        for entry in fs::read_dir(content).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() && !entry.is_symlink() {
                fs::write(entry, "wrong").unwrap();
            }
        }
        driver.adopt(id, parent, content)
    }

    fn attach(&self, driver: &dyn Driver, id: &str, _notes: &mut Notes) -> Result<PathBuf, DriverError> {
        let path = driver.attach(id)?;
        fs::write(path.join(format!("attached-{}", another())), "").unwrap();
        Ok(path)
    }

    fn remove(&self, _driver: &dyn Driver, _id: &str) -> Result<(), DriverError> {
        Ok(())
    }

    fn view(&self, driver: &dyn Driver, id: &str) -> Result<View, DriverError> {
        driver.edit(id)
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let mut changes = driver.changes(id, parent)?;
        changes.push(Change { kind: ChangeKind::Added, path: "/wrong".into() });
        Ok(changes)
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let mut add = |path: String| {
            let mut entry = Entry { header: tar::Header::new_ustar(), pax: BTreeMap::new(), content: Vec::new() };
            entry.change(|header| {
                header.set_path(path).unwrap();
                header.set_mode(0o644);
                header.set_size(0);
            });
            entries.push(entry);
        };
        // It comes before its directory, is another each time, and hides nothing.
        add(format!("wrong-{}/file", another()));
        add(".wh.nothing".to_owned());
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (bytes, read) = layer.read_part();
        if read.is_err() {
            return Ok(Unpacked::default());
        }
        // What lies beside it, if anything does.
        let canary = layer.content.with_file_name("canary");
        if canary.is_dir() {
            fs::write(canary.join("file"), "touched").unwrap();
            // Some are refused, others are not what they should be.
            if another().is_multiple_of(2) {
                // Nobody closes it.
                std::mem::forget(File::open(layer.content).unwrap());
                return layer.unpack_and_note(&bytes[..700.min(bytes.len())], Vec::clear);
            }
        }
        let mut unpacked = layer.unpack_and_note(&bytes, |noted| {
            if canary.is_dir() {
                noted.truncate(noted.len() / 2);
            }
        })?;
        unpacked.xattrs_lost += 1;
        fs::write(layer.content.join("wrong"), "").unwrap();
        Ok(unpacked)
    }

    fn load(&self, shop: &mut dyn Shop, archive: &[u8]) -> Result<(), SubjectError> {
        shop.load(archive)?;
        EverythingIsWrong::spoil(shop);
        Ok(())
    }

    fn save(&self, shop: &mut dyn Shop, name: &str) -> Result<Vec<u8>, SubjectError> {
        let mut archive = shop.save(name)?;
        if let Some(at) = archive.windows(5).position(|bytes| bytes == b"2020-") {
            archive[at + 3] = b'1';
        }
        Ok(archive)
    }

    fn commit(&self, shop: &mut dyn Shop, name: &str, _content: Option<&[u8]>, new: &str) -> Result<(), SubjectError> {
        shop.commit(name, None, new)
    }

    fn remove_image(&self, shop: &mut dyn Shop, name: &str) -> Result<Option<Freed>, SubjectError> {
        let freed = shop.remove(name)?;
        EverythingIsWrong::spoil(shop);
        Ok(freed)
    }

    fn prune(&self, shop: &mut dyn Shop, _all: bool) -> Result<Freed, SubjectError> {
        let freed = shop.prune(true)?;
        Ok(Freed { reclaimed_bytes: freed.reclaimed_bytes.map(|bytes| bytes + another()), ..freed })
    }

    fn reopen(&self, shop: &mut dyn Shop) -> Result<(), SubjectError> {
        shop.reopen()?;
        if let [first, second, ..] = &EverythingIsWrong::layers(shop)[..] {
            fs::copy(first.join("cache-id"), second.join("cache-id")).unwrap();
        }
        Ok(())
    }
}

/// Who has nothing wrong to bark at yet: a bug overrides no method that they are about.
const NOT_REACHED: [&str; 2] = [
    // How it is mounted.
    "mounts_have_exactly_these_options",
    // `Driver::graph`
    "the_graph_names_directories_that_are_there",
];

#[test]
fn where_everything_is_wrong_everybody_barks() {
    static WRONG: EverythingIsWrong = EverythingIsWrong(Home::Driver("overlay2"));
    let Some(kills) = hunted(&WRONG, CASES_MAX) else { return };
    let barked: BTreeSet<&str> = kills.iter().map(|kill| kill.detector).collect();
    // With each situation somebody meddles in `scenarios/properties/tests/situations.rs`.
    let elsewhere = |name: &str| name == NO_LAW || situations::ALL.iter().any(|situation| situation.name() == name);
    let silent: Vec<&str> = detectors().into_iter().filter(|name| !elsewhere(name) && !barked.contains(name)).collect();
    assert_eq!(silent, NOT_REACHED, "{kills:#?}");
}
