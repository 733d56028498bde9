//! A driver that fails once: in the call that is asked for, and never again.
//!
//! *Why*: an engine that breaks off in the midst must leave what it can go on from; a full disk and a kill are rarer than a test can wait for.
//! *Holds*: a call that fails does nothing, but for an unpacking, which breaks off after its first bytes. *Proved by*: `tests/planted_stores.rs`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use layerlab_engine::driver::{Deviation, Driver, DriverError, GraphData, View};
use layerlab_engine::layer::{Change, OverlayXattr, Owners, Packed, UnpackError, Unpacked};

/// Of a tar whose unpacking fails so many bytes come: the first header, and a part of what follows.
const BYTES_BEFORE: u64 = 700;

/// When it fails; one for all drivers that are opened of a store.
#[derive(Debug, Default)]
pub struct Stone {
    /// How many calls there are until then, that one included; none where it does not.
    calls: AtomicUsize,
    was_hit: AtomicBool,
}

impl Stone {
    /// Puts it before the `call`th call from now on, from 1 on; without one it is taken away.
    pub fn put(&self, call: Option<usize>) {
        self.was_hit.store(false, Ordering::SeqCst);
        self.calls.store(call.unwrap_or_default(), Ordering::SeqCst);
    }

    /// Whether that call came.
    pub fn was_hit(&self) -> bool {
        self.was_hit.load(Ordering::SeqCst)
    }

    /// Whether this call fails.
    fn is_here(&self) -> bool {
        let before = self.calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |calls| calls.checked_sub(1));
        let is_here = before == Ok(1);
        self.was_hit.fetch_or(is_here, Ordering::SeqCst);
        is_here
    }
}

/// A driver that may fail.
pub struct Stumbling {
    /// The driver that does the work.
    pub inner: Box<dyn Driver>,
    /// When it fails.
    pub stone: Arc<Stone>,
}

fn failure() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Stumbling {
    fn go(&self, id: &str) -> Result<(), DriverError> {
        match self.stone.is_here() {
            true => Err(DriverError::Io { operation: "use", path: id.into(), source: failure() }),
            false => Ok(()),
        }
    }
}

/// The end of a tar whose unpacking fails.
struct BrokenOff;

impl Read for BrokenOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(failure())
    }
}

impl Driver for Stumbling {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn layers_max(&self) -> usize {
        self.inner.layers_max()
    }

    fn deviations(&self) -> &'static [Deviation] {
        self.inner.deviations()
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        self.inner.info()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.go(id)?;
        self.inner.create(id, parent)
    }

    fn unpack(
        &self,
        tar: &mut dyn Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        match self.stone.is_here() {
            true => self.inner.unpack(&mut tar.take(BYTES_BEFORE).chain(BrokenOff), content, owners, record),
            false => self.inner.unpack(tar, content, owners, record),
        }
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.go(id)?;
        self.inner.adopt(id, parent, content)
    }

    fn marks(&self) -> OverlayXattr {
        self.inner.marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        self.go(id)?;
        self.inner.attach(id)
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.inner.attached_at(id)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        self.go(id)?;
        self.inner.detach(id)
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        self.go(id)?;
        self.inner.view(id)
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        self.go(id)?;
        self.inner.edit(id)
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        self.go(id)?;
        self.inner.changes(id, parent)
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        self.go(id)?;
        self.inner.pack(id, parent, out)
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.inner.own_files(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        self.inner.own_size_bytes(id)
    }

    fn size_bytes(&self, unpacked: &Unpacked) -> u64 {
        self.inner.size_bytes(unpacked)
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.go(id)?;
        self.inner.remove(id)
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        self.inner.all()
    }

    fn graph(&self, id: &str) -> Result<GraphData, DriverError> {
        self.inner.graph(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_fails_and_no_other() {
        let stone = Stone::default();
        assert!(!stone.is_here() && !stone.was_hit());
        stone.put(Some(2));
        assert_eq!([stone.is_here(), stone.was_hit()], [false, false]);
        assert_eq!([stone.is_here(), stone.was_hit()], [true, true]);
        assert_eq!([stone.is_here(), stone.was_hit()], [false, true]);
        stone.put(None);
        assert!(!stone.is_here() && !stone.was_hit());
    }
}
