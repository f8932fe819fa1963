//! A PostgreSQL server of the tests' own, one for the whole process: in a temporary folder, reached by a socket in it,
//! never as root. It ends with the process, however that ends.

use std::{
    io::Read as _,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

/// Starts the server, waits until the pipe to this process closes, stops the server and removes its folder. A shell of
/// its own process group: what kills the tests does not kill it.
const GUARD: &str = r#"
trap '' INT TERM HUP
cd / && "$@" -D "$FOLDER/data" -k "$FOLDER" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c max_connections=400 -c shared_buffers=64MB -c log_min_messages=fatal >"$FOLDER/log" 2>&1 </dev/null &
server=$!
if [ -n "$POOLER" ]; then
    $POOLER "$FOLDER/pooler.ini" >/dev/null 2>&1 </dev/null &
    pooler=$!
fi
read -r line
# The signals that end it at once differ between its versions, but for this one; it has nothing to lose.
[ -z "$pooler" ] || kill -KILL $pooler
kill -QUIT "$server"
wait
rm -rf "$FOLDER"
"#;

/// A pooler that gives each transaction to any of three sessions, which makes them mix.
const POOLER_SETTINGS: &str = "[databases]
* = host=FOLDER user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = FOLDER
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 1000
";

/// The user that runs the server when the tests run as root, which PostgreSQL refuses.
const USER: &str = "postgres";

pub(crate) struct Cluster {
    folder: PathBuf,
    /// Whether there is a `PgBouncer` before it.
    has_pooler: bool,
    /// Its standard input is the pipe that the guard waits for.
    _guard: Child,
}

/// The server; started at the first use.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

impl Cluster {
    /// The URL of a database as the superuser of the server.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    pub(crate) fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.folder.display())
    }

    /// The URL of a database through `PgBouncer`, if this machine has it.
    pub(crate) fn pooled_url(&self, database: &str) -> Option<String> {
        self.has_pooler.then(|| format!("{}&port=6432", self.url(database)))
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("aftercommit-pg-").tempdir_in("/tmp").unwrap().keep();
        if is_root() {
            run(Command::new("chown").arg(USER).arg(&folder));
        }
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.arg("-D").arg(folder.join("data")).current_dir("/");
        run(initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]));
        let server = as_user(&programs.join("postgres"));
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(server.get_program()).args(server.get_args());
        let settings = POOLER_SETTINGS.replace("FOLDER", &folder.display().to_string());
        std::fs::write(folder.join("pooler.ini"), settings).unwrap();
        let pooler = find("pgbouncer").map(|program| command_line(&as_user(&program)));
        guard.env("FOLDER", &folder).env("POOLER", pooler.as_deref().unwrap_or_default());
        let guard = guard.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).spawn();
        let cluster = Self { folder, has_pooler: pooler.is_some(), _guard: guard.expect("a shell") };
        cluster.wait(&programs);
        cluster
    }

    fn wait(&self, programs: &Path) {
        let mut ready = Command::new(programs.join("pg_isready"));
        ready.args(["-q", "-t", "1", "-h"]).arg(&self.folder);
        for _ in 0..600 {
            if ready.status().is_ok_and(|status| status.success()) {
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "nothing tells that a server is ready")]
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let mut log = String::new();
        let _ =
            std::fs::File::open(self.folder.join("log")).and_then(|mut file| file.read_to_string(&mut log));
        panic!("the PostgreSQL server of the tests did not start:\n{log}");
    }
}

/// The folder of the newest server's programs.
fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path): &(u32, PathBuf)| path.join("postgres").exists())
        .collect();
    found.sort();
    let in_path = || find("postgres")?.parent().map(Path::to_owned);
    found.pop().map(|(_, path)| path).or_else(in_path).unwrap_or_else(|| {
        panic!(
            "these tests need a PostgreSQL server, 14 or later: neither /usr/lib/postgresql/*/bin nor PATH has the \
             programs `initdb` and `postgres`; install the package `postgresql` (or run `cargo xtask test`)"
        )
    })
}

/// A program in PATH, or where Debian puts what is not for every user.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.exists())
}

/// For the shell, which parts it at spaces: none of these programs has any in its name.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
