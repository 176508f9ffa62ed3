//! Announcements of consumers. A store without them passes.

use crate::StoreHarness;
use crate::presence::PresenceHarness;
use crate::rules::store_sentences::sentence;

fn presence_of(harness: &StoreHarness) -> Option<PresenceHarness> {
    let prefix = harness.id("presence").to_string();
    let store = harness.store().presence()?;
    Some(PresenceHarness::new(store, prefix))
}

#[doc = sentence!(the_latest_announcement_of_each_consumer_is_listed)]
pub async fn the_latest_announcement_of_each_consumer_is_listed(harness: &StoreHarness) {
    if let Some(presence) = presence_of(harness) {
        presence.lists_the_latest_of_each().await;
    }
}

#[doc = sentence!(an_announcement_is_listed_with_its_age)]
pub async fn an_announcement_is_listed_with_its_age(harness: &StoreHarness) {
    if let Some(presence) = presence_of(harness) {
        presence.lists_ages().await;
    }
}

#[doc = sentence!(a_consumer_that_withdraws_is_not_listed)]
pub async fn a_consumer_that_withdraws_is_not_listed(harness: &StoreHarness) {
    if let Some(presence) = presence_of(harness) {
        presence.withdraws().await;
    }
}

#[doc = sentence!(many_consumers_announce_themselves_at_once)]
pub async fn many_consumers_announce_themselves_at_once(harness: &StoreHarness) {
    if let Some(presence) = presence_of(harness) {
        presence.lists_while_many_announce().await;
    }
}
