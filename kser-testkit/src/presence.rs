//! The rules of stores of announcements, whether a state store has one or a topic keeps them: each is a sentence of the section
//! "Presence" of the contract of state stores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A store of announcements under test, and the text before the ids that a test uses.
#[derive(Debug, Clone)]
pub struct PresenceHarness {
    store: Arc<dyn PresenceStore>,
    prefix: String,
}

impl PresenceHarness {
    /// Puts a store under test. The prefix is one that no other test has.
    #[must_use]
    pub fn new(store: Arc<dyn PresenceStore>, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { store, prefix }
    }

    fn id(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    async fn announce(&self, name: &str, text: &str) {
        let id = self.id(name);
        self.store.announce(&id, text.to_owned()).await.unwrap();
    }

    async fn withdraw(&self, name: &str) {
        self.store.withdraw(&self.id(name)).await.unwrap();
    }

    /// Lists the announcements of this test, without the prefix.
    async fn list(&self, within: Duration) -> Vec<Announced> {
        let listed = self.store.list_consumers(within).await.unwrap();
        let prefix = format!("{}/", self.prefix);
        let ours = listed.into_iter().filter_map(|mut announced| {
            let name = announced.consumer.strip_prefix(&prefix)?;
            announced.consumer = name.to_owned();
            Some(announced)
        });
        ours.collect()
    }

    /// Lists the announcements of this test as names and texts.
    async fn texts(&self) -> Vec<(String, String)> {
        let listed = self.list(PRESENCE_KEPT).await.into_iter();
        listed.map(|found| (found.consumer, found.text)).collect()
    }

    /// Tests that the latest announcement of each consumer is listed once.
    pub async fn lists_the_latest_of_each(&self) {
        assert_eq!(self.texts().await, []);
        let odd = r#"{"id":"b","text":"\u0000 é","price":2.50,  "state":"paused"}"#;
        self.announce("b", "first").await;
        self.announce("a", "of another").await;
        self.announce("b", odd).await;
        let expected = [("a", "of another"), ("b", odd)];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(self.texts().await, expected);
    }

    /// Tests the ages of announcements.
    pub async fn lists_ages(&self) {
        self.announce("old", "1").await;
        sleep(Duration::from_secs(3)).await;
        // A busy machine may take a while for the second one.
        for _ in 0..5 {
            self.announce("new", "2").await;
            let all = self.list(PRESENCE_KEPT).await;
            let age = |name: &str| all.iter().find(|found| found.consumer == name).unwrap().age;
            assert!(age("old") >= Duration::from_millis(2_900), "{all:?}");
            assert!(
                age("old") - age("new") >= Duration::from_millis(2_900),
                "{all:?}"
            );
            let recent = self.list(Duration::from_secs(2)).await;
            let recent: Vec<_> = recent.into_iter().map(|found| found.consumer).collect();
            if recent == ["new"] {
                return;
            }
            assert_eq!(
                recent,
                Vec::<String>::new(),
                "none that is older than asked for"
            );
        }
        panic!("a new announcement is not listed");
    }

    /// Tests that a consumer may withdraw.
    pub async fn withdraws(&self) {
        self.withdraw("nobody").await;
        self.announce("a", "1").await;
        self.announce("b", "1").await;
        self.withdraw("a").await;
        self.withdraw("a").await;
        assert_eq!(self.texts().await, [("b".to_owned(), "1".to_owned())]);
        self.announce("a", "2").await;
        assert_eq!(self.texts().await.first().unwrap().1, "2");
    }

    /// Tests that listing changes nothing, while many announce themselves.
    pub async fn lists_while_many_announce(&self) {
        let names: BTreeSet<_> = (0..20).map(|n| format!("{n:02}")).collect();
        let mut announcing = JoinSet::new();
        for name in names.clone() {
            let harness = self.clone();
            announcing.spawn(async move {
                for text in ["1", "2", "3"] {
                    harness.announce(&name, text).await;
                }
            });
        }
        while let Some(announced) = announcing.join_next().await {
            announced.unwrap();
            self.list(PRESENCE_KEPT).await;
        }
        let expected: Vec<_> = names
            .into_iter()
            .map(|name| (name, "3".to_owned()))
            .collect();
        for _ in 0..2 {
            assert_eq!(self.texts().await, expected);
        }
    }
}
