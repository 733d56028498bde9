//! A replay told as HTML: it is well-formed, whole and escaped, draws the layers that lie on disk, and needs nothing else.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use layerlab_scenarios::html::{Card, Circumstances, address, index, page};
use layerlab_scenarios::page::{Arrangement, Page};
use layerlab_scenarios::replay::{Machine, Observer, PageReport, ReplayOptions, StepStatus, replay};
use layerlab_scenarios::skip::skip;
use scraper::{ElementRef, Html, Selector};

/// The host's shell, and a directory that it fills as a data root.
struct Host(tempfile::TempDir);

impl Machine for Host {
    fn target(&self) -> &str {
        "layerlab"
    }

    fn arrange(&mut self, _: Arrangement) -> Result<(), String> {
        std::fs::create_dir_all(self.0.path().join("image/overlay2/layerdb/sha256")).map_err(|error| error.to_string())
    }

    fn shell(&mut self) -> Result<Command, String> {
        let mut command = Command::new("/bin/sh");
        command.arg("-i").env_clear().env("PS1", "\x1b]133;D;$?\x07# ").env("PS2", "> ");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(self.0.path());
        Ok(command)
    }

    fn engine_log(&mut self) -> String {
        String::new()
    }

    fn tree(&mut self) -> Result<String, String> {
        Ok(String::new())
    }

    fn data_root(&self) -> Option<PathBuf> {
        Some(self.0.path().to_owned())
    }
}

struct Silent;
impl Observer for Silent {}

/// An image of three layers is written by hand; the last step but one is wrong.
const PAGE: &str = r#"---
targets: layerlab, docker
---

# Layers & <b>books</b>

Prose with *words*, `code <x>` and <script>alert("prose")</script>.

| a | b |
|---|---|
| 1 | 2 |

## The machine

```lab
install docker
```

## Steps <i>here</i>

```console
# echo '<script>alert("output")</script> & "more"'
<script>alert("output")</script> & "more"

# for l in a b c; do
> mkdir -p image/overlay2/layerdb/sha256/$l; echo $l-cache > image/overlay2/layerdb/sha256/$l/cache-id
> done; echo a > image/overlay2/layerdb/sha256/b/parent; echo b > image/overlay2/layerdb/sha256/c/parent

@docker # docker only
never

# (exit 3)
@layerlab ? exit 3
@docker ? exit 4

# echo one; echo three
one
two <&>

# echo never
never
```
"#;

fn replayed() -> (Page, PageReport) {
    let parsed = Page::parse("pages/layers.md", PAGE).unwrap();
    let mut host = Host(tempfile::tempdir().unwrap());
    let options = ReplayOptions { moments: true, ..ReplayOptions::default() };
    let report = replay(&parsed, &mut host, &mut Silent, &options).unwrap();
    (parsed, report)
}

fn told() -> (PageReport, String, Card) {
    let (parsed, report) = replayed();
    let on = Circumstances { target: "layerlab".into(), kernel: "6.7 <k>".into(), ..Circumstances::default() };
    let (html, card) = page(&parsed, PAGE, &report, &on).unwrap();
    (report, html, card)
}

fn all<'h>(html: &'h Html, selector: &str) -> Vec<ElementRef<'h>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect()
}

