//! A store without a fault keeps every law, with each storage driver; faults planted for the occasion are found by the law that is
//! about them, and shown in at most four acts.
//!
//! Checklist: N-28~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use layerlab_properties::campaign::{Broken, Counts};
use layerlab_properties::stores::case::{Begin, Campaign, Failure};
use layerlab_properties::stores::{Act, EngineShop, Freed, Promises, Shop, laws};
use layerlab_properties::subjects::SubjectError;
use layerlab_scenarios::skip::skip;

mod memory;

use memory::memory;

/// How many acts may be needed to show a fault.
const ACTS_MAX: usize = 4;

/// Something done to the disk after each load, commit and removal of an image.
type Spoil = fn(&dyn Shop);

struct Faulty {
    inner: Box<dyn Shop>,
    spoil: Spoil,
    /// What is done to an archive that is saved.
    garble: fn(Vec<u8>) -> Vec<u8>,
    /// Whether a commit forgets what was changed.
    forgets: bool,
    prune: Prune,
    /// What is done to the disk when a load has failed.
    loses: Spoil,
}

/// How garbage is collected.
type Prune = fn(&mut dyn Shop, bool) -> Result<Freed, SubjectError>;

fn rightly(shop: &mut dyn Shop, all: bool) -> Result<Freed, SubjectError> {
    shop.prune(all)
}

impl Shop for Faulty {
    fn data_root(&self) -> &Path {
        self.inner.data_root()
    }

    fn driver(&self) -> &str {
        self.inner.driver()
    }

    fn promises(&self) -> Promises {
        self.inner.promises()
    }

    fn load(&mut self, archive: &[u8]) -> Result<(), SubjectError> {
        self.inner.load(archive).inspect_err(|_| (self.loses)(&*self.inner))?;
        (self.spoil)(&*self.inner);
        Ok(())
    }

    fn save(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        Ok((self.garble)(self.inner.save(name)?))
    }

    fn commit(&mut self, name: &str, content: Option<&[u8]>, new: &str) -> Result<(), SubjectError> {
        self.inner.commit(name, content.filter(|_| !self.forgets), new)?;
        (self.spoil)(&*self.inner);
        Ok(())
    }

    fn export(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        self.inner.export(name)
    }

    fn import(&mut self, tar: &[u8], new: &str) -> Result<(), SubjectError> {
        self.inner.import(tar, new)
    }

    fn remove(&mut self, name: &str) -> Result<Option<Freed>, SubjectError> {
        let freed = self.inner.remove(name)?;
        (self.spoil)(&*self.inner);
        Ok(freed)
    }

    fn tag(&mut self, name: &str, new: &str) -> Result<(), SubjectError> {
        self.inner.tag(name, new)
    }

    fn create(&mut self, name: &str, container: &str) -> Result<(), SubjectError> {
        self.inner.create(name, container)
    }

    fn remove_container(&mut self, container: &str) -> Result<(), SubjectError> {
        self.inner.remove_container(container)
    }

    fn prune(&mut self, all: bool) -> Result<Freed, SubjectError> {
        (self.prune)(&mut *self.inner, all)
    }

    fn stumble(&mut self, call: Option<usize>) {
        self.inner.stumble(call);
    }

    fn has_stumbled(&self) -> bool {
        self.inner.has_stumbled()
    }

    fn reopen(&mut self) -> Result<(), SubjectError> {
        self.inner.reopen()
    }

    fn another(&self) -> Result<Box<dyn Shop>, SubjectError> {
        self.inner.another()
    }
}

fn as_it_is(archive: Vec<u8>) -> Vec<u8> {
    archive
}

fn nothing_spoilt(_: &dyn Shop) {}

/// The first failure of a store with a fault; `None` when this machine cannot be asked.
fn found(driver: &'static str, spoil: Spoil, garble: fn(Vec<u8>) -> Vec<u8>) -> Option<Option<Failure>> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "images with files of root are loaded");
        return None;
    }
    let begin = |place: &Path| {
        let inner = Box::new(EngineShop::open(place, driver)?);
        Ok(Box::new(Faulty { inner, spoil, garble, forgets: false, prune: rightly, loses: nothing_spoilt })
            as Box<dyn Shop>)
    };
    first_failure(&begin)
}

fn first_failure(begin: &Begin<'_>) -> Option<Option<Failure>> {
    first_failure_of(begin, &laws::ALL)
}

fn first_failure_of(begin: &Begin<'_>, laws: &[&'static dyn laws::Law]) -> Option<Option<Failure>> {
    std::thread::scope(|scope| {
        let search = || {
            layerlab_properties::enter::own_mounts().unwrap();
            let place = tempfile::tempdir_in(memory()).unwrap();
            let campaign = Campaign { begin, laws, place: place.path().to_owned(), length: 12 };
            let mut counts = Counts::default();
            Some((1..16).find_map(|seed| campaign.run(seed, &mut counts).err()))
        };
        scope.spawn(search).join().unwrap()
    })
}

