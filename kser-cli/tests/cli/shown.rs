use std::time::Duration;

use kser::Step;
use kser_cli::Exit;
use snapbox::{assert_data_eq, file};

use super::runs::{Charge, registry};
use super::world::World;

/// The text of a command at 60 and at 200 columns.
macro_rules! is_shown {
    ($world:expr, $line:expr, $narrow:literal, $wide:literal) => {
        assert_data_eq!($world.wide($line, 60).await, file![$narrow].raw());
        assert_data_eq!($world.wide($line, 200).await, file![$wide].raw());
    };
}

#[tokio::test(start_paused = true)]
async fn each_command_is_shown_in_narrow_and_wide_terminals() {
    let world = World::new().await.with_letters().await;
    let producer = world.client.producer();
    for n in 0..1903 {
        producer
            .send_bytes("billing", format!("{n}"))
            .await
            .unwrap();
    }
    is_shown!(
        world,
        "status",
        "shown/status.60.txt",
        "shown/status.200.txt"
    );
    is_shown!(
        world,
        "topics",
        "shown/topics.60.txt",
        "shown/topics.200.txt"
    );
    is_shown!(
        world,
        "groups",
        "shown/groups.60.txt",
        "shown/groups.200.txt"
    );
    is_shown!(
        world,
        "groups kser.billing",
        "shown/group.60.txt",
        "shown/group.200.txt"
    );
    is_shown!(
        world,
        "letters ls",
        "shown/letters.60.txt",
        "shown/letters.200.txt"
    );
    is_shown!(
        world,
        "letters causes",
        "shown/causes.60.txt",
        "shown/causes.200.txt"
    );
    let show = "letters show billing/0/1 --payload";
    is_shown!(world, show, "shown/letter.60.txt", "shown/letter.200.txt");
    let replay = "letters replay --topic billing --cause 00000000";
    is_shown!(world, replay, "shown/none.60.txt", "shown/none.200.txt");
    let discard = "letters discard --topic billing";
    is_shown!(
        world,
        discard,
        "shown/discard.60.txt",
        "shown/discard.200.txt"
    );
}

/// As above, for answers with times of the machine.
macro_rules! is_like {
    ($world:expr, $line:expr, $narrow:literal, $wide:literal) => {
        assert_data_eq!($world.wide($line, 60).await, file![$narrow]);
        assert_data_eq!($world.wide($line, 200).await, file![$wide]);
    };
}

#[tokio::test(start_paused = true)]
async fn consumers_and_events_are_shown_in_narrow_and_wide_terminals() {
    let world = World::live().await;
    let consumer = world.client.consumer(registry()).with_instance("billing-0");
    let consumer = consumer.with_remote_control().spawn();
    let steps = vec![Step::new(Charge { order: 7 })];
    let launch = world
        .client
        .producer()
        .launch_steps("billing.Invoice", steps);
    launch.with_id("invoice-7").await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let list = "consumers ls";
    is_like!(
        world,
        list,
        "shown/consumers.60.txt",
        "shown/consumers.200.txt"
    );
    let show = "consumers show billing-0";
    is_like!(
        world,
        show,
        "shown/consumer.60.txt",
        "shown/consumer.200.txt"
    );
    let pause = "consumers pause billing-0 --actor oncall --reason bank-is-away";
    is_like!(
        world,
        pause,
        "shown/consumer_paused.60.txt",
        "shown/consumer_paused.200.txt"
    );
    let past = "events tail --past --since 1h";
    is_like!(world, past, "shown/events.60.txt", "shown/events.200.txt");
    consumer.stop().await.unwrap();
}

/// An export is the same whatever the terminal.
#[tokio::test(start_paused = true)]
async fn an_export_is_lines_of_json() {
    let world = World::new().await.with_letters().await;
    let exported = world.kser("letters export billing").await.told.join("\n") + "\n";
    assert_data_eq!(exported, file!["shown/export.txt"]);
}

