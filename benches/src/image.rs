//! The image that is pulled, run and saved: of the size and the shape of those that people use, made from a seed.
//!
//! *Holds*: the same seed and guest give the same bytes; six layers, of which the second to the last change and the last deletes what is
//! below; text that compresses to a third; files of a few kilobytes with a few large ones, as in a distribution's base. *Never*: a
//! download.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow};
use fastrand::Rng;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use layerlab_scenarios::guest;
use layerlab_scenarios::image::{Descriptor, Hashing, Layout, Tagged};
use layerlab_scenarios::lab::prepare::workspace_root;
use ruzstd::encoding::CompressionLevel;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::bed::Scale;
use crate::task::succeed;

/// An image in an OCI layout.
#[derive(Debug, Clone)]
pub struct Image {
    /// The directory of the layout.
    pub layout: PathBuf,
    /// `real:latest`
    pub name: String,
    /// An image of the lower half of its layers: `real:half`
    pub half: String,
    /// The same image with layers in zstd: `real:zstd`
    pub zstd: String,
    /// The digest of its configuration: its ID.
    pub id: String,
    /// The lowest first.
    pub layers: Vec<Layer>,
    /// How many names its tree has, the root not counted.
    pub entries: u64,
    /// A file of its lowest layer, without the leading slash.
    pub some_file: String,
}

/// A layer, as it lies in the layout.
#[derive(Debug, Clone)]
pub struct Layer {
    pub diff_id: String,
    pub digest: String,
    pub compressed_bytes: u64,
    pub tar_bytes: u64,
}

/// What there is in one layer.
struct Plan {
    files: u64,
    /// On average.
    file_bytes: u64,
    /// One of so many files replaces one that is below; 0: none.
    replaces_every: u64,
    /// How many files from below it deletes.
    deletes: u64,
}

const SEED: u64 = 8;
/// As most images have been packed.
const GZIP_LEVEL: u32 = 6;
const FILES_IN_DIRECTORY: u64 = 24;
/// 2026-01-01T00:00:00Z
const MTIME: u64 = 1_767_225_600;
/// What manifests and configurations are called: Docker's words, and OCI's (image-spec, media-types.md).
const DOCKER: [&str; 2] =
    ["application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json"];
const OCI: [&str; 2] = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"];
const MEDIA_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const MEDIA_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

fn plans(scale: Scale) -> [Plan; 6] {
    let plan = |files: u64, kibibytes: u64, replaces_every, deletes: u64| Plan {
        files: scale.pick(files, files / 200 + 2),
        file_bytes: scale.pick(kibibytes << 10, 1 << 10),
        replaces_every,
        deletes: scale.pick(deletes, deletes / 200),
    };
    [
        plan(5200, 22, 0, 0),
        plan(300, 60, 20, 0),
        plan(3000, 26, 20, 0),
        plan(1200, 40, 20, 0),
        plan(700, 44, 10, 0),
        plan(600, 4, 6, 400),
    ]
}

impl Image {
    /// The image of this scale, in `directory`, where it is made if it is not there.
    pub fn made(scale: Scale, directory: &Path) -> anyhow::Result<Image> {
        let guest = guest::build(&workspace_root(), &mut |line| eprintln!("{line}"))?;
        let key = digest(&[fs::read(&guest)?.as_slice(), include_bytes!("image.rs")].concat());
        let key = key.trim_start_matches("sha256:");
        let place = directory.join(format!("real-{}-{}", scale.pick("full", "tiny"), &key[..12]));
        if !place.join("index.json").exists() {
            fs::create_dir_all(directory)?;
            let draft = tempfile::Builder::new().prefix("image-").tempdir_in(directory)?;
            make(scale, &guest, draft.path()).context("cannot make the image")?;
            fs::rename(draft.path(), &place).with_context(|| format!("cannot make {}", place.display()))?;
        }
        read(&place)
    }
}

/// The image that lies there.
fn read(place: &Path) -> anyhow::Result<Image> {
    let layout = Layout::at(place);
    let [tagged, half, zstd] =
        layout.tagged()?.try_into().map_err(|_| anyhow!("{} is not the image", place.display()))?;
    let manifest = layout.read_json(&tagged.descriptor.digest)?;
    let parts = layout.parts_of(&tagged.descriptor.digest, &manifest)?;
    let config = layout.read_json(&parts[0].digest)?;
    let labels = &config["config"]["Labels"];
    let number = |name: &str| labels[name].as_str().and_then(|text| text.parse::<u64>().ok());
    let layers = parts[1..].iter().enumerate().map(|(at, part)| {
        Some(Layer {
            diff_id: config["rootfs"]["diff_ids"][at].as_str()?.to_owned(),
            digest: part.digest.clone(),
            compressed_bytes: part.size_bytes,
            tar_bytes: number(&format!("layer-{at}"))?,
        })
    });
    Ok(Image {
        layout: place.to_owned(),
        name: format!("{}:{}", tagged.name, tagged.tag),
        half: format!("{}:{}", half.name, half.tag),
        zstd: format!("{}:{}", zstd.name, zstd.tag),
        id: parts[0].digest.clone(),
        layers: layers.collect::<Option<_>>().context("the image's layers have no sizes")?,
        entries: number("entries").context("the image does not say how many entries it has")?,
        some_file: labels["some-file"].as_str().context("the image names no file")?.to_owned(),
    })
}

