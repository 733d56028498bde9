//! Manifests: which configuration and layers make an image, and which image of an index fits a platform.
//!
//! Docker's image manifest v2 schema 2 and manifest list, and the OCI image-spec's `manifest.md` and `image-index.md`,
//! which differ in their media types only.

use std::fmt;

use serde::Deserialize;

use super::{Digest, go_json};

/// Media types of Docker's formats and OCI's.
pub mod media_type {
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const OCI_LAYER_PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

    /// What a layer may be.
    pub const LAYERS: [&str; 6] = [
        DOCKER_LAYER,
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        OCI_LAYER,
        OCI_LAYER_PLAIN,
        "application/vnd.oci.image.layer.v1.tar+zstd",
    ];

    /// What a client that pulls images accepts, best first.
    pub const ACCEPTED: [&str; 4] = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX];
}

/// What a reference leads to: one image, or a choice of images by platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    Image(ImageManifest),
    Index(Index),
}

/// One image: its configuration and its layers from the base up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    raw: Vec<u8>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// Images for several platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    raw: Vec<u8>,
    pub manifests: Vec<Descriptor>,
}

/// A pointer to content (image-spec `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// An operating system and a processor architecture in Go's names: `linux/amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: String,
}

/// Bytes that are no manifest, or an image this engine cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("manifest {digest}: {}", go_json::reason(source))]
    Parse { digest: Digest, source: serde_json::Error },
    #[error("manifest {digest} has schema version {version}: push the image again with a client of this decade")]
    SchemaVersion { digest: Digest, version: u64 },
    #[error("manifest {digest} is ambiguous: it has the fields of an image and those of an index")]
    Ambiguous { digest: Digest },
    #[error("unsupported manifest media type and no default available: {media_type:?} (manifest {digest})")]
    MediaType { digest: Digest, media_type: String },
    #[error("Encountered remote {media_type:?}(unknown) when fetching")]
    NotAnImage { media_type: String },
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform { platform: Platform },
    #[error(
        "layer {digest} has the media type {media_type:?}, which is not supported: tars, plain or compressed with gzip or zstd, are"
    )]
    LayerMediaType { digest: Digest, media_type: String },
}

/// A text that names no platform, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Format(String),
    #[error(
        "{component:?} is an invalid component of {text:?}: platform specifier component must match \
         \"^[A-Za-z0-9_-]+$\": invalid argument"
    )]
    Component { component: String, text: String },
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    #[serde(default)]
    media_type: String,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest or an index by its own `mediaType`, or by its fields where OCI lets that be left out.
    pub fn parse(raw: Vec<u8>) -> Result<Manifest, ManifestError> {
        let digest = Digest::of(&raw);
        let document: Document =
            serde_json::from_slice(&raw).map_err(|source| ManifestError::Parse { digest: digest.clone(), source })?;
        let Document { schema_version: version, media_type, config, layers, manifests, fs_layers } = document;
        if version != 2 || fs_layers.is_some() {
            return Err(ManifestError::SchemaVersion { digest, version });
        }
        match (media_type.as_str(), config, layers, manifests) {
            (_, Some(_), _, Some(_)) | (_, _, Some(_), Some(_)) => Err(ManifestError::Ambiguous { digest }),
            ("" | media_type::DOCKER_MANIFEST | media_type::OCI_MANIFEST, Some(config), Some(layers), None) => {
                Ok(Manifest::Image(ImageManifest::new(raw, config, layers)?))
            }
            ("" | media_type::DOCKER_LIST | media_type::OCI_INDEX, None, None, Some(manifests)) => {
                Ok(Manifest::Index(Index { raw, manifests }))
            }
            _ => Err(ManifestError::MediaType { digest, media_type }),
        }
    }

    /// The exact bytes.
    pub fn raw(&self) -> &[u8] {
        match self {
            Manifest::Image(image) => &image.raw,
            Manifest::Index(index) => &index.raw,
        }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.raw())
    }
}

