//! The finished guest binary, driven as its users drive it: through symlinks, pipes, sockets and a terminal.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use layerlab_scenarios::guest;
use regex::Regex;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        guest::build(root, &mut |line| eprintln!("{line}")).unwrap()
    })
}

#[test]
fn no_path_of_whoever_built_the_guest_is_in_it() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let home = std::env::home_dir().unwrap();
    let cargo_home = std::env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let bytes = fs::read(binary()).unwrap();
    for path in [PathBuf::from(String::from_utf8(sysroot).unwrap().trim_end()), cargo_home, workspace] {
        let path = path.to_str().unwrap().as_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path), "{}", String::from_utf8_lossy(path));
    }
}

/// A directory with every applet under `bin/`, and a place to work in.
struct Room {
    directory: TempDir,
}

impl Room {
    fn new() -> Room {
        let directory = TempDir::new().unwrap();
        for name in ["bin", "work", "home"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let list = Command::new(binary()).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            symlink(binary(), directory.path().join("bin").join(applet)).unwrap();
        }
        Room { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, applet: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(applet));
        command
            .arg0(applet)
            .current_dir(self.path("work"))
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"));
        command
    }

    fn run(&self, applet: &str, args: &[&str]) -> Output {
        self.command(applet).args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `bash -c`; gives status, standard output and standard error.
    fn bash(&self, script: &str) -> (i32, String, String) {
        shown(self.run("bash", &["-c", script]))
    }
}

fn shown(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn done(text: &str) -> (i32, String, String) {
    (0, text.to_owned(), String::new())
}

/// A shell on a terminal of its own.
struct Terminal {
    child: Child,
    master: File,
    seen: String,
}

impl Terminal {
    fn open(mut command: Command) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave =
            || -> OwnedFd { File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into() };
        command.stdin(slave()).stdout(slave()).stderr(slave());
        // SAFETY: setsid and the ioctl are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(std::io::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        Terminal { child, master: File::from(master), seen: String::new() }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `wanted` shows up; gives what came before it.
    fn expect(&mut self, wanted: &str) -> String {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(wanted) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + wanted.len());
                return before;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no {wanted:?} in {:?}", self.seen);
            let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&wait)).unwrap();
            let mut buffer = [0u8; 4096];
            if ready > 0
                && let Ok(length) = self.master.read(&mut buffer)
            {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }

