//! Doing damage to a store, as somebody without an engine would.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::house::{House, name};

pub fn layer(house: &House, index: usize) -> PathBuf {
    house.files(&house.directories()[index])
}

pub fn split(house: &House, index: usize) -> PathBuf {
    house.records()[index].join("tar-split.json.gz")
}

pub fn facts(house: &House) -> PathBuf {
    house.image().join("imagedb/metadata/sha256")
}

pub fn short_name(house: &House, index: usize) -> PathBuf {
    house.home().join("l").join(fs::read_to_string(house.directories()[index].join("link")).unwrap())
}

/// Removes the configurations of `top` and what it was built of, as somebody without an engine would.
pub fn forget_image(house: &House) {
    let keep = house.done(&["images", "-q", "--no-trunc", "base"]);
    for entry in fs::read_dir(house.image().join("imagedb/content/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if !keep.ends_with(&name(&path)) {
            remove(&path);
            let _ = fs::remove_dir_all(facts(house).join(name(&path)));
        }
    }
}

pub fn make(path: &Path) {
    fs::create_dir(path).unwrap();
}

pub fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

pub fn xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Changes the bytes of a file in place, and its length by `more`.
pub fn alter(path: &Path, more: usize) {
    let mut content = fs::read(path).unwrap();
    content[0] ^= 1;
    content.extend(vec![0; more]);
    let permissions = fs::metadata(path).unwrap().permissions();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, permissions).unwrap();
}

pub fn remove(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        let _ = fs::set_permissions(path.join("work/work"), Permissions::from_mode(0o700));
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}
