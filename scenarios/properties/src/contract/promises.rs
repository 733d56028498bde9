//! The promises, one function each; what a driver does not do alike is said where it is asked.
//!
//! Checklist: DL-28, OP-03, DF-07~, DL-01, DL-02, DL-03, DL-06, DL-09~, DF-01, DF-03~, DF-06~, WH-03~, WH-04, CR-01~

use std::collections::BTreeSet;
use std::fs;
use std::panic::resume_unwind;
use std::path::Path;

use layerlab_engine::driver::{Deviation, KNOWN, fuse_overlayfs};

use super::canonical::{canonical, differences};
use super::changes::{self, Ability};
use super::drawn::drawn_changes_make_the_same_layers;
use super::faults::{
    a_name_that_is_swapped_meanwhile_leads_nowhere_else, a_note_that_was_emptied_is_noticed,
    a_stream_that_breaks_off_is_an_error, an_attribute_that_cannot_be_kept_is_told,
    one_of_many_who_make_a_layer_makes_it, what_was_attached_before_a_restart_is_detached_after_it,
};
use super::links::names_of_one_file_are_one_file_where_the_layer_is_applied;
use super::marks::xattrs_that_are_called_as_an_overlays_mean_nothing;
use super::mounts::{
    a_layer_takes_the_room_that_its_driver_says, mounts_below, mounts_have_exactly_these_options,
    the_kernels_defaults_decide_nothing,
};
use super::scene::{Scene, change_everything, tree};

/// One promise.
pub struct Promise {
    /// As it stands in the table.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub holds: fn(&Scene),
}

impl Promise {
    /// Why there is nothing to judge on a driver.
    pub fn not_asked(&self, driver: &str) -> Option<&'static str> {
        let deviates = |in_what| KNOWN.iter().any(|known| known.name == driver && known.deviates(in_what));
        match self.name {
            "mounts_have_exactly_these_options" if deviates(Deviation::MountsNothing) => {
                Some("it has no mount of its own")
            }
            "the_kernels_defaults_decide_nothing" if deviates(Deviation::MountsNothing) => {
                Some("it has no mount of its own")
            }
            "the_kernels_defaults_decide_nothing" if driver == fuse_overlayfs::NAME => {
                Some("it is a program that stacks, and not the kernel")
            }
            "files_that_are_immutable_do_not_stop_a_removal" if deviates(Deviation::NoFileFlags) => {
                Some(Deviation::NoFileFlags.told())
            }
            _ => None,
        }
    }

    /// Whether it changes for a moment what every mount of the machine begins with.
    pub fn is_everybodys(&self) -> bool {
        self.name == "the_kernels_defaults_decide_nothing"
    }

    /// Whether nobody else may work on the same file system meanwhile.
    pub fn is_alone(&self) -> bool {
        self.name == "a_layer_takes_the_room_that_its_driver_says"
    }
}

macro_rules! promises {
    ($($name:ident,)*) => { &[$(Promise { name: stringify!($name), holds: $name }),*] };
}

/// All of them.
pub const ALL: &[Promise] = promises![
    a_layer_is_there_from_its_making_to_its_removal,
    a_removal_can_be_repeated,
    a_layer_shows_what_lies_below_and_changes_none_of_it,
    a_stack_of_the_greatest_depth_shows_every_layer,
    what_is_adopted_hides_and_replaces_what_lies_below,
    changes_are_told_by_kind_and_path,
    a_diff_is_the_same_each_time_and_gives_the_tree_elsewhere,
    the_same_change_makes_the_same_layer,
    drawn_changes_make_the_same_layers,
    xattrs_that_are_called_as_an_overlays_mean_nothing,
    names_of_one_file_are_one_file_where_the_layer_is_applied,
    a_layer_without_changes_has_an_empty_diff,
    the_size_is_that_of_a_layers_own_files,
    own_files_lie_under_the_names_of_the_tar,
    what_is_attached_can_be_written_to_and_is_there_the_next_time,
    mounts_have_exactly_these_options,
    the_kernels_defaults_decide_nothing,
    a_layer_takes_the_room_that_its_driver_says,
    an_opaque_mark_at_the_top_hides_everything_below,
    a_tar_may_leave_parents_out_that_are_below,
    files_that_are_immutable_do_not_stop_a_removal,
    many_at_once_do_not_get_in_each_others_way,
    one_layer_is_read_by_many_at_once_and_stays_attached,
    one_of_many_who_make_a_layer_makes_it,
    a_stream_that_breaks_off_is_an_error,
    an_attribute_that_cannot_be_kept_is_told,
    a_name_that_is_swapped_meanwhile_leads_nowhere_else,
    what_was_attached_before_a_restart_is_detached_after_it,
    a_note_that_was_emptied_is_noticed,
    the_graph_names_directories_that_are_there,
    nothing_stays_mounted,
];

