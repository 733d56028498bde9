//! Mends what a check has found, one finding after another, and checks again until nothing is left that can be mended.
//!
//! *Holds*: what is removed or written was found to be wrong again under the store's lock, right before; a layer that comes from a
//! registry is unpacked aside and verified before anything changes, and takes the place of the broken one by a rename; a layer that
//! a running container uses is left alone. *Never*: a file is touched that no finding names, or a container's own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use super::books::{Books, Text};
use super::fetch::{Fetched, Fetcher};
use super::finding::{About, Fault, Finding, Findings, Remedy};
use super::place::Place;
use super::{CheckError, Report, btrfs, check, find};
use crate::driver::{self, Driver, DriverError};
use crate::image::Digest;
use crate::registry::{PullError, RegistrySettings};
use crate::store::{Lock, StoreError, atomic, daemon, failed};
use crate::sys::mount;

/// More rounds than mending ever needs: a name, then what is below, then what was of nobody.
const ROUNDS_MAX: usize = 8;

/// Why something could not be mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("it could not be pulled: {0}")]
    Pull(#[from] PullError),
    #[error("the registry no longer has this image: {0} leads to another")]
    OtherImage(String),
    #[error("container {0} runs with this layer: stop it and try again")]
    InUse(String),
    #[error("{0}")]
    Recover(String),
    /// What came of another finding about the same layer.
    #[error("{0}")]
    Same(String),
    #[error("it has changed since it was found; check again")]
    Changed,
}

/// How things are mended.
pub struct Means<'a> {
    /// How registries are reached.
    pub registry: &'a RegistrySettings,
    /// Give files whose owners are not mapped here to the caller.
    pub squash_owners: bool,
    /// Opens an engine, which sets containers right whose monitors are gone.
    pub recover: &'a dyn Fn() -> Result<(), String>,
    /// Is told of each finding that it was mended, or why not.
    pub tell: &'a dyn Fn(&Finding, Option<&RepairError>),
}

/// What is wrong with images themselves.
const OF_IMAGES: [Fault; 3] = [Fault::ImageConfig, Fault::DanglingName, Fault::Names];
/// What no image and no container asks for: it is left where it is while one of those is in doubt.
const OF_NOBODY: [Fault; 2] = [Fault::UnusedLayer, Fault::OrphanDirectory];

/// Mends what can be mended, of all or of some images, and says what is wrong after that.
pub fn repair(place: &Place, names: &[String], means: &Means<'_>) -> Result<Report, CheckError> {
    if daemon::is_dockerd_at_work(&place.data_root) {
        return Err(CheckError::Dockerd(place.data_root.clone()));
    }
    let mut given_up = Vec::new();
    let mut is_doubtful = false;
    for _ in 0..ROUNDS_MAX {
        let mut findings = check(place, names)?.findings;
        // What an image has lost may have been the only word for its layers, and be forgotten by the next round.
        is_doubtful |= findings.iter().any(|finding| OF_IMAGES.contains(&finding.fault));
        findings.retain(|finding| !(is_doubtful && OF_NOBODY.contains(&finding.fault)));
        findings.retain(|finding| finding.remedy.is_mending() && !given_up.contains(finding));
        if findings.is_empty() {
            break;
        }
        for (finding, outcome) in mend_all(place, names, means, &findings)? {
            (means.tell)(&finding, outcome.as_ref().err());
            if outcome.is_err() {
                given_up.push(finding);
            }
        }
    }
    check(place, names)
}

type Outcome = (Finding, Result<(), RepairError>);
/// What came of each layer, by chain ID.
type LayerOutcomes = Vec<(Digest, Result<(), RepairError>)>;

fn mend_all(place: &Place, names: &[String], means: &Means<'_>, found: &[Finding]) -> Result<Vec<Outcome>, CheckError> {
    let is_fetched = |finding: &&Finding| matches!(finding.remedy, Remedy::FetchLayer(_) | Remedy::FetchConfig(_));
    let mut outcomes = Vec::new();
    {
        let _lock = Lock::exclusive(&place.data_root)?;
        // Another command may have gone on since.
        let (still, books, _) = find(place, names)?;
        let still = still.all();
        for finding in found.iter().filter(|finding| !is_fetched(finding) && finding.remedy != Remedy::Recover) {
            let is_of_content =
                matches!(finding.fault, Fault::AddedFile | Fault::Attributes | Fault::LayerSize | Fault::LayerRecord);
            let outcome = match still.contains(finding) || is_of_content || is_renamed(finding) {
                true => mend(place, &books, finding),
                false => Err(RepairError::Changed),
            };
            outcomes.push((finding.clone(), outcome));
        }
    }
    let wanted: Vec<&Finding> = found.iter().filter(is_fetched).collect();
    if !wanted.is_empty() {
        outcomes.extend(fetch(place, means, &wanted)?);
    }
    for finding in found.iter().filter(|finding| finding.remedy == Remedy::Recover) {
        outcomes.push((finding.clone(), (means.recover)().map_err(RepairError::Recover)));
    }
    Ok(outcomes)
}

