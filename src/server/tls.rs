//! The server's certificate and key, as they are now.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::followed::Followed;

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
pub struct Tls(Followed<ServerConfig, 2>);

impl Tls {
    /// # Errors
    /// The files cannot be used.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Followed::open([certificate.to_owned(), key.to_owned()], read).map(Self)
    }

    /// For the next connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.0.current(read)
    }
}

fn read([certificate, key]: &[PathBuf; 2]) -> Result<ServerConfig, TlsError> {
    let unreadable = |source| TlsError::Certificate { path: certificate.clone(), source };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.clone()));
    }
    let unreadable = |source| TlsError::Key { path: key.clone(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
