//! File systems for layers to lie on, made for the occasion and gone with this process's mounts.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Sparse; what `mkfs.xfs` wants at least is 300 MiB.
const IMAGE_BYTES: u64 = 512 << 20;

/// How long it may take until nobody uses a file system any more.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(5);

/// Where layers lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// A file system in memory.
    Tmpfs,
    /// A file system of this type in a file, by a loop device.
    Loop(&'static str),
    /// The same, made by somebody who may, and mounted on this directory.
    Made(&'static str, PathBuf),
    /// An existing directory, whatever it is on.
    Directory(PathBuf),
}

/// The types that are made in a file.
pub const LOOP_TYPES: [&str; 3] = ["ext4", "xfs", "btrfs"];

impl FromStr for Backing {
    type Err = String;

    fn from_str(text: &str) -> Result<Backing, String> {
        if text == "tmpfs" {
            return Ok(Backing::Tmpfs);
        }
        if let Some(kind) = LOOP_TYPES.iter().find(|kind| **kind == text) {
            return Ok(Backing::Loop(kind));
        }
        match Path::new(text).is_absolute() {
            true => Ok(Backing::Directory(PathBuf::from(text))),
            false => Err(format!("the backings are tmpfs, {}, or an absolute path", LOOP_TYPES.join(", "))),
        }
    }
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backing::Tmpfs => f.write_str("tmpfs"),
            Backing::Loop(kind) | Backing::Made(kind, _) => f.write_str(kind),
            Backing::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A file system that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// This machine cannot have it.
    #[error("{backing} is not to be had: {reason}")]
    Unavailable {
        /// Which.
        backing: String,
        /// What is missing, and how to get it.
        reason: String,
    },
    /// It should be possible and failed.
    #[error("cannot make a place on {backing}: {source}")]
    Io {
        /// Which.
        backing: String,
        /// What failed.
        source: io::Error,
    },
}

/// A directory to lie on, which is empty at first and gone with this.
#[derive(Debug)]
pub struct Place {
    directory: tempfile::TempDir,
    is_mounted: bool,
}

impl Place {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Cuts the power of ext4 or xfs: the file system is shut down at once and forgets everything that was not synced, the journal's last
    /// entries too; whatever is done to it fails (`EIO`, `EUCLEAN`) until [`Place::restore_power`].
    ///
    /// # Errors
    /// `ENOTTY` on any other file system.
    pub fn cut_power(&self) -> io::Result<()> {
        /// `EXT4_GOING_FLAGS_NOLOGFLUSH` of `fs/ext4/ext4.h`, `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH` of `fs/xfs/libxfs/xfs_fs.h`.
        const WITHOUT_FLUSH: u32 = 2;
        /// `EXT4_IOC_SHUTDOWN`, which is `XFS_IOC_GOINGDOWN`.
        const SHUT_DOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
        let root = File::open(self.path())?;
        // SAFETY: both file systems take a pointer to 32 bits and read them.
        Ok(unsafe { rustix::ioctl::ioctl(root, rustix::ioctl::Setter::<SHUT_DOWN, u32>::new(WITHOUT_FLUSH)) }?)
    }

    /// Mounts it again, as it was on the disk when the power was cut. Nothing of it may be in use.
    pub fn restore_power(&self) -> io::Result<()> {
        let path = self.path().to_string_lossy();
        // Of this thread: it may have mounts of its own.
        let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
        let of_place = mounts.lines().find(|line| line.split(' ').nth(1) == Some(&path));
        let [device, _, kind] =
            of_place.map(|line| line.split(' ').take(3).collect::<Vec<_>>()).unwrap_or_default()[..]
        else {
            return Err(io::Error::other(format!("nothing is mounted on {path}")));
        };
        // Otherwise the loop device would go with its last user.
        let _held = File::open(device)?;
        let begun = Instant::now();
        // A child that another thread has just forked holds for a moment whatever was open here.
        while let Err(errno) = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::empty()) {
            if errno != rustix::io::Errno::BUSY || begun.elapsed() > BUSY_MAX {
                return Err(errno.into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(rustix::mount::mount(device, self.path(), kind, rustix::mount::MountFlags::empty(), None)?)
    }
}

impl Drop for Place {
    /// What is mounted on would not be removed.
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH)
        {
            eprintln!("layerlab-laws: cannot unmount {}: {error}", self.path().display());
        }
    }
}

impl Backing {
    /// Makes it now, for those who may not do so any more in a user namespace; what cannot be made stays what it is, and says so later.
    /// It is there as long as the places that are added to `places`.
    pub fn made(self, places: &mut Vec<Place>) -> Backing {
        let (Backing::Loop(kind), Ok(place)) = (&self, self.make()) else { return self };
        let made = Backing::Made(kind, place.path().to_owned());
        places.push(place);
        made
    }

    /// A directory on it. Call this in a mount namespace of one's own; the file system ends with that.
    pub fn make(&self) -> Result<Place, BackingError> {
        let failed = |source| BackingError::Io { backing: self.to_string(), source };
        match self {
            Backing::Made(_, path) | Backing::Directory(path) => {
                let directory = tempfile::Builder::new().prefix("layerlab-laws-").tempdir_in(path).map_err(failed)?;
                Ok(Place { directory, is_mounted: false })
            }
            Backing::Tmpfs => {
                let directory = tempfile::tempdir().map_err(failed)?;
                self.mount(&["-t", "tmpfs", "layerlab-laws"], directory.path())?;
                Ok(Place { directory, is_mounted: true })
            }
            Backing::Loop(kind) => {
                let directory = tempfile::tempdir().map_err(failed)?;
                let image = tempfile::NamedTempFile::new().map_err(failed)?;
                File::set_len(image.as_file(), IMAGE_BYTES).map_err(failed)?;
                let quiet = if *kind == "ext4" { ["-q", "-F"] } else { ["-q", "-f"] };
                self.run(Command::new(format!("mkfs.{kind}")).args(quiet).arg(image.path()))?;
                let image_path = image.path().to_string_lossy().into_owned();
                // The loop device keeps the file for as long as it is mounted.
                self.mount(&["-t", kind, "-o", "loop", &image_path], directory.path())?;
                Ok(Place { directory, is_mounted: true })
            }
        }
    }

    fn mount(&self, options: &[&str], place: &Path) -> Result<(), BackingError> {
        self.run(Command::new("mount").args(options).arg(place))?;
        fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|source| BackingError::Io { backing: self.to_string(), source })
    }

    fn run(&self, command: &mut Command) -> Result<(), BackingError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let unavailable = |reason| BackingError::Unavailable { backing: self.to_string(), reason };
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unavailable(format!(
                "{program} is not installed (Debian: e2fsprogs, xfsprogs, btrfs-progs, util-linux)"
            ))),
            Err(source) => Err(BackingError::Io { backing: self.to_string(), source }),
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(unavailable(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))),
        }
    }
}
