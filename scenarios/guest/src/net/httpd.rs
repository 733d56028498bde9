//! `httpd` and `httpd-foreground`: a static file server, started as an image's first process.
//!
//! `httpd-foreground` (also `httpd -D FOREGROUND` and `httpd -X`) reads `$HTTPD_PREFIX/conf/httpd.conf`, serves its DocumentRoot on its
//! port, keeps its process id in `logs/httpd.pid`, logs requests on standard output and the rest on standard error, and ends with
//! status 0 on SIGWINCH, SIGTERM and SIGINT. Of the settings it knows those that [`Settings::read`] lists, and refuses others.

use super::listen::{self, Site};
use super::respond::Served;
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::Accepts;
use crate::say;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SERVER: &str = "Apache/2.4 (layerlab guest)";

pub fn httpd(call: &Call) -> u8 {
    let accepts = Accepts { name: "httpd", short: "XD:tv", long: &[], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if let Some(stray) =
        options.operands.first().map(String::as_str).or_else(|| options.values('D').find(|name| *name != "FOREGROUND"))
    {
        say::complain("httpd", format!("'{stray}': only -X, -D FOREGROUND, -t and -v are known here"));
        return 1;
    }
    if options.has('v') {
        say::line("Server version: layerlab guest httpd, a static file server");
        return 0;
    }
    if !options.has('X') && !options.has('D') && !options.has('t') {
        say::complain("httpd", "runs in the foreground only: give -X or -D FOREGROUND");
        return 1;
    }
    let prefix = std::env::var("HTTPD_PREFIX").unwrap_or_else(|_| "/usr/local/apache2".to_owned());
    let prefix = Path::new(&prefix);
    let settings = match Settings::read(prefix) {
        Ok(settings) => settings,
        Err(what) => {
            error_line!("{what}");
            return 1;
        }
    };
    if !settings.is_named {
        let address = super::own_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        error_line!(
            "AH00558: httpd: Could not reliably determine the server's fully qualified domain name, using {address}. Set \
             the 'ServerName' directive globally to suppress this message"
        );
    }
    if options.has('t') {
        error_line!("Syntax OK");
        return 0;
    }
    serve(settings.port, settings.root, &prefix.join("logs/httpd.pid"))
}

/// What an image starts; Apache's script of that name is `exec httpd -DFOREGROUND "$@"`.
pub fn httpd_foreground(call: &Call) -> u8 {
    let mut args = vec!["-DFOREGROUND".to_owned()];
    args.extend_from_slice(call.args);
    httpd(&Call { name: call.name, invoked_as: call.invoked_as, args: &args })
}

/// What httpd.conf says.
struct Settings {
    port: u16,
    root: PathBuf,
    is_named: bool,
}

impl Settings {
    /// Listen, DocumentRoot and ServerName count; the others must be what this server does anyway.
    fn read(prefix: &Path) -> Result<Settings, String> {
        let path = prefix.join("conf/httpd.conf");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let why = say::reason(&error);
            format!("httpd: Could not open configuration file {}: {why}", path.display())
        })?;
        let mut settings = Settings { port: 80, root: prefix.join("htdocs"), is_named: false };
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |what: String| format!("AH00526: Syntax error on line {number} of {}:\n{what}", path.display());
            let line = line.trim();
            let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let value = value.trim().trim_matches('"');
            let ours = match word {
                "" => true,
                comment if comment.starts_with('#') => true,
                "Listen" => {
                    settings.port =
                        value.parse().map_err(|_| wrong(format!("Listen {value}: a port is known here only")))?;
                    true
                }
                "DocumentRoot" => {
                    settings.root = prefix.join(value);
                    if !settings.root.is_dir() {
                        return Err(wrong(format!("DocumentRoot '{value}' is not a directory, or is not readable")));
                    }
                    true
                }
                "ServerName" => {
                    settings.is_named = true;
                    true
                }
                "ServerRoot" => Path::new(value) == prefix,
                "DirectoryIndex" => value == "index.html",
                "PidFile" => value == "logs/httpd.pid",
                "ErrorLog" => value == "/proc/self/fd/2",
                "TypesConfig" => value == "/etc/mime.types",
                _ => {
                    return Err(wrong(format!(
                        "Invalid command '{word}', perhaps misspelled or defined by a module not included in the server \
                         configuration"
                    )));
                }
            };
            if !ours {
                return Err(wrong(format!(
                    "{word} {value}: this stand-in knows {word} as its image has it, and no other"
                )));
            }
        }
        Ok(settings)
    }
}

fn notice(module: &str, message: &str) {
    let time = Instant::now().format("%a %b %d %H:%M:%S.%N %Y", false);
    let micros = time.find('.').map_or(time.clone(), |at| format!("{}{}", &time[..at + 7], &time[at + 10..]));
    let pid = std::process::id();
    error_line!("[{micros}] [{module}] [pid {pid}:tid {pid}] {message}");
}

fn serve(port: u16, root: PathBuf, pid_file: &Path) -> u8 {
    listen::stop_at(&[libc::SIGTERM, libc::SIGINT, libc::SIGWINCH, libc::SIGUSR1]);
    let listener = match listen::bind(port) {
        Ok(listener) => listener,
        Err(error) => {
            error_line!(
                "({}){}: AH00072: make_sock: could not bind to address [::]:{port}",
                error.raw_os_error().unwrap_or(0),
                say::reason(&error)
            );
            error_line!("no listening sockets available, shutting down\nAH00015: Unable to open logs");
            return 1;
        }
    };
    if let Err(error) = std::fs::write(pid_file, format!("{}\n", std::process::id())) {
        error_line!("AH00099: could not create {}: {}", pid_file.display(), say::reason(&error));
        return 1;
    }
    notice("mpm_event:notice", &format!("AH00489: {SERVER} configured -- resuming normal operations"));
    notice("core:notice", "AH00094: Command line: 'httpd -D FOREGROUND'");
    let site = Arc::new(Site { root, server: SERVER, log_line });
    let status = match listen::until_stopped(&listener, &site) {
        Ok(libc::SIGWINCH) => {
            notice("mpm_event:notice", "AH00492: caught SIGWINCH, shutting down gracefully");
            listen::drain(&site);
            0
        }
        Ok(_) => {
            notice("mpm_event:notice", "AH00491: caught SIGTERM, shutting down");
            0
        }
        Err(error) => {
            say::complain("httpd", say::reason(&error));
            1
        }
    };
    let _ = std::fs::remove_file(pid_file);
    status
}

fn log_line(client: IpAddr, time: &str, served: &Served) -> String {
    let bytes = if served.body_bytes == 0 { "-".to_owned() } else { served.body_bytes.to_string() };
    format!("{client} - - [{time}] \"{}\" {} {bytes}", served.request_line, served.status)
}
