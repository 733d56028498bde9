//! From descriptions and a guest binary to a store, or to the store that is there already.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::description::Description;
use super::layer::{Guest, Hashing, WrittenLayer, write_layer};
use super::layout::{Descriptor, Layout, Tagged};
use super::userland::{Examined, Userland, examine};
use super::{ImageError, MediaTypes, json};

/// One image of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Repository: `httpd`.
    pub name: String,
    pub tags: Vec<String>,
    pub media_types: MediaTypes,
    /// What the tags point to: the manifest's digest, or that of the index around it.
    pub digest: String,
    pub manifest_digest: String,
    /// Digest of the config blob, Docker's image ID.
    pub image_id: String,
    /// Lowest first.
    pub layers: Vec<AssembledLayer>,
}

/// One layer of an image of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssembledLayer {
    /// Digest of the compressed blob.
    pub digest: String,
    /// Digest of the uncompressed tar.
    pub diff_id: String,
    /// Of the compressed blob.
    pub size_bytes: u64,
}

/// What else shapes the bytes: a store made by other code, or with another compressor, is not reused.
const ASSEMBLER: [&str; 6] = [
    include_str!("assemble.rs"),
    include_str!("description.rs"),
    include_str!("entry.rs"),
    include_str!("json.rs"),
    include_str!("layer.rs"),
    include_str!("../../../Cargo.lock"),
];

/// Assembles every `*.toml` of the directory `descriptions` into the OCI image layout `store`, or finds that it is done.
///
/// The new store is built beside the old one and takes its place in one step; concurrent calls wait for each other.
///
/// # Errors
/// A description or the guest cannot be read or is wrong; `store` is a directory of something else; the disk says no.
/// An existing store is then as it was.
pub fn assemble(descriptions: &Path, userland: &Userland, store: &Path) -> Result<Vec<Assembled>, ImageError> {
    let described = read_descriptions(descriptions)?;
    let guest = examine(&userland.binary)?;
    let inputs = hash_inputs(&described, &guest, &userland.applets);
    let parent = parent_of(store);
    fs::create_dir_all(&parent).map_err(|e| ImageError::io("create", &parent, e))?;
    let lock = File::open(&parent).map_err(|e| ImageError::io("open", &parent, e))?;
    lock.lock().map_err(|e| ImageError::io("lock", &parent, e))?;

    let layout = Layout::at(store);
    if layout.inputs().is_some_and(|found| found == inputs)
        && let Ok(complete) = read_store(&layout)
    {
        return Ok(complete);
    }
    refuse_what_is_no_store(&layout)?;
    let draft = new_draft(&parent, store)?;
    let images: Vec<Description> = described.into_iter().map(|(_, _, image)| image).collect();
    build(&images, userland, &guest, &inputs, draft.path())?;
    put_in_place(draft.path(), store)?;
    read_store(&layout)
}

type Described = (PathBuf, String, Description);

fn read_descriptions(directory: &Path) -> Result<Vec<Described>, ImageError> {
    let entries = fs::read_dir(directory).map_err(|e| ImageError::io("list", directory, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| ImageError::io("list", directory, e))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ImageError::NoDescriptions { path: directory.to_path_buf() });
    }
    paths.sort();
    let mut seen = BTreeSet::new();
    let mut described = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|e| ImageError::io("read", &path, e))?;
        let image = Description::parse(&path, &text)?;
        if let Some(tag) = image.tags.iter().find(|tag| !seen.insert((image.name.clone(), (*tag).clone()))) {
            let what = format!("{}:{tag} is described by an earlier file too", image.name);
            return Err(ImageError::Invalid { path, what });
        }
        described.push((path, text, image));
    }
    Ok(described)
}

/// A digest over everything that shapes the store, each part preceded by its length.
fn hash_inputs(described: &[Described], guest: &Examined, applets: &[String]) -> String {
    let mut parts: Vec<&str> = ASSEMBLER.to_vec();
    parts.extend(described.iter().map(|(_, text, _)| text.as_str()));
    parts.push(&guest.digest);
    let applets: BTreeSet<&String> = applets.iter().collect();
    parts.extend(applets.iter().map(|name| name.as_str()));
    let mut hash = Hashing::new(std::io::sink());
    for part in parts {
        // Writing to a sink cannot fail.
        let _ = write!(hash, "{}:{part}", part.len());
    }
    hash.digest()
}

fn parent_of(store: &Path) -> PathBuf {
    match store.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn refuse_what_is_no_store(layout: &Layout) -> Result<(), ImageError> {
    let empty = match fs::read_dir(layout.path()) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(ImageError::io("list", layout.path(), e)),
    };
    match empty || layout.is_marked() {
        true => Ok(()),
        false => Err(ImageError::NotAStore { path: layout.path().to_path_buf() }),
    }
}

