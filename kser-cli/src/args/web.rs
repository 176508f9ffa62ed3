use std::net::SocketAddr;

use clap::Args;

/// The server of the page.
#[derive(Debug, Args)]
pub struct Web {
    /// The address; one that other machines reach needs a token or a proxy
    #[arg(long, default_value = "127.0.0.1:8790", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Offers acts on runs and dead letters; without it the page only looks
    #[arg(long)]
    pub allow_writes: bool,
    /// The path under which a proxy shows the page, such as /ops/kser
    #[arg(long, default_value = "", value_name = "PATH")]
    pub prefix: String,
    /// A name of the server beside localhost and its address; requests to others are refused
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// A secret of 16 characters or more that lets in, in place of a link for one browser
    #[arg(
        long,
        env = "KSER_WEB_TOKEN",
        hide_env_values = true,
        value_name = "SECRET",
        conflicts_with = "behind_proxy"
    )]
    pub token: Option<String>,
    /// Lets those in whom a proxy names; only the proxy may reach the address
    #[arg(long, requires = "user_header")]
    pub behind_proxy: bool,
    /// The header in which the proxy names the person, such as X-Forwarded-User
    #[arg(long, requires = "behind_proxy", value_name = "NAME")]
    pub user_header: Option<String>,
    /// Hides the values of params and outcomes of this name, beside password, token and others
    #[arg(long = "mask", value_name = "NAME")]
    pub masked: Vec<String>,
    /// The name of the installation on the page, such as prod
    #[arg(long, default_value = "", value_name = "NAME")]
    pub name: String,
    /// The person or program that acts, unless a proxy names it
    #[arg(
        long,
        env = "KSER_ACTOR",
        default_value = "kser web",
        value_name = "NAME"
    )]
    pub actor: String,
}