/// Whether a finding's remedy has a random name in it, which is another each time.
fn is_renamed(finding: &Finding) -> bool {
    finding.fault == Fault::Link && matches!(finding.remedy, Remedy::Write { .. })
}

/// To be called under the store's lock.
fn mend(place: &Place, books: &Books, finding: &Finding) -> Result<(), RepairError> {
    let path = &finding.path;
    match &finding.remedy {
        Remedy::Write { content, mode } => {
            make_parent(path)?;
            Ok(atomic::write(path, content, *mode)?)
        }
        Remedy::WriteNames { content, .. } => {
            make_parent(path)?;
            Ok(atomic::write(path, content, 0o600)?)
        }
        Remedy::Remove => remove(place, path),
        Remedy::MakeDirectory { mode } => {
            make_parent(path)?;
            make_directory(path, *mode)
        }
        Remedy::Link { target } => {
            make_parent(path)?;
            let removed = fs::remove_file(path);
            removed.or_else(gone_is_fine).and_then(|()| symlink(target, path)).map_err(failed("link", path))?;
            Ok(())
        }
        Remedy::GiveAttributes(wanted) => {
            match layer_of_finding(finding).and_then(|chain| users(place, books, chain).pop()) {
                Some(container) => Err(RepairError::InUse(container)),
                None => Ok(wanted.give(path).map_err(failed("give its attributes to", path))?),
            }
        }
        Remedy::MakeSubvolume => btrfs::convert(place, &*driver(place)?, path),
        Remedy::Unmount => Ok(mount::unmount(path).map_err(failed("unmount", path))?),
        Remedy::ForgetName { repository, name } => forget(place, repository, name),
        Remedy::DropLayer(chain) => {
            let record = place.chains().join(chain.hex());
            fs::remove_dir_all(&record).or_else(gone_is_fine).map_err(failed("remove", &record))?;
            if let Some(cache_id) = books.cache_id(chain) {
                driver(place)?.remove(cache_id)?;
            }
            Ok(())
        }
        Remedy::Advice(_) | Remedy::FetchLayer(_) | Remedy::FetchConfig(_) | Remedy::Recover => Ok(()),
    }
}

fn driver(place: &Place) -> Result<Box<dyn Driver>, DriverError> {
    driver::open(Some(place.driver()), &place.data_root)
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Makes the directory that a record stands in, and is lost with it.
fn make_parent(path: &Path) -> Result<(), RepairError> {
    match path.parent() {
        Some(parent) if !parent.is_dir() => make_directory(parent, 0o755),
        _ => Ok(()),
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), RepairError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("chmod", path))?;
    Ok(())
}

fn remove(place: &Place, path: &Path) -> Result<(), RepairError> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(failed("look at", path))?,
    };
    if !meta.is_dir() {
        return Ok(fs::remove_file(path).map_err(failed("remove", path))?);
    }
    if path.parent() == Some(&place.home())
        && let Some(name) = path.file_name().and_then(|name| name.to_str())
    {
        return Ok(driver(place)?.remove(name)?);
    }
    Ok(fs::remove_dir_all(path).map_err(failed("remove", path))?)
}

fn forget(place: &Place, repository: &str, name: &str) -> Result<(), RepairError> {
    let path = place.repositories();
    let Text::Is(text) = Text::read(&path) else { return Err(RepairError::Changed) };
    let parsed = serde_json::from_str::<BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>>(&text);
    let mut file = parsed.map_err(|_| RepairError::Changed)?;
    if let Some(repositories) = file.get_mut("Repositories")
        && let Some(names) = repositories.get_mut(repository)
    {
        names.remove(name);
        if names.is_empty() {
            repositories.remove(repository);
        }
    }
    let text = serde_json::to_vec(&file).map_err(|_| RepairError::Changed)?;
    Ok(atomic::write(&path, &text, 0o600)?)
}