impl ImageManifest {
    fn new(raw: Vec<u8>, config: Descriptor, layers: Vec<Descriptor>) -> Result<ImageManifest, ManifestError> {
        let foreign = |layer: &&Descriptor| {
            !layer.media_type.is_empty() && !media_type::LAYERS.contains(&layer.media_type.as_str())
        };
        let is_image = matches!(config.media_type.as_str(), media_type::DOCKER_CONFIG | media_type::OCI_CONFIG);
        if let Some(layer) = layers.iter().find(foreign)
            && is_image
        {
            let (digest, media_type) = (layer.digest.clone(), layer.media_type.clone());
            return Err(ManifestError::LayerMediaType { digest, media_type });
        }
        match config.media_type.as_str() {
            media_type::DOCKER_CONFIG | media_type::OCI_CONFIG => Ok(ImageManifest { raw, config, layers }),
            other => Err(ManifestError::NotAnImage { media_type: other.to_owned() }),
        }
    }

    /// The exact bytes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.raw)
    }
}

impl Index {
    /// The first entry that runs on `platform`.
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor, ManifestError> {
        let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|offered| platform.runs(offered));
        self.manifests.iter().find(fits).ok_or_else(|| ManifestError::NoPlatform { platform: platform.clone() })
    }
}

impl Platform {
    /// Linux on this machine's processor.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// Reads `linux/amd64`, `linux/arm/v7`, `arm64` as `docker pull --platform` takes them.
    pub fn parse(text: &str) -> Result<Platform, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if let Some(component) = parts.iter().find(|part| !is_word(part)) {
            return Err(PlatformError::Component { component: (*component).to_owned(), text: text.to_owned() });
        }
        let host = Platform::host();
        let (os, architecture, variant) = match parts[..] {
            [os] if is_operating_system(os) => (os, host.architecture.as_str(), host.variant.as_str()),
            [architecture] if is_architecture(architecture) => ("linux", architecture, ""),
            [_] => return Err(PlatformError::Unknown(text.to_owned())),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, variant),
            _ => return Err(PlatformError::Format(text.to_owned())),
        };
        let (architecture, variant) = normalised(&architecture.to_lowercase(), &variant.to_lowercase());
        let os = if os.eq_ignore_ascii_case("macos") { "darwin".to_owned() } else { os.to_lowercase() };
        Ok(Platform { os, architecture, variant })
    }

    /// Whether what is offered for `other` runs here: the variant counts only where both sides name one, older ones run.
    fn runs(&self, other: &Platform) -> bool {
        let same = self.os == other.os && self.architecture == other.architecture;
        same && (self.variant.is_empty() || other.variant <= self.variant)
    }
}

fn is_operating_system(word: &str) -> bool {
    matches!(word.to_lowercase().as_str(), "linux" | "windows" | "darwin" | "macos" | "freebsd" | "solaris" | "illumos")
}

fn is_architecture(word: &str) -> bool {
    let known = ["386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le"];
    let spellings = ["riscv64", "s390x", "i386", "x86_64", "x86-64", "aarch64", "armhf", "armel"];
    let word = word.to_lowercase();
    known.contains(&word.as_str()) || spellings.contains(&word.as_str())
}