fn a_layer_is_there_from_its_making_to_its_removal(scene: &Scene) {
    assert!(scene.driver.all().unwrap().is_empty());
    scene.base();
    scene.driver.create("top", Some("base")).unwrap();
    let all = |driver: &dyn layerlab_engine::driver::Driver| driver.all().unwrap().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(all(&*scene.driver), BTreeSet::from(["base".to_owned(), "top".to_owned()]));
    assert_eq!(all(&*scene.again()), all(&*scene.driver));
    assert!(scene.driver.create("top", Some("base")).is_err(), "a layer is made once");
    scene.driver.remove("top").unwrap();
    scene.driver.remove("base").unwrap();
    assert!(scene.driver.all().unwrap().is_empty());
    let content = tempfile::tempdir_in(scene.root.path()).unwrap();
    assert!(scene.driver.create("orphan", Some("nosuch")).is_err(), "a parent has to be there");
    assert!(scene.driver.adopt("orphan", Some("nosuch"), content.path()).is_err(), "a parent has to be there");
    assert!(scene.driver.all().unwrap().is_empty(), "what is refused leaves nothing");
}

fn a_removal_can_be_repeated(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.driver.attach("c").unwrap();
    scene.edit("c", change_everything);
    for _ in 0..2 {
        scene.driver.remove("c").unwrap();
        scene.driver.remove("never-made").unwrap();
    }
    assert!(!scene.driver.all().unwrap().contains(&"c".to_owned()));
    assert!(scene.tree("base").contains_key(Path::new("etc/group")));
}

fn a_layer_shows_what_lies_below_and_changes_none_of_it(scene: &Scene) {
    scene.base();
    scene.layer("second", Some("base"), &[("etc/second", "2")]);
    let (base, second) = (scene.tree("base"), scene.tree("second"));
    assert!(base.keys().all(|path| second.contains_key(path)) && second.contains_key(Path::new("etc/second")));
    scene.container("c", "second");
    scene.container("d", "second");
    assert_eq!(scene.tree("c"), second);
    scene.edit("c", change_everything);
    assert_ne!(scene.tree("c"), second);
    assert_eq!((scene.tree("base"), scene.tree("second"), scene.tree("d")), (base, second.clone(), second));
}

fn a_stack_of_the_greatest_depth_shows_every_layer(scene: &Scene) {
    let depth = scene.driver.layers_max();
    let name = |number: usize| format!("layer-{number:03}");
    for number in 0..depth {
        let below = number.checked_sub(1).map(name);
        // One name is every layer's, and each has one that is its own.
        let files = [("every", &*name(number)), (&*format!("d{}/{number}", number % 7), "x")]
            .map(|(path, text)| (path.to_owned(), text.to_owned()));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        scene.layer(&name(number), below.as_deref(), &files);
    }
    scene.container("c", &name(depth - 1));
    let view = scene.driver.edit("c").unwrap();
    assert_eq!(fs::read_to_string(view.path().join("every")).unwrap(), name(depth - 1));
    for number in 0..depth {
        assert!(
            view.path().join(format!("d{}/{number}", number % 7)).exists(),
            "layer {number} of {depth} is not seen"
        );
    }
}

fn what_is_adopted_hides_and_replaces_what_lies_below(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.edit("c", change_everything);
    let tar = scene.tar("c", Some("c-init"));
    scene.apply("again", Some("base"), &tar);
    assert_eq!(scene.tree("again"), scene.tree("c"));
    assert!(!scene.tree("again").contains_key(Path::new("home/a/note")), "a replaced directory is a new one");
}

/// A tar of one file at each path.
pub(super) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn names(scene: &Scene, id: &str) -> Vec<String> {
    scene.tree(id).into_keys().map(|path| path.display().to_string()).collect()
}

fn an_opaque_mark_at_the_top_hides_everything_below(scene: &Scene) {
    scene.base();
    scene.apply("top", Some("base"), &tar_of(&[(".wh..wh..opq", ""), ("etc/new", "new")]));
    assert_eq!(names(scene, "top"), ["", "etc", "etc/new"]);
    scene.container("c", "top");
    assert_eq!(names(scene, "c"), ["", "etc", "etc/new"]);
}

