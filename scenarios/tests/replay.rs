//! The runner against a real shell in a real terminal: what a right page looks like, and that every kind of wrong page fails.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use layerlab_scenarios::page::{Arrangement, Page, Step};
use layerlab_scenarios::replay::{
    ConsoleObserver, Failure, Machine, Observer, PageReport, Problem, ReplayError, ReplayOptions, StepReport,
    StepStatus, replay,
};
use layerlab_scenarios::skip::skip;

/// The host's own shell, with a directory that plays the data root.
struct Host {
    target: &'static str,
    shell: fn() -> Command,
    root: tempfile::TempDir,
    log: String,
}

const PROMPT: &str = "\x1b]133;D;$?\x07# ";

fn sh() -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-i").env_clear().env("PS1", PROMPT).env("PS2", "> ").env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

fn bash() -> Command {
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile", "-i"]).env("PS1", "\\[\\e]133;D;$?\\a\\]# ").env("PS2", "> ");
    command.env_remove("PROMPT_COMMAND").env("HISTFILE", "/dev/null");
    command
}

impl Host {
    fn new() -> Self {
        Host { target: "layerlab", shell: sh, root: tempfile::tempdir().unwrap(), log: String::new() }
    }
}

impl Machine for Host {
    fn target(&self) -> &str {
        self.target
    }

    fn arrange(&mut self, arrangement: Arrangement) -> Result<(), String> {
        if arrangement != Arrangement::InstallDocker {
            return Err("it only installs".into());
        }
        std::fs::write(self.root.path().join("made"), "").map_err(|error| error.to_string())
    }

    fn shell(&mut self) -> Result<Command, String> {
        let mut command = (self.shell)();
        command.current_dir(self.root.path());
        Ok(command)
    }

    fn engine_log(&mut self) -> String {
        // Each look finds one line more.
        self.log += "engine: it hurts\n";
        self.log.clone()
    }

    fn tree(&mut self) -> Result<String, String> {
        layerlab_scenarios::listing::listing(self.root.path()).map_err(|error| error.to_string())
    }
}

struct Silent;
impl Observer for Silent {}

fn parse(console: &str) -> Page {
    Page::parse("pages/x.md", &format!("# T\n\n```console\n{console}\n```\n")).unwrap()
}

fn on(host: &mut Host, console: &str) -> PageReport {
    let options = ReplayOptions { timeout: Duration::from_secs(20), ..ReplayOptions::default() };
    replay(&parse(console), host, &mut Silent, &options).unwrap()
}

fn run(console: &str) -> PageReport {
    on(&mut Host::new(), console)
}

fn passes(console: &str) -> PageReport {
    let report = run(console);
    if let Some(failure) = &report.failure {
        panic!("{failure}");
    }
    report
}

fn fails(console: &str) -> Failure {
    run(console).failure.expect("the page is wrong and must fail")
}

const ID: &str = "2de088e9fd32097b7d747d1b009ff596fc79b95b26c4fc1a91701e237ec1e9c8";
const OTHER: &str = "b9c65fdcfd32097b7d747d1b009ff596fc79b95b26c4fc1a91701e237ec1e9c8";

/// Opens a session whose prompt is that of a container's shell.
const SESSION: &str = "env PS1='root@2de088e9fd32:$PWD# ' /bin/sh -i";

#[test]
fn a_right_page_passes_step_by_step() {
    let report = passes("# echo one; echo two\none\ntwo\n\n# cd /usr\n# pwd\n/usr\n\n$ (exit 3)\n? exit 3");
    assert!(report.is_passed());
    assert_eq!(report.count(StepStatus::Passed), 4);
    let told: Vec<_> = report.steps.iter().map(|step| (step.number, step.actual.as_str(), step.exit)).collect();
    assert_eq!(told, [(1, "one\ntwo", Some(0)), (2, "", Some(0)), (3, "/usr", Some(0)), (4, "", Some(3))]);
}