/// Architecture and variant in Go's names (containerd's `platforms` package).
fn normalised(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64", _) => ("amd64", ""),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn platform(os: &str, architecture: &str, variant: &str) -> Platform {
        Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    fn image(media_type: &str, config_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}",
                "config":{{"mediaType":"{config_type}","size":7,"digest":"{A}"}},
                "layers":[{{"mediaType":"{}","size":9,"digest":"{B}"}}]}}"#,
            media_type::OCI_LAYER
        )
    }

    #[test]
    fn docker_and_oci_manifests_read_alike_and_keep_their_bytes() {
        let kinds = [
            (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
            (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
            ("", media_type::OCI_CONFIG),
        ];
        for (media_type, config_type) in kinds {
            let raw = image(media_type, config_type).into_bytes();
            let manifest = Manifest::parse(raw.clone()).unwrap();
            assert_eq!(manifest.raw(), raw);
            assert_eq!(manifest.digest(), Digest::of(&raw));
            let Manifest::Image(image) = manifest else { panic!("{media_type} is an image") };
            assert_eq!((image.config.digest.to_string(), image.config.size_bytes), (A.to_owned(), 7));
            assert_eq!((image.layers[0].digest.to_string(), image.layers[0].size_bytes), (B.to_owned(), 9));
        }
    }

    /// Checklist: RG-09
    #[test]
    fn an_index_gives_the_first_image_that_runs_here() {
        let entry = |digest: &str, platform: &str| format!(r#"{{"size":1,"digest":"{digest}","platform":{platform}}}"#);
        let raw = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry(A, r#"{"os":"unknown","architecture":"unknown"}"#),
            entry(B, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            entry(A, r#"{"os":"linux","architecture":"amd64"}"#),
        );
        let Manifest::Index(index) = Manifest::parse(raw.into_bytes()).unwrap() else { panic!("it is an index") };
        assert_eq!(index.select(&platform("linux", "amd64", "")).unwrap().digest.to_string(), A);
        assert_eq!(index.select(&platform("linux", "arm64", "v8")).unwrap().digest.to_string(), B);
        assert_eq!(
            index.select(&platform("linux", "riscv64", "")).unwrap_err().to_string(),
            "no matching manifest for linux/riscv64 in the manifest list entries"
        );
    }

    #[test]
    fn platforms_are_read_as_docker_reads_them() {
        let rows = [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/xyz", "linux/xyz"),
            ("aarch64", "linux/arm64"),
            ("windows/amd64", "windows/amd64"),
        ];
        for (given, meant) in rows {
            assert_eq!(Platform::parse(given).unwrap().to_string(), meant);
        }
        let refusals = [
            ("bad/bad/bad/bad", r#""bad/bad/bad/bad": cannot parse platform specifier: invalid argument"#),
            (
                "???",
                r#""???" is an invalid component of "???": platform specifier component must match "^[A-Za-z0-9_-]+$": invalid argument"#,
            ),
            ("zx81", r#""zx81": unknown operating system or architecture: invalid argument"#),
        ];
        for (given, message) in refusals {
            assert_eq!(Platform::parse(given).unwrap_err().to_string(), message);
        }
    }

    /// Checklist: RG-06~
    #[test]
    fn a_layer_of_an_unknown_kind_is_refused_by_name() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let raw = image(media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG).replace(media_type::OCI_LAYER, foreign);
        let message = Manifest::parse(raw.into_bytes()).unwrap_err().to_string();
        assert!(message.contains(foreign) && message.contains(B), "{message}");
    }

    #[test]
    fn an_older_variant_runs_and_a_newer_one_does_not() {
        let host = platform("linux", "arm", "v7");
        assert!(host.runs(&platform("linux", "arm", "v6")));
        assert!(host.runs(&platform("linux", "arm", "")));
        assert!(!host.runs(&platform("linux", "arm", "v8")));
    }

    /// Checklist: RG-06~, RG-09
    #[test]
    fn what_is_no_image_is_refused_with_its_reason() {
        let rows = [
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "schema version 1"),
            (r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_owned(), "ambiguous"),
            (r#"{"schemaVersion":2,"mediaType":"text/x"}"#.to_owned(), "text/x"),
            ("<html>".to_owned(), "no valid JSON"),
            (image(media_type::OCI_MANIFEST, "application/vnd.helm"), "Encountered remote \"application/vnd.helm\""),
        ];
        for (raw, expected) in rows {
            let message = Manifest::parse(raw.into_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
