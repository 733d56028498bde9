//! Which release of what others make a subject is of: what is told of it is told of that release.

use std::process::Command;

/// What is in the names of subjects, and Debian's package of it, by which findings call it.
const TOOLS: [(&str, &str); 5] = [
    ("containers-storage", "containers-storage"),
    ("fuse-overlayfs", "fuse-overlayfs"),
    ("docker", "docker.io"),
    ("containerd", "containerd"),
    ("umoci", "umoci"),
];

/// What the subject called `name` is of, `PACKAGE VERSION` each: tools of others as they are installed here, and ours. None of the kernel's own, whose release stands beside, or of a
/// driver program that nobody here knows.
pub fn of(name: &str) -> Option<String> {
    let ours = (name.starts_with("layerlab-") || name.starts_with("store-"))
        .then(|| format!("layerlab {}", env!("CARGO_PKG_VERSION")));
    let tools = TOOLS.iter().filter(|(tool, _)| name.contains(tool) && !name.contains('/'));
    let tools = tools.filter_map(|(_, package)| Some(format!("{package} {}", of_package(package)?)));
    let all: Vec<String> = ours.into_iter().chain(tools).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// The version of a package that is installed; none where it is not, or where that cannot be known.
pub fn of_package(name: &str) -> Option<String> {
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", name]).output().ok()?;
    let version = String::from_utf8(asked.stdout).ok().filter(|_| asked.status.success())?;
    Some(version.trim().to_owned()).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_of_what_its_name_says() {
        assert_eq!(of("overlay-index"), None);
        assert_eq!(of("./fuse-overlayfs.sh"), None);
        let ours = of("layerlab-fuse-overlayfs").unwrap();
        assert!(ours.starts_with(concat!("layerlab ", env!("CARGO_PKG_VERSION"))), "{ours}");
        assert_eq!(ours.contains(", fuse-overlayfs "), of_package("fuse-overlayfs").is_some(), "{ours}");
    }
}