#[tokio::test(start_paused = true)]
async fn a_screen_without_anything_is_a_screen() {
    let world = World::new().await;
    for (line, expected) in [
        ("topics", "there are no topics\n"),
        ("letters ls", "there are no such dead letters\n"),
        ("letters causes", "there are no such dead letters\n"),
    ] {
        let answer = world.kser(line).await;
        assert_eq!(
            (answer.text.as_str(), answer.exit),
            (expected, Exit::Done),
            "{line}"
        );
    }
    assert!(
        world
            .kser("status")
            .await
            .text
            .ends_with("nothing needs a hand\n")
    );
}

/// Each answer is one document, also an empty one.
#[tokio::test(start_paused = true)]
async fn json_is_one_document() {
    let (full, empty) = (World::new().await.with_letters().await, World::new().await);
    for world in [&full, &empty] {
        for line in ["status", "topics", "groups", "letters ls", "letters causes"] {
            let answer = world.kser(&format!("{line} --json")).await;
            assert_eq!(answer.exit, Exit::Done, "{line}");
            let _: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        }
    }
    assert_eq!(empty.kser("letters ls --json").await.text, "[]\n");
    let causes = full.kser("letters causes billing --json").await.text;
    let causes: serde_json::Value = serde_json::from_str(&causes).unwrap();
    assert_eq!(causes["letters"], 5);
    assert_eq!(causes["causes"][0]["letters"], 3);
    assert_eq!(causes["causes"][0]["last"], "2023-11-14T21:32:20.000Z");
    let shown = full.kser("letters show billing/0/1 --json").await.text;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["address"], &shown["step"]),
        (&"billing.dlt/0/1".into(), &4.into())
    );
    assert!(
        !shown.to_string().contains("4711"),
        "the payload is shown on request only"
    );
}

#[tokio::test(start_paused = true)]
async fn text_of_a_message_cannot_write_to_the_terminal() {
    let world = World::new().await.with_letters().await;
    for line in ["letters ls", "letters causes", "letters show dice/0/0"] {
        let text = world.kser(line).await.text;
        let harmful = |character: char| character.is_control() && character != '\n';
        assert!(
            !text.contains(harmful) && !text.contains('\u{202e}'),
            "{text:?}"
        );
        // The pattern of a cause has no numbers.
        let escaped = ["\\u{1b}]0;owned", "\\u{1b}]<n>;owned"];
        assert!(escaped.iter().any(|it| text.contains(it)), "{text}");
    }
}

/// A letter whose payload and error are envelopes is shown, replayed and discarded as any other.
#[tokio::test(start_paused = true)]
async fn an_encrypted_letter_is_shown_without_the_key() {
    let world = World::new().await;
    let sealed = "{\"kser_sealed\":2,\"data\":\"AAAA\"}";
    let letter = super::world::letter("vault", None, None, sealed, 60);
    kser::backend::Transport::publish(&world.transport, vec![letter])
        .await
        .unwrap();
    let list = world.kser("letters ls vault").await;
    assert_eq!(list.exit, Exit::Done);
    let text = "encrypted: the error cannot be read without the key";
    assert!(
        list.text.contains(text) && !list.text.contains("AAAA"),
        "{list:?}"
    );
    assert_eq!(
        world.kser("letters discard vault/0/0").await.exit,
        Exit::Done
    );
}

#[tokio::test(start_paused = true)]
async fn things_that_are_not_there_have_an_exit_code() {
    let world = World::new().await.with_letters().await;
    for line in [
        "letters ls mail",
        "letters show billing/0/99",
        "letters replay billing/0/99",
        "groups kser.mail",
    ] {
        let answer = world.kser(line).await;
        assert_eq!(answer.exit, Exit::NotFound, "{line}: {answer:?}");
        assert!(
            answer.error.is_some() && answer.text.is_empty(),
            "{answer:?}"
        );
    }
}
