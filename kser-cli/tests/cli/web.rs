use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A server of the page, which ends with the test.
struct Server {
    child: Child,
    /// The first line that it has printed: the link.
    link: String,
    folder: std::path::PathBuf,
}

impl Server {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("kser-web-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let store = format!("sqlite://{}/shop.db", folder.display());
        let mut command = kser(&["web", "--listen", "127.0.0.1:0", "--store", &store]);
        command.args(arguments).stderr(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut link = String::new();
        let printed = child.stdout.take().expect("an output");
        BufReader::new(printed)
            .read_line(&mut link)
            .expect("a link");
        Self {
            child,
            link,
            folder,
        }
    }

    /// Returns the address and the path of the link.
    fn place(&self) -> (&str, &str) {
        let rest = self.link.trim().strip_prefix("http://").expect("a link");
        let (address, _) = rest.split_once('/').expect("a path");
        (address, &rest[address.len()..])
    }

    /// Asks for a path, and returns the whole answer.
    fn get(&self, path: &str, headers: &str) -> String {
        let (address, _) = self.place();
        let mut stream = TcpStream::connect(address).expect("a connection");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn kser(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["KSER_URL", "KSER_STORE", "KSER_WEB_TOKEN", "KSER_ACTOR"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn the_page_is_served_to_one_browser_until_a_signal() {
    let mut server = Server::start("page", &["--prefix", "/ops/kser", "--allow-writes"]);
    let (_, path) = server.place();
    let path = path.to_owned();
    assert!(path.starts_with("/ops/kser?token="), "{path}");
    assert!(server.get("/ops/kser", "").starts_with("HTTP/1.1 401"));
    let entered = server.get(&path, "");
    assert!(entered.starts_with("HTTP/1.1 303"), "{entered}");
    let cookie = entered
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie
        .and_then(|cookie| cookie.split(';').next())
        .expect("a cookie");
    let cookie = format!("cookie: {cookie}\r\n");
    for path in ["/ops/kser", "/ops/kser/runs", "/runs"] {
        let page = server.get(path, &cookie);
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("acts as <b>kser web</b>"),
            "{page}"
        );
        assert!(page.contains(r#"href="/ops/kser/runs""#), "{page}");
    }
    assert!(
        server
            .get("/ops/kser/", &cookie)
            .contains("location: /ops/kser\r\n")
    );
    // A stream that is open does not hold the end up.
    let (address, _) = server.place();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET /live?see=runs HTTP/1.1\r\nhost: {address}\r\n{cookie}\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("begun") {
        line.clear();
        assert!(
            stream.read_line(&mut line).expect("a line") > 0,
            "it goes on"
        );
    }
    let id = server.child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status();
    assert!(killed.expect("kill runs").success());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an end");
    assert!(rest.contains("event: bye"), "{rest}");
    assert_eq!(server.child.wait().expect("an end").code(), Some(0));
}

#[test]
fn an_address_for_other_machines_needs_a_token_or_a_proxy() {
    let store = format!(
        "sqlite://{}/kser-web-open-{}.db",
        std::env::temp_dir().display(),
        std::process::id()
    );
    for (arguments, text) in [
        (
            &["--listen", "0.0.0.0:0"][..],
            "can be reached from other machines",
        ),
        (
            &["--listen", "[::]:0"],
            "can be reached from other machines",
        ),
        (&["--token", "hunter2"], "7 characters"),
        (&["--behind-proxy"], "--user-header"),
        (&["--user-header", "X-Forwarded-User"], "--behind-proxy"),
        (
            &["--behind-proxy", "--user-header", "a b"],
            "no name of a header",
        ),
        (&["--prefix", "ops"], "the path prefix \"ops\""),
        (&["--host", "http://ops"], "no name of a host"),
        (&["--json"], "no document"),
        (&["--listen", "here"], "invalid"),
    ] {
        let mut command = kser(&["web", "--store", &store]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let ended = command.args(arguments).output().expect("the program runs");
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.contains(text) && !error.contains("hunter2"),
            "{arguments:?}: {error}"
        );
    }
}