fn is_shown(law: &str, spoil: Spoil, garble: fn(Vec<u8>) -> Vec<u8>) {
    let Some(failure) = found("overlay2", spoil, garble) else { return };
    let failure = failure.expect("a fault that no case finds");
    assert_eq!(failure.broken.law, Some(law), "{failure:#?}");
    assert!(failure.acts.len() <= ACTS_MAX, "{failure:#?}");
}

#[test]
fn a_store_keeps_every_law_on_overlay2() {
    assert!(found("overlay2", nothing_spoilt, as_it_is).flatten().is_none_or(|failure| panic!("{failure:#?}")));
}

#[test]
fn a_store_keeps_every_law_on_dockers_legacy_overlay() {
    assert!(found("overlay", nothing_spoilt, as_it_is).flatten().is_none_or(|failure| panic!("{failure:#?}")));
}

#[test]
fn a_store_keeps_every_law_on_vfs() {
    assert!(found("vfs", nothing_spoilt, as_it_is).flatten().is_none_or(|failure| panic!("{failure:#?}")));
}

fn layers(shop: &dyn Shop) -> Vec<PathBuf> {
    let directory = shop.data_root().join("image").join(shop.driver()).join("layerdb/sha256");
    let mut found: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn a_commit_that_forgets_the_change() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "images with files of root are loaded");
    }
    let begin = |place: &Path| {
        let inner = Box::new(EngineShop::open(place, "vfs")?);
        let (spoil, garble): (Spoil, _) = (nothing_spoilt, as_it_is);
        Ok(Box::new(Faulty { inner, spoil, garble, forgets: true, prune: rightly, loses: nothing_spoilt })
            as Box<dyn Shop>)
    };
    let failure = first_failure(&begin).flatten().expect("a fault that no case finds");
    assert_eq!(failure.broken.law, Some("commits-hold-the-change"), "{failure:#?}");
    assert!(failure.acts.len() <= ACTS_MAX, "{failure:#?}");
}

#[test]
fn a_directory_that_nobody_needs() {
    let spoil: Spoil = |shop| {
        let _ = fs::create_dir(shop.data_root().join(shop.driver()).join("0".repeat(64)));
    };
    is_shown("removal-frees-what-nothing-reaches", spoil, as_it_is);
}

#[test]
fn a_file_that_every_change_leaves() {
    let spoil: Spoil = |shop| {
        let directory = shop.data_root().join("image").join(shop.driver()).join("imagedb");
        let number = fs::read_dir(&directory).unwrap().count();
        fs::write(directory.join(format!("left-{number}")), "").unwrap();
    };
    is_shown("removal-frees-what-nothing-reaches", spoil, as_it_is);
}

#[test]
fn a_layer_under_another_chain_id() {
    let spoil: Spoil = |shop| {
        if let Some(layer) = layers(shop).first() {
            let renamed = layer.with_file_name("f".repeat(64));
            let _ = fs::rename(layer, renamed);
        }
    };
    is_shown("ids-survive-every-journey", spoil, as_it_is);
}

#[test]
fn two_layers_in_one_directory() {
    let spoil: Spoil = |shop| {
        if let [first, second, ..] = &layers(shop)[..] {
            fs::copy(first.join("cache-id"), second.join("cache-id")).unwrap();
        }
    };
    is_shown("layers-are-shared-by-chain-id", spoil, as_it_is);
}

#[test]
fn an_archive_with_another_configuration() {
    let garble = |archive: Vec<u8>| {
        let position = archive.windows(5).position(|bytes| bytes == b"2020-");
        let mut archive = archive;
        if let Some(position) = position {
            archive[position + 3] = b'1';
        }
        archive
    };
    is_shown("ids-survive-every-journey", nothing_spoilt, garble);
}

#[test]
fn a_layer_whose_size_is_noted_wrongly() {
    let spoil: Spoil = |shop| {
        if let Some(layer) = layers(shop).first() {
            fs::write(layer.join("size"), "77").unwrap();
        }
    };
    is_shown("bytes-on-disk-are-the-layers", spoil, as_it_is);
}

#[test]
fn a_layer_with_a_file_that_its_tar_did_not_have() {
    let spoil: Spoil = |shop| {
        if let Some(layer) = layers(shop).first() {
            let cache_id = fs::read_to_string(layer.join("cache-id")).unwrap();
            fs::write(shop.data_root().join(shop.driver()).join(cache_id).join("diff/stray"), "stray").unwrap();
        }
    };
    is_shown("bytes-on-disk-are-the-layers", spoil, as_it_is);
}

