//! Commands of operators to consumers that allow them.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::consumer::{ConsumerState, RunningConsumer};
use kser::presence::{CommandVerb, PRESENCE_KEPT, Presence, PresentState};
use kser::{Client, Error};
use tokio::time::sleep;

use crate::common::{Diary, both, note, noting};

/// The time in which a command is obeyed, and the obedience announced.
const BEAT: Duration = Duration::from_secs(6);

const HOUR: Duration = Duration::from_secs(3600);

const BY: (&str, &str) = ("oncall", "the bank is away");

async fn presence(kser: &Client) -> Presence {
    let mut all = kser.announced_consumers().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).presence
}

/// Starts a consumer that obeys.
async fn obedient(kser: &Client, diary: &Diary) -> RunningConsumer {
    let consumer = kser.consumer(noting(diary)).with_instance("desk-0");
    let consumer = consumer.with_remote_control().spawn();
    sleep(BEAT).await;
    consumer
}

async fn command(kser: &Client, verb: CommandVerb, length: Duration) {
    let consumer = presence(kser).await;
    let until = consumer.at + length;
    kser.command_consumer(&consumer, verb, BY, until)
        .await
        .unwrap();
}

async fn send(kser: &Client, text: &str) {
    kser.producer().send(note(text)).await.unwrap();
    sleep(BEAT).await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_pauses_resumes_and_drains_a_consumer() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = obedient(&kser, &diary).await;
        assert!(presence(&kser).await.remote_control);
        command(&kser, CommandVerb::Pause, HOUR).await;
        sleep(BEAT).await;
        let paused = presence(&kser).await;
        assert_eq!(paused.state, PresentState::Paused);
        let by = paused.paused_by.unwrap();
        assert_eq!((by.actor.as_str(), by.reason.as_str()), BY);
        send(&kser, "a").await;
        assert_eq!(diary.read(), [""; 0]);
        // The pauses of the program and of operators do not end each other.
        consumer.handle().pause();
        command(&kser, CommandVerb::Resume, HOUR).await;
        sleep(BEAT).await;
        assert_eq!(presence(&kser).await.paused_by, None);
        assert_eq!(presence(&kser).await.state, PresentState::Paused);
        consumer.handle().resume();
        sleep(BEAT).await;
        assert_eq!(diary.read(), ["a"]);
        command(&kser, CommandVerb::Drain, HOUR).await;
        sleep(BEAT).await;
        assert_eq!(consumer.handle().state(), ConsumerState::Stopped);
        consumer.join().await.unwrap();
        assert_eq!(kser.announced_consumers().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_obeys_no_operator_unless_its_program_allows_it() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser
            .consumer(noting(&diary))
            .with_instance("desk-0")
            .spawn();
        sleep(BEAT).await;
        let mut announced = presence(&kser).await;
        assert!(!announced.remote_control);
        let until = announced.at + HOUR;
        let refused = kser
            .command_consumer(&announced, CommandVerb::Pause, BY, until)
            .await;
        assert!(
            matches!(refused, Err(Error::Unsupported { .. })),
            "{refused:?}"
        );
        // A command that is written all the same is not obeyed, and is no consumer in the list.
        announced.remote_control = true;
        kser.command_consumer(&announced, CommandVerb::Pause, BY, until)
            .await
            .unwrap();
        sleep(BEAT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Running);
        send(&kser, "a").await;
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await.unwrap();
    }
}

/// A pause of hours outlives the announcements, and ends at its time.
#[tokio::test(start_paused = true)]
async fn a_pause_ends_at_its_time() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = obedient(&kser, &diary).await;
        command(&kser, CommandVerb::Pause, HOUR).await;
        sleep(BEAT).await;
        send(&kser, "a").await;
        sleep(HOUR - 5 * BEAT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Paused);
        assert_eq!(diary.read(), [""; 0]);
        sleep(5 * BEAT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Running);
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await.unwrap();
    }
}

/// The next life of a named consumer is paused before it takes its first delivery, also hours after the command.
#[tokio::test(start_paused = true)]
async fn a_pause_holds_over_a_restart() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = obedient(&kser, &diary).await;
        command(&kser, CommandVerb::Pause, 10 * HOUR).await;
        sleep(HOUR).await;
        consumer.stop().await.unwrap();
        kser.producer().send(note("a")).await.unwrap();
        let consumer = obedient(&kser, &diary).await;
        sleep(HOUR).await;
        assert_eq!(diary.read(), [""; 0]);
        command(&kser, CommandVerb::Resume, HOUR).await;
        sleep(BEAT).await;
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await.unwrap();
        // The pause does not come back.
        let consumer = obedient(&kser, &diary).await;
        assert_eq!(presence(&kser).await.state, PresentState::Running);
        consumer.stop().await.unwrap();
    }
}

/// A drain means one life of a consumer: one that starts after it goes on.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_end_the_next_life() {
    for kser in both().await {
        let diary = Diary::default();
        obedient(&kser, &diary).await.kill();
        command(&kser, CommandVerb::Drain, HOUR).await;
        let consumer = obedient(&kser, &diary).await;
        sleep(PRESENCE_KEPT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Running);
        consumer.stop().await.unwrap();
    }
}

/// Of commands in the same moment the one that was given last counts.
#[tokio::test(start_paused = true)]
async fn the_command_that_was_given_last_counts() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = obedient(&kser, &diary).await;
        for _ in 0..5 {
            command(&kser, CommandVerb::Pause, HOUR).await;
            command(&kser, CommandVerb::Resume, HOUR).await;
        }
        sleep(BEAT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Running);
        for _ in 0..5 {
            command(&kser, CommandVerb::Resume, HOUR).await;
            command(&kser, CommandVerb::Pause, HOUR).await;
        }
        sleep(BEAT).await;
        assert_eq!(presence(&kser).await.state, PresentState::Paused);
        consumer.stop().await.unwrap();
    }
}
