//! A token server: it gives Jane what she asks for, in JSON web tokens that it signs with a certificate of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

pub struct TokenServer {
    address: SocketAddr,
    certificate_pem: String,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Signer {
    key: EcdsaKeyPair,
    certificate: String,
}

impl TokenServer {
    pub fn start() -> TokenServer {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["tokens".to_owned()]).unwrap().self_signed(&key).unwrap();
        let random = SystemRandom::new();
        let signer = Signer {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random).unwrap(),
            certificate: STANDARD.encode(certificate.der()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                signer.answer(&connection.unwrap());
            }
        });
        TokenServer { address, certificate_pem: certificate.pem(), stopping, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Signer {
    fn answer(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        let Some(Ok(request)) = lines.next() else { return };
        let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let known = headers.iter().any(|line| line.ends_with(&STANDARD.encode("jane:secret")));
        let (status, body) = match known {
            true => ("200 OK", json!({"token": self.token(&request), "expires_in": 300})),
            false => ("401 Unauthorized", json!({"errors": [{"code": "UNAUTHORIZED", "message": "who is that?"}]})),
        };
        let body = body.to_string();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    }

    /// A token for every `scope=` of the request.
    fn token(&self, request: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let query = request.split(['?', ' ']).nth(2).unwrap_or_default();
        let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
        let scopes = scopes.map(|scope| scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","));
        let access: Vec<Value> = scopes
            .flat_map(|scope| scope.split(['+', ' ']).map(str::to_owned).collect::<Vec<_>>())
            .map(|scope| {
                let mut parts = scope.splitn(3, ':');
                let mut part = || parts.next().unwrap_or_default().to_owned();
                let (kind, name, actions) = (part(), part(), part());
                json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()})
            })
            .collect();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": "test", "sub": "jane", "aud": "test", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
            "access": access,
        });
        let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
