use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::deadline::{retry, retry_for};
use crate::installation::succeed;
use crate::ports;
use crate::secure::Secure;
use crate::watchdog::Watchdog;

/// The user of all connections, who needs no password.
const USER: &str = "kser";

/// The settings of all servers. Commits are durable; the buffers are small, and shared memory consists of files of the data
/// folder, so that a killed server leaves none behind.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = on
synchronous_commit = on
max_connections = 300
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_stat_statements'
max_wal_size = 4GB
log_line_prefix = '%m %p '
";

/// The rules for connections: the role `locked` needs its password, and all others need none.
const ACCESS: &str = "\
host all locked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
";

/// The further settings of a server with TLS.
const TLS: &str = "\
ssl = on
ssl_cert_file = 'broker.pem'
ssl_key_file = 'broker.key'
";

/// The access to a server with TLS.
const TLS_ACCESS: &str = "hostssl all all 127.0.0.1/32 trust\n";

/// A shell script that writes its process id to a file for the watchdog before it becomes the server.
const BECOME_SERVER: &str = r#"echo $$ >"$0/postmaster" && exec "$@""#;

/// The time within which a server that is asked to end has ended.
const END: Duration = Duration::from_secs(30);

/// A PostgreSQL server of its own: a data folder and a port. It is stopped, and its data removed, when this is dropped or the
/// process ends.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    /// The folder with the data and the log.
    folder: PathBuf,
    /// Dropped before the folder.
    server: Mutex<Option<Server>>,
    _watchdog: Watchdog,
}

impl Postgres {
    /// Starts a server with the database `kser`. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If the server cannot be started.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further settings, such as `("shared_buffers", "256MB")`.
    ///
    /// # Panics
    ///
    /// If the server cannot be started.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::make(settings, false).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a server that takes connections with TLS only, with a certificate for `localhost` and 127.0.0.1. Needs `openssl`.
    ///
    /// # Panics
    ///
    /// If the server cannot be started.
    #[must_use]
    pub fn start_with_tls() -> Self {
        Self::make(&[], true).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the file of the authority of a server that has been started with TLS.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("data/ca.pem")
    }

