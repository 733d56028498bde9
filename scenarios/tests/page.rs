//! The page format: what each line of a page means, and how a wrong page is refused.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use layerlab_scenarios::page::{Arrangement, Differences, ExpectedText, Host, Item, Page, Prompt, Step};

fn page(console: &str) -> Result<Page, String> {
    Page::parse("x.md", &format!("# Title\n\n```console\n{console}\n```\n")).map_err(|error| error.to_string())
}

fn first(console: &str) -> Step {
    page(console).unwrap().steps().next().unwrap().clone()
}

fn refused(console: &str) -> String {
    page(console).unwrap_err()
}

fn expected(step: &Step, target: &str) -> Vec<String> {
    let source = |text: &ExpectedText| match text {
        ExpectedText::Line(pattern) => pattern.source.clone(),
        ExpectedText::AnyLines => "<any>".into(),
    };
    step.expected_for(target).iter().map(|expected| source(&expected.text)).collect()
}

#[test]
fn a_page_has_a_title_a_source_and_targets() {
    let text = "---\nsource: doc.txt\ntargets: docker\nchecklist: AB-01\n---\n# The *title*\n\n```console\n# ls\n```\n";
    let page = Page::parse("dir/name.md", text).unwrap();
    assert_eq!((page.title.as_str(), page.name().as_str()), ("The title", "name"));
    assert_eq!(page.source.as_deref(), Some("doc.txt"));
    assert_eq!(page.targets, ["docker"]);
}

#[test]
fn the_page_of_the_house_is_a_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("walkthroughs/httpd.md");
    let page = Page::read(path).unwrap();
    assert_eq!(page.name(), "httpd");
    assert!(page.steps().count() > 50);
}

#[test]
fn steps_are_numbered_and_know_their_line_and_section() {
    let text = "# T\n\n## One\n```console\n# a\n```\nwords\n\n## Two\n\n```console\n# b\nout\n\n$ c\n```\n";
    let page = Page::parse("x.md", text).unwrap();
    let told: Vec<_> = page.steps().map(|s| (s.number, s.line, s.section.clone(), s.command_text())).collect();
    let wanted = [(1, 5, "One", "a"), (2, 12, "Two", "b"), (3, 15, "Two", "c")];
    assert_eq!(told, wanted.map(|(n, l, s, c)| (n, l, s.to_owned(), c.to_owned())));
}

#[test]
fn blank_lines_before_the_next_command_do_not_count_but_others_do() {
    assert_eq!(expected(&first("# a\none\n\ntwo\n\n\n# b"), "docker"), ["one", "", "two"]);
}

#[test]
fn options_stand_after_the_command() {
    let step = first("# a\n? exit 3\n? columns\n? unordered\n? timeout 60s\nout");
    let rules = step.rules("docker");
    assert_eq!((rules.exit, rules.columns, rules.unordered), (3, true, true));
    assert_eq!(rules.timeout, Some(Duration::from_secs(60)));
    assert!(refused("# a\nout\n? exit 1").contains("x.md:6: an option after output"));
    assert!(refused("# a\n? exit x").contains("x.md:5: '? exit x': an exit code is 0 to 255"));
    assert!(refused("# a\n? exit 256").contains("0 to 255"));
    assert!(refused("# a\n? timeout 60").contains("write seconds"));
    assert!(refused("# a\n? colums").contains("no option 'colums'"));
    assert!(refused("? exit 1").contains("an option before any command"));
}

#[test]
fn a_prefix_limits_a_line_an_option_or_a_step_to_a_target() {
    let page = page("# a\n@docker ? exit 1\n@layerlab ours\n@docker theirs\nboth\n\n@docker # b").unwrap();
    let steps: Vec<&Step> = page.steps().collect();
    assert_eq!((steps[0].rules("docker").exit, steps[0].rules("layerlab").exit), (1, 0));
    assert_eq!(expected(steps[0], "layerlab"), ["ours", "both"]);
    assert_eq!(expected(steps[0], "docker"), ["theirs", "both"]);
    assert!(steps[1].targets.hold_for("docker") && !steps[1].targets.hold_for("layerlab"));
    assert_eq!(steps[1].number, 2);
}

#[test]
fn a_prefix_that_names_a_storage_driver_limits_what_has_it_to_that_driver() {
    let page = page("# a\n@vfs,btrfs copied\n@docker,overlay2 mounted\nboth\n\n@vfs # b").unwrap();
    let (copy, mount) = (page.on("vfs"), page.on("overlay2"));
    let steps: Vec<&Step> = copy.steps().collect();
    assert_eq!(expected(steps[0], "docker"), ["copied", "both"]);
    assert_eq!((steps.len(), steps[1].number, steps[1].targets.hold_for("docker")), (2, 2, true));
    let [step] = &mount.steps().collect::<Vec<_>>()[..] else { panic!("the second step is of another driver") };
    assert_eq!(
        (expected(step, "docker"), expected(step, "layerlab")),
        (vec!["mounted".into(), "both".into()], vec!["both".into()])
    );
}

