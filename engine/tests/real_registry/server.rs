//! Debian's `docker-registry` as a child process on a port of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use layerlab_engine::registry::RegistrySettings;
use layerlab_scenarios::skip::skip;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::token::TokenServer;

/// `secret`, as htpasswd keeps it.
const JANE: &str = "jane:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const START_SECONDS: u64 = 20;

/// What the registry wants of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    Nobody,
    Tls,
    Password,
    Token,
}

pub struct RealRegistry {
    address: SocketAddr,
    process: Child,
    guard: Guard,
    place: TempDir,
    _tokens: Option<TokenServer>,
}

impl RealRegistry {
    /// `None`, and a skip, where there is no such program.
    pub fn start(guard: Guard) -> Option<RealRegistry> {
        if Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status().is_err() {
            skip("docker-registry", "no docker-registry on this host (Debian: apt-get install docker-registry)");
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).display().to_string();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut tokens = None;
        let mut http = format!("addr: \"{address}\"");
        let mut auth = String::new();
        match guard {
            Guard::Nobody => {}
            Guard::Tls => {
                write_certificates(place.path(), &address.to_string());
                http += &format!(", tls: {{certificate: {}, key: {}}}", path("cert.pem"), path("key.pem"));
            }
            Guard::Password => {
                fs::write(path("htpasswd"), JANE).unwrap();
                auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}", path("htpasswd"));
            }
            Guard::Token => {
                let server = TokenServer::start();
                fs::write(path("tokens.pem"), server.certificate_pem()).unwrap();
                auth = format!(
                    "auth: {{token: {{realm: \"{}\", service: test, issuer: test, rootcertbundle: {}}}}}",
                    server.url(),
                    path("tokens.pem")
                );
                tokens = Some(server);
            }
        }
        let root = path("data");
        let text =
            format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{{http}}}\n{auth}\n");
        fs::write(path("config.yml"), text).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = RealRegistry { address, process, guard, place, _tokens: tokens };
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS);
        while TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(registry.place.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "docker-registry does not answer: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// With what the registry wants: its authority, or Jane's password.
    pub fn settings(&self, settings: RegistrySettings) -> RegistrySettings {
        let settings = match self.guard {
            Guard::Tls => RegistrySettings { certificates: Some(self.place.path().join("certs.d")), ..settings },
            _ => settings,
        };
        match self.guard {
            Guard::Password | Guard::Token => self.settings_as("jane", "secret", settings),
            _ => settings,
        }
    }

    pub fn settings_as(&self, user: &str, password: &str, settings: RegistrySettings) -> RegistrySettings {
        let path = self.place.path().join(format!("{user}-{password}.json"));
        let auth = STANDARD.encode(format!("{user}:{password}"));
        fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, self.host())).unwrap();
        RegistrySettings { credentials: Some(path), ..settings }
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// An authority in `certs.d/HOST/ca.crt`, and a certificate of it for 127.0.0.1.
fn write_certificates(place: &std::path::Path, host: &str) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let trusted = place.join("certs.d").join(host);
    fs::create_dir_all(&trusted).unwrap();
    fs::write(trusted.join("ca.crt"), authority.pem()).unwrap();
    fs::write(place.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
}