fn a_tar_may_leave_parents_out_that_are_below(scene: &Scene) {
    scene.base();
    scene.apply("top", Some("base"), &tar_of(&[("etc/new", "new"), ("home/a/deep/file", "deep")]));
    let mut expected = names(scene, "base");
    expected.extend(["etc/new", "home/a/deep", "home/a/deep/file"].map(str::to_owned));
    expected.sort();
    assert_eq!(names(scene, "top"), expected);
}

fn files_that_are_immutable_do_not_stop_a_removal(scene: &Scene) {
    use rustix::fs::{IFlags, ioctl_setflags};
    scene.base();
    scene.container("c", "base");
    let mut is_set = false;
    scene.edit("c", |root| {
        fs::create_dir(root.join("fixed")).unwrap();
        for (name, flags) in [("fixed/file", IFlags::IMMUTABLE), ("fixed/log", IFlags::APPEND)] {
            fs::write(root.join(name), "fixed").unwrap();
            // Only root of the first user namespace may, where the file system has such attributes.
            is_set |= ioctl_setflags(fs::File::open(root.join(name)).unwrap(), flags).is_ok();
        }
        let fixed = fs::File::open(root.join("fixed")).unwrap();
        is_set |= ioctl_setflags(fixed, IFlags::IMMUTABLE).is_ok();
    });
    if !is_set {
        layerlab_scenarios::skip::leave_out("there are no immutable files here: nothing could stop a removal");
    }
    scene.driver.remove("c").unwrap();
    assert!(!scene.driver.all().unwrap().contains(&"c".to_owned()));
}

fn changes_are_told_by_kind_and_path(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    assert!(scene.changes("c", "c-init").is_empty());
    scene.edit("c", change_everything);
    let wanted = [
        "C /etc",
        "D /etc/group",
        "C /etc/passwd",
        "C /home",
        "C /home/a",
        "D /home/a/note",
        "A /home/a/other",
        "A /new",
        "A /new/file",
        "A /new/link",
        "A /new/same",
    ];
    assert_eq!(scene.changes("c", "c-init"), wanted);
}

fn a_diff_is_the_same_each_time_and_gives_the_tree_elsewhere(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.edit("c", change_everything);
    let (base, top) = (scene.tar("base", None), scene.tar("c", Some("c-init")));
    assert_eq!((&base, &top), (&scene.tar("base", None), &scene.tar("c", Some("c-init"))));
    let elsewhere = scene.elsewhere();
    elsewhere.apply("base", None, &base);
    elsewhere.apply("top", Some("base"), &top);
    assert_eq!(elsewhere.tree("base"), scene.tree("base"));
    assert_eq!(elsewhere.tree("top"), scene.tree("c"));
}

/// What two trees differ in has the same bytes on every driver, and so the same diff ID; it is the layer that is committed, too. That of
/// `overlay2` is its upper directory, as with Docker: it says the same in other words, which `canonical.rs` lists.
fn the_same_change_makes_the_same_layer(scene: &Scene) {
    let able = Ability::with(&*scene.driver);
    let made = |scene: &Scene| {
        changes::base(scene, able);
        scene.container("c", "base");
        scene.edit("c", |root| changes::change(root, able));
        (scene.walked("c", "c-init"), scene.tar("c", Some("c-init")))
    };
    let (walked, own) = made(scene);
    let (copied, own_copied) = made(&Scene::begin("vfs", scene.root.path().parent().unwrap()));
    let below = scene.tree("base");
    let differ = |one: &[u8], other: &[u8]| differences(&canonical(one, &below), &canonical(other, &below));
    assert!(copied == own_copied);
    assert_eq!(differ(&walked, &copied), "", "the same change is another on a copy");
    // For who has a single ID fuse-overlayfs 1.10 moves the time of the root, which whiteouts there are written with.
    let moves_root = !able.keeps_times && !able.gives_owners;
    assert!(moves_root || walked == copied, "the same change is written otherwise on a copy");
    assert_eq!(differ(&own, &walked), "", "the committed layer is not what the trees differ in");
    if !scene.driver.deviates(Deviation::LayerIsTheUpper) {
        assert!(own == walked, "the committed layer is written otherwise");
    }
}

