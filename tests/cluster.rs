//! A PostgreSQL server of its own: in a temporary folder, reached by a socket in it, never as root. It ends with the
//! process that started it, however that ends.
//!
//! Needs the programs of a PostgreSQL server, version 14 or later, but no running one. The newest that is installed is
//! taken, or the one whose folder of programs the variable `AFTERCOMMIT_TEST_POSTGRES` names.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::SetClock;

/// Does what it is told by lines, until the pipe to the process that tells closes: then it ends the server and removes
/// its folder. A shell of its own process group: what kills the tests does not kill it.
///
/// `kill` ends all processes of the server at once and without notice, as a crash of the machine would, and waits until
/// they are gone: the next server would not start beside one of them.
const GUARD: &str = r#"
trap '' INT TERM HUP
cd /
while read -r order; do
    case $order in
    start)
        "$@" -D "$FOLDER/data" -k "$FOLDER" >>"$FOLDER/log" 2>&1 </dev/null &
        server=$!
        ;;
    pooler*)
        $POOLER "$FOLDER/$order.ini" >/dev/null 2>&1 </dev/null &
        poolers="$poolers $!"
        ;;
    kill)
        # Stopped first, it has no more children than those that are counted.
        kill -STOP "$server"
        all="$server $(cat "/proc/$server/task/$server/children")"
        kill -KILL $all 2>/dev/null
        wait "$server" 2>/dev/null
        for process in $all; do
            while [ -e "/proc/$process" ]; do sleep 0.01; done
        done
        ;;
    esac
    echo done
done
# The signals that end it at once differ between its versions, but for this one; it has nothing to lose.
[ -z "$poolers" ] || kill -KILL $poolers
[ -z "$server" ] || kill -QUIT "$server" 2>/dev/null
wait
rm -rf "$FOLDER"
"#;

/// A pooler before the server.
const POOLER_SETTINGS: &str = "[databases]
* = host=FOLDER user=postgres
[pgbouncer]
listen_addr =
listen_port = PORT
unix_socket_dir = FOLDER
auth_type = any
max_client_conn = 1000
";

/// Gives each transaction to any of three sessions, which makes them mix.
const SHARING: &str = "pool_mode = transaction
default_pool_size = 3
";
const SHARING_PORT: u16 = 6432;

/// The user that runs the server when the tests run as root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// Names a folder with `initdb` and `postgres`, their libraries and shared files beside it.
const PROGRAMS: &str = "AFTERCOMMIT_TEST_POSTGRES";

/// A server, with a `PgBouncer` before it where this machine has one.
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    has_pooler: bool,
    guard: Mutex<Guard>,
}

struct Guard {
    _process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Settings of a server that has nothing to lose but what a kill of its processes loses.
    pub const CARELESS: [&str; 5] = [
        "fsync=off",
        "full_page_writes=off",
        "max_connections=400",
        "shared_buffers=64MB",
        "log_min_messages=fatal",
    ];

