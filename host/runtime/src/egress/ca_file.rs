//! Files of certificate authorities that the operator names (`ca_file`).

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::files::read_file;

/// The certificates of all public authorities take a quarter of that.
const MAX_BYTES: u64 = 1 << 20;

/// The certificates (PEM) in a file, at least one. The error names the file.
pub(super) fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: &str| format!("`ca_file` {} {why}", file.display());
    let pem = read_file(file, MAX_BYTES).map_err(|error| wrong(&format!("can not be read: {error}")))?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&format!("is not PEM: {error}")))?;
    if roots.is_empty() {
        return Err(wrong("has no certificate (BEGIN CERTIFICATE)"));
    }
    if roots.iter().any(|root| webpki::anchor_from_trusted_cert(root).is_err()) {
        return Err(wrong("has a certificate that is not X.509"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_certificates_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let told = read(&file).unwrap_err();
        assert!(told.contains("ca.pem can not be read"), "{told}");
        for (wrong, why) in [
            ("", "has no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "is not PEM"),
            ("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n", "is not X.509"),
        ] {
            std::fs::write(&file, wrong).unwrap();
            let told = read(&file).unwrap_err();
            assert!(told.contains("ca.pem") && told.contains(why), "{told}");
        }
    }
}
