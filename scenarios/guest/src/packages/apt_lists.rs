//! The package lists of apt: sources, `apt-get update`, and finding a package in what it fetched.

use super::fetch;
use super::stanza::{self, Stanza};
use crate::say;
use flate2::read::GzDecoder;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

const LISTS: &str = "/var/lib/apt/lists";

/// One `deb` line of sources.list.
pub struct Source {
    pub base: String,
    suite: String,
    components: Vec<String>,
}

/// Every source there is, from sources.list and sources.list.d.
pub fn sources() -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(more.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "list")));
    files.sort();
    let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.flat_map(|text| text.lines().filter_map(source).collect::<Vec<_>>()).collect()
}

fn source(line: &str) -> Option<Source> {
    let rest = line.split('#').next()?.trim().strip_prefix("deb ")?.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let base = words.next()?.trim_end_matches('/').to_owned();
    Some(Source { base, suite: words.next()?, components: words.collect() })
}

fn list_path(source: &Source, component: &str) -> PathBuf {
    let flat = source.base.trim_start_matches("http://").replace('/', "_");
    Path::new(LISTS).join(format!("{flat}_dists_{}_{component}_binary-amd64_Packages", source.suite))
}

/// `apt-get update`; `quiet` leaves out the progress.
pub fn update(quiet: bool) -> u8 {
    if let Err(error) = std::fs::create_dir_all(Path::new(LISTS).join("partial")) {
        say::complain("E", format!("List directory {LISTS}/partial is missing. - {}", say::reason(&error)));
        return 100;
    }
    let (started, mut bytes, mut number, mut failures) = (Instant::now(), 0, 0, Vec::new());
    let mut hit = |what: String, came: u64| {
        number += 1;
        bytes += came;
        if !quiet {
            say::line(format!("Get:{number} {what} [{}]", super::size(came)));
            say::flush();
        }
    };
    for source in sources() {
        if let Err((url, what)) = update_source(&source, &mut hit) {
            if !quiet {
                say::line(format!("Err: {url}\n  {what}"));
            }
            failures.push((url, what));
        }
    }
    if !quiet {
        let took = started.elapsed().as_secs();
        say::line(format!("Fetched {} in {took}s ({}/s)", super::size(bytes), super::size(bytes / took.max(1))));
        say::line("Reading package lists... Done");
    }
    for (url, what) in &failures {
        say::complain("E", format!("Failed to fetch {url}  {what}"));
    }
    if !failures.is_empty() {
        say::complain("E", "Some index files failed to download. They have been ignored, or old ones used instead.");
        return 100;
    }
    0
}

fn update_source(source: &Source, hit: &mut impl FnMut(String, u64)) -> Result<(), (String, String)> {
    let Source { base, suite, components } = source;
    let release_url = format!("{base}/dists/{suite}/Release");
    let release = fetch::get(&release_url).map_err(|what| (release_url.clone(), what))?;
    hit(format!("{base} {suite} Release"), release.len() as u64);
    let release = stanza::parse(&String::from_utf8_lossy(&release)).into_iter().next().unwrap_or_default();
    for component in components {
        let name = format!("{component}/binary-amd64/Packages.gz");
        let url = format!("{base}/dists/{suite}/{name}");
        let wrong = |what: String| (url.clone(), what);
        // `SHA256:` holds a line `CHECKSUM SIZE NAME` for each index.
        let known = release.get("SHA256").lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words.get(2) == Some(&name.as_str())).then(|| (words[0].to_owned(), words[1].to_owned()))
        });
        let (sum, size) = known.ok_or_else(|| wrong(format!("the Release file does not name {name}")))?;
        let packed = fetch::get(&url).map_err(wrong)?;
        fetch::verify(&packed, &size, &sum).map_err(wrong)?;
        let mut text = Vec::new();
        let unpacked = GzDecoder::new(packed.as_slice()).read_to_end(&mut text);
        unpacked
            .and_then(|_| std::fs::write(list_path(source, component), &text))
            .map_err(|error: io::Error| wrong(say::reason(&error)))?;
        hit(format!("{base} {suite}/{component} amd64 Packages"), packed.len() as u64);
    }
    Ok(())
}

/// A package of the lists, where it comes from, and what `Get:` lines call that.
pub struct Available {
    pub package: Stanza,
    pub base: String,
    pub origin: String,
}

/// The package of that name in what `update` fetched.
pub fn find(name: &str) -> Option<Available> {
    sources().into_iter().find_map(|source| {
        source.components.iter().find_map(|component| {
            let listed = stanza::read(list_path(&source, component));
            let package = listed.into_iter().find(|package| package.get("Package") == name)?;
            let origin = format!("{} {}/{component} amd64", source.base, source.suite);
            Some(Available { package, base: source.base.clone(), origin })
        })
    })
}
