//! Certificate authorities for a machine that has none of its own, so that images can be pulled there too.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::NamedTempFile;

use crate::sys::process::set_variable;

/// Names Mozilla's authorities to the TLS library, in a file that is there as long as the value, unless the machine has
/// some. The registry client panics without any, even when nothing but plain HTTP is spoken. To be called with one thread.
pub(super) fn provide() -> io::Result<Option<NamedTempFile>> {
    if !rustls_native_certs::load_native_certs().certs.is_empty() {
        return Ok(None);
    }
    let mut file = NamedTempFile::new()?;
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        writeln!(file, "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(certificate))?;
    }
    file.flush()?;
    set_variable("SSL_CERT_FILE", file.path());
    Ok(Some(file))
}
