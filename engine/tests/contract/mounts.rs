//! The promises about mounts and about room: what the kernel is asked for, whatever it does by itself, and what a layer takes of a disk.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::defaults::AllOn;
use super::scene::Scene;

pub fn mounts_below(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(root)))
        .map(str::to_owned)
        .collect()
}

/// An overlay has the options that decide what an upper directory means, and they are said; other drivers mount nothing.
pub fn mounts_have_exactly_these_options(scene: &Scene) {
    scene.base();
    scene.layer("second", Some("base"), &[("etc/second", "2")]);
    scene.container("c", "second");
    scene.driver.attach("c").unwrap();
    let mounts = mounts_below(scene.root.path());
    scene.driver.detach("c").unwrap();
    if matches!(scene.name, "vfs" | "btrfs") {
        assert!(mounts.is_empty(), "{mounts:?}");
        return;
    }
    let [line] = &mounts[..] else { panic!("one mount is wanted: {mounts:?}") };
    let (_, shown) = line.split_once(" - ").unwrap();
    if let Some(options) = shown.strip_prefix("fuse.fuse-overlayfs fuse-overlayfs ") {
        // The directories are the program's to know.
        assert_eq!(options, "rw,user_id=0,group_id=0,default_permissions,allow_other");
        assert!(line.ends_with(&format!(" rw,nodev,noatime - {shown}")), "{line}");
        return;
    }
    let options: Vec<&str> = shown.split(' ').nth(2).unwrap().split(',').collect();
    let value = |wanted: &str| options.iter().find_map(|option| option.strip_prefix(&format!("{wanted}=")));
    assert!(value("lowerdir").is_some() && value("upperdir").is_some() && value("workdir").is_some(), "{shown}");
    for (feature, is_on) in
        [("redirect_dir", "on"), ("metacopy", "on"), ("index", "on"), ("nfs_export", "on"), ("xino", "on")]
    {
        assert_ne!(value(feature), Some(is_on), "{shown}");
    }
    assert!(!options.contains(&"volatile"), "{shown}");
}

/// What a kernel has on by default shows neither in an overlay's options nor in what it does: a directory from below is not renamed, what is
/// copied up has its content with it, and there is no index. Each option that is pinned stands in the line of the mount now.
pub fn the_kernels_defaults_decide_nothing(scene: &Scene) {
    if !matches!(scene.name, "overlay2" | "overlay") {
        return;
    }
    scene.base();
    scene.container("c", "base");
    let Some(_on) = AllOn::begin() else {
        return layerlab_scenarios::skip::skip("root", "nobody else sets the parameters of the kernel's modules");
    };
    for edit in [false, true] {
        let view = if edit { Some(scene.driver.edit("c").unwrap()) } else { None };
        let place = view.as_ref().map_or_else(|| scene.driver.attach("c").unwrap(), |view| view.path().to_owned());
        assert_eq!(fs::rename(place.join("home"), place.join("moved")).unwrap_err().raw_os_error(), Some(18), "EXDEV");
        fs::set_permissions(place.join("lib/so"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if !edit {
            let [line] = &mounts_below(scene.root.path())[..] else { panic!("one mount is wanted") };
            for option in ["metacopy=off", "redirect_dir=follow", "index=off", "nfs_export=off"] {
                assert!(line.split([' ', ',']).any(|shown| shown == option), "{option} in {line}");
            }
            // What numbers files have says the kernel only where layers lie on several file systems.
            assert!(!line.contains("xino=") || line.contains("xino=off"), "{line}");
            scene.driver.detach("c").unwrap();
        }
    }
    let layer = scene.root.path().join(scene.name).join("c");
    let upper = layer.join(if scene.name == "overlay2" { "diff" } else { "upper" });
    assert_eq!(fs::read_to_string(upper.join("lib/so")).unwrap(), "elf", "the content came along");
    assert!(!layer.join("work/index").exists());
}

/// A container on a long file takes no room for it. The driver `vfs` copies, and shares what it copied where files can share.
pub fn a_layer_takes_no_room_for_what_it_has_from_below(scene: &Scene) {
    const LONG_BYTES: u64 = 24 << 20;
    if !matches!(scene.name, "vfs" | "btrfs") {
        // What lies below an overlay lies there once.
        return;
    }
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
    // Others work on this file system at the same time, on less.
    let took = used_bytes().saturating_sub(before);
    let shares = scene.name != "vfs" || matches!(scene.backing(), "btrfs" | "xfs");
    assert_eq!(took < LONG_BYTES / 2, shares, "{took} bytes more");
}