/// What comes of three acts, in the last of which the driver fails, in a store that loses something then.
fn stumbled(loses: Spoil) -> Option<(Counts, Result<(), Broken>)> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "images with files of root are loaded");
        return None;
    }
    let begin = |place: &Path| {
        let inner = Box::new(EngineShop::open(place, "overlay2")?);
        let (spoil, garble): (Spoil, _) = (nothing_spoilt, as_it_is);
        Ok(Box::new(Faulty { inner, spoil, garble, forgets: false, prune: rightly, loses }) as Box<dyn Shop>)
    };
    let acts = [Act::Load { layers: vec![4] }, Act::Stumble { call: 1 }, Act::Load { layers: vec![0, 1] }];
    std::thread::scope(|scope| {
        let replay = || {
            layerlab_properties::enter::own_mounts().unwrap();
            let place = tempfile::tempdir_in(memory()).unwrap();
            let campaign = Campaign { begin: &begin, laws: &laws::ALL, place: place.path().to_owned(), length: 0 };
            let mut counts = Counts::default();
            let replayed = campaign.replay(&acts, &mut counts);
            Some((counts, replayed))
        };
        scope.spawn(replay).join().unwrap()
    })
}

#[test]
fn an_act_in_which_the_driver_fails_is_done_again() {
    let Some((counts, replayed)) = stumbled(nothing_spoilt) else { return };
    assert!(replayed.is_ok(), "{replayed:#?}");
    let lines: Vec<String> = counts.lines().collect();
    assert!(lines.iter().any(|line| line.contains("done again 1")), "{lines:?}");
}

#[test]
fn names_that_are_lost_when_the_driver_fails() {
    let loses: Spoil = |shop| {
        let list = shop.data_root().join("image").join(shop.driver()).join("repositories.json");
        fs::write(list, r#"{"Repositories":{}}"#).unwrap();
    };
    let Some((_, replayed)) = stumbled(loses) else { return };
    assert_eq!(replayed.unwrap_err().law, Some("removal-frees-what-nothing-reaches"));
}

#[test]
fn layers_that_are_lost_when_the_driver_fails() {
    let loses: Spoil = |shop| {
        // The only one yet, which is not what is loaded.
        let cache_id = fs::read_to_string(layers(shop)[0].join("cache-id")).unwrap();
        fs::remove_dir_all(shop.data_root().join(shop.driver()).join(cache_id)).unwrap();
    };
    let Some((_, replayed)) = stumbled(loses) else { return };
    assert!(replayed.as_ref().is_err_and(|broken| broken.law.is_some()), "{replayed:#?}");
}

/// Whether a store that collects garbage like this is found out by the law about that; others see some of it too.
fn is_shown_of(prune: Prune) {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "images with files of root are loaded");
    }
    let begin = |place: &Path| {
        let inner = Box::new(EngineShop::open(place, "overlay2")?);
        let (spoil, garble): (Spoil, _) = (nothing_spoilt, as_it_is);
        Ok(Box::new(Faulty { inner, spoil, garble, forgets: false, prune, loses: nothing_spoilt }) as Box<dyn Shop>)
    };
    let laws: Vec<_> = laws::ALL.into_iter().filter(|law| law.name() == "removal-frees-what-nothing-reaches").collect();
    let failure = first_failure_of(&begin, &laws).flatten().expect("a fault that no case finds");
    assert!(failure.broken.law.is_some(), "{failure:#?}");
    assert!(failure.acts.len() <= ACTS_MAX, "{failure:#?}");
}

#[test]
fn garbage_that_is_not_collected() {
    is_shown_of(|_, _| Ok(Freed { reclaimed_bytes: Some(0), ..Freed::default() }));
}

#[test]
fn a_garbage_collection_that_leaves_a_layers_directory() {
    is_shown_of(|shop, all| {
        let home = shop.data_root().join(shop.driver());
        let directories = || fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path());
        let before: Vec<PathBuf> = directories().collect();
        let freed = shop.prune(all)?;
        let after: Vec<PathBuf> = directories().collect();
        if let Some(gone) = before.iter().find(|path| !after.contains(path)) {
            fs::create_dir(gone).unwrap();
        }
        Ok(freed)
    });
}

#[test]
fn a_garbage_collection_that_takes_a_layer_still_reached() {
    is_shown_of(|shop, all| {
        let freed = shop.prune(all)?;
        if let Some(layer) = layers(shop).first() {
            let cache_id = fs::read_to_string(layer.join("cache-id")).unwrap();
            fs::remove_dir_all(shop.data_root().join(shop.driver()).join(cache_id)).unwrap();
        }
        Ok(freed)
    });
}

#[test]
fn a_garbage_collection_that_takes_what_has_a_name() {
    is_shown_of(|shop, _| shop.prune(true));
}

#[test]
fn a_garbage_collection_that_says_that_more_came_back_than_did() {
    is_shown_of(|shop, all| {
        let freed = shop.prune(all)?;
        Ok(Freed { reclaimed_bytes: freed.reclaimed_bytes.map(|bytes| bytes + 1), ..freed })
    });
}
