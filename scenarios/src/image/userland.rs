//! The programs inside every image: one static multi-call binary and the names it answers to.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ImageError;
use super::layer::Hashing;

/// The guest as its builder hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userland {
    /// A static ELF executable of the architecture the images are for.
    pub binary: PathBuf,
    /// What `BINARY --list` prints, one name each; order and repetition do not matter.
    pub applets: Vec<String>,
}

/// What one pass over the binary tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Examined {
    pub digest: String,
    pub size_bytes: u64,
    /// In Go's words, as image configs have it: `amd64`.
    pub architecture: &'static str,
}

pub(super) fn examine(binary: &Path) -> Result<Examined, ImageError> {
    let open = || File::open(binary).map_err(|e| ImageError::io("open the guest binary", binary, e));
    let mut head = Vec::new();
    let read_error = |e| ImageError::io("read the guest binary", binary, e);
    open()?.take(20).read_to_end(&mut head).map_err(read_error)?;
    let architecture = architecture(&head).map_err(|what| ImageError::Guest { path: binary.to_path_buf(), what })?;
    let mut hash = Hashing::new(io::sink());
    io::copy(&mut open()?, &mut hash).map_err(read_error)?;
    Ok(Examined { digest: hash.digest(), size_bytes: hash.size_bytes, architecture })
}

/// Reads `e_machine` (ELF-64 object file format, file header): the images must not claim another machine than their programs'.
fn architecture(head: &[u8]) -> Result<&'static str, String> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = head else {
        return Err("it is no ELF file".into());
    };
    let machine: [u8; 2] = head.get(18..20).and_then(|m| m.try_into().ok()).ok_or("it ends within its ELF header")?;
    let machine = if *order == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    match (class, order, machine) {
        (2, 1, 62) => Ok("amd64"),
        (2, 1, 183) => Ok("arm64"),
        (2, 1, 243) => Ok("riscv64"),
        (2, 1, 258) => Ok("loong64"),
        (2, 1, 21) => Ok("ppc64le"),
        (2, 2, 22) => Ok("s390x"),
        (1, 1, 3) => Ok("386"),
        (1, 1, 40) => Ok("arm"),
        _ => Err(format!("its ELF machine {machine} has no name in image-spec that is known here")),
    }
}
