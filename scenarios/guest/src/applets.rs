//! The open list of applets: name and entry point of each.

use crate::{files, net, packages, shell, system, text};

/// One call of an applet: its name, `argv[0]` as given, and the arguments.
pub struct Call<'a> {
    pub name: &'static str,
    pub invoked_as: &'a str,
    pub args: &'a [String],
}

/// An entry of the list.
pub struct Applet {
    pub name: &'static str,
    pub run: fn(&Call) -> u8,
    /// Ordinary tools end silently when their reader goes away; servers and the shell go on.
    pub dies_of_broken_pipe: bool,
}

const fn tool(name: &'static str, run: fn(&Call) -> u8) -> Applet {
    Applet { name, run, dies_of_broken_pipe: true }
}

const fn lasting(name: &'static str, run: fn(&Call) -> u8) -> Applet {
    Applet { name, run, dies_of_broken_pipe: false }
}

/// Every applet, sorted by name.
pub const ALL: &[Applet] = &[
    tool("[", system::test::test),
    tool("apt-get", packages::apt::apt_get),
    tool("basename", files::status::basename),
    lasting("bash", shell::run),
    tool("cat", text::stream::cat),
    tool("chgrp", files::change::chgrp),
    tool("chmod", files::change::chmod),
    tool("chown", files::change::chown),
    tool("clear", system::terminal::clear),
    tool("cmp", text::compare::cmp),
    tool("cp", files::copy::cp),
    lasting("curl", net::curl::curl),
    tool("cut", text::order::cut),
    tool("date", system::identity::date),
    tool("dd", files::create::dd),
    tool("df", files::space::df),
    tool("diff", text::compare::diff),
    tool("dirname", files::status::dirname),
    tool("dpkg", packages::dpkg::dpkg),
    tool("du", files::space::du),
    tool("echo", text::print::echo),
    tool("egrep", text::grep::grep),
    tool("env", system::identity::env),
    tool("expr", text::print::expr),
    tool("false", system::process::no),
    tool("fgrep", text::grep::grep),
    tool("find", files::find::find),
    tool("grep", text::grep::grep),
    tool("gunzip", text::archive::gzip),
    tool("gzip", text::archive::gzip),
    tool("head", text::stream::head),
    tool("hostname", system::identity::hostname),
    lasting("httpd", net::httpd::httpd),
    lasting("httpd-foreground", net::httpd::httpd_foreground),
    tool("id", system::identity::id),
    tool("kill", system::process::kill),
    tool("ln", files::copy::ln),
    tool("locate", net::locate::locate),
    tool("ls", files::list::ls),
    tool("mkdir", files::create::mkdir),
    tool("mkfifo", files::create::mkfifo),
    tool("mknod", files::create::mknod),
    tool("mount", system::mounts::mount),
    tool("mv", files::copy::mv),
    lasting("nginx", net::nginx::nginx),
    tool("printf", text::print::printf),
    tool("ps", system::ps::ps),
    tool("pwd", files::status::pwd),
    tool("readlink", files::status::readlink),
    tool("realpath", files::status::realpath),
    tool("rm", files::remove::rm),
    tool("rmdir", files::remove::rmdir),
    tool("rpm", net::packages::rpm),
    lasting("scp", net::scp::scp),
    lasting("scp-server", net::scp::server::scp_server),
    tool("sed", text::edit::sed),
    tool("seq", text::print::seq),
    lasting("sh", shell::run),
    tool("sha256sum", text::digest::sha256sum),
    tool("sleep", system::process::sleep),
    tool("sort", text::order::sort),
    tool("stat", files::status::stat),
    tool("stty", system::terminal::stty),
    tool("sync", system::mounts::sync),
    tool("tail", text::stream::tail),
    tool("tar", text::archive::tar),
    tool("tee", text::stream::tee),
    tool("test", system::test::test),
    tool("timeout", system::process::timeout),
    tool("touch", files::create::touch),
    tool("tr", text::stream::tr),
    tool("true", system::process::yes),
    tool("truncate", files::create::truncate),
    tool("tty", system::terminal::tty),
    tool("umount", system::mounts::umount),
    tool("uname", system::identity::uname),
    tool("uniq", text::order::uniq),
    tool("updatedb", net::locate::updatedb),
    lasting("vi", text::vi::vi),
    lasting("vim", text::vi::vi),
    tool("wc", text::stream::wc),
    tool("which", system::process::which),
    tool("whoami", system::identity::whoami),
    tool("xargs", system::process::xargs),
    tool("yes", text::print::yes),
    tool("yum", net::packages::yum),
    tool("zcat", text::archive::gzip),
];

/// The applet of that name.
pub fn find(name: &str) -> Option<&'static Applet> {
    ALL.iter().find(|applet| applet.name == name)
}

/// The part of a path after its last slash.
pub fn basename(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}
