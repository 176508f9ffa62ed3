use test_services::Admin;

use super::{Tested, prefix};

/// New topics and partitions are seen soon.
const SEES_SOON: &str = "topic.metadata.refresh.interval.ms=500";

/// A place of one's own on the shared broker.
pub(crate) struct Place {
    pub(crate) prefix: String,
    pub(crate) admin: Admin,
    /// More options of the URL.
    options: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (prefix, admin) = (prefix(), Admin::new(test_services::kafka()));
        Self {
            prefix,
            admin,
            options: SEES_SOON.to_owned(),
        }
    }

    /// Adds an option to the URL.
    pub(crate) fn with(self, option: &str) -> Self {
        let options = format!("{}&{option}", self.options);
        Self { options, ..self }
    }

    /// Forgets what the group of the road has committed, as time does.
    pub(crate) async fn expire(&self) -> Tested {
        let (admin, prefix) = (self.admin.clone(), self.prefix.clone());
        let expire = move || {
            admin.delete_offsets(&format!("{prefix}kser.road"), &format!("{prefix}road"));
        };
        Ok(tokio::task::spawn_blocking(expire).await?)
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "kafka://{}?prefix={}&{}",
            test_services::kafka(),
            self.prefix,
            self.options
        )
    }

    /// Makes a topic. Blocks, which a test may.
    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        self.admin
            .create_topic(&format!("{}{topic}", self.prefix), partitions, 1);
    }
}