    fn status(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the shell does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bash_on_a_terminal(room: &Room) -> Terminal {
    let mut command = room.command("bash");
    command.env("TERM", "xterm");
    let mut rc = File::options().append(true).create(true).open(room.path("home/.bashrc")).unwrap();
    rc.write_all(b"PS1='\\w% '\n").unwrap();
    let mut terminal = Terminal::open(command);
    terminal.expect("% ");
    terminal
}

#[test]
fn the_binary_is_static_and_small() {
    let elf = fs::read(binary()).unwrap();
    assert_eq!(&elf[..5], b"\x7fELF\x02");
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap());
    let (table, size, count) = (word(32) as usize, usize::from(half(54)), usize::from(half(56)));
    let kinds: Vec<u32> = (0..count)
        .map(|at| u32::from_le_bytes(elf[table + at * size..table + at * size + 4].try_into().unwrap()))
        .collect();
    const LOAD: u32 = 1;
    const INTERPRETER: u32 = 3;
    assert!(kinds.contains(&LOAD));
    assert!(!kinds.contains(&INTERPRETER), "the guest asks for a dynamic loader");
    assert!(elf.len() < 12_000_000, "{} bytes", elf.len());
}

#[test]
fn a_second_build_takes_no_time() {
    binary();
    let start = Instant::now();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let again = guest::build(root, &mut |line| panic!("nothing to say, but: {line}")).unwrap();
    assert_eq!(again, binary());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn the_list_is_sorted_and_an_unknown_applet_is_refused() {
    let list = String::from_utf8(Command::new(binary()).arg("--list").output().unwrap().stdout).unwrap();
    let names: Vec<&str> = list.lines().collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    let (status, _, stderr) = shown(Command::new(binary()).arg("frobnicate").output().unwrap());
    assert_eq!((status, stderr.contains("frobnicate: applet not found")), (127, true));
}

#[test]
fn bash_speaks_as_gnu_bash_does() {
    let room = Room::new();
    assert_eq!(room.bash("nosuch"), (127, String::new(), "bash: line 1: nosuch: command not found\n".to_owned()));
    assert_eq!(
        room.bash("\ncd /nosuch"),
        (1, String::new(), "bash: line 2: cd: /nosuch: No such file or directory\n".to_owned())
    );
    assert_eq!(
        room.bash("exec nosuch; echo no"),
        (127, String::new(), "bash: line 1: exec: nosuch: not found\n".to_owned())
    );
    assert_eq!(room.bash("set -u; echo $gone; echo no").2, "bash: line 1: gone: unbound variable\n");
    let (status, stdout, stderr) = room.bash("echo before\necho )\necho after");
    assert_eq!((status, stdout.as_str()), (2, "before\n"));
    assert_eq!(stderr, "bash: line 2: syntax error near unexpected token `)'\nbash: line 2: `echo )'\n");
}

#[test]
fn bash_runs_functions_loops_here_documents_and_substitutions() {
    let room = Room::new();
    let script = "greet() { local who=$1; echo \"hello ${who:-you}\"; }\nfor n in 1 2; do greet $n; done\n\
                  cat <<END\n$(seq 2 | tr '\\n' ' ')$((2 * 3))\nEND\n[[ abc == a* ]] && echo match\ngreet | wc -c\n";
    assert_eq!(room.bash(script), done("hello 1\nhello 2\n1 2 6\nmatch\n10\n"));
}

#[test]
fn scripts_run_through_their_interpreter_line_and_standard_input() {
    let room = Room::new();
    let script = room.path("work/run.sh");
    let text = format!("#!{}\necho \"$0 $1\"\nnosuch\nexit 7\n", room.path("bin/sh").display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, stdout, stderr) = room.bash("./run.sh there");
    assert_eq!((status, stdout.as_str()), (7, "./run.sh there\n"));
    assert_eq!(stderr, "./run.sh: line 3: nosuch: command not found\n");
    let mut child = room.command("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"read line\nfor the read\necho got $line\n").unwrap();
    assert_eq!(shown(child.wait_with_output().unwrap()), done("got for the read\n"));
    let missing = shown(room.run("bash", &["nosuch.sh"]));
    assert_eq!(missing, (127, String::new(), "bash: nosuch.sh: No such file or directory\n".to_owned()));
}

#[test]
fn signal_traps_run_between_commands_and_interrupt_wait() {
    let room = Room::new();
    let looping = "trap 'echo caught; exit 3' TERM; (sleep 0.2; kill $$) & while true; do sleep 0.05; done";
    assert_eq!(room.bash(looping), (3, "caught\n".to_owned(), String::new()));
    let waiting =
        "trap 'echo resized' WINCH; (sleep 0.2; kill -WINCH $$) & sleep 2 & wait; echo $?; kill -0 $$ && exit 5";
    assert_eq!(room.bash(waiting), (5, "resized\n156\n".to_owned(), String::new()));
    assert_eq!(room.bash("trap 'echo bye' EXIT; trap"), done("trap -- 'echo bye' EXIT\nbye\n"));
}

#[test]
fn an_untrapped_interrupt_ends_a_script() {
    let room = Room::new();
    let output = room.run("bash", &["-c", "sleep 0.01; kill -INT $$; sleep 0.1; echo survived"]);
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(output.status.signal(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn an_interactive_shell_prompts_completes_lines_and_says_exit() {
    let room = Room::new();
    let mut command = room.command("bash");
    command.arg("--norc").env("TERM", "xterm");
    let mut terminal = Terminal::open(command);
    let first = terminal.expect(if rustix::process::geteuid().is_root() { "# " } else { "$ " });
    assert!(Regex::new(r"^[^@\x1b]+@[^:\x1b]+:/.*/work$").unwrap().is_match(&first), "{first:?}");
    terminal.type_in("nosuch\n");
    terminal.expect("nosuch\r\nbash: nosuch: command not found\r\n");
    terminal.type_in("echo 'two\n");
    terminal.expect("> ");
    terminal.type_in("lines'\n");
    terminal.expect("\r\ntwo\r\nlines\r\n");
    terminal.type_in("PS1='[$?$(echo -n !)] '\n");
    terminal.expect("[0!] ");
    terminal.type_in("false\n");
    terminal.expect("false\r\n[1!] ");
    terminal.type_in("exit 4\n");
    terminal.expect("exit 4\r\nexit\r\n");
    assert_eq!(terminal.status(), 4);
    let history = room.path("home/.bash_history");
    let kept = fs::read_to_string(&history).unwrap();
    assert_eq!(kept, "nosuch\necho 'two\nlines'\nPS1='[$?$(echo -n !)] '\nfalse\nexit 4\n");
    assert_eq!(fs::metadata(history).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn control_c_reaches_the_foreground_command_and_never_the_shell() {
    let room = Room::new();
    let mut terminal = bash_on_a_terminal(&room);
    for (line, started) in [
        ("half a line", "half a line"),
        ("sleep 100; echo never-\"\"printed\n", "printed\r\n"),
        ("echo begun; while true; do sleep 0.1; done\n", "\r\nbegun\r\n"),
        ("echo begun; while :; do :; done\n", "\r\nbegun\r\n"),
        ("f() { local x=1; echo begun; while :; do :; done; }; y=2 f\n", "\r\nbegun\r\n"),
        ("echo begun; while :; do :; done\n", "\r\nbegun\r\n"),
    ] {
        terminal.type_in(line);
        terminal.expect(started);
        std::thread::sleep(Duration::from_millis(300));
        terminal.type_in("\x03");
        assert!(!terminal.expect("% ").contains("never-printed"));
    }
    terminal.type_in("echo $? $x $y ${FUNCNAME[*]}.\n");
    terminal.expect("\r\n130 .\r\n");
    terminal.expect("% ");
    terminal.type_in("cat\nback\n");
    terminal.expect("back\r\nback\r\n");
    terminal.type_in("\x04");
    terminal.expect("% ");
    terminal.type_in("\x04");
    terminal.expect("exit\r\n");
    assert_eq!(terminal.status(), 0);
}

#[test]
fn prompt_command_and_bashrc_are_honoured() {
    let room = Room::new();
    fs::write(room.path("home/.bashrc"), "PROMPT_COMMAND='echo before'\nalias hi='echo hello'\n").unwrap();
    let mut terminal = bash_on_a_terminal(&room);
    terminal.type_in("hi\n");
    terminal.expect("hello\r\nbefore\r\n");
}

#[test]
fn ls_lists_lines_columns_and_long_entries() {
    let room = Room::new();
    for name in ["b", "a", ".hidden", "c d"] {
        fs::write(room.path("work").join(name), name).unwrap();
    }
    symlink("a", room.path("work/link")).unwrap();
    assert_eq!(shown(room.run("ls", &[])), done("a\nb\nc d\nlink\n"));
    assert_eq!(shown(room.run("ls", &["-A", "-r"])), done("link\nc d\nb\na\n.hidden\n"));
    assert_eq!(shown(room.run("ls", &["-C"])), done("a  b  c d  link\n"));
    let (_, long, _) = shown(room.run("ls", &["-l"]));
    let pattern = r"^total \d+\n-rw\S{7} +1 \S+ +\S+ +1 \w{3} [ \d]\d \d\d:\d\d a\n(?s:.*)lrwxrwxrwx .* link -> a\n$";
    assert!(Regex::new(pattern).unwrap().is_match(&long), "{long}");
    let missing = shown(room.run("ls", &["nosuch"]));
    assert_eq!(missing, (2, String::new(), "ls: cannot access 'nosuch': No such file or directory\n".to_owned()));
    let mut terminal = bash_on_a_terminal(&room);
    terminal.type_in("ls\n");
    assert_eq!(terminal.expect("% ").split_once("\r\n").unwrap().1.lines().next().unwrap(), " a   b\t'c d'   link");
}

#[test]
fn files_are_copied_linked_moved_and_removed() {
    let room = Room::new();
    let script = "mkdir -p one/two && echo text > one/two/file && ln one/two/file one/hard && ln -s two/file one/soft\n\
                  chmod 4750 one/two/file; touch -d '2001-02-03 04:05:06' one/two/file\n\
                  cp -a one copy; stat -c '%n %a %h %Y %F' copy/two/file copy/hard copy/soft; readlink copy/soft\n\
                  mv copy moved && rm -r one && ls -R\nrmdir moved; rm moved; cp moved x; rm -rf moved; ls";
    let (_, stdout, stderr) = room.bash(script);
    let stamp = "981173106";
    let expected =
        format!("copy/two/file 4750 2 {stamp} regular file\ncopy/hard 4750 2 {stamp} regular file\ncopy/soft");
    assert!(stdout.starts_with(&expected), "{stdout}");
    assert!(stdout.ends_with(".:\nmoved\n\n./moved:\nhard\nsoft\ntwo\n\n./moved/two:\nfile\n"), "{stdout}");
    assert_eq!(
        stderr,
        "rmdir: failed to remove 'moved': Directory not empty\nrm: cannot remove 'moved': Is a directory\n\
         cp: -r not specified; omitting directory 'moved'\n"
    );
    assert!(!room.path("work/x").exists());
}

#[test]
fn text_tools_agree_with_gnu_on_small_inputs() {
    let room = Room::new();
    fs::write(room.path("work/f"), "one\ntwo\nthree\nfour\nfive\n").unwrap();
    for (script, expected) in [
        ("grep -n -A1 -B1 three f", "2-two\n3:three\n4-four\n"),
        ("grep -c o f; grep -vi O f; grep -oE '(t|f)[a-z]' f | sort -u", "3\nthree\nfive\nfi\nfo\nth\ntw\n"),
        ("head -2 f | tail -n 1; tail -n +5 f; head -c 3 f; echo", "two\nfive\none\n"),
        ("sort f | uniq -c | head -1", "      1 five\n"),
        ("printf 'b 2\\na 10\\nc 1\\n' | sort -k2 -n | cut -d' ' -f1 | tr '\\n' ,", "c,b,a,"),
        ("sed -n -e '/two/,/four/s/o/0/p' f", "tw0\nf0ur\n"),
        ("sed '1d;$d;s/\\(t\\)\\(.\\)/\\2\\1/' f", "wto\nhtree\nfour\n"),
        ("wc f; wc -l < f", " 5  5 24 f\n5\n"),
        ("echo a b c | xargs -n 2 echo x; seq 2 2 6 | xargs", "x a b\nx c\n2 4 6\n"),
        ("printf '%03d|%-3s|%x\\n' 7 a 255", "007|a  |ff\n"),
        ("sha256sum f > s; sha256sum -c s; cut -c1-12 s", "f: OK\nbd730ce8302e\n"),
        ("find . -name 'f' -type f -exec echo found {} \\;", "found ./f\n"),
        ("test -f f && [ 3 -gt 2 ] && expr 6 / 2", "3\n"),
        ("date -u -d @86400 '+%F %T'; basename /a/b.c .c; dirname /a/b", "1970-01-02 00:00:00\nb\n/a\n"),
    ] {
        let (status, stdout, stderr) = room.bash(script);
        assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, expected, ""), "{script}");
    }
}

#[test]
fn diff_shows_unified_changes() {
    let room = Room::new();
    fs::write(room.path("work/a"), "1\n2\n3\n").unwrap();
    fs::write(room.path("work/b"), "1\ntwo\n3\n").unwrap();
    assert_eq!(shown(room.run("diff", &["a", "b"])), (1, "2c2\n< 2\n---\n> two\n".to_owned(), String::new()));
    let (status, unified, _) = shown(room.run("diff", &["-u", "a", "b"]));
    assert_eq!(status, 1);
    assert!(unified.ends_with("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"), "{unified}");
    assert_eq!(shown(room.run("diff", &["a", "a"])), done(""));
}

#[test]
fn tar_keeps_modes_links_and_times_and_refuses_to_climb() {
    let room = Room::new();
    let script = "mkdir d; echo x > d/f; chmod 640 d/f; ln d/f d/h; ln -s f d/s; touch -d @1000000000 d/f d\n\
                  tar czf t.tgz d && tar tf t.tgz && mkdir out && tar xzf t.tgz -C out\n\
                  stat -c '%a %h %Y' out/d/f out/d; readlink out/d/s";
    let (status, stdout, stderr) = room.bash(script);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let mode = fs::metadata(room.path("work/d")).unwrap().mode() & 0o7777;
    assert_eq!(stdout, format!("d/\nd/f\nd/h\nd/s\n640 2 1000000000\n{mode:o} 2 1000000000\nf\n"));
    let mut builder = tar::Builder::new(File::create(room.path("work/evil.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..7].copy_from_slice(b"../evil");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    builder.finish().unwrap();
    assert_eq!(shown(room.run("tar", &["xf", "evil.tar"])).0, 2);
    assert!(!room.path("evil").exists());
}

#[test]
fn mounts_are_listed_as_util_linux_does() {
    let room = Room::new();
    let (status, stdout, _) = shown(room.run("mount", &["-t", "proc"]));
    assert_eq!(status, 0);
    assert!(Regex::new(r"(?m)^\S+ on /proc type proc \([a-z,=0-9]+\)$").unwrap().is_match(&stdout), "{stdout}");
}

#[test]
fn ps_finds_its_own_shell() {
    let room = Room::new();
    let (_, stdout, _) = room.bash("ps -ef; ps -o pid= -p $$; echo $$");
    assert!(stdout.starts_with("UID          PID    PPID  C STIME TTY          TIME CMD\n"));
    let mut lines = stdout.lines().rev();
    let (own, found) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(own, found.trim());
}

#[test]
fn locate_finds_what_updatedb_saw() {
    let room = Room::new();
    let (root, database) = (room.path("work"), room.path("db"));
    fs::create_dir_all(root.join("docker/diff")).unwrap();
    fs::write(root.join("docker/diff/index.html"), "").unwrap();
    fs::write(root.join("index.html"), "").unwrap();
    let (root_text, database_text) = (root.to_str().unwrap(), database.to_str().unwrap());
    let missing = shown(room.run("locate", &["-d", database_text, "x"]));
    assert_eq!(missing.0, 1);
    assert_eq!(missing.2, format!("locate: can not stat () `{database_text}': No such file or directory\n"));
    assert_eq!(shown(room.run("updatedb", &["-U", root_text, "-o", database_text])), done(""));
    let both = format!("{root_text}/docker/diff/index.html\n{root_text}/index.html\n");
    assert_eq!(shown(room.run("locate", &["-d", database_text, "index.html"])), done(&both));
    assert_eq!(shown(room.run("locate", &["-c", "-i", "-d", database_text, "*DIFF*"])), done("2\n"));
    fs::remove_file(root.join("index.html")).unwrap();
    assert_eq!(shown(room.run("locate", &["-e", "-c", "-d", database_text, "index.html"])), done("1\n"));
    assert_eq!(shown(room.run("locate", &["-d", database_text, "nowhere"])).0, 1);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// httpd-foreground under a prefix of its own, on a free port.
fn web_server(room: &Room) -> (Child, u16) {
    let prefix = room.path("work/apache2");
    for name in ["htdocs", "logs", "conf"] {
        fs::create_dir_all(prefix.join(name)).unwrap();
    }
    let port = free_port();
    fs::write(prefix.join("conf/httpd.conf"), format!("Listen {port}\n")).unwrap();
    fs::write(prefix.join("htdocs/index.html"), "<html><body><h1>It works!</h1></body></html>\n").unwrap();
    let child = room
        .command("httpd-foreground")
        .env("HTTPD_PREFIX", &prefix)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "httpd does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, port)
}

#[test]
fn httpd_serves_its_page_and_stops_gracefully_on_winch() {
    let room = Room::new();
    let (child, port) = web_server(&room);
    let pid_file = room.path("work/apache2/logs/httpd.pid");
    assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), child.id().to_string());
    let url = format!("http://localhost:{port}");
    assert_eq!(shown(room.run("curl", &[&url])), done("<html><body><h1>It works!</h1></body></html>\n"));
    let (_, head, _) = shown(room.run("curl", &["-sI", &url]));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Type: text/html\r\n"), "{head}");
    let (status, _, stderr) = shown(room.run("curl", &["-f", &format!("{url}/nosuch")]));
    assert_eq!((status, stderr.as_str()), (22, "curl: (22) The requested URL returned error: 404\n"));
    assert_eq!(room.run("kill", &["-WINCH", &child.id().to_string()]).status.code(), Some(0));
    let (status, stdout, stderr) = shown(child.wait_with_output().unwrap());
    assert_eq!(status, 0);
    assert!(
        stderr.starts_with("AH00558: httpd: Could not reliably determine the server's fully qualified domain name")
    );
    assert!(stderr.contains("AH00492: caught SIGWINCH, shutting down gracefully"));
    assert!(Regex::new(r#"(?m)^\S+ - - \[[^\]]+\] "GET / HTTP/1.1" 200 45$"#).unwrap().is_match(&stdout), "{stdout}");
    assert!(!pid_file.exists());
    let refused = shown(room.run("curl", &[&url]));
    assert_eq!(refused.0, 7);
    let text = format!(
        "^curl: \\(7\\) Failed to connect to localhost port {port} after \\d+ ms: Couldn't connect to server\n$"
    );
    assert!(Regex::new(&text).unwrap().is_match(&refused.2), "{}", refused.2);
}

#[test]
fn httpd_never_leaves_its_document_root() {
    let room = Room::new();
    fs::write(room.path("work/secret"), "secret").unwrap();
    let (mut child, port) = web_server(&room);
    symlink(room.path("work/secret"), room.path("work/apache2/htdocs/out")).unwrap();
    for (target, status) in [
        ("/../../secret", 400),
        ("/%2e%2e/%2e%2e/secret", 400),
        ("/out", 403),
        ("/a%00b", 400),
        ("/", 200),
        ("//", 200),
    ] {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {target} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        assert!(!answer.contains("secret\n") && !answer.ends_with("secret"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A server that ends with the test, however that ends.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// scp-server on a free port.
fn receiver(room: &Room) -> (Ending, u16) {
    let port = free_port();
    let child = room.command("scp-server").args(["--listen", &format!("127.0.0.1:{port}")]).spawn().unwrap();
    let child = Ending(child);
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "scp-server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, port)
}

#[test]
fn scp_brings_every_byte_and_the_times_and_modes_that_are_to_be_kept() {
    let room = Room::new();
    let (_server, port) = receiver(&room);
    let (source, target) = (room.path("work/source"), room.path("work/target"));
    let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    fs::write(&source, &bytes).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o1604)).unwrap();
    File::open(&source).unwrap().set_modified(std::time::UNIX_EPOCH + Duration::new(1_000_000, 7)).unwrap();
    let there = format!("127.0.0.1:{}", target.display());
    let options = ["-q", "-p", "-P", &port.to_string(), "source", &there];
    assert_eq!(shown(room.run("scp", &options)), done(""));
    assert!(fs::read(&target).unwrap() == bytes);
    let found = target.metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime(), found.mtime_nsec()), (0o1604, 1_000_000, 7));
}

#[test]
fn scp_server_notices_bytes_that_changed_on_the_way_and_files_that_are_cut_off() {
    let room = Room::new();
    let (_server, port) = receiver(&room);
    let path = room.path("work/target").display().to_string();
    let send = |bytes: &[u8]| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "layerlab-scp 1\0f\0{path}\x00644\x004\0\0").unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let digest = [0; 32];
    let changed = send(&[b"four".as_slice(), &digest].concat());
    let why = "other bytes came than were sent: their SHA-256 differs";
    assert_eq!(changed, format!("ok\nerror write remote \"{path}\": {why}\n"));
    assert_eq!(send(b"fo"), "ok\n");
}

#[test]
fn curl_names_an_unknown_host_and_a_foreign_protocol() {
    let room = Room::new();
    let unknown = shown(room.run("curl", &["http://nosuch.invalid/"]));
    assert_eq!((unknown.0, unknown.2.as_str()), (6, "curl: (6) Could not resolve host: nosuch.invalid\n"));
    assert_eq!(shown(room.run("curl", &["https://localhost/"])).0, 1);
}

#[test]
fn a_missing_package_installs_nothing() {
    let room = Room::new();
    let yum = shown(room.run("yum", &["-y", "install", "no-such-package"]));
    assert_eq!(yum, (1, "No package no-such-package available.\n".to_owned(), "Error: Nothing to do\n".to_owned()));
    let apt = shown(room.run("apt-get", &["install", "no-such-package"]));
    assert_eq!((apt.0, apt.2.as_str()), (100, "E: Unable to locate package no-such-package\n"));
}
