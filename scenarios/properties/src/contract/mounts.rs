//! The promises about mounts and about room: what the kernel is asked for, whatever it does by itself, and what a layer takes of a disk.
//!
//! Checklist: DL-25~, DL-26~

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use layerlab_engine::driver::Deviation;
use layerlab_engine::sys::namespace::is_user_namespace;

use super::defaults::{AllOn, Still, is_on};
use super::scene::Scene;

pub fn mounts_below(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(root)))
        .map(str::to_owned)
        .collect()
}

/// Version and patch level of this kernel.
pub fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// The line of the mount has these options and no other: the layers, what the driver says that differs from this kernel's defaults, and what the
/// kernel says by itself.
pub fn mounts_have_exactly_these_options(scene: &Scene) {
    scene.base();
    scene.layer("second", Some("base"), &[("etc/second", "2")]);
    scene.container("c", "second");
    let _still = Still::begin();
    judge_options(scene);
}

/// What a kernel has on by default shows neither in an overlay's options nor in what it does: a directory from below is not renamed, what is
/// copied up has its content with it, and there is no index. Each option that is pinned stands in the line of the mount now.
pub fn the_kernels_defaults_decide_nothing(scene: &Scene) {
    scene.base();
    scene.container("c", "base");
    let Some(_on) = AllOn::begin() else {
        return layerlab_scenarios::skip::skip("root", "nobody else sets the parameters of the kernel's modules");
    };
    judge_options(scene);
    for edit in [false, true] {
        let view = if edit { Some(scene.driver.edit("c").unwrap()) } else { None };
        let place = view.as_ref().map_or_else(|| scene.driver.attach("c").unwrap(), |view| view.path().to_owned());
        assert_eq!(fs::rename(place.join("home"), place.join("moved")).unwrap_err().raw_os_error(), Some(18), "EXDEV");
        fs::set_permissions(place.join("lib/so"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if !edit {
            scene.driver.detach("c").unwrap();
        }
    }
    let layer = scene.root.path().join(scene.name).join("c");
    let upper = layer.join(if scene.name == "overlay2" { "diff" } else { "upper" });
    assert_eq!(fs::read_to_string(upper.join("lib/so")).unwrap(), "elf", "the content came along");
    assert!(!layer.join("work/index").exists());
}

/// Of the layer `c` while it is attached.
fn judge_options(scene: &Scene) {
    scene.driver.attach("c").unwrap();
    let mounts = mounts_below(scene.root.path());
    scene.driver.detach("c").unwrap();
    let [line] = &mounts[..] else { panic!("one mount is wanted: {mounts:?}") };
    // Number, parent, device, root, where; then options of the mount, what it shares, and behind the dash those of the file system.
    let fields: Vec<&str> = line.split(' ').collect();
    let [.., mount_options, "-", kind, source, options] = fields[..] else { panic!("it shares something: {line}") };
    let options: BTreeSet<&str> = options.split(',').collect();
    if kind == "fuse.fuse-overlayfs" {
        // The directories are the program's to know.
        assert_eq!((mount_options, source), ("rw,nodev,noatime", "fuse-overlayfs"), "{line}");
        let expected = ["rw", "user_id=0", "group_id=0", "default_permissions", "allow_other"];
        assert_eq!(options, BTreeSet::from(expected), "{line}");
        return;
    }
    assert_eq!((mount_options, kind, source), ("rw,relatime", "overlay", "overlay"), "{line}");
    let is_directory = |option: &&&str| option.contains("dir=") && !option.starts_with("redirect_dir=");
    let directories: BTreeSet<(&str, Vec<PathBuf>)> = options.iter().filter(is_directory).map(resolved).collect();
    let graph = scene.driver.graph("c").unwrap();
    let wanted = [("lowerdir", "LowerDir"), ("upperdir", "UpperDir"), ("workdir", "WorkDir")].map(|(option, key)| {
        let (_, paths) = graph.data.iter().find(|(known, _)| known == key).unwrap();
        (option, paths.split(':').map(PathBuf::from).collect())
    });
    assert_eq!(directories, BTreeSet::from(wanted), "{line}");
    let others: BTreeSet<String> =
        options.iter().filter(|option| !is_directory(option)).map(|option| (*option).to_owned()).collect();
    let expected = overlays_options();
    let own: BTreeSet<String> = others.difference(&expected).cloned().collect();
    assert!(own.is_subset(&kernels_own()), "{own:?} leaked in: {line}");
    let wanting: Vec<&String> = expected.difference(&others).collect();
    assert!(wanting.is_empty(), "{wanting:?} is not said: {line}");
}

/// An option's directories, where they lie.
fn resolved<'a>(option: &&'a str) -> (&'a str, Vec<PathBuf>) {
    let (name, paths) = option.split_once('=').unwrap();
    (name, paths.split(':').map(|path| fs::canonicalize(path).unwrap()).collect())
}

/// What an overlay's line says beside its directories, with the defaults that this kernel has now: only what differs from those
/// (`ovl_show_options` of `fs/overlayfs/params.c`). What numbers files have is said only where layers lie on several file systems.
fn overlays_options() -> BTreeSet<String> {
    let mut said = vec!["rw"];
    let default_redirects = match (is_on("redirect_dir"), is_on("redirect_always_follow")) {
        (true, _) => "redirect_dir=on",
        (false, true) => "redirect_dir=follow",
        (false, false) => "redirect_dir=nofollow",
    };
    // With userxattr the kernel rules out redirects and files without content by itself (`ovl_fs_params_verify`).
    let redirects = if is_user_namespace() { "redirect_dir=nofollow" } else { "redirect_dir=follow" };
    said.extend([redirects].into_iter().filter(|said| *said != default_redirects));
    said.extend(is_user_namespace().then_some("userxattr"));
    for (feature, off) in [("metacopy", "metacopy=off"), ("index", "index=off"), ("nfs_export", "nfs_export=off")] {
        said.extend(is_on(feature).then_some(off));
    }
    said.into_iter().map(str::to_owned).collect()
}

/// What a kernel may say by itself: since Linux 6.6 which UUID the overlay shows, as the file system below has one that stays or not (`ovl_init_uuid_xattr`
/// of `fs/overlayfs/util.c`).
fn kernels_own() -> BTreeSet<String> {
    let said: &[&str] = if kernel() >= (6, 6) { &["uuid=on", "uuid=null"] } else { &[] };
    said.iter().map(|said| (*said).to_owned()).collect()
}

/// A container on a long file takes no room for it. The driver `vfs` copies, and shares what it copied where files can share. Nobody else works
/// on this file system meanwhile.
pub fn a_layer_takes_the_room_that_its_driver_says(scene: &Scene) {
    const LONG_BYTES: u64 = 24 << 20;
    scene.layer_of("base", None, |content| {
        let (random, mut long) =
            (fs::File::open("/dev/urandom").unwrap(), fs::File::create(content.join("long")).unwrap());
        std::io::copy(&mut random.take(LONG_BYTES), &mut long).unwrap();
    });
    let used_bytes = || {
        let root = fs::File::open(scene.root.path()).unwrap();
        rustix::fs::syncfs(&root).unwrap();
        let found = rustix::fs::fstatvfs(&root).unwrap();
        (found.f_blocks - found.f_bfree) * found.f_frsize
    };
    let before = used_bytes();
    scene.container("c", "base");
    assert_eq!(scene.driver.view("c").unwrap().path().join("long").metadata().unwrap().len(), LONG_BYTES);
    let took = used_bytes().saturating_sub(before);
    let shares = !scene.driver.deviates(Deviation::CopiesWhole) || matches!(scene.backing(), "btrfs" | "xfs");
    let most = if shares { LONG_BYTES / 8 } else { 3 * LONG_BYTES };
    assert!(took <= most && (shares || took >= LONG_BYTES), "{took} bytes more");
}
