//! Layers and configurations that come again from the registries that their images came from.

use std::collections::{BTreeMap, BTreeSet};

use super::fetcher::{Fetched, Fetcher};
use super::finding::{Finding, Remedy};
use super::mend::make_parent;
use super::place::Place;
use super::repair::{Means, Now, Outcome, RepairError};
use super::{CheckError, users};
use crate::driver;
use crate::image::Digest;
use crate::store::atomic;

/// What came of each layer, by chain ID. One that was no longer lacking is not named.
type LayerOutcomes = BTreeMap<Digest, Result<(), RepairError>>;

/// Pulls layers and configurations again, each from the first image that brings them. Nothing is held while a registry is asked: what has
/// come is looked at anew before it is put anywhere.
pub(super) fn fetch(place: &Place, means: &Means<'_>, wanted: &[&Finding]) -> Result<Vec<Outcome>, CheckError> {
    let mut outcomes = Vec::new();
    if wanted.is_empty() {
        return Ok(outcomes);
    }
    let books = Now::hold(place, &[])?.books;
    for finding in wanted {
        if let Remedy::FetchConfig(image) = &finding.remedy
            && let Some(outcome) = fetch_config(place, means, &books.origins(image), finding, image)?
        {
            outcomes.push(((*finding).clone(), outcome));
        }
    }
    let mut layers = LayerOutcomes::new();
    let mut missing: BTreeSet<Digest> = wanted.iter().filter_map(|finding| layer_of(finding)).cloned().collect();
    while let Some(chain) = missing.first().cloned() {
        let mut failure = RepairError::Changed;
        for reference in books.layer_origins(&chain) {
            match pulled(place, means, &reference, missing.clone()) {
                Ok((fetcher, fetched)) => {
                    for layer in &fetched.layers {
                        missing.remove(&layer.chain_id);
                    }
                    layers.extend(put(place, &fetcher, &fetched, wanted)?);
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

fn layer_of(finding: &Finding) -> Option<&Digest> {
    match &finding.remedy {
        Remedy::FetchLayer(chain) => Some(chain),
        _ => None,
    }
}

/// What the image called `reference` brings of the layers `missing`.
fn pulled(
    place: &Place,
    means: &Means<'_>,
    reference: &str,
    missing: BTreeSet<Digest>,
) -> Result<(Fetcher, Fetched), RepairError> {
    let fetcher = Fetcher::new(place, means, missing)?;
    let fetched = fetcher.pull(reference, means.registry)?;
    Ok((fetcher, fetched))
}

/// Puts the layers in their places that are still lacking and that nobody uses.
fn put(place: &Place, fetcher: &Fetcher, fetched: &Fetched, wanted: &[&Finding]) -> Result<LayerOutcomes, CheckError> {
    let has_come = |finding: &&&Finding| {
        layer_of(finding).is_some_and(|chain| fetched.layers.iter().any(|layer| layer.chain_id == *chain))
    };
    let now = Now::hold(place, &wanted.iter().filter(has_come).copied().collect::<Vec<_>>())?;
    let put = |layer| {
        let driver = driver::open(Some(place.driver()), &place.data_root)?;
        fetcher.put(place, &*driver, layer)
    };
    let mut outcomes = LayerOutcomes::new();
    // From the base up: a whole tree is made of the one below.
    for layer in fetched.layers.iter().filter(|layer| now.lacks(&layer.chain_id)) {
        let outcome = users::free(place, &now.books, &layer.chain_id).and_then(|()| put(layer));
        outcomes.insert(layer.chain_id.clone(), outcome);
    }
    Ok(outcomes)
}

/// Nothing when another command has brought the configuration, or removed the image.
fn fetch_config(
    place: &Place,
    means: &Means<'_>,
    origins: &[String],
    finding: &Finding,
    image: &Digest,
) -> Result<Option<Result<(), RepairError>>, CheckError> {
    let mut failure = RepairError::Changed;
    for reference in origins {
        match pulled(place, means, reference, BTreeSet::new()) {
            Ok((_, Fetched { config, .. })) if config.id() == *image => {
                let now = Now::hold(place, &[])?;
                let path = place.configurations().join(image.hex());
                let write = || Ok(atomic::write(&path, config.raw(), 0o600)?);
                return Ok(now.again(finding).map(|_| make_parent(&path).and_then(|()| write())));
            }
            Ok(_) => failure = RepairError::OtherImage(reference.clone()),
            Err(error) => failure = error,
        }
    }
    Ok(Some(Err(failure)))
}