/// A fresh directory beside the store, after those of killed runs were removed (the lock says none is in use).
fn new_draft(parent: &Path, store: &Path) -> Result<tempfile::TempDir, ImageError> {
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.draft-");
    let entries = fs::read_dir(parent).map_err(|e| ImageError::io("list", parent, e))?;
    for stale in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        fs::remove_dir_all(stale.path()).map_err(|e| ImageError::io("remove", &stale.path(), e))?;
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(|e| ImageError::io("make a directory in", parent, e))
}

fn build(
    images: &[Description],
    userland: &Userland,
    guest: &Examined,
    inputs: &str,
    draft: &Path,
) -> Result<(), ImageError> {
    let layout = Layout::create(draft)?;
    let built: Vec<Result<Vec<Tagged>, ImageError>> = thread::scope(|scope| {
        let threads: Vec<_> =
            images.iter().map(|image| scope.spawn(|| build_image(image, userland, guest, &layout))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut tagged = Vec::new();
    for image in built {
        tagged.extend(image?);
    }
    layout.write_index(&tagged, Some(inputs))
}

fn build_image(
    image: &Description,
    userland: &Userland,
    guest: &Examined,
    layout: &Layout,
) -> Result<Vec<Tagged>, ImageError> {
    let entries = image
        .layers(&userland.applets)
        .map_err(|what| ImageError::Invalid { path: PathBuf::from(&image.name), what })?;
    let binary = Guest { path: &userland.binary, size_bytes: guest.size_bytes };
    let mut layers: Vec<WrittenLayer> = Vec::new();
    for layer in &entries {
        let blob = layout.new_blob()?;
        let out = blob.reopen().map_err(|e| ImageError::io("open", blob.path(), e))?;
        let written =
            write_layer(layer, &binary, out).map_err(|e| ImageError::io("write a layer to", blob.path(), e))?;
        layout.keep(blob, &written.digest)?;
        layers.push(written);
    }
    let media = image.media_types;
    let config = layout.add_json(media.config(), &json::config(image, guest.architecture, &layers))?;
    let manifest = json::manifest(media, (&config.digest, config.size_bytes), &layers);
    let mut top = layout.add_json(media.manifest(), &manifest)?;
    if image.index {
        let index = json::index(media, (&top.digest, top.size_bytes), guest.architecture);
        top = layout.add_json(media.index(), &index)?;
    }
    let tagged = |tag: &String| Tagged { name: image.name.clone(), tag: tag.clone(), descriptor: top.clone() };
    Ok(image.tags.iter().map(tagged).collect())
}

fn put_in_place(draft: &Path, store: &Path) -> Result<(), ImageError> {
    if !store.exists() {
        return fs::rename(draft, store).map_err(|e| ImageError::io("create", store, e));
    }
    // The old store is in the draft's place afterwards and goes with it.
    renameat_with(CWD, draft, CWD, store, RenameFlags::EXCHANGE).map_err(|e| ImageError::io("replace", store, e.into()))
}

/// Reads the store back and checks that every blob it names is there with its size.
fn read_store(layout: &Layout) -> Result<Vec<Assembled>, ImageError> {
    let mut images: Vec<Assembled> = Vec::new();
    for Tagged { name, tag, descriptor } in layout.tagged()? {
        match images.iter_mut().find(|image| image.name == name && image.digest == descriptor.digest) {
            Some(image) => image.tags.push(tag),
            None => images.push(read_image(layout, name, tag, &descriptor)?),
        }
    }
    Ok(images)
}

fn read_image(layout: &Layout, name: String, tag: String, top: &Descriptor) -> Result<Assembled, ImageError> {
    check_size(layout, top)?;
    let (manifest_descriptor, manifest) = layout.manifest_of(top)?;
    check_size(layout, &manifest_descriptor)?;
    let parts = layout.parts_of(&manifest_descriptor.digest, &manifest)?;
    parts.iter().try_for_each(|part| check_size(layout, part))?;
    let config = layout.read_json(&parts[0].digest)?;
    let diff_ids = config["rootfs"]["diff_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    let layers = parts[1..].iter().zip(diff_ids).map(|(part, diff_id)| AssembledLayer {
        digest: part.digest.clone(),
        diff_id: diff_id.as_str().unwrap_or_default().to_owned(),
        size_bytes: part.size_bytes,
    });
    Ok(Assembled {
        name,
        tags: vec![tag],
        media_types: match manifest_descriptor.media_type == MediaTypes::Docker.manifest() {
            true => MediaTypes::Docker,
            false => MediaTypes::Oci,
        },
        digest: top.digest.clone(),
        manifest_digest: manifest_descriptor.digest,
        image_id: parts[0].digest.clone(),
        layers: layers.collect(),
    })
}

fn check_size(layout: &Layout, part: &Descriptor) -> Result<(), ImageError> {
    let path = layout.blob_path(&part.digest)?;
    let found = fs::metadata(&path).map_err(|e| ImageError::io("look at", &path, e))?.len();
    match found == part.size_bytes {
        true => Ok(()),
        false => Err(ImageError::Invalid {
            path,
            what: format!(
                "{found} bytes where {} are announced: remove the store and assemble it again",
                part.size_bytes
            ),
        }),
    }
}