#[test]
fn an_unknown_target_is_refused() {
    assert!(
        refused("# a\n@dokcer out").contains("x.md:5: '@dokcer' names no target; this page knows layerlab, docker")
    );
}

#[test]
fn a_backslash_makes_any_line_output() {
    let step = first("# cat notes\n\\# not a command\n\\? exit 1\n\\...\n\\@docker\n\\\\\n@docker \\# theirs");
    assert_eq!(expected(&step, "layerlab"), ["# not a command", "? exit 1", "...", "@docker", "\\"]);
    assert_eq!(expected(&step, "docker").last().unwrap(), "# theirs");
}

#[test]
fn dots_alone_are_any_lines() {
    assert_eq!(expected(&first("# a\n...\nx ...\n..."), "docker"), ["<any>", "x ...", "<any>"]);
}

#[test]
fn a_command_goes_on_after_a_continuation_prompt() {
    let step = first("# for i in 1 2; do\n> echo $i\n> done\n1\n> 2");
    assert_eq!(step.command_text(), "for i in 1 2; do\necho $i\ndone");
    assert_eq!(expected(&step, "docker"), ["1", "> 2"]);
}

#[test]
fn user_at_host_is_the_prompt_of_a_session() {
    let page =
        page("# echo 0123456789ab\n[[web:short]]\n# docker exec -it web sh\nroot@[[web:short]]:/usr# ls -l\nout")
            .unwrap();
    let step = page.steps().nth(2).unwrap();
    let Prompt::Session(prompt) = &step.prompt else { panic!("not a session: {step:?}") };
    assert_eq!((prompt.source.as_str(), step.command_text().as_str()), ("root@[[web:short]]:/usr#", "ls -l"));
}

#[test]
fn another_prompt_is_announced() {
    let page = page("# docker exec -it web sh\n? opens / #\n/ # ls\n/ # exit").unwrap();
    let prompts: Vec<String> = page.steps().map(|step| format!("{} {}", step.prompt, step.command_text())).collect();
    assert_eq!(prompts, ["# docker exec -it web sh", "/ # ls", "/ # exit"]);
}

#[test]
fn lab_blocks_are_directives_and_other_blocks_are_refused() {
    let page = Page::parse("x.md", "# T\n```lab\ninstall docker\n\n@docker start docker\n```\n```console\n# a\n```\n")
        .unwrap();
    let Item::Arrange(first) = &page.items[0] else { panic!() };
    let Item::Arrange(second) = &page.items[1] else { panic!() };
    assert_eq!((first.arrangement, first.line), (Arrangement::InstallDocker, 3));
    assert_eq!((second.arrangement, second.line), (Arrangement::StartDocker, 5));
    assert!(!second.targets.hold_for("layerlab"));
    let error = Page::parse("x.md", "# T\n\n```consol\n# a\n```\n").unwrap_err().to_string();
    assert!(error.starts_with("x.md:3: a block of 'consol'"), "{error}");
}

#[test]
fn steps_for_the_model_are_kept_with_their_lines_and_where_they_come_from() {
    let text = "---\nlaw: x\nseed: 7\n---\n# T\n\n```steps\n{\"a\":1}\n\n{\"b\":2}\n```\n";
    let page = Page::parse("x.md", text).unwrap();
    assert_eq!(page.model_steps, [(8, "{\"a\":1}".to_owned()), (10, "{\"b\":2}".to_owned())]);
    assert_eq!((page.origin["law"].as_str(), page.origin["seed"].as_str()), ("x", "7"));
    assert_eq!(page.steps().count(), 0, "a page may hold steps for the model only");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    assert!(refused("out").contains("x.md:4: output before any command"));
    assert!(refused("# a\n#").contains("x.md:5: a prompt without a command"));
    assert!(refused("# a\n[[x:colour]]").contains("x.md:5: [[x:colour]]: no kind 'colour'"));
    assert!(refused("# a\n[[X:id]]").contains("a name begins with a lower-case letter"));
    assert!(refused("# a\n[[]]").contains("write [[..]]"));
    assert!(refused("# a\n[[x]]").contains("x.md:5: [[x]] has no kind yet"));
    assert!(refused("# a\tb").contains("key press"));
    let no_title = Page::parse("x.md", "```console\n# a\n```\n").unwrap_err().to_string();
    assert!(no_title.contains("x.md:1: a page begins with its title"), "{no_title}");
    assert!(Page::parse("x.md", "# T\n").unwrap_err().to_string().contains("no step"));
    assert!(Page::parse("x.md", "# T\n\n# U\n").unwrap_err().to_string().contains("x.md:3: a page has one title"));
    let front = Page::parse("x.md", "---\nsource: a\nneeds: b\n---\n# T\n").unwrap_err().to_string();
    assert!(
        front.contains(
            "x.md:3: no key 'needs' with this value; there are source, targets, driver, checklist, `users: several`"
        ),
        "{front}"
    );
    assert!(Page::read("/nowhere.md").unwrap_err().to_string().contains("cannot read the page /nowhere.md"));
}

