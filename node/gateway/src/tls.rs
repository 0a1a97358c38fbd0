//! TLS: a certificate and its key, of PEM files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or has nothing of what it should have.
    #[error("cannot read {what} from {}: {source}", path.display())]
    File {
        /// What it should have.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// They do not belong together, or are not supported.
    #[error("cannot use the certificate with this key: {0}")]
    Key(#[from] rustls::Error),
}

/// Reads certificates and key.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let failed = |what, path: &Path, source: rustls::pki_types::pem::Error| {
        let source = match source {
            rustls::pki_types::pem::Error::Io(source) => source,
            source => io::Error::other(source.to_string()),
        };
        TlsError::File { what, path: path.to_owned(), source }
    };
    let certificates = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|source| failed("a certificate", certificate, source))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| failed("a private key", key, source))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