/// Pulls layers and configurations again, each from the first image that brings them.
fn fetch(place: &Place, means: &Means<'_>, wanted: &[&Finding]) -> Result<Vec<Outcome>, CheckError> {
    let books = {
        let _lock = Lock::exclusive(&place.data_root)?;
        Books::read(place, &mut Findings::default())?
    };
    let mut layers: BTreeMap<Digest, Result<(), RepairError>> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for finding in wanted {
        if let Remedy::FetchConfig(image) = &finding.remedy {
            outcomes.push(((*finding).clone(), fetch_config(place, means, &books, image)));
        }
    }
    let mut missing: BTreeSet<Digest> = wanted.iter().filter_map(|finding| layer_of(finding)).cloned().collect();
    while let Some(chain) = missing.first().cloned() {
        let mut failure = RepairError::Changed;
        for reference in books.layer_origins(&chain) {
            match fetch_layers(place, means, &books, &reference, &missing) {
                Ok(brought) => {
                    for (chain, outcome) in brought {
                        missing.remove(&chain);
                        layers.insert(chain, outcome);
                    }
                }
                Err(error) => failure = error,
            }
            if !missing.contains(&chain) {
                break;
            }
        }
        if missing.remove(&chain) {
            layers.insert(chain, Err(failure));
        }
    }
    for finding in wanted {
        // Several findings can be about one layer: they went the same way.
        if let Some(outcome) = layer_of(finding).and_then(|chain| layers.get_mut(chain)) {
            let same = match outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(RepairError::Same(error.to_string())),
            };
            outcomes.push(((*finding).clone(), std::mem::replace(outcome, same)));
        }
    }
    Ok(outcomes)
}

fn layer_of_finding(finding: &Finding) -> Option<&Digest> {
    match &finding.about {
        Some(About::Layer(chain)) => Some(chain),
        _ => None,
    }
}

fn layer_of(finding: &Finding) -> Option<&Digest> {
    match &finding.remedy {
        Remedy::FetchLayer(chain) => Some(chain),
        _ => None,
    }
}

fn fetch_config(place: &Place, means: &Means<'_>, books: &Books, image: &Digest) -> Result<(), RepairError> {
    let mut failure = RepairError::Changed;
    for reference in books.origins(image) {
        let fetcher = Fetcher::new(place, means, BTreeSet::new())?;
        match fetcher.pull(&reference, means.registry) {
            Ok(Fetched { config, .. }) if config.id() == *image => {
                let path = place.configurations().join(image.hex());
                let _lock = Lock::exclusive(&place.data_root)?;
                make_parent(&path)?;
                return Ok(atomic::write(&path, config.raw(), 0o600)?);
            }
            Ok(_) => failure = RepairError::OtherImage(reference),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What of `missing` the image called `reference` brings, and what came of it.
fn fetch_layers(
    place: &Place,
    means: &Means<'_>,
    books: &Books,
    reference: &str,
    missing: &BTreeSet<Digest>,
) -> Result<LayerOutcomes, RepairError> {
    let fetcher = Fetcher::new(place, means, missing.clone())?;
    let fetched = fetcher.pull(reference, means.registry)?;
    let _lock = Lock::exclusive(&place.data_root)?;
    let mut outcomes = LayerOutcomes::new();
    // From the base up: a whole tree is made of the one below.
    for layer in &fetched.layers {
        let users = users(place, books, &layer.chain_id);
        let outcome = match users.first() {
            Some(container) => Err(RepairError::InUse(container.clone())),
            None => fetcher.put(place, &*driver(place)?, layer),
        };
        outcomes.push((layer.chain_id.clone(), outcome));
    }
    Ok(outcomes)
}

/// The containers that run on a layer.
fn users(place: &Place, books: &Books, chain: &Digest) -> Vec<String> {
    let has = |id: &String| books.top_of_container(id).is_some_and(|top| top == *chain || is_above(books, &top, chain));
    books
        .mounts
        .keys()
        .filter(|id| (books.is_watched(place, id) || books.survivor(id).is_some()) && has(id))
        .cloned()
        .collect()
}

fn is_above(books: &Books, top: &Digest, chain: &Digest) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = books.parent(top);
    while let Some(below) = next.filter(|below| seen.insert(below.clone())) {
        if below == *chain {
            return true;
        }
        next = books.parent(&below);
    }
    false
}