fn make(scale: Scale, guest: &Path, place: &Path) -> anyhow::Result<()> {
    let layout = Layout::create(place)?;
    let tars = place.join("tars");
    fs::create_dir(&tars)?;
    let mut names = Names::default();
    let pool = pool();
    let paths: Vec<PathBuf> = (0..plans(scale).len()).map(|at| tars.join(at.to_string())).collect();
    for (at, (plan, path)) in plans(scale).iter().zip(&paths).enumerate() {
        write(at, plan, guest, &pool, &mut names, File::create(path)?)?;
    }
    let packed: Vec<(Packed, Descriptor)> = thread::scope(|scope| {
        let layout = &layout;
        let threads: Vec<_> = paths
            .iter()
            .map(|path| scope.spawn(move || anyhow::Ok((pack(layout, path)?, pack_zstd(layout, path)?))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<anyhow::Result<_>>()
    })?;
    fs::remove_dir_all(&tars)?;
    let mut labels = BTreeMap::from([
        ("entries".to_owned(), names.count().to_string()),
        ("some-file".to_owned(), names.some_file().context("an image without files")?.to_owned()),
    ]);
    let (packed, in_zstd): (Vec<Packed>, Vec<Descriptor>) = packed.into_iter().unzip();
    let zstd: Vec<Packed> =
        packed.iter().zip(in_zstd).map(|((diff_id, tar_bytes, _), blob)| (diff_id.clone(), *tar_bytes, blob)).collect();
    labels.extend(packed.iter().enumerate().map(|(at, (_, bytes, _))| (format!("layer-{at}"), bytes.to_string())));
    let whole = manifest(&layout, &packed, &labels, DOCKER)?;
    let zstd = manifest(&layout, &zstd, &labels, OCI)?;
    let half = manifest(&layout, &packed[..packed.len() / 2], &BTreeMap::new(), DOCKER)?;
    let tagged = |tag: &str, descriptor| Tagged { name: "real".to_owned(), tag: tag.to_owned(), descriptor };
    layout.write_index(&[tagged("latest", whole), tagged("half", half), tagged("zstd", zstd)], None)?;
    Ok(())
}

/// A layer's diff ID, its tar's bytes, and its blob.
type Packed = (String, u64, Descriptor);

/// An image of these layers.
fn manifest(
    layout: &Layout,
    packed: &[Packed],
    labels: &BTreeMap<String, String>,
    [media_manifest, media_config]: [&str; 2],
) -> anyhow::Result<Descriptor> {
    let diff_ids: Vec<&String> = packed.iter().map(|(diff_id, _, _)| diff_id).collect();
    let history: Vec<Value> = (0..packed.len())
        .map(|at| json!({"created": "2026-01-01T00:00:00Z", "created_by": format!("layer {at}")}))
        .collect();
    let config = json!({
        "architecture": architecture(), "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    let config = layout.add_json(media_config, &config)?;
    let descriptor =
        |part: &Descriptor| json!({"mediaType": part.media_type, "digest": part.digest, "size": part.size_bytes});
    let layers: Vec<Value> = packed.iter().map(|(_, _, layer)| descriptor(layer)).collect();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": media_manifest, "config": descriptor(&config), "layers": layers});
    Ok(layout.add_json(media_manifest, &manifest)?)
}

/// Go's word for this machine's architecture.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Compresses a tar into the layout: its diff ID, its bytes, and the blob.
fn pack(layout: &Layout, tar: &Path) -> anyhow::Result<Packed> {
    let blob = layout.new_blob()?;
    let encoder = GzEncoder::new(Hashing::new(io::BufWriter::new(blob.reopen()?)), Compression::new(GZIP_LEVEL));
    let mut out = Hashing::new(encoder);
    let tar_bytes = io::copy(&mut File::open(tar)?, &mut out)?;
    let diff_id = out.digest();
    let mut packed = out.inner.finish()?;
    packed.flush()?;
    let (digest, size_bytes) = (packed.digest(), packed.size_bytes);
    layout.keep(blob, &digest)?;
    Ok((diff_id, tar_bytes, Descriptor { media_type: MEDIA_LAYER.to_owned(), digest, size_bytes }))
}

/// The same as zstd (RFC 8878), as its program packs at its fastest.
fn pack_zstd(layout: &Layout, tar: &Path) -> anyhow::Result<Descriptor> {
    let blob = layout.new_blob()?;
    let mut out = Hashing::new(io::BufWriter::new(blob.reopen()?));
    ruzstd::encoding::compress(io::BufReader::new(File::open(tar)?), &mut out, CompressionLevel::Fastest);
    out.flush()?;
    let (digest, size_bytes) = (out.digest(), out.size_bytes);
    layout.keep(blob, &digest)?;
    Ok(Descriptor { media_type: MEDIA_LAYER_ZSTD.to_owned(), digest, size_bytes })
}

/// The names that the layers so far give.
#[derive(Default)]
struct Names {
    files: Vec<String>,
    directories: BTreeMap<String, ()>,
    programs: u64,
}

impl Names {
    fn count(&self) -> u64 {
        self.files.len() as u64 + self.directories.len() as u64 + self.programs
    }

    fn some_file(&self) -> Option<&str> {
        self.files.first().map(String::as_str)
    }
}

/// Writes layer `at`.
fn write(at: usize, plan: &Plan, guest: &Path, pool: &[u8], names: &mut Names, out: File) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(SEED + at as u64);
    let mut tar = Builder::new(io::BufWriter::new(out));
    if at == 0 {
        programs(&mut tar, guest, names)?;
    }
    // What was there before this layer may be replaced or deleted; its first file stays, since workloads change it.
    let below = names.files.len();
    let replaces = plan.files.checked_div(plan.replaces_every).unwrap_or(0);
    // No layer has a name twice.
    let mut chosen: Vec<usize> = (1..below).collect();
    rng.shuffle(&mut chosen);
    chosen.truncate((replaces + plan.deletes + 1) as usize);
    for number in 0..plan.files {
        let is_replaced = plan.replaces_every > 0 && number % plan.replaces_every == 0;
        let path = match is_replaced.then(|| chosen.pop()).flatten() {
            Some(index) => names.files[index].clone(),
            None => {
                let directory = format!("usr/lib/part-{at}/{:03}", number / FILES_IN_DIRECTORY);
                add_directories(&mut tar, &directory, names)?;
                let path = format!("{directory}/file-{number:05}");
                names.files.push(path.clone());
                path
            }
        };
        let content = content(&mut rng, pool, plan.file_bytes);
        tar.append_data(&mut header(EntryType::Regular, 0o644, content.len() as u64), &path, content)?;
    }
    let mut deleted: Vec<String> =
        chosen.iter().take(plan.deletes as usize).map(|index| names.files[*index].clone()).collect();
    deleted.sort();
    names.files.retain(|path| deleted.binary_search(path).is_err());
    for path in &deleted {
        let (directory, name) = path.rsplit_once('/').context("every file lies in a directory")?;
        tar.append_data(&mut header(EntryType::Regular, 0o644, 0), format!("{directory}/.wh.{name}"), io::empty())?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

/// `/bin` with the guest and a name for each of its applets, and what containers are given something in.
fn programs(tar: &mut Builder<impl Write>, guest: &Path, names: &mut Names) -> anyhow::Result<()> {
    for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        add_directories(tar, directory, names)?;
    }
    let mut program = File::open(guest)?;
    let size_bytes = program.metadata()?.len();
    tar.append_data(&mut header(EntryType::Regular, 0o755, size_bytes), "bin/guest", &mut program)?;
    names.programs += 1;
    let mut list = Command::new(guest);
    list.arg("--list");
    for applet in succeed(list)?.split_whitespace() {
        tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), format!("bin/{applet}"), "guest")?;
        names.programs += 1;
    }
    Ok(())
}

fn add_directories(tar: &mut Builder<impl Write>, path: &str, names: &mut Names) -> io::Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let directory = &path[..end];
        if names.directories.insert(directory.to_owned(), ()).is_none() {
            tar.append_data(&mut header(EntryType::Directory, 0o755, 0), format!("{directory}/"), io::empty())?;
        }
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, size_bytes: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(size_bytes);
    header
}

/// A file's content: many are small, few are large.
fn content<'p>(rng: &mut Rng, pool: &'p [u8], average_bytes: u64) -> &'p [u8] {
    let size = (-rng.f64().max(1e-9).ln() * average_bytes as f64) as usize;
    let size = size.min(pool.len() / 2);
    let from = rng.usize(0..pool.len() - size);
    &pool[from..from + size]
}

/// Text of words that repeat, with something between them that does not: gzip makes a third of it.
fn pool() -> Vec<u8> {
    const BYTES: usize = 32 << 20;
    let mut rng = Rng::with_seed(SEED);
    let words: Vec<Vec<u8>> =
        (0..4096).map(|_| (0..rng.usize(3..10)).map(|_| rng.lowercase() as u8).collect()).collect();
    let mut pool = Vec::with_capacity(BYTES + 16);
    while pool.len() < BYTES {
        match rng.u8(0..6) {
            0 => pool.extend((0..6).map(|_| rng.u8(..))),
            _ => pool.extend_from_slice(&words[rng.usize(0..words.len())]),
        }
        pool.push(b' ');
    }
    pool
}

impl Image {
    /// A layer's tar, inflated as it is read.
    pub fn tar(&self, layer: &Layer) -> io::Result<GzDecoder<File>> {
        Ok(GzDecoder::new(File::open(self.blob(&layer.digest))?))
    }

    /// Where a blob of that digest lies.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replacen(':', "/", 1))
    }
}

/// The digest of `bytes` by the processor's own instructions where it has them: `sha256:` and 64 hex digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes)))
}