#[test]
fn a_page_is_well_formed_and_loads_nothing() {
    let (_, html, card) = told();
    let list = index(&[card]).unwrap();
    for html in [html, list] {
        let parsed = Html::parse_document(&html);
        assert_eq!(parsed.errors, Vec::<std::borrow::Cow<'_, str>>::new());
        assert!(all(&parsed, "img, iframe, object, embed, audio, video, [src], [srcset]").is_empty());
        for link in all(&parsed, "link") {
            assert!(link.attr("href").unwrap().starts_with("data:"), "{}", link.html());
        }
        assert!(!html.contains("@import") && !html.contains("url("), "a style loads something");
    }
}

#[test]
fn every_step_stands_there_with_its_command_its_output_and_how_it_went() {
    let (report, html, card) = told();
    let parsed = Html::parse_document(&html);
    for step in &report.steps {
        let section = Selector::parse(&format!("#step-{}", step.number)).unwrap();
        let section = parsed.select(&section).next().unwrap_or_else(|| panic!("no step {}", step.number));
        let one = |what: &str| section.select(&Selector::parse(what).unwrap()).next().map(text);
        assert_eq!(one("kbd").unwrap().replace("\n> ", "\n"), step.command);
        assert_eq!(one("samp").unwrap_or_default(), step.actual);
        let class = match step.status {
            StepStatus::Passed => "passed",
            StepStatus::Failed => "failed",
            StepStatus::NotRun => "not-run",
        };
        assert!(section.attr("class").unwrap().contains(class), "{}", section.html());
    }
    assert_eq!((card.passed, card.failed, card.not_run, card.differences), (3, Some(5), 1, 1));
    let other = all(&parsed, "#step-3.elsewhere");
    assert!(text(other[0]).contains("only on docker"), "{}", text(other[0]));
    assert!(text(all(&parsed, "#step-4 .exit")[0]).contains('3'));
    assert_eq!(text(all(&parsed, "#step-4 .differences .ours")[0]), "layerlabexit code 3");
    assert_eq!(text(all(&parsed, "#step-5 .diff .expected")[0]), "-two <&>");
    assert_eq!(text(all(&parsed, "#step-5 .diff .came")[0]), "+three");
}

#[test]
fn nothing_of_page_output_or_machine_becomes_markup() {
    let (_, html, _) = told();
    let parsed = Html::parse_document(&html);
    assert_eq!(all(&parsed, "script").len(), 1, "ours only");
    assert!(all(&parsed, "h1 b, h2 i").is_empty());
    assert_eq!(text(all(&parsed, "h1")[0]), "Layers & books");
    assert!(text(all(&parsed, ".facts")[0]).contains("6.7 <k>"));
    assert!(text(all(&parsed, "main")[0]).contains(r#"<script>alert("prose")</script>"#));
    assert_eq!(all(&parsed, "main > table td").len(), 2, "the page's table");
}

#[test]
fn the_picture_has_the_layers_on_disk_and_the_contents_lead_to_sections() {
    let (report, html, _) = told();
    let parsed = Html::parse_document(&html);
    let books = &report.moments.last().unwrap().books[0];
    assert_eq!(books.layers.len(), 3);
    assert_eq!(all(&parsed, "#step-2 svg .layer").len(), 3);
    assert!(!all(&parsed, "#step-2 .delta .added").is_empty());
    assert!(all(&parsed, "#step-1 svg, #step-1 .delta").is_empty(), "step 1 changes nothing");
    let links = all(&parsed, ".contents a");
    assert_eq!(links.len(), 2);
    for link in links {
        assert_eq!(all(&parsed, link.attr("href").unwrap()).len(), 1);
    }
}

#[test]
fn a_data_root_of_another_layout_has_no_picture_and_the_page_says_so() {
    let (parsed, mut report) = replayed();
    report.moments.iter_mut().for_each(|moment| moment.books.clear());
    let (html, _) = page(&parsed, PAGE, &report, &Circumstances::default()).unwrap();
    assert!(html.contains("there are no pictures of layer stacks") && !html.contains("<svg"));
}

/// Writes the address of whatever a page loaded, or tried to, into the page.
const PROBE: &str = r#"<script>
addEventListener("load", () => {
  const loaded = document.createElement("p");
  loaded.id = "loaded";
  loaded.textContent = performance.getEntriesByType("resource").map((entry) => entry.name).join(" ");
  document.body.append(loaded);
});
</script>"#;

/// What the browser says on its console when it opens a page, and what the page loads; no name has an address for it.
fn opened_by_chromium(chromium: &Path, html: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, html.replace("<style>", &format!("{PROBE}<style>"))).unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-crash-reporter"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(address(&file))
        .output()
        .unwrap();
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let parsed = Html::parse_document(&shown);
    let loaded = all(&parsed, "#loaded").into_iter().next().map(text).expect("the page was not loaded to its end");
    (said.lines().filter(|line| line.contains(":CONSOLE")).collect::<Vec<_>>().join("\n"), loaded)
}

#[test]
fn a_browser_opens_it_without_a_script_error_or_a_request() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|p| p.exists());
    let Some(chromium) = found else { return skip("chromium", "there is no chromium to open an HTML page with") };
    let (_, html, _) = told();
    assert_eq!(opened_by_chromium(&chromium, &html), (String::new(), String::new()));
    // The browser would have told.
    let wrong = html.replace("</body>", "<img src=\"https://example.org/x.png\"><script>nothing()</script></body>");
    let (said, loaded) = opened_by_chromium(&chromium, &wrong);
    assert!(said.contains("nothing is not defined"), "{said}");
    assert_eq!(loaded, "https://example.org/x.png");
}
