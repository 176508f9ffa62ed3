use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::broker::Broker;
use crate::coordinators;
use crate::java::class_path;
use crate::layout::{Layout, Node};
use crate::release::Release;
use crate::secure;
use crate::secure::Secure;
use crate::wire::BrokerConnection;

const POM: &str = include_str!("../pom.xml");

/// The version of the installation, to be raised with each change of its making.
const RECIPE: u32 = 3;

/// The options for a fast start, which are good enough for all but benchmarks. The class archive is valid only with these
/// options.
const FAST_START: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The cluster id of a template, which is replaced in each copy.
pub(crate) const TEMPLATE_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// An installed release of Kafka in cargo's target folder, which all test processes share.
#[derive(Debug)]
pub(crate) struct Installation {
    release: Release,
    folder: PathBuf,
}

/// Returns the folder of this crate in cargo's target folder.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("TEST_SERVICES_HOME"))
}

impl Installation {
    /// Returns the installation of a release in this workspace. The first call fetches Kafka, which takes some 10 s; other
    /// processes wait for it.
    pub(crate) fn get(release: Release) -> &'static Self {
        static V4_4_0: OnceLock<Result<Installation, String>> = OnceLock::new();
        static V4_3_1: OnceLock<Result<Installation, String>> = OnceLock::new();
        let one = match release {
            Release::V4_4_0 => &V4_4_0,
            Release::V4_3_1 => &V4_3_1,
        };
        let one = one.get_or_init(|| Self::find_or_make(release));
        one.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    fn find_or_make(release: Release) -> Result<Self, String> {
        let folder = home().join(name(release)?);
        let one = Self { release, folder };
        once(&one.folder, || one.make())?;
        Ok(one)
    }

    fn make(&self) -> Result<(), String> {
        let pom = self.folder.join("pom.xml");
        fs::write(&pom, POM).map_err(|error| error.to_string())?;
        let mut libs = OsStr::new("-DoutputDirectory=").to_owned();
        libs.push(self.folder.join("libs"));
        let version = format!("-Dkafka.version={}", self.release.version());
        succeed(
            Command::new("mvn")
                .args([
                    "--quiet",
                    "--batch-mode",
                    "--no-transfer-progress",
                    "--file",
                ])
                .arg(&pom)
                .arg("dependency:copy-dependencies")
                .args([libs, version.into()]),
        )?;
        self.format(&self.folder.join("plain"), &[])?;
        self.archive()
    }

    /// Creates the initial data folder of brokers, which is the same for all but for a small text file.
    fn format(&self, template: &Path, users: &[&str]) -> Result<(), String> {
        let node = Node {
            id: 1,
            port: 1,
            controller: 2,
            advertised: None,
            secure: None,
        };
        let properties = template.with_extension("properties");
        let text = Layout::new(vec![node]).properties(1, template);
        fs::write(&properties, text).map_err(|error| error.to_string())?;
        let mut command = self.java(true);
        command
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                TEMPLATE_ID,
                "--config",
            ])
            .arg(properties);
        for user in users {
            command.args(["--add-scram", user]);
        }
        succeed(&mut command).map(drop)
    }

    /// Lets Java archive the classes of a broker, with which the next one starts in half the time.
    fn archive(&self) -> Result<(), String> {
        let folder = self.folder.join("first");
        let layout = Layout::new(vec![Node::new(1, false)]);
        layout
            .write(1, &folder, &self.template())
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut java = self.java(true);
        let mut option = OsStr::new("-XX:ArchiveClassesAtExit=").to_owned();
        option.push(self.folder.join("kafka.jsa"));
        java.arg(option);
        let mut broker = Broker::start(java, &folder)?;
        broker.wait_until(|| {
            coordinators::are_ready(&mut BrokerConnection::open(&layout.address(1))?)
        })?;
        broker.stop()?;
        fs::remove_dir_all(folder).map_err(|error| error.to_string())
    }

    /// Returns the initial data folder of a broker.
    pub(crate) fn template(&self) -> PathBuf {
        self.folder.join("plain")
    }

    /// Returns the additional files of brokers with a secure listener, which are created by the first call.
    pub(crate) fn secure(&self) -> Result<Secure, String> {
        let secure = Secure::new(self.folder.join("secure"));
        once(&self.folder.join("secure"), || {
            secure.make()?;
            self.format(&secure.template(), &secure::SCRAM)
        })?;
        Ok(secure)
    }

    /// Returns a Java command with Kafka's classes. The name of a class and its arguments have to be added.
    ///
    /// `fast_start` chooses a fast start rather than full speed.
    pub(crate) fn java(&self, fast_start: bool) -> Command {
        self.java_of(fast_start, &[&self.libs()])
    }

    /// As [`java`](Self::java), with the classes of another folder.
    pub(crate) fn java_with(&self, fast_start: bool, classes: &Path) -> Command {
        // The classes of the archive have to come first.
        self.java_of(fast_start, &[&self.libs(), classes])
    }

    /// Returns all jars of Kafka, in the form of Java's class path.
    pub(crate) fn libs(&self) -> PathBuf {
        self.folder.join("libs").join("*")
    }

    fn java_of(&self, fast_start: bool, classes: &[&Path]) -> Command {
        let mut java = Command::new("java");
        if fast_start {
            java.args(FAST_START);
            let archive = self.folder.join("kafka.jsa");
            if archive.exists() {
                let mut option = OsStr::new("-XX:SharedArchiveFile=").to_owned();
                option.push(archive);
                java.arg(option);
            }
        }
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
        java.arg(class_path(classes));
        java
    }
}

/// Lets the first process that needs a folder create it, while the others wait.
pub(crate) fn once(folder: &Path, make: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let text = |error| format!("{}: {error}", folder.display());
    fs::create_dir_all(home()).map_err(text)?;
    let lock = File::create(home().join("lock")).map_err(text)?;
    lock.lock().map_err(text)?;
    let ready = folder.join("ready");
    if ready.exists() {
        return Ok(());
    }
    // An interrupted attempt may have left an incomplete folder.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(text)?;
    make()?;
    File::create(ready).map(drop).map_err(text)
}

/// Returns the name of the folder, which depends on the jars, the version of Java (which would silently ignore the class
/// archive of another version) and the version of the installation.
fn name(release: Release) -> Result<String, String> {
    let java = succeed(Command::new("java").arg("-version"))?;
    let mut hasher = DefaultHasher::new();
    (POM, RECIPE, java.stderr).hash(&mut hasher);
    let version = release.version();
    Ok(format!("kafka-{version}-{:016x}", hasher.finish()))
}

/// Runs a command to its end. A failure is an error with its output.
pub(crate) fn succeed(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .map_err(|error| format!("{name} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(format!("{name} has failed ({}):\n{said}", output.status))
}
