use std::collections::BTreeMap;

use kser_core::{Error, Name, Topic};

/// The topic of the status changes of runs.
const EVENTS: &str = "kser.events";

/// The topic of the announcements of consumers, where no store keeps them.
const CONSUMERS: &str = "kser.consumers";

/// Says to which topic an entrypoint's messages go, and which group executes a topic.
///
/// Without a route, an entrypoint's topic is its first segment (`dice` of `dice.DiceRoll`), and a topic's group is
/// `kser.<topic>`. A topic is executed by exactly one group, so that a deploy of one service never disturbs another; a
/// second group would run everything a second time.
///
/// ```
/// # use kser::client::Routes;
/// let routes = Routes::new().with_topic("dice.DiceRoll", "casino")?.with_group("casino", "croupiers")?;
/// assert_eq!(routes.topic(&"dice.DiceRoll".into())?.as_str(), "casino");
/// assert_eq!(routes.topic(&"dice.DiceLaunch".into())?.as_str(), "dice");
/// assert_eq!(routes.group(&"casino".try_into()?), "croupiers");
/// # Ok::<(), kser::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    prefix: String,
    topics: BTreeMap<Name, Topic>,
    groups: BTreeMap<Topic, String>,
}

impl Routes {
    /// Makes the default routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `prefix` before the names of all topics and groups, such as `test.dice` and `test.kser.dice`, to keep tenants or
    /// stages apart. The default is none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when a topic cannot begin so.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Result<Self, Error> {
        self.prefix = prefix.into();
        Topic::new(format!("{}{CONSUMERS}", self.prefix))?;
        Ok(self)
    }

    /// Puts the prefix of a URL before all names. The routes may have the same prefix, or none.
    pub(crate) fn with_prefix_of_url(self, prefix: String) -> Result<Self, Error> {
        if !self.prefix.is_empty() && self.prefix != prefix {
            return Err(Error::Invalid {
                what: "the prefix of the routes".to_owned(),
                reason: format!("it is {:?}, and that of the URL is {prefix:?}", self.prefix),
            });
        }
        self.with_prefix(prefix)
    }

    /// Sends the messages of `entrypoint` to `topic`. `entrypoint` may also be a first segment, which then stands for
    /// all entrypoints that begin with it and have no route of their own.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when the topic cannot have that name.
    pub fn with_topic(
        mut self,
        entrypoint: impl Into<Name>,
        topic: impl AsRef<str>,
    ) -> Result<Self, Error> {
        self.topics.insert(entrypoint.into(), Topic::new(topic)?);
        Ok(self)
    }

    /// Sets the consumer group of `topic`, both given without the prefix. Defaults to `kser.` followed by the topic.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when the topic cannot have that name.
    pub fn with_group(
        mut self,
        topic: impl AsRef<str>,
        group: impl Into<String>,
    ) -> Result<Self, Error> {
        self.groups.insert(Topic::new(topic)?, group.into());
        Ok(self)
    }

    /// Returns the text before the names of all topics and groups; empty for none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns where the messages of an entrypoint go, prefix included.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when there is no route and the first segment is no name of a topic.
    pub fn topic(&self, entrypoint: &Name) -> Result<Topic, Error> {
        let segment = entrypoint.first_segment();
        let routed = self
            .topics
            .get(entrypoint)
            .or_else(|| self.topics.get(segment));
        match routed {
            Some(topic) => self.prefixed(topic),
            None if self.prefix.is_empty() => Ok(Topic::new(segment)?),
            None => Ok(Topic::new(format!("{}{segment}", self.prefix))?),
        }
    }

    /// Returns the consumer group of a topic, given with the prefix.
    #[must_use]
    pub fn group(&self, topic: &Topic) -> String {
        let plain = topic.as_str().strip_prefix(&self.prefix);
        let plain = plain.unwrap_or(topic.as_str());
        match self.groups.get(plain) {
            Some(group) => format!("{}{group}", self.prefix),
            None => format!("{}kser.{plain}", self.prefix),
        }
    }

    /// Returns the topic with the prefix.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTopic`] when that is too long.
    pub(crate) fn prefixed(&self, topic: &Topic) -> Result<Topic, Error> {
        match self.prefix.as_str() {
            "" => Ok(topic.clone()),
            prefix => Ok(Topic::new(format!("{prefix}{topic}"))?),
        }
    }

    /// Returns the topic of the events.
    pub(crate) fn events(&self) -> Result<Topic, Error> {
        Ok(Topic::new(format!("{}{EVENTS}", self.prefix))?)
    }

    /// Returns the topic of the announcements of consumers.
    pub(crate) fn consumers(&self) -> Result<Topic, Error> {
        Ok(Topic::new(format!("{}{CONSUMERS}", self.prefix))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_the_topic() {
        let routes = Routes::new();
        assert_eq!(
            routes.topic(&"dice.DiceRoll".into()).unwrap().as_str(),
            "dice"
        );
        assert_eq!(routes.topic(&"lonely".into()).unwrap().as_str(), "lonely");
        assert!(routes.topic(&"d\u{e9}s.Roll".into()).is_err());
    }

    #[test]
    fn a_prefix_goes_before_topics_and_groups() {
        let routes = Routes::new().with_prefix("test.").unwrap();
        let topic = routes.topic(&"dice.DiceRoll".into()).unwrap();
        assert_eq!(topic.as_str(), "test.dice");
        assert_eq!(routes.group(&topic), "test.kser.dice");
        assert_eq!(routes.events().unwrap().as_str(), "test.kser.events");
        assert!(Routes::new().with_prefix("a b").is_err());
    }

    #[test]
    fn a_route_may_name_a_segment() {
        let routes = Routes::new().with_topic("dice", "casino").unwrap();
        assert_eq!(
            routes.topic(&"dice.DiceRoll".into()).unwrap().as_str(),
            "casino"
        );
    }
}
