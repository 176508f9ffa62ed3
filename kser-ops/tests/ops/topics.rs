use kser_ops::OpsError;

use super::setup::{World, letter};

#[tokio::test(start_paused = true)]
async fn topics_show_their_backlog_and_their_letters() {
    let world = World::new().await;
    for n in 0..3 {
        world
            .client
            .producer()
            .send_bytes("dice", format!("{n}"))
            .await
            .unwrap();
    }
    world
        .publish(vec![letter("dice", "dice.Roll", 500, "on fire", 5)])
        .await;
    let topics = world.ops.topics().await.unwrap();
    let [dice] = &topics[..] else {
        panic!("one topic: {topics:?}");
    };
    assert_eq!(
        (dice.topic.as_str(), dice.group.as_str()),
        ("dice", "kser.dice")
    );
    let work = dice.work.as_ref().unwrap();
    assert_eq!(work.waiting, 3);
    assert!(work.oldest.is_some());
    assert_eq!(
        dice.letters.as_ref().map(|letters| letters.waiting),
        Some(1)
    );

    let groups = world.ops.groups(Some("kser.dice")).await.unwrap();
    assert_eq!((groups.len(), groups[0].known), (1, false));
    let missing = world.ops.groups(Some("kser.mail")).await;
    assert!(matches!(missing, Err(OpsError::NotFound { .. })));

    let status = world.ops.status().await.unwrap();
    let kinds: Vec<_> = status.needs.iter().map(|need| need.kind).collect();
    assert_eq!(kinds, ["letters"]);
    assert_eq!(status.needs[0].command, "kser letters causes dice");
}

/// Dead letters outlive a topic that was deleted or renamed.
#[tokio::test(start_paused = true)]
async fn letters_of_a_topic_that_is_gone_are_shown() {
    let world = World::new().await;
    let gone = letter("gone", "gone.Task", 500, "on fire", 5);
    world.publish(vec![gone]).await;
    let topics = world.ops.topics().await.unwrap();
    let [line] = &topics[..] else {
        panic!("one topic: {topics:?}");
    };
    let letters = line.letters.as_ref().map(|letters| letters.waiting);
    assert_eq!((line.topic.as_str(), letters), ("gone", Some(1)));
    assert!(line.work.is_none());
    assert!(world.ops.groups(None).await.unwrap().is_empty());
    assert_eq!(world.ops.status().await.unwrap().needs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_settled_beyond_a_held_one_are_counted() {
    let world = World::new().await;
    let mut member = {
        use kser::backend::{Interest, Transport};
        let topic = "dice".try_into().unwrap();
        let interest = Interest::group("kser.dice", vec![topic]);
        world.transport.subscribe(interest).await.unwrap()
    };
    for n in 0..3 {
        world
            .client
            .producer()
            .send_bytes("dice", format!("{n}"))
            .await
            .unwrap();
    }
    let room = kser::backend::Room::records(10);
    let mut deliveries = member.receive(room).await.unwrap();
    let last = deliveries.pop().unwrap();
    let _ = last.ticket.settle(Vec::new()).await.unwrap();
    let dice = world.ops.topics().await.unwrap().remove(0);
    let work = dice.work.unwrap();
    assert_eq!((work.waiting, work.settled_beyond), (2, 1));
}
