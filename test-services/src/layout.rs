use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::ports;

/// The server properties of all brokers.
///
/// Groups join at once and may have short sessions, transactions expire quickly, a restart does not wait for the session of the
/// killed process, and the internal topics are small.
const COMMON: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
";

const ALONE: &str = "\
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
";

/// The server properties of three brokers, which answer more slowly on one machine. Each leads a partition of the internal
/// topics.
const SEVERAL: &str = "\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controller.quorum.fetch.timeout.ms=1000
controller.quorum.election.timeout.ms=500
replica.fetch.wait.max.ms=50
";

/// The ports of one broker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: u16,
    pub(crate) port: u16,
    pub(crate) controller: u16,
    /// The port that clients are told, if it is that of a proxy.
    pub(crate) advertised: Option<u16>,
    /// The port of the listener with TLS and SASL.
    pub(crate) secure: Option<u16>,
}

impl Node {
    /// Makes a node with free ports.
    pub(crate) fn new(id: u16, secure: bool) -> Self {
        let secure = secure.then(ports::free);
        Self {
            id,
            port: ports::free(),
            controller: ports::free(),
            advertised: None,
            secure,
        }
    }
}

/// The brokers of a cluster and their server properties.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) nodes: Vec<Node>,
    /// Additional server properties, in the form of the file, which override the others.
    pub(crate) properties: String,
}

impl Layout {
    pub(crate) fn new(nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            properties: String::new(),
        }
    }

    /// Returns the address of the plain listener of a broker.
    ///
    /// # Panics
    ///
    /// If there is no such broker.
    pub(crate) fn address(&self, id: u16) -> String {
        format!("127.0.0.1:{}", self.node(id).port)
    }

    /// Returns the address of a broker for clients, which is that of its proxy if it has one.
    pub(crate) fn client_address(&self, id: u16) -> String {
        let node = self.node(id);
        format!("127.0.0.1:{}", node.advertised.unwrap_or(node.port))
    }

    fn node(&self, id: u16) -> &Node {
        let node = self.nodes.iter().find(|node| node.id == id);
        node.unwrap_or_else(|| panic!("there is no broker {id}: they count from 1"))
    }

    /// Creates the folder of a broker, with the data of the template.
    pub(crate) fn write(&self, id: u16, folder: &Path, template: &Path) -> io::Result<()> {
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        fs::write(folder.join("server.properties"), self.properties(id, &data))?;
        copy_all(template, &data)?;
        let meta = data.join("meta.properties");
        fs::write(&meta, self.meta(id, &fs::read_to_string(&meta)?))
    }

    /// The cluster id contains a port, so that brokers of two tests that meet on a reused port know that they belong to
    /// different clusters.
    fn meta(&self, id: u16, template: &str) -> String {
        let ours = format!("{:A<22}", self.nodes[0].controller);
        let mut text = String::new();
        for line in template.lines() {
            let line = match line.split_once('=') {
                Some(("cluster.id", _)) => format!("cluster.id={ours}"),
                Some(("node.id", _)) => format!("node.id={id}"),
                Some(("directory.id", directory)) => {
                    format!("directory.id={id}{}", &directory[1..])
                }
                _ => line.to_owned(),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Returns the text of `server.properties`.
    pub(crate) fn properties(&self, id: u16, data: &Path) -> String {
        let node = self.node(id);
        let voters: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("{}@127.0.0.1:{}", node.id, node.controller))
            .collect();
        let mut clients = format!("PLAINTEXT://{}", self.address(id));
        let mut advertised = format!("PLAINTEXT://{}", self.client_address(id));
        if let Some(port) = node.secure {
            let _ = write!(clients, ",SASL_SSL://127.0.0.1:{port}");
            let _ = write!(advertised, ",SASL_SSL://127.0.0.1:{port}");
        }
        let mut text = format!(
            "node.id={id}\ncontroller.quorum.voters={}\nlisteners={clients},CONTROLLER://127.0.0.1:{}\n\
             advertised.listeners={advertised}\nlog.dirs={}\n",
            voters.join(","),
            node.controller,
            data.display(),
        );
        text.push_str(COMMON);
        text.push_str(if self.nodes.len() == 1 {
            ALONE
        } else {
            SEVERAL
        });
        text.push_str(&self.properties);
        text
    }
}

/// Copies the files of a folder and of the folders in it.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&to)?;
            copy_all(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