fn a_layer_without_changes_has_an_empty_diff(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    assert_eq!(scene.driver.pack("c", Some("c-init"), &mut Vec::new()).unwrap().entries, 0);
}

fn the_size_is_that_of_a_layers_own_files(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    assert_eq!(scene.driver.own_size_bytes("c").unwrap(), 0);
    scene.edit("c", |root| {
        fs::write(root.join("etc/group"), "x".repeat(700)).unwrap();
        fs::write(root.join("big"), vec![0; 5000]).unwrap();
        fs::remove_file(root.join("etc/passwd")).unwrap();
    });
    assert_eq!(scene.driver.own_size_bytes("c").unwrap(), 5700);
}

fn own_files_lie_under_the_names_of_the_tar(scene: &Scene) {
    scene.base();
    scene.layer("second", Some("base"), &[("etc/second", "2"), ("deep/er/file", "3")]);
    let own = scene.driver.own_files("second");
    let tar = scene.tar("second", Some("base"));
    let mut files = 0;
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let there = fs::metadata(own.join(entry.path().unwrap())).unwrap();
            assert_eq!(there.len(), entry.size());
            files += 1;
        }
    }
    assert_eq!(files, 2);
}

fn what_is_attached_can_be_written_to_and_is_there_the_next_time(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    let place = scene.driver.attach("c").unwrap();
    assert_eq!(place, scene.driver.attached_at("c"));
    change_everything(&place);
    let written = tree(&place);
    assert_eq!(scene.tree("c"), written, "who looks sees what is attached");
    scene.driver.detach("c").unwrap();
    scene.driver.detach("c").unwrap();
    let driver = scene.again();
    assert_eq!(tree(&driver.attach("c").unwrap()), written);
    driver.detach("c").unwrap();
    assert_eq!(scene.tree("c"), written);
}

fn many_at_once_do_not_get_in_each_others_way(scene: &Scene) {
    scene.base();
    let base = scene.tree("base");
    let work = &|number: usize| {
        let driver = scene.again();
        for round in 0..3 {
            let id = format!("c{number}-{round}");
            driver.create(&id, Some("base")).unwrap();
            let place = driver.attach(&id).unwrap();
            fs::write(place.join("etc/passwd"), &id).unwrap();
            assert_eq!(fs::read_to_string(driver.view(&id).unwrap().path().join("etc/passwd")).unwrap(), id);
            driver.detach(&id).unwrap();
            driver.remove(&id).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    assert_eq!(scene.driver.all().unwrap(), ["base"]);
    assert_eq!(scene.tree("base"), base);
}

fn one_layer_is_read_by_many_at_once_and_stays_attached(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    let place = scene.driver.attach("c").unwrap();
    change_everything(&place);
    let (written, changed) = (tree(&place), scene.changes("c", "c-init"));
    let layer = scene.tar("c", Some("c-init"));
    let read = &|| {
        let driver = scene.again();
        for _ in 0..3 {
            let view = driver.view("c").unwrap();
            let mut packed = Vec::new();
            driver.pack("c", Some("c-init"), &mut packed).unwrap();
            assert_eq!((packed == layer, driver.changes("c", "c-init").unwrap().len()), (true, changed.len()));
            assert_eq!(tree(view.path()), written);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    fs::write(place.join("written-after"), "").unwrap();
    assert!(scene.tree("c").contains_key(Path::new("written-after")));
    scene.driver.detach("c").unwrap();
    assert_eq!(scene.changes("c", "c-init").len(), changed.len() + 1);
}

fn the_graph_names_directories_that_are_there(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.driver.attach("c").unwrap();
    let graph = scene.driver.graph("c").unwrap();
    assert_eq!(graph.name, scene.name);
    for path in graph.data.iter().flat_map(|(_, paths)| paths.split(':')) {
        assert!(Path::new(path).is_dir(), "{path}");
    }
    scene.driver.detach("c").unwrap();
}

fn nothing_stays_mounted(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    scene.driver.attach("c").unwrap();
    let mounts = usize::from(!scene.driver.deviates(Deviation::MountsNothing));
    assert_eq!(mounts_below(scene.root.path()).len(), mounts);
    scene.edit("c", change_everything);
    scene.tree("c");
    scene.changes("c", "c-init");
    scene.driver.remove("c").unwrap();
    scene.driver.remove("c-init").unwrap();
    assert_eq!(mounts_below(scene.root.path()), [""; 0]);
}
