use std::time::Duration;

use kser_ops::{Letter, LetterFilter, OpsError};

use super::setup::{NOW, World, letter, of_run};

async fn list(world: &World, topic: Option<&str>, filter: LetterFilter) -> Vec<Letter> {
    let mut view = world.ops.letters(topic, filter).await.expect("a view");
    let mut all = Vec::new();
    while let Some(page) = view.next_page().await.expect("a page") {
        all.extend(page);
    }
    all
}

fn refused(order: u32) -> String {
    format!("Refused (500): order {order} is refused (os error 111)")
}

/// Letters of two topics and three causes.
async fn billing(world: &World) {
    let mut letters: Vec<_> = (0..28)
        .map(|n| {
            let letter = letter(
                "billing",
                "billing.Charge",
                500,
                &refused(n),
                60 + u64::from(n),
            );
            of_run(letter, &format!("run-{}", n / 2), 4)
        })
        .collect();
    letters.push(letter(
        "billing",
        "billing.Charge",
        400,
        "Missing parameter: currency",
        9,
    ));
    letters.push(letter("mail", "mail.Send", 500, &refused(7), 9));
    world.publish(letters).await;
}

#[tokio::test]
async fn letters_of_one_cause_are_one_line() {
    let world = World::new().await;
    billing(&world).await;
    let causes = world.ops.letter_causes(None, LetterFilter::default()).await;
    let causes = causes.unwrap();
    assert_eq!((causes.letters, causes.others), (30, 0));
    let counts = causes
        .causes
        .iter()
        .map(|cause| (cause.letters, cause.runs));
    assert_eq!(counts.collect::<Vec<_>>(), [(28, 14), (1, 0), (1, 0)]);
    let first = &causes.causes[0];
    assert_eq!(
        first.pattern,
        "Refused (<n>): order <n> is refused (os error <n>)"
    );
    assert_eq!(
        first.last.map(|at| NOW.since(at)),
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        first.first.map(|at| NOW.since(at)),
        Some(Duration::from_secs(87))
    );
    assert_eq!(first.sample.address.to_string(), "billing.dlt/0/0");

    let filter = |cause: &str| {
        let mut filter = LetterFilter::default();
        filter.cause = Some(cause.parse().unwrap());
        filter
    };
    let of_cause = list(&world, None, filter(&first.cause.to_string()[..5])).await;
    assert_eq!(of_cause.len(), 28);
}

#[tokio::test]
async fn a_filter_takes_letters_by_run_time_and_place() {
    let world = World::new().await;
    billing(&world).await;
    let mut of_run = LetterFilter::default();
    of_run.run = Some("run-3".into());
    assert_eq!(list(&world, Some("billing"), of_run).await.len(), 2);
    let mut late = LetterFilter::default();
    late.since = Some(kser::run::Timestamp::from_millis(NOW.as_millis() - 61_000));
    assert_eq!(list(&world, Some("billing.dlt"), late).await.len(), 3);
    let mut at = LetterFilter::default();
    at.addresses = vec!["billing/0/5".parse().unwrap(), "mail/0/0".parse().unwrap()];
    let found = list(&world, None, at).await;
    let found: Vec<_> = found
        .iter()
        .map(|found| found.address.to_string())
        .collect();
    assert_eq!(found, ["billing.dlt/0/5", "mail.dlt/0/0"]);
}

#[tokio::test]
async fn one_letter_is_read_with_its_record() {
    let world = World::new().await;
    billing(&world).await;
    let address = "billing/0/28".parse().unwrap();
    let (letter, record) = world.ops.letter(&address).await.unwrap();
    assert_eq!((letter.code, letter.attempts), (Some(400), 3));
    assert_eq!(record.payload.as_deref(), Some(&b"{}"[..]));
    let first = world
        .ops
        .letter(&"mail/0/0".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(first.0.entrypoint.as_deref(), Some("mail.Send"));
    for missing in ["billing/0/29", "billing/7/0", "nothing/0/0"] {
        let found = world.ops.letter(&missing.parse().unwrap()).await;
        assert!(
            matches!(found, Err(OpsError::NotFound { .. })),
            "{missing}: {found:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn looking_takes_no_letter_and_shows_those_in_other_hands() {
    let world = World::new().await;
    billing(&world).await;
    let all = || list(&world, Some("billing"), LetterFilter::default());
    let mut session = world.client.dead_letters("billing").await.unwrap();
    let mut held = session.list(100).await.unwrap();
    assert_eq!((held.len(), all().await.len()), (29, 29));
    held.remove(3).discard().await.unwrap();
    let left = all().await;
    assert_eq!(left.len(), 28);
    assert!(
        left.iter()
            .all(|letter| letter.address.to_string() != "billing.dlt/0/3")
    );
    session.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_without_dead_letters_is_told_from_one_with_none() {
    let world = World::new().await;
    billing(&world).await;
    let view = world
        .ops
        .letters(Some("dice"), LetterFilter::default())
        .await;
    let error = view.unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no topic dice.dlt, where the dead letters of dice would be"
    );
    let mut other = LetterFilter::default();
    other.run = Some("no such run".into());
    assert_eq!(list(&world, Some("mail"), other).await, []);
}

#[tokio::test]
async fn only_letters_with_the_prefix_of_the_url_are_shown() {
    let world = World::with_prefix("test.").await;
    billing(&world).await;
    world
        .publish(vec![letter("test.dice", "dice.Roll", 500, "on fire", 5)])
        .await;
    let causes = world.ops.letter_causes(None, LetterFilter::default()).await;
    assert_eq!(causes.unwrap().letters, 1);
    for name in ["dice", "test.dice", "test.dice.dlt"] {
        assert_eq!(
            list(&world, Some(name), LetterFilter::default())
                .await
                .len(),
            1
        );
    }
}

/// A letter for each of many causes takes a bounded memory.
#[tokio::test]
async fn more_causes_than_are_listed_are_counted() {
    let world = World::new().await;
    let word = |mut n: u32| {
        let mut word = String::new();
        while n > 0 {
            word.push(char::from(b'a' + u8::try_from(n % 26).unwrap()));
            n /= 26;
        }
        word
    };
    let letters = (0..1200).map(|n| letter("dice", "dice.Roll", 500, &word(n + 1), 5));
    world.publish(letters.collect()).await;
    let causes = world
        .ops
        .letter_causes(None, LetterFilter::default())
        .await
        .unwrap();
    assert_eq!(
        (causes.causes.len(), causes.letters, causes.others),
        (1000, 1200, 200)
    );
}
