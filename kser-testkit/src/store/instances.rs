//! Instances.

use crate::rules::store_sentences::sentence;
use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::StoreHarness;

#[doc = sentence!(each_life_of_an_instance_is_larger)]
pub async fn each_life_of_an_instance_is_larger(harness: &StoreHarness) {
    let name = harness.id("instance").to_string();
    let mut last = 0;
    for _ in 0..3 {
        let owner = harness
            .store()
            .register(&name.as_str().into())
            .await
            .unwrap()
            .value;
        assert_eq!(owner.instance.as_str(), name);
        assert!(owner.incarnation > last);
        last = owner.incarnation;
    }
    let mut lives = JoinSet::new();
    for _ in 0..20 {
        let (store, name) = (harness.store().clone(), name.clone());
        lives.spawn(async move { store.register(&name.as_str().into()).await.unwrap().value });
    }
    let mut seen = BTreeSet::new();
    while let Some(owner) = lives.join_next().await {
        seen.insert(owner.unwrap().incarnation);
    }
    assert_eq!(seen.len(), 20, "no two lives are the same");
    assert!(seen.first().unwrap() > &last);
}
