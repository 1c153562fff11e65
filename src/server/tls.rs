//! The server's certificate and key, as they are now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::stamp::{LOOK_AGAIN_AFTER, Stamp};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the certificate {path}", path = path.display())]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("there is no certificate in {path}: it must be in the form of PEM", path = .0.display())]
    NoCertificate(PathBuf),
    #[error("cannot read the key {path}", path = path.display())]
    Key { path: PathBuf, source: pem::Error },
    #[error("certificate and key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// What connections are encrypted by.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    view: Mutex<View>,
}

#[derive(Debug)]
struct View {
    config: Arc<ServerConfig>,
    stamps: [Option<Stamp>; 2],
    looked_at: Instant,
}

impl Tls {
    /// # Errors
    /// The files cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamps = [Stamp::of(certificate), Stamp::of(key)];
        let config = read(certificate, key)?;
        let view = Mutex::new(View { config, stamps, looked_at: Instant::now() });
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), view })
    }

    /// For the next connection. Files that are gone or wrong change nothing; so does one of the two that is new already
    /// while the other is not.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.looked_at.elapsed() < LOOK_AGAIN_AFTER {
            return Arc::clone(&view.config);
        }
        view.looked_at = Instant::now();
        let stamps = [Stamp::of(&self.certificate), Stamp::of(&self.key)];
        if stamps != view.stamps {
            view.stamps = stamps;
            match read(&self.certificate, &self.key) {
                Ok(config) => {
                    tracing::info!(file = %self.certificate.display(), "the certificate was read again");
                    view.config = config;
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the certificate stays as it was: the new files cannot be used"
                ),
            }
        }
        Arc::clone(&view.config)
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |source| TlsError::Certificate { path: certificate.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let unreadable = |source| TlsError::Key { path: key.to_owned(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
