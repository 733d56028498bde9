//! An OCI image layout on disk (image-spec, image-layout.md): blobs by digest, and an index saying which of them are images.
//!
//! ```text
//! STORE/
//!   oci-layout          {"imageLayoutVersion":"1.0.0"}
//!   index.json          one descriptor per tag, annotated org.opencontainers.image.ref.name = "httpd:latest"
//!   blobs/sha256/<hex>  manifests, configs, layers
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ImageError;
use super::layer::Hashing;

/// The annotation that names an image inside a layout (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INPUTS: &str = "layerlab.inputs";

/// A layout at a path; nothing is read before it is asked for.
#[derive(Debug, Clone)]
pub struct Layout {
    path: PathBuf,
}

/// One descriptor of `index.json` with the name and tag its annotation holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub name: String,
    pub tag: String,
    pub descriptor: Descriptor,
}

/// How one blob speaks of another (image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size_bytes: u64,
}

impl Layout {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the empty layout's directories and marker.
    pub fn create(path: &Path) -> Result<Self, ImageError> {
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|e| ImageError::io("create", &blobs, e))?;
        let marker = path.join("oci-layout");
        fs::write(&marker, r#"{"imageLayoutVersion":"1.0.0"}"#).map_err(|e| ImageError::io("write", &marker, e))?;
        Ok(Self::at(path))
    }

    /// Whether the directory says of itself that it is a layout.
    pub fn is_marked(&self) -> bool {
        self.path.join("oci-layout").is_file()
    }

    /// Where the blob with this digest is or would be; an error for anything that is no `sha256:` digest.
    pub fn blob_path(&self, digest: &str) -> Result<PathBuf, ImageError> {
        match digest.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(self.path.join("blobs/sha256").join(hex))
            }
            _ => Err(ImageError::Digest { digest: digest.to_owned() }),
        }
    }

    /// Adds `document` as a compact JSON blob.
    pub fn add_json(&self, media_type: &str, document: &Value) -> Result<Descriptor, ImageError> {
        self.add_bytes(media_type, document.to_string().as_bytes())
    }

    /// Adds `bytes` as a blob; one that is there already stays.
    pub fn add_bytes(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, ImageError> {
        let mut hash = Hashing::new(std::io::sink());
        hash.write_all(bytes).map_err(|e| ImageError::io("hash a blob for", &self.path, e))?;
        let digest = hash.digest();
        let path = self.blob_path(&digest)?;
        fs::write(&path, bytes).map_err(|e| ImageError::io("write", &path, e))?;
        Ok(Descriptor { media_type: media_type.to_owned(), digest, size_bytes: bytes.len() as u64 })
    }

    /// A new file inside the layout's blob directory; [`Layout::keep`] gives it its name.
    pub fn new_blob(&self) -> Result<tempfile::NamedTempFile, ImageError> {
        let blobs = self.path.join("blobs/sha256");
        tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(&blobs)
            .map_err(|e| ImageError::io("make a blob in", &blobs, e))
    }

    pub fn keep(&self, blob: tempfile::NamedTempFile, digest: &str) -> Result<(), ImageError> {
        let path = self.blob_path(digest)?;
        blob.persist(&path).map_err(|e| ImageError::io("write", &path, e.error))?;
        Ok(())
    }

    /// The parsed JSON blob.
    pub fn read_json(&self, digest: &str) -> Result<Value, ImageError> {
        read_json(&self.blob_path(digest)?)
    }

    pub fn open_blob(&self, digest: &str) -> Result<File, ImageError> {
        let path = self.blob_path(digest)?;
        File::open(&path).map_err(|e| ImageError::io("open", &path, e))
    }

    /// Everything `index.json` names, in its order.
    pub fn tagged(&self) -> Result<Vec<Tagged>, ImageError> {
        let path = self.path.join("index.json");
        let index = read_json(&path)?;
        let descriptors = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        descriptors.iter().map(|descriptor| tagged(descriptor, &path)).collect()
    }

    /// The hash of everything the layout was assembled from, where it was assembled here.
    pub fn inputs(&self) -> Option<String> {
        let index = read_json(&self.path.join("index.json")).ok()?;
        index["annotations"][INPUTS].as_str().map(str::to_owned)
    }

    /// Writes `index.json`, whole or not at all.
    pub fn write_index(&self, tagged: &[Tagged], inputs: Option<&str>) -> Result<(), ImageError> {
        let manifests: Vec<Value> = tagged.iter().map(Tagged::to_json).collect();
        let mut index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        });
        if let Some(inputs) = inputs {
            index["annotations"] = json!({INPUTS: inputs});
        }
        let path = self.path.join("index.json");
        let draft = self.path.join(".index.json");
        fs::write(&draft, index.to_string()).map_err(|e| ImageError::io("write", &draft, e))?;
        fs::rename(&draft, &path).map_err(|e| ImageError::io("write", &path, e))
    }

    /// The manifest a tag stands for: the descriptor's own, or the first one of its index.
    pub fn manifest_of(&self, descriptor: &Descriptor) -> Result<(Descriptor, Value), ImageError> {
        let document = self.read_json(&descriptor.digest)?;
        match document["manifests"].get(0) {
            Some(first) => {
                let first = parse_descriptor(first, &self.blob_path(&descriptor.digest)?)?;
                let manifest = self.read_json(&first.digest)?;
                Ok((first, manifest))
            }
            None => Ok((descriptor.clone(), document)),
        }
    }

    /// The config and the layers that `manifest` (stored as `digest`) lists, config first.
    pub fn parts_of(&self, digest: &str, manifest: &Value) -> Result<Vec<Descriptor>, ImageError> {
        let path = self.blob_path(digest)?;
        let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        std::iter::once(&manifest["config"]).chain(layers).map(|part| parse_descriptor(part, &path)).collect()
    }
}

impl Tagged {
    fn to_json(&self) -> Value {
        let Descriptor { media_type, digest, size_bytes } = &self.descriptor;
        let mut json = super::json::descriptor(media_type, digest, *size_bytes);
        json["annotations"] = json!({REF_NAME: format!("{}:{}", self.name, self.tag)});
        json
    }
}

fn tagged(json: &Value, path: &Path) -> Result<Tagged, ImageError> {
    let reference = json["annotations"][REF_NAME].as_str().unwrap_or_default();
    let (name, tag) = reference.rsplit_once(':').ok_or_else(|| ImageError::Invalid {
        path: path.to_path_buf(),
        what: format!("a manifest's {REF_NAME} is {reference:?}, not NAME:TAG"),
    })?;
    Ok(Tagged { name: name.to_owned(), tag: tag.to_owned(), descriptor: parse_descriptor(json, path)? })
}

fn parse_descriptor(json: &Value, path: &Path) -> Result<Descriptor, ImageError> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let parsed = text("mediaType").zip(text("digest")).zip(json["size"].as_u64());
    parsed.map(|((media_type, digest), size_bytes)| Descriptor { media_type, digest, size_bytes }).ok_or_else(|| {
        let what = format!("{json} is no descriptor with mediaType, digest and size");
        ImageError::Invalid { path: path.to_path_buf(), what }
    })
}

fn read_json(path: &Path) -> Result<Value, ImageError> {
    let bytes = fs::read(path).map_err(|e| ImageError::io("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|source| ImageError::Json { path: path.to_path_buf(), source })
}