#[test]
fn other_output_fails_with_a_diff() {
    let failure = fails("# echo one; echo two\none\nthree");
    assert!(
        matches!(&failure.problems[..], [Problem::Output { diff, .. }] if diff.contains("-three\n+two")),
        "{failure}"
    );
}

#[test]
fn missing_and_surplus_output_fails() {
    fails("# true\nout");
    fails("# echo out");
    fails("# echo out\n");
}

#[test]
fn another_exit_code_fails() {
    assert_eq!(fails("# (exit 3)").problems, [Problem::Exit { wanted: 0, got: 3 }]);
    assert_eq!(fails("# true\n? exit 1").problems, [Problem::Exit { wanted: 1, got: 0 }]);
}

#[test]
fn another_id_fails_and_is_explained() {
    let failure = fails(&format!("# echo {ID}\n[[html:id]]\n# echo {OTHER}\n[[html:id]]"));
    let text = failure.to_string();
    assert!(text.contains(&format!("[[html]] is {ID} since step 1 (line 5), but here stands {OTHER}")), "{text}");
    assert!(text.contains(&format!("html = {ID} (step 1, line 5)")), "{text}");
}

#[test]
fn one_id_under_two_names_fails() {
    let text = fails(&format!("# echo {ID}\n[[html:id]]\n# echo {ID}\n[[upper:id]]")).to_string();
    assert!(text.contains(&format!("[[upper]] would be {ID}, which is [[html]]")), "{text}");
}

