use serde::Serialize;

use crate::error::OpsError;
use crate::ops::Ops;
use crate::ops::topics::{Backlog, TopicLine};

/// A group and a topic that it receives from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GroupLine {
    /// The name of the group, with the prefix.
    pub group: String,
    /// The name of the topic, with the prefix.
    pub topic: String,
    /// Whether the backend knows the group: it has members, or has settled records.
    pub known: bool,
    /// The progress of the group in the topic.
    pub work: Backlog,
}

impl Ops {
    /// Lists the groups of the work topics, with their progress. The members of a group are not shown: those of a group with the
    /// protocol of KIP-848 cannot be described by the client.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when no topic belongs to the group that is named, otherwise as [`topics`](Self::topics).
    pub async fn groups(&self, group: Option<&str>) -> Result<Vec<GroupLine>, OpsError> {
        let inspect = self.inspect("looking at groups")?;
        let known = inspect.groups().await?;
        let lines = self.topics().await?.into_iter().filter_map(|line| {
            let TopicLine {
                topic, group, work, ..
            } = line;
            Some(GroupLine {
                known: known.contains(&group),
                group,
                topic,
                work: work?,
            })
        });
        let Some(name) = group else {
            return Ok(lines.collect());
        };
        let lines: Vec<_> = lines.filter(|line| line.group == name).collect();
        match lines.is_empty() {
            true => Err(OpsError::NotFound {
                what: format!("no topic belongs to the group {name}"),
            }),
            false => Ok(lines),
        }
    }
}
