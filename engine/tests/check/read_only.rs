//! In a data root that nobody can write to a check finds what it finds elsewhere; a repair says why it mends nothing, and leaves all as it is.
//!
//! Checklist: CR-05

use std::path::PathBuf;

use layerlab_engine::sys::mount;
use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::skip::skip;

use super::faults::{self, Case, OF_CONTAINERS_STORAGE, found_wrongly};
use super::healthy::listing;
use super::house::{Ground, House, text};

#[test]
fn the_faults_of_a_read_only_store_are_found_and_a_repair_says_why_it_mends_nothing() {
    if let Err(error) = own_mounts() {
        return skip("root", &format!("a data root that is mounted to be read: {error:#}"));
    }
    let wanted = OF_CONTAINERS_STORAGE.into_iter().filter_map(|(case, same)| match same {
        Case::ReadOnly(same) => Some((case, same)),
        Case::Here(_) | Case::Sound(_) => None,
    });
    for (case, same) in wanted {
        let fault = faults::all().find(|fault| fault.name == same && fault.drivers.contains(&"overlay2")).unwrap();
        let house = House::pulled(&Ground::of("overlay2").unwrap());
        (fault.plant)(&house);
        let _read_only = ReadOnly::make(house.data());
        assert_eq!(found_wrongly(&house, fault), None, "{case}");
        let before = listing(&house.data());
        let repaired = house.run(&["check", "--repair"], b"");
        let told = text(&repaired);
        assert_eq!(repaired.status.code(), Some(1), "{case}: {told}");
        let has_said_why = told.to_lowercase().contains("read-only file system") || told.contains("advice: ");
        assert!(has_said_why && !told.contains("\nmended: ") && !told.starts_with("mended: "), "{case}: {told}");
        assert!(listing(&house.data()) == before, "{case}: something was changed");
    }
}

/// A directory that is mounted on itself to be read only, for as long as this lives.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn make(directory: PathBuf) -> ReadOnly {
        mount::bind(&directory, &directory).unwrap();
        mount::make_read_only(&directory).unwrap();
        ReadOnly(directory)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        mount::unmount(&self.0).unwrap();
    }
}
