//! An image changes the modes of files of the host.
//!
//! Origin: SE-08. CVE-2021-32760 (containerd), CVE-2021-41089 (moby): chmod(2) followed a link that an entry had made.

use std::fs;
use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home, below};

/// The harness's own canary beside the store may be harmed, and nothing else of this machine.
fn is_of_the_case(content: &Path, target: &Path) -> bool {
    content.parent().is_some_and(|place| target.starts_with(place))
}

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(
        &self,
        driver: &dyn Driver,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        let unpacked = driver.unpack(tar, content, owners, record);
        let failed = |source| UnpackError::Io { operation: "set the mode of", path: content.into(), source };
        for path in below(content).map_err(failed)?.into_iter().filter(|path| path.is_symlink()) {
            let outside = path.canonicalize().ok().filter(|target| !target.starts_with(content));
            if let Some(target) = outside.filter(|target| is_of_the_case(content, target)) {
                fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(failed)?;
            }
        }
        unpacked
    }
}