    fn make(settings: &[(&str, &str)], tls: bool) -> Result<Self, String> {
        let watchdog = match account() {
            // The user of the server may not be able to enter the target folder.
            Some(_) => Watchdog::new_in(&std::env::temp_dir().join("kser-test-services"))?,
            None => Watchdog::new()?,
        };
        let folder = watchdog.folder().join("1");
        let data = folder.join("data");
        let text = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&data).map_err(text)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).map_err(text)?;
        if let Some((user, group)) = account() {
            chown(&data, Some(user), Some(group)).map_err(text)?;
        }
        let mut initialize = command("initdb")?;
        let options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--username"];
        succeed(
            initialize
                .args(options)
                .arg(USER)
                .arg("--pgdata")
                .arg(&data),
        )?;
        let port = ports::free();
        let mut configuration = format!("{SETTINGS}port = {port}\n");
        for (name, value) in settings {
            let _ = writeln!(configuration, "{name} = '{value}'");
        }
        if tls {
            configuration.push_str(TLS);
            certify(&data)?;
        }
        fs::write(data.join("postgresql.auto.conf"), configuration).map_err(text)?;
        let access = if tls { TLS_ACCESS } else { ACCESS };
        fs::write(data.join("pg_hba.conf"), access).map_err(text)?;
        let server = Self {
            port,
            folder,
            server: Mutex::default(),
            _watchdog: watchdog,
        };
        server.launch()?;
        server.sql("postgres", "CREATE DATABASE kser")?;
        server.sql("kser", "CREATE EXTENSION pg_stat_statements")?;
        Ok(server)
    }

    /// Returns the URL of the database `kser`, for a user who may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}@{}/kser", self.address())
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Executes statements in the database `kser`, and returns the rows as unaligned text.
    ///
    /// # Panics
    ///
    /// If they fail.
    pub fn execute(&self, statements: &str) -> String {
        let done = self.sql("kser", statements);
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Kills the server (`kill -9`) with all of its processes. Returns when it has ended. Does nothing if it does not run.
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            server.kill();
        }
    }

    /// Stops the server as an administrator does: connections are closed, and open transactions are rolled back. Does nothing
    /// if it does not run.
    ///
    /// # Panics
    ///
    /// If the server does not end.
    pub fn stop(&self) {
        if let Some(server) = self.server().take() {
            server.end("INT").unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Starts the server again, with its data. A running server is killed first. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If the server does not answer after three minutes.
    pub fn restart(&self) {
        self.kill();
        self.launch().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Freezes the server: it keeps its connections and does not answer.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// Resumes a frozen server.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    fn signal_all(&self, name: &str) {
        let server = self.server();
        let server = server.as_ref().expect("the server runs");
        let _ = server.signal(name);
        for child in server.children() {
            let _ = signal(name, &child);
        }
    }

    fn launch(&self) -> Result<(), String> {
        // The processes of a killed server may still end.
        retry(|| {
            let mut server = Server::start(&self.folder)?;
            server.wait_until(|| self.sql("postgres", "SELECT 1").map(drop))?;
            *self.server() = Some(server);
            Ok(())
        })
    }

    fn sql(&self, database: &str, statements: &str) -> Result<String, String> {
        let address: SocketAddr = ([127, 0, 0, 1], self.port).into();
        // Cheaper than a process that finds no server.
        TcpStream::connect(address).map_err(|error| error.to_string())?;
        let mut psql = Command::new(binary("psql")?);
        let url = format!("postgres://{USER}@{}/{database}", self.address());
        let options = [
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "-vON_ERROR_STOP=1",
        ];
        psql.args(options).args(["--command", statements]).arg(url);
        let output = succeed(&mut psql)?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(server) = self.server().take() {
            let _ = server.end("QUIT");
        }
    }
}

/// Returns a PostgreSQL server that all tests of this process share, so that each test has to use a schema or a database of its
/// own. The first call starts it.
///
/// # Panics
///
/// If it cannot be started.
#[must_use]
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// The process of a server. Dropping it kills it.
#[derive(Debug)]
struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    fn start(folder: &Path) -> Result<Self, String> {
        let text = |error| format!("{}: {error}", folder.display());
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .map_err(text)?;
        let mut server = command("postgres")?;
        server.arg("-D").arg(folder.join("data"));
        let process = Command::new("sh")
            .args(["-c", BECOME_SERVER])
            .arg(folder)
            .arg(server.get_program())
            .args(server.get_args())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(text)?)
            .stderr(log)
            // Ctrl-C must reach the test only.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh cannot be run: {error}"))?;
        Ok(Self {
            process,
            folder: folder.to_owned(),
        })
    }

    /// Retries until `ready` succeeds. If the server has ended by itself, or takes too long, the error contains its log.
    fn wait_until(&mut self, mut ready: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let mut ended = None;
        let last = retry(|| {
            ended = self.process.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() { Ok(()) } else { ready() }
        });
        let problem = match (ended, last) {
            (Some(status), _) => format!("PostgreSQL has ended by itself ({status})"),
            (None, Err(error)) => format!("PostgreSQL is not ready: {error}"),
            (None, Ok(())) => return Ok(()),
        };
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("{problem}\n{log}"))
    }

    /// Sends a signal that ends the server, and waits for the end.
    fn end(mut self, name: &str) -> Result<(), String> {
        self.signal(name)?;
        retry_for(END, || match self.process.try_wait() {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("PostgreSQL does not stop".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Kills the processes of all connections, too, which else would end a little later.
    fn kill(mut self) {
        let children = self.children();
        let _ = self.process.kill();
        for child in children {
            let _ = signal("KILL", &child);
        }
        let _ = self.process.wait();
    }

    fn children(&self) -> Vec<String> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        signal(name, &self.process.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // From now on another process may get the id.
        let _ = fs::remove_file(self.folder.join("postmaster"));
    }
}

/// Makes the certificates of a server in its data folder, and gives it its key.
fn certify(data: &Path) -> Result<(), String> {
    Secure::new(data.to_owned()).make()?;
    let key = data.join("broker.key");
    let text = |error| format!("{}: {error}", key.display());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(text)?;
    match account() {
        Some((user, group)) => chown(&key, Some(user), Some(group)).map_err(text),
        None => Ok(()),
    }
}

fn signal(name: &str, id: &str) -> Result<(), String> {
    // The shell has a built-in `kill`; the command may not be installed.
    succeed(Command::new("sh").args(["-c", r#"kill -"$0" "$1""#, name, id])).map(drop)
}

/// Returns the user and the group that run the server, if this process runs as root, for whom PostgreSQL does not start.
fn account() -> Option<(u32, u32)> {
    let us = fs::metadata("/proc/self").ok()?.uid();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let mut lines = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let line = lines.find(|line| line.first() == Some(&name))?;
        Some((line.get(2)?.parse().ok()?, line.get(3)?.parse().ok()?))
    };
    (us == 0).then(|| find("postgres").or_else(|| find("nobody")))?
}

/// Returns a command of the server's package, which another user runs if this process runs as root.
fn command(name: &str) -> Result<Command, String> {
    let program = binary(name)?;
    let Some((user, group)) = account() else {
        return Ok(Command::new(program));
    };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}")]);
    // A folder that the user can enter.
    command.arg("--clear-groups").arg(program).current_dir("/");
    Ok(command)
}

/// Returns the path of a program of PostgreSQL: in the folder of `KSER_TEST_POSTGRES`, or else of the system's package.
fn binary(name: &str) -> Result<PathBuf, String> {
    let asked = std::env::var_os("KSER_TEST_POSTGRES");
    let asked = asked.map(|folder| Path::new(&folder).join(name));
    if let Some(program) = asked.filter(|program| program.exists()) {
        return Ok(program);
    }
    match option_env!("TEST_SERVICES_POSTGRES") {
        Some(folder) => Ok(Path::new(folder).join(name)),
        None => Err("PostgreSQL is not installed".to_owned()),
    }
}