#[test]
fn a_command_uses_only_names_that_output_has_shown() {
    assert!(refused("# cat [[x]]").contains("x.md:4: [[x]] is typed before any output has shown it"));
    assert!(refused("# cat [[..]]").contains("cannot be typed"));
    assert!(refused("# cat [[:id]]").contains("cannot be typed"));
    assert!(page("# a\n[[x:id]]\n# cat [[x]] [[x:short]]").is_ok());
}

#[test]
fn a_name_keeps_one_kind_of_value() {
    assert!(page("# a\n[[x:id]]\n[[x:short]] [[x:digest]]").is_ok());
    let error = refused("# a\n[[x:id]]\n[[x:port]]");
    assert!(error.contains("x.md:6: [[x:port]]: on line 5 'x' is of kind id"), "{error}");
    assert!(refused("# a\n[[x:id]] [[x:port]]").contains("of kind id"));
}

#[test]
fn double_brackets_of_a_shell_are_literal() {
    assert_eq!(first("# [[ -f x ]] && echo yes").command_text(), "[[ -f x ]] && echo yes");
}

#[test]
fn a_target_that_is_none_is_refused_in_the_front_matter() {
    for targets in ["layerlab, nerdctl", ""] {
        let text = format!("---\ntargets: {targets}\n---\n# T\n```console\n# a\n```\n");
        let error = Page::parse("x.md", &text).unwrap_err().to_string();
        assert!(
            error.starts_with("x.md:2: no target '") && error.ends_with("there are layerlab, docker, podman"),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_directive_is_refused_when_the_page_is_read() {
    for arrangement in Arrangement::ALL {
        let text = format!("# T\n```lab\n{arrangement}\n```\n```console\n# a\n```\n");
        let page = Page::parse("x.md", &text).unwrap();
        assert!(matches!(&page.items[0], Item::Arrange(directive) if directive.arrangement == arrangement));
    }
    for wrong in ["instal docker", "registry is in love", "registry"] {
        let text = format!("# T\n```lab\n@docker {wrong}\n```\n```console\n# a\n```\n");
        let error = Page::parse("x.md", &text).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("x.md:3: no machine can '{wrong}'; the directives are `install")),
            "{error}"
        );
    }
}

#[test]
fn an_exit_code_that_nobody_can_see_is_refused() {
    let opens = "# docker exec -it web sh\n? opens / #\n";
    let error = refused(&format!("{opens}/ # ls\n? exit 1\n/ # exit"));
    assert!(error.contains("x.md:6: `? exit` cannot be checked"), "{error}");
    assert!(refused(&format!("# a\n{opens}? exit 0\n/ # exit")).contains("x.md:5: `? exit` cannot"));
    assert!(page(&format!("{opens}/ # ls\n/ # exit 4\n? exit 4\n# b")).is_ok(), "the end of a session tells its code");
    assert!(
        page(&format!("@docker # a\n@docker ? exit 1\n{}", opens.replace("# docker", "@layerlab # docker"))).is_ok()
    );
}

#[test]
fn a_block_that_markdown_passes_over_is_refused() {
    let wrong = |text: &str| {
        let text = format!("# T\n\n```console\n# a\n```\n\n{text}\n");
        Page::parse("x.md", &text).map(|_| ()).map_err(|error| error.to_string())
    };
    for (text, said) in [
        ("<div>\n```console\n# b\n```\n</div>", "x.md:8: this fence opens no block"),
        ("<!--\n~~~lab\nstart docker\n~~~\n-->", "x.md:8: this fence opens no block"),
        ("words\n    ```console\n    # b\n    ```", "x.md:8: this fence opens no block"),
        ("    # b\n    out", "x.md:7: an indented block is not run"),
        ("    ```console\n    # b\n    ```", "x.md:7: an indented block is not run"),
        ("```console\n# b", "x.md:7: the block has no end"),
        ("````console\n# b\n```", "x.md:7: the block has no end"),
        ("- one\n  ```console\n  # b\n\ntwo", "x.md:8: the block has no end"),
    ] {
        let error = wrong(text).expect_err(text);
        assert!(error.starts_with(said), "{text}: {error}");
    }
    for right in ["> ~~~text\n> # b\n> ~~~", "- one\n  ```console\n  # b\n  ```", "<br>", "````text\n```console\n````"]
    {
        wrong(right).unwrap_or_else(|error| panic!("{right}: {error}"));
    }
}

#[test]
fn a_page_names_its_storage_drivers_the_default_first() {
    let page = |front: &str| Page::parse("x.md", &format!("---\n{front}\n---\n# T\n```console\n# a\n```\n"));
    let free = page("targets: docker").unwrap();
    assert_eq!((free.driver(None), free.driver(Some("vfs"))), ("overlay2", "vfs"));
    let bound = page("driver: overlay, vfs").unwrap();
    assert_eq!((bound.driver(None), bound.driver(Some("vfs"))), ("overlay", "vfs"));
    assert_eq!(bound.driver(Some("overlay2")), "overlay", "the page is about other drivers");
    let error = page("driver: zfs").unwrap_err().to_string();
    assert!(error.contains("x.md:2: no storage driver 'zfs'") && error.contains("overlay2, overlay, vfs"), "{error}");
}

#[test]
fn keys_are_text_and_control_keys() {
    let steps = page("# vi /tmp/x\n? keys iSome text.^[:wq^M\n# apt-get install x\n? keys \"[Y/n]\" \\^y^?^M").unwrap();
    let keys: Vec<_> = steps.steps().flat_map(|step| step.rules("docker").keys).collect();
    assert_eq!((keys[0].after.as_deref(), keys[0].pressed.as_str()), (None, "iSome text.\x1b:wq\r"));
    assert_eq!((keys[1].after.as_deref(), keys[1].pressed.as_str()), (Some("[Y/n]"), "^y\x7f\r"));
    for (wrong, said) in [
        ("? keys", "no option 'keys'"),
        ("? keys i^1", "`^` is written before"),
        ("? keys \"[Y/n]\"", "write a quotation mark"),
    ] {
        let error = refused(&format!("# vi\n{wrong}"));
        assert!(error.contains(said) || error.contains("no keys"), "{wrong}: {error}");
    }
}

#[test]
fn a_command_of_only_control_keys_is_pressed() {
    let page = page("# docker run -it x\nroot@c:/# ^P^Q\n# echo ^P").unwrap();
    let pressed: Vec<_> = page.steps().map(layerlab_scenarios::page::Step::pressed).collect();
    assert_eq!(pressed, [None, Some("\x10\x11".to_owned()), None]);
}

#[test]
fn steps_know_their_host_and_what_differs_between_targets_is_counted() {
    let lab = "```lab\nhost 192.168.56.226\n```\n";
    let text = format!(
        "# T\n```console\n# a\n@docker 1\n@layerlab,podman 2\n# b\nc\n@podman # d\n```\n{lab}```console\n# e\n```\n"
    );
    let page = Page::parse("x.md", &text).unwrap();
    let hosts: Vec<Host> = page.steps().map(|step| step.host).collect();
    assert_eq!(hosts, [Host::First, Host::First, Host::First, Host::Second]);
    assert!(page.has_second_host());
    let differences = |unlike, marked, left_out| Differences { unlike, marked, left_out };
    assert_eq!(page.differences("layerlab"), differences("docker", 1, 0));
    assert_eq!(page.differences("docker"), differences("layerlab", 1, 0), "a step of podman alone is left out nowhere");
    assert_eq!(page.differences("podman"), differences("docker", 2, 0));
    let all = Page::parse("x.md", "---\ntargets: docker\n---\n# T\n```console\n@docker # a\n```\n").unwrap();
    assert_eq!(all.differences("docker"), differences("layerlab", 1, 0));
    let some = Page::parse("x.md", &text.replace("host 1", "@docker host 1")).unwrap_err().to_string();
    assert!(some.contains("a page changes hosts for all targets"), "{some}");
}

proptest::proptest! {
    /// Checklist: SE-08~
    #[test]
    fn a_disturbed_page_is_taken_or_refused(
        changes in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), "[`#@:{}\\[\\]*?<>=|\n .-]"), 0..12),
    ) {
        let mut text: Vec<String> = include_str!("../walkthroughs/httpd.md").chars().map(String::from).collect();
        for (at, sign) in changes {
            let at = at.index(text.len());
            text[at] = sign;
        }
        let _ = Page::parse("x.md", &text.concat());
    }
}