    /// A server for tests: it does not wait for the disk.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&Self::CARELESS)
    }

    /// The same, after `prepare` has changed or added files in its folder `data`.
    pub fn start_prepared(prepare: impl FnOnce(&Path)) -> Self {
        Self::start_in(&Self::CARELESS, prepare, None)
    }

    /// A server that goes by this clock, as its hosts then do.
    #[must_use]
    pub fn start_by(clock: &SetClock) -> Self {
        Self::start_in(&Self::CARELESS, |_| {}, Some(clock))
    }

    /// A server with settings such as `fsync=on`. Panics with what is missing on this machine.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_in(settings, |_| {}, None)
    }

    fn start_in(settings: &[&str], prepare: impl FnOnce(&Path), clock: Option<&SetClock>) -> Self {
        let folder = tempfile::Builder::new().prefix("aftercommit-pg-").tempdir_in("/tmp");
        let folder = folder.expect("a temporary folder").keep();
        let programs = programs(&folder);
        if is_root() {
            run(Command::new("chown").arg(USER).arg(&folder));
        }
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.arg("-D").arg(folder.join("data")).current_dir("/");
        run(initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]));
        let data = folder.join("data");
        append(&data.join("postgresql.conf"), "listen_addresses = ''\n");
        prepare(&data);
        if is_root() {
            run(Command::new("chown").args(["-R", USER]).arg(&data));
        }
        let pooler = find("pgbouncer").map(|program| command_line(&as_user(&program)));
        let mut guard = guard(&folder, &programs, settings, pooler.as_deref().unwrap_or_default());
        guard.envs(clock.into_iter().flat_map(SetClock::environment));
        let guard = Mutex::new(Guard::start(guard));
        let cluster = Self { folder, programs, has_pooler: pooler.is_some(), guard };
        cluster.start_again();
        cluster.start_pooler(SHARING_PORT, SHARING);
        cluster
    }

    /// The URL of a database as the superuser of the server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// The URL of a database as another user.
    #[must_use]
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.folder.display())
    }

    /// The URL of a database through `PgBouncer`, if this machine has it.
    #[must_use]
    pub fn pooled_url(&self, database: &str) -> Option<String> {
        self.has_pooler.then(|| format!("{}&port={SHARING_PORT}", self.url(database)))
    }

    /// Starts another `PgBouncer` with these settings at a port of its own; `false` where this machine has none.
    pub fn start_pooler(&self, port: u16, settings: &str) -> bool {
        if self.has_pooler {
            let common = POOLER_SETTINGS.replace("FOLDER", &self.folder.display().to_string());
            let all = format!("{}{settings}", common.replace("PORT", &port.to_string()));
            fs::write(self.folder.join(format!("pooler{port}.ini")), all).expect("the folder is ours");
            self.order(&format!("pooler{port}"));
            let mut ready = self.program("pg_isready");
            ready.args(["-q", "-t", "1", "-p", &port.to_string()]);
            await_success(&mut ready, "the pooler");
        }
        self.has_pooler
    }

    /// Where its socket is, and its folder `data`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program such as `pgbench` that reaches it: of this server's version, or of the installed one's where a server
    /// came without it.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let own = self.programs.join(name);
        let mut command = Command::new(if own.exists() { own } else { installed().join(name) });
        command.env("PGHOST", &self.folder).env("PGUSER", "postgres");
        command
    }

    /// Ends the server as a crash would: SIGKILL to all of its processes at once.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// Starts the server after [`kill`](Self::kill); returns when it answers.
    pub fn start_again(&self) {
        self.order("start");
        let mut ready = self.program("pg_isready");
        ready.args(["-q", "-t", "1"]);
        await_success(&mut ready, "the PostgreSQL server");
    }

    /// Has the server write no file beyond this size, or any again. What crosses it is written up to it: with a size in
    /// the middle of a page, the server reports a full disk.
    pub fn limit_files(&self, size_bytes: Option<u64>) {
        let lock = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("the server runs");
        let server = lock.lines().next().expect("its process");
        let children = format!("/proc/{server}/task/{server}/children");
        let fsize = size_bytes.map_or_else(|| "unlimited".to_owned(), |size_bytes| size_bytes.to_string());
        let limit = |process: &str| {
            // As the server's user, who may do it without any privilege. The hard limit stays, or it could not be lifted.
            let mut limit = as_user(Path::new("prlimit"));
            limit
                .args(["--pid", process, &format!("--fsize={fsize}:")])
                .output()
                .expect("`prlimit` of util-linux")
        };
        // First itself: its next children inherit the limit.
        let done = limit(server);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for child in fs::read_to_string(children).expect("the server runs").split_whitespace() {
            // One that has ended meanwhile writes nothing.
            limit(child);
        }
    }

    /// What the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Returns when it is done.
    fn order(&self, order: &str) {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(guard.orders, "{order}").expect("the guard runs as long as this process");
        let mut answer = String::new();
        guard.answers.read_line(&mut answer).expect("the guard answers");
        assert_eq!(answer.trim(), "done", "{order}");
    }
}

/// Runs a command until it says that something is ready.
fn await_success(ready: &mut Command, what: &str) {
    for _ in 0..600 {
        if ready.status().is_ok_and(|status| status.success()) {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "nothing tells that a server is ready")]
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} of the tests did not start");
}

impl Guard {
    fn start(mut command: Command) -> Self {
        let mut process = command.spawn().expect("a shell");
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { _process: process, orders, answers }
    }
}

fn guard(folder: &Path, programs: &Path, settings: &[&str], pooler: &str) -> Command {
    let server = as_user(&programs.join("postgres"));
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "guard"]).arg(server.get_program()).args(server.get_args());
    for setting in settings {
        guard.args(["-c", setting]);
    }
    guard.env("FOLDER", folder).env("POOLER", pooler);
    guard.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    guard
}

/// The folder of the programs to start; below `folder` if the server's user can not reach where they are.
fn programs(folder: &Path) -> PathBuf {
    let Some(chosen) = std::env::var_os(PROGRAMS).map(PathBuf::from) else { return installed() };
    assert!(
        chosen.join("postgres").exists(),
        "{PROGRAMS}={}: there is no program `postgres`",
        chosen.display()
    );
    let mut reachable = as_user(Path::new("test"));
    reachable.arg("-x").arg(chosen.join("postgres"));
    if reachable.status().is_ok_and(|status| status.success()) {
        return chosen;
    }
    let (copy, parent) = (folder.join("server"), chosen.join(".."));
    run(Command::new("cp").arg("-R").arg(parent).arg(&copy));
    copy.join(chosen.file_name().expect("a folder of its own"))
}

/// The folder of the newest installed server's programs.
fn installed() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
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
            "this needs a PostgreSQL server, 14 or later: neither /usr/lib/postgresql/*/bin nor PATH has the programs \
             `initdb` and `postgres`; install the package `postgresql` (or run `cargo xtask test`)"
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
    let mut line = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        let _ = write!(line, " {}", word.to_string_lossy());
    }
    line
}

fn append(file: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(file).expect("the file is there");
    file.write_all(text.as_bytes()).expect("the folder is ours");
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
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
