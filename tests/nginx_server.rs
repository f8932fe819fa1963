//! An nginx of its own, on a free port of loopback, which answers 200 to all and writes down what it processed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Certificate, on_port::OnPort};

/// A server; killed when dropped.
pub struct NginxServer {
    folder: TempDir,
    process: OnPort,
    certificate: Option<Certificate>,
}

/// A request that nginx processed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Processed {
    /// What it answered.
    pub status: u16,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// The request's number on its connection, from 1.
    pub number_on_connection: u32,
    /// The path.
    pub path: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl NginxServer {
    /// A server of HTTP/1.1. `http` stands in the section of that name, `location` in that of all paths.
    #[must_use]
    pub fn start(http: &str, location: &str) -> Self {
        Self::start_with(http, location, None)
    }

    /// The same with TLS, and HTTP/2 for clients that speak it.
    #[must_use]
    pub fn start_http2(http: &str, location: &str) -> Self {
        Self::start_with(http, location, Some(Certificate::new()))
    }

    fn start_with(http: &str, location: &str, certificate: Option<Certificate>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (http, location) = (http.to_owned(), location.to_owned());
        let (listen, tls) = match &certificate {
            None => ("", String::new()),
            Some(certificate) => (" ssl http2", tls(certificate)),
        };
        let path = folder.path().to_owned();
        let process = OnPort::start("start worker process ", move |port| {
            let config = config(&path, &format!("{port}{listen}"), &format!("{tls}{http}"), &location);
            fs::write(path.join("nginx.conf"), config).expect("the folder is ours");
            command(&path)
        });
        Self { folder, process, certificate }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self.certificate {
            None => format!("http://127.0.0.1:{}{path}", self.process.port()),
            Some(_) => format!("https://localhost:{}{path}", self.process.port()),
        }
    }

    /// The authority of its certificate, with TLS.
    #[must_use]
    pub fn ca(&self) -> Option<PathBuf> {
        self.certificate.as_ref().map(Certificate::ca)
    }

    /// Reloads its configuration: workers that run finish what they have begun, and others take over.
    pub fn reload(&self) {
        let done = command(self.folder.path()).args(["-s", "reload"]).output().expect("nginx starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// What it processed so far, in that order.
    #[must_use]
    pub fn processed(&self) -> Vec<Processed> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().map(Processed::of).collect()
    }
}

impl Processed {
    fn of(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("a line of the log: {line}"));
        let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("a number: {word}"));
        Self {
            status: word().parse().expect("a status"),
            protocol: word().to_owned(),
            number_on_connection: number(word()),
            at_ms: word().replace('.', "").parse().expect("seconds and milliseconds"),
            path: word().to_owned(),
        }
    }
}

fn tls(certificate: &Certificate) -> String {
    let (cert, key) = (certificate.cert(), certificate.key());
    format!("ssl_certificate {}; ssl_certificate_key {};\n", cert.display(), key.display())
}

fn config(folder: &Path, listen: &str, http: &str, location: &str) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .concat();
    // As root it would give the temporary folder to another user, which can not read what is above it.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    // `return` comes before limits are looked at; a file that is not there is looked for after that.
    format!(
        "{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
log_format processed '$status $server_protocol $connection_requests $msec $uri';
access_log {folder}/access.log processed;
{temporary}
{http}
server {{
listen 127.0.0.1:{listen}; server_name localhost; root {folder};
location / {{ {location} try_files /none @taken; }}
location @taken {{ return 200; }}
}}
}}
"
    )
}

/// The one that is installed, or that `cargo xtask test` has unpacked.
fn command(folder: &Path) -> Command {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nginx/usr/sbin/nginx");
    let installed = Path::new("/usr/sbin/nginx");
    let program = if installed.is_file() { installed } else { &unpacked };
    assert!(program.is_file(), "nginx is missing: `cargo xtask test` installs what the tests start");
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(folder.join("nginx.conf"));
    command
}
