//! How the tests' server is reached by TCP: at loopback addresses of its own, so that the port can be the usual one, with
//! certificates that were made for it.

use std::{
    fs,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::database::CLUSTER;

/// A role that must give its password; it is made by the test that uses it.
pub(crate) const GUARDED: &str = "guarded";

/// The address for which the server has a certificate.
pub(crate) fn address() -> Ipv4Addr {
    of_process(64)
}

/// Another address of the server.
pub(crate) fn other_address() -> Ipv4Addr {
    of_process(128)
}

/// The certificate that signed the server's.
pub(crate) fn authority() -> PathBuf {
    CLUSTER.folder().join("data/authority.crt")
}

/// One that did not.
pub(crate) fn stranger() -> PathBuf {
    CLUSTER.folder().join("data/stranger.crt")
}

/// No two processes have the same: process ids have 22 bits.
fn of_process(net: u8) -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, net + high, middle, low)
}

/// Adds to a new server's folder what it takes.
pub(crate) fn prepare(data: &Path) {
    let (authority, issuer) = authority_of("aftercommit tests");
    fs::write(data.join("authority.crt"), authority).unwrap();
    fs::write(data.join("stranger.crt"), authority_of("somebody else").0).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new([address().to_string()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(data.join("server.crt"), certificate.pem()).unwrap();
    let secret = data.join("server.key");
    fs::write(&secret, key.serialize_pem()).unwrap();
    // The server insists.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (address, other) = (address(), other_address());
    let mut settings = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
    writeln!(settings, "listen_addresses = '{address},{other}'\nssl = on").unwrap();
    let rules = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
    let rules = format!(
        "local all {GUARDED} scram-sha-256\nhost all {GUARDED} 127.0.0.0/8 scram-sha-256\n\
         host all all 127.0.0.0/8 trust\n{rules}"
    );
    fs::write(data.join("pg_hba.conf"), rules).unwrap();
}

fn authority_of(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new([]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    let certificate = parameters.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(parameters, key))
}