#[test]
fn the_report_of_a_failure_says_all_there_is_to_know() {
    let text = fails("# true\n\n# echo wrong\nright").to_string();
    for part in ["pages/x.md:6: step 2 failed on layerlab", "# echo wrong", "-right", "+wrong", "engine: it hurts"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(text.ends_with("to run just this step: cargo xtask replay pages/x.md --on layerlab --only 2"), "{text}");
}

#[test]
fn after_a_failure_nothing_is_typed() {
    let report = run("# false\n# install docker\n# true");
    assert_eq!(report.count(StepStatus::NotRun), 2);
    assert_eq!(report.failure.unwrap().step, 1);
}

#[test]
fn a_name_is_typed_as_what_it_stands_for() {
    let page = format!("# echo {ID}\n[[x:id]]\n# echo [[x]] [[x:short]] [[x:digest]]\n{ID} {} sha256:{ID}", &ID[..12]);
    assert_eq!(passes(&page).steps[1].command, format!("echo {ID} {} sha256:{ID}", &ID[..12]));
}

#[test]
fn an_id_of_which_only_the_short_form_is_known_cannot_be_typed_in_full() {
    let failure = fails(&format!("# echo {}\n[[x:short]]\n# echo [[x:id]]\n[[x:id]]", &ID[..12]));
    assert!(failure.to_string().contains("cannot be typed in full"), "{failure}");
}

#[test]
fn progress_bars_end_as_what_is_seen() {
    passes("# printf 'layer:  10%%\\rlayer: 100%%\\n'\nlayer: 100%");
    passes("# printf 'one\\ntwo: Waiting\\n\\033[1A\\033[2K\\rtwo: Done\\r\\033[1BEnd\\n'\none\ntwo: Done\nEnd");
}

#[test]
fn programs_that_ask_the_terminal_are_answered() {
    let ask = |question: &str, count: usize| {
        format!(
            "# stty raw -echo; printf '\\033[{question}'; r=$(dd bs=1 count={count} 2>/dev/null | od -An -tx1); stty sane; echo $r"
        )
    };
    passes(&format!("{}\n1b 5b 30 6e", ask("5n", 4)));
    passes(&format!("{}\n1b 5b 3f 31 3b 32 63", ask("c", 7)));
    passes(&format!("{}\n...\n[[..]]1b 5b 33 30 3b 37 52", ask("30;7H\\033[6n", 7)));
}

#[test]
fn wrapped_lines_are_one_line_again() {
    let long = "x".repeat(250);
    let exact = "y".repeat(120);
    passes(&format!("# echo {long}\n{long}"));
    passes(&format!("# echo {exact}; echo z\n{exact}\nz"));
    for pad in 100..125 {
        let filler = "w".repeat(pad);
        passes(&format!("# echo {filler}\n{filler}"));
    }
}

#[test]
fn five_thousand_lines_are_kept() {
    let report = passes("# i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done\nline 0\n...\nline 4999");
    assert_eq!(report.steps[0].actual.lines().count(), 5000);
}

#[test]
fn more_lines_than_are_kept_fail() {
    let failure = fails("# yes | head -n 25000\n? timeout 60s\n...");
    assert_eq!(failure.problems, [Problem::TooMuchOutput]);
}

#[test]
fn output_without_a_newline_at_its_end_is_output() {
    passes("# printf abc\nabc\n# echo d\nd");
    passes("# printf '\\043 '\n\\#\n# echo d\nd");
}

#[test]
fn commands_go_on_over_lines() {
    passes("# for i in 1 2\n> do echo $i\n> done\n1\n2");
    let failure = fails("# echo 1\n> echo 2\n1\n2");
    assert!(failure.to_string().contains("took 'echo 1' as a whole command"), "{failure}");
}

#[test]
fn a_session_is_typed_at_its_own_prompt() {
    let page = format!(
        "# echo {ID}\n[[web:id]]\n# cd /\n# {SESSION}\nroot@[[web:short]]:/# cd usr\nroot@[[web:short]]:/usr# echo in; echo side\nin\nside\nroot@[[web:short]]:/usr# exit\n# pwd\n/"
    );
    let report = passes(&page);
    assert_eq!(report.steps[4].exit, None, "a session's shell tells no exit code");
    assert_eq!(report.count(StepStatus::Passed), 7);
}

#[test]
fn a_prompt_may_bind_a_name() {
    passes(&format!("# cd /\n# {SESSION}\nroot@[[web:short]]:/# exit\n# echo [[web]]\n{}", &ID[..12]));
}

#[test]
fn the_exit_code_of_a_session_is_that_of_the_step_that_ends_it() {
    passes(&format!("# cd /\n# {SESSION}\nroot@[[web:short]]:/# exit 4\n? exit 4"));
    let failure = fails(&format!("# cd /\n# {SESSION}\nroot@[[web:short]]:/# exit 4"));
    assert_eq!(failure.problems, [Problem::Exit { wanted: 0, got: 4 }]);
}

/// A program that takes the screen, reads five keys and gives the screen back.
const EDITOR: &str = "stty -icanon -echo; printf '\\033[?1049h~ drawn\\r\\n# '; x=$(dd bs=1 count=5 2>/dev/null); \
                      printf '\\033[?1049l'; stty icanon echo; echo got ${#x}";

#[test]
fn keys_are_pressed_once_a_program_has_taken_the_screen() {
    passes(&format!("# {EDITOR}\n? keys ab^Bcd\ngot 5\n# pwd\n..."));
}

#[test]
fn keys_are_pressed_once_a_question_shows() {
    passes("# printf 'Sure? [Y/n] '; read x; echo $x\n? keys \"[Y/n]\" no^M\nSure? [Y/n] no\nno\n# pwd\n...");
    let failure = fails("# echo x\n? keys \"[Y/n]\" no^M\n# pwd\n...");
    assert!(failure.to_string().contains("the program ended before it showed the text '[Y/n]'"), "{failure}");
}

#[test]
fn control_keys_end_a_session_without_enter() {
    passes(&format!("# {SESSION}\nroot@2de088e9fd32:[[..]]# ^D\n# echo out\nout"));
}

#[test]
fn a_session_with_another_prompt_fails_at_once() {
    let begun = Instant::now();
    let page = format!("# echo {OTHER}\n[[web:id]]\n# cd /\n# {SESSION}\nroot@[[web:short]]:/# exit");
    let failure = fails(&page);
    assert!(
        matches!(&failure.problems[..], [Problem::Prompt { found, .. }] if found == "root@2de088e9fd32:/#"),
        "{failure}"
    );
    let failure = fails(&format!("# cd /\n# {SESSION}\nroot@2de088e9fd32:/# cd usr\nroot@2de088e9fd32:/var# exit"));
    assert!(
        matches!(&failure.problems[..], [Problem::Prompt { found, .. }] if found == "root@2de088e9fd32:/usr#"),
        "{failure}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_session_that_does_not_open_fails_at_once() {
    let begun = Instant::now();
    let failure = fails("# echo no session\nroot@2de088e9fd32:/# exit");
    assert!(matches!(&failure.problems[..], [Problem::Prompt { found, .. }] if found == "#"), "{failure}");
    assert_eq!(failure.actual, ["no session"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_session_that_the_page_forgets_to_leave_fails_at_once() {
    let begun = Instant::now();
    let failure = fails(&format!("# cd /\n# {SESSION}\nroot@2de088e9fd32:/# echo in\nin"));
    assert!(matches!(&failure.problems[..], [Problem::Prompt { wanted, .. }] if wanted == "#"), "{failure}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_step_that_takes_too_long_fails_with_what_was_on_screen() {
    let failure = fails("# echo begun; sleep 100\n? timeout 1s\nbegun");
    assert!(matches!(&failure.problems[..], [Problem::TimedOut { .. }]), "{failure}");
    assert_eq!(failure.actual, ["begun"]);
    let text = failure.to_string();
    assert!(text.contains("did not show within 1 s") && text.contains("on the screen:\n  begun"), "{text}");
}

#[test]
fn a_shell_that_ends_fails() {
    let failure = fails("# echo bye; exit\nbye");
    assert!(matches!(&failure.problems[..], [Problem::ShellEnded { .. }]), "{failure}");
}

#[test]
fn a_machine_without_a_shell_is_an_error() {
    let mut host = Host { shell: || Command::new("/nowhere/sh"), ..Host::new() };
    let error = replay(&parse("# true"), &mut host, &mut Silent, &ReplayOptions::default()).unwrap_err();
    assert!(matches!(error, ReplayError::Terminal { .. }), "{error}");
    let mut silent = Host { shell: || Command::new("/bin/false"), ..Host::new() };
    let error = replay(&parse("# true"), &mut silent, &mut Silent, &ReplayOptions::default()).unwrap_err();
    assert!(error.to_string().contains("the shell ended"), "{error}");
}

#[test]
fn steps_and_lines_of_other_targets_are_left_out() {
    let page = "# echo $((1+1))\n@docker 3\n@layerlab 2\n@docker # false\n# echo end\nend";
    let report = passes(page);
    assert_eq!(report.steps.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 3]);
    let mut docker = Host { target: "docker", ..Host::new() };
    assert_eq!(on(&mut docker, page).failure.unwrap().step, 1);
    let mut other = Host { target: "nerdctl", ..Host::new() };
    let error = replay(&parse(page), &mut other, &mut Silent, &ReplayOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no words for the target 'nerdctl'"), "{error}");
}

#[test]
fn directives_go_to_the_machine_between_steps() {
    let text = "# T\n```console\n# ls\n```\n```lab\ninstall docker\n```\n```console\n# ls\nmade\n```\n";
    let page = Page::parse("x.md", text).unwrap();
    let report = replay(&page, &mut Host::new(), &mut Silent, &ReplayOptions::default()).unwrap();
    assert!(report.is_passed());
    let page = Page::parse("x.md", &text.replace("install", "start")).unwrap();
    let error = replay(&page, &mut Host::new(), &mut Silent, &ReplayOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "x.md:6: the machine cannot 'start docker': it only installs");
}

#[derive(Default)]
struct Listening(Vec<String>);

impl Observer for Listening {
    fn setting_up(&mut self, count: usize) {
        self.0.push(format!("set-up {count}"));
    }
    fn step_started(&mut self, step: &Step) {
        self.0.push(format!("start {}", step.number));
    }
    fn step_passed(&mut self, step: &Step, _: &StepReport) {
        self.0.push(format!("pass {}", step.number));
    }
    fn step_failed(&mut self, step: &Step, _: &Failure) {
        self.0.push(format!("fail {}", step.number));
    }
    fn pause(&mut self, step: &Step) -> ControlFlow<()> {
        self.0.push(format!("pause {}", step.number));
        ControlFlow::Continue(())
    }
}

#[test]
fn only_one_step_is_shown_after_those_before_it_were_typed() {
    let page = parse("# touch a\n# ls\na\n# ls; touch b\na\n# false");
    let options = ReplayOptions { only: Some(3), ..ReplayOptions::default() };
    let mut seen = Listening::default();
    let report = replay(&page, &mut Host::new(), &mut seen, &options).unwrap();
    assert_eq!(seen.0, ["set-up 2", "start 3", "pass 3"]);
    assert!(report.is_passed());
    assert_eq!(report.steps[3].status, StepStatus::NotRun);
    let wrong = ReplayOptions { only: Some(9), ..ReplayOptions::default() };
    let error = replay(&page, &mut Host::new(), &mut Silent, &wrong).unwrap_err();
    assert!(error.to_string().contains("no step 9 for the target 'layerlab'; its steps are 1 to 4"), "{error}");
}

#[test]
fn pauses_come_after_every_shown_step() {
    let options = ReplayOptions { pause: true, ..ReplayOptions::default() };
    let mut seen = Listening::default();
    replay(&parse("# true\n# false"), &mut Host::new(), &mut seen, &options).unwrap();
    assert_eq!(seen.0, ["set-up 0", "start 1", "pass 1", "pause 1", "start 2", "fail 2"].map(str::to_owned)[1..]);
}

#[test]
fn the_end_of_the_input_at_a_pause_stops_the_replay() {
    let options = ReplayOptions { pause: true, ..ReplayOptions::default() };
    let mut console = ConsoleObserver::plain(Vec::new()).reading(&b"\n"[..]);
    let page = parse("# true\n# true\n# true");
    let report = replay(&page, &mut Host::new(), &mut console, &options).unwrap();
    assert_eq!((report.stopped, report.is_passed(), report.count(StepStatus::NotRun)), (Some(2), false, 1));
    let text = String::from_utf8(console.into_inner()).unwrap();
    assert!(text.ends_with("stopped after step 2, 2 passed, 1 not run\n"), "{text}");
}

#[test]
fn the_console_shows_every_step_and_a_summary() {
    let mut console = ConsoleObserver::plain(Vec::new());
    replay(&parse("# echo a\na\n\n# true"), &mut Host::new(), &mut console, &ReplayOptions::default()).unwrap();
    let text = String::from_utf8(console.into_inner()).unwrap();
    assert!(
        text.lines().any(|line| line.starts_with("   1  # echo a") && line.contains('✓') && line.ends_with(" ms")),
        "{text}"
    );
    assert!(text.ends_with("\n2 steps passed\n"), "{text}");
    let mut console = ConsoleObserver::plain(Vec::new());
    replay(&parse("# true\n# false\n# true"), &mut Host::new(), &mut console, &ReplayOptions::default()).unwrap();
    let text = String::from_utf8(console.into_inner()).unwrap();
    assert!(
        text.contains("exit code 1, the page expects 0") && text.ends_with("step 2 failed, 1 passed, 1 not run\n"),
        "{text}"
    );
}

#[test]
fn a_quiet_console_shows_only_a_page_that_fails() {
    let shown = |page: &str| {
        let mut console = ConsoleObserver::plain(Vec::new()).quiet();
        replay(&parse(page), &mut Host::new(), &mut console, &ReplayOptions::default()).unwrap();
        String::from_utf8(console.into_inner()).unwrap()
    };
    assert_eq!(shown("# true\n# true"), "");
    let failing = shown("# true\n# false\n# true");
    assert!(failing.contains("   1  # true") && failing.ends_with("step 2 failed, 1 passed, 1 not run\n"), "{failing}");
}

#[test]
fn transcripts_are_the_same_from_run_to_run() {
    let page = |a: &str, b: &str, ago: &str, size: &str| {
        format!(
            "# echo {a}\n[[x:id]]\n# printf '%s\\n' {b} {} 'x   {ago}   {size}'\n? unordered\n? columns\n...",
            &a[..12]
        )
    };
    let one = passes(&page(ID, OTHER, "2 minutes ago", "4.33MB")).transcript;
    let two = passes(&page(OTHER, ID, "About an hour ago", "12kB")).transcript;
    let output = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with('[') || line.starts_with("[["))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(output(&one), output(&two));
    assert_eq!(output(&one), ["[[x]]", "", "<1>", "[[x:short]]", "x   <ago>   <size>", ""]);
}

#[test]
fn trees_are_taken_after_each_step_that_changes_them() {
    let options = ReplayOptions { trees: true, ..ReplayOptions::default() };
    let page = parse(&format!("# true\n# mkdir {ID}\n# ls\n[[x:id]]\n# echo\n\n# touch f"));
    let report = replay(&page, &mut Host::new(), &mut Silent, &options).unwrap();
    assert!(report.is_passed(), "{}", report.failure.unwrap());
    let after: Vec<&str> = report.trees.iter().map(|tree| tree.after.split(':').next().unwrap()).collect();
    assert_eq!(after, ["step 1", "step 2", "step 5"]);
    // An ID has the same number in all trees, whether the page has a name for it or not.
    assert!(report.trees[1].tree.contains(" <1>\n") && report.trees[2].tree.contains(" <1>\n"));
}

#[test]
fn a_real_bash_is_typed_to_as_well() {
    if Command::new("bash").arg("--version").output().is_err() {
        skip("bash", "there is no bash");
        return;
    }
    let long = "x".repeat(250);
    let mut pages = vec![
        format!(
            "# echo {long}\n{long}\n# nosuchcommand\n? exit 127\nbash: nosuchcommand: command not found\n# cd /nowhere\n? exit 1\nbash: cd: /nowhere: No such file or directory"
        ),
        "# for i in 1 2\n> do echo $i\n> done\n1\n2\n# (exit 7)\n? exit 7".into(),
        format!(
            "# cd /\n# echo {ID}\n[[web:id]]\n# PS1='root@\\h:\\w# ' bash --norc --noprofile -i\n? opens root@\nroot@[[..]]:/# cd usr\nroot@[[..]]:/usr# PS1='in> '; exit\nexit\n# pwd\n/"
        ),
    ];
    pages.extend((112..124).map(|pad| format!("# echo {0}\n{0}\n# echo next\nnext", "w".repeat(pad))));
    for page in pages {
        let mut host = Host { shell: bash, ..Host::new() };
        let report = on(&mut host, &page);
        assert!(report.is_passed(), "{}", report.failure.unwrap());
    }
}

#[test]
fn a_bash_that_knows_no_terminal_scrolls_sideways_and_is_typed_to_as_well() {
    if Command::new("bash").arg("--version").output().is_err() {
        skip("bash", "there is no bash");
        return;
    }
    let dumb = || {
        let mut command = bash();
        command.env("TERM", "dumb");
        command
    };
    for width in [40, 113, 114, 115, 116, 117, 200] {
        let mut host = Host { shell: dumb, ..Host::new() };
        let report = on(&mut host, &format!("# echo {0}\n{0}\n# echo next\nnext", "w".repeat(width)));
        assert!(report.is_passed(), "{}", report.failure.unwrap());
    }
}

#[test]
fn nothing_is_left_running() {
    let mut host = Host::new();
    let marker = format!("sleep 86{}", std::process::id());
    let page = format!("# {marker}\n? timeout 1s");
    assert!(!on(&mut host, &page).is_passed());
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(&marker) {
        assert!(Instant::now() < deadline, "'{marker}' still runs");
        std::thread::yield_now();
    }
}

fn is_running(command: &str) -> bool {
    let wanted: Vec<u8> = command.bytes().map(|byte| if byte == b' ' { 0 } else { byte }).chain([0]).collect();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| std::fs::read(Path::new(&entry.path()).join("cmdline")).ok());
    lines.into_iter().any(|line| line == wanted)
}
