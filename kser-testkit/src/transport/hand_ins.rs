//! Hand-ins.

use crate::rules::transport_sentences::sentence;
use std::collections::BTreeSet;

use kser_core::{Record, Settling};

use super::limits::too_large;
use crate::TransportHarness;
use crate::handed_in::HandInDesk;
use crate::records::{record, release, settle, text, texts};

#[doc = sentence!(takes_a_delivery_that_is_handed_in)]
pub async fn takes_a_delivery_that_is_handed_in(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    let mut desk = HandInDesk::new(harness);
    let outputs = vec![record(&output, None, "b")];
    let takes = harness.describe().await.hand_ins;
    match desk.try_hand_in(delivery.ticket, outputs, 7) {
        Ok(()) => {
            assert!(takes, "a backend that takes hand-ins says so");
            desk.is_settled(7).await;
        }
        Err((ticket, outputs)) => {
            assert!(!takes, "the only delivery is handed in, and is not taken");
            assert_eq!(outputs.len(), 1, "it comes back with its output");
            harness.nothing(&mut *next).await;
            let settled = ticket.settle(outputs).await.unwrap();
            assert!(!settled.is_lost(), "it is still ours");
        }
    }
    let delivery = harness.receive_one(&mut *next).await;
    assert_eq!(text(&delivery), "b");
    settle(delivery).await;
    harness.nothing(&mut *member).await;
}

#[doc = sentence!(reports_each_hand_in_once_it_is_settled)]
///
/// Records that are published after the report come behind the outputs.
pub async fn reports_each_hand_in_once_it_is_settled(harness: &TransportHarness) {
    let Some(mut desk) = HandInDesk::of_taking(harness).await else {
        return;
    };
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"; 30]).await;
    let mut expected = Vec::new();
    for number in 0..10 {
        let delivery = harness.receive_one(&mut *member).await;
        let [sent, after] = [format!("output {number}"), format!("record {number}")];
        let outputs = vec![record(&output, Some("key"), &sent)];
        desk.hand_in(delivery.ticket, outputs, number).await;
        desk.is_settled(number).await;
        harness.publish(&output, Some("key"), &[&after]).await;
        expected.extend([sent, after]);
    }
    let mut places = BTreeSet::new();
    for (delivery, place) in (harness.receive(&mut *member, 20).await)
        .into_iter()
        .zip(10..)
    {
        let sent = format!("output {place}");
        let outputs = vec![record(&output, Some("key"), &sent)];
        desk.hand_in(delivery.ticket, outputs, place).await;
        places.insert(place);
        expected.push(sent);
    }
    while !places.is_empty() {
        let place = desk.next_settled().await;
        assert!(places.remove(&place), "{place} is reported again");
    }
    for expected in expected {
        let delivery = harness.receive_one(&mut *next).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
    drop(member);
    harness.takeover().await;
    let mut again = harness.member("group", &input).await;
    harness.nothing(&mut *again).await;
    harness.nothing(&mut *next).await;
    desk.is_silent();
}

#[doc = sentence!(a_hand_in_comes_back_when_an_output_is_refused)]
pub async fn a_hand_in_comes_back_when_an_output_is_refused(harness: &TransportHarness) {
    let Some(mut desk) = HandInDesk::of_taking(harness).await else {
        return;
    };
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a", "b", "c"]).await;
    let mut held = harness.receive(&mut *member, 3).await;
    let (last, refused, first) = (held.remove(2), held.remove(1), held.remove(0));
    let input_of_refused = text(&refused);
    let output_of = |text: &str| record(&output, None, text);
    desk.hand_in(first.ticket, vec![output_of("first")], 0)
        .await;
    let outputs = vec![
        output_of("before"),
        too_large(harness, &output).await,
        output_of("behind"),
    ];
    let taken = desk.try_hand_in(refused.ticket, outputs, 1);
    desk.hand_in(last.ticket, vec![output_of("last")], 2).await;
    let mut expected = BTreeSet::from(["first", "last"]);
    let mut settled = BTreeSet::from([0, 2]);
    let (ticket, outputs) = match taken {
        Err(back) => back,
        Ok(()) => {
            let returned = loop {
                match desk.next().await {
                    (place, Ok(_)) => {
                        assert!(settled.remove(&place), "{place} has no refused output")
                    }
                    (place, Err(returned)) => {
                        assert_eq!(place, 1, "it has no refused output, and came back");
                        break returned;
                    }
                }
            };
            let failed: Vec<_> = returned.unpublished.failed.iter().collect();
            let positions: BTreeSet<_> = failed.iter().map(|(position, _)| *position).collect();
            assert!(
                positions.contains(&1),
                "the output that is too large is at 1: {failed:?}"
            );
            if harness.describe().await.settling == Settling::Together {
                assert_eq!(positions.len(), 3, "nothing is published without the rest");
            }
            let published = [(0, "before"), (2, "behind")].into_iter();
            let published = published.filter(|(position, _)| !positions.contains(position));
            expected.extend(published.map(|(_, text)| text));
            (returned.ticket, returned.outputs)
        }
    };
    let sizes: Vec<_> = outputs.iter().map(Record::size).collect();
    assert_eq!(sizes.len(), 3, "it comes back with all of its outputs");
    assert!(sizes[1] > sizes[0] && sizes[1] > sizes[2], "in their order");
    while let Some(place) = settled.first().copied() {
        let reported = desk.next_settled().await;
        assert!(
            settled.remove(&reported),
            "{reported} is reported before {place}"
        );
    }
    let _ = ticket.release(None);
    let again = harness.receive_one(&mut *member).await;
    assert_eq!(text(&again), input_of_refused, "it is not settled");
    settle(again).await;
    let mut seen = BTreeSet::new();
    for _ in 0..expected.len() {
        let delivery = harness.receive_one(&mut *next).await;
        seen.insert(text(&delivery));
        settle(delivery).await;
    }
    assert!(seen.iter().eq(&expected), "{seen:?}, and not {expected:?}");
    harness.nothing(&mut *next).await;
}

#[doc = sentence!(orders_the_outputs_of_a_key_by_their_hand_ins)]
pub async fn orders_the_outputs_of_a_key_by_their_hand_ins(harness: &TransportHarness) {
    let Some(mut desk) = HandInDesk::of_taking(harness).await else {
        return;
    };
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a", "b", "c"]).await;
    let held = harness.receive(&mut *member, 3).await;
    let order = texts(&held);
    for (delivery, place) in held.into_iter().zip(0..) {
        let outputs = vec![record(&output, Some("key"), &text(&delivery))];
        desk.hand_in(delivery.ticket, outputs, place).await;
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        desk.next_settled().await;
        let delivery = harness.receive_one(&mut *next).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    assert_eq!(seen, order);
}

#[doc = sentence!(a_hand_in_of_another_members_delivery_publishes_nothing)]
pub async fn a_hand_in_of_another_members_delivery_publishes_nothing(harness: &TransportHarness) {
    let Some(mut desk) = HandInDesk::of_taking(harness).await else {
        return;
    };
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut next = harness.member("next", &output).await;
    let mut gone = harness.member("group", &input).await;
    harness.publish(&input, None, &["a"]).await;
    let held = harness.receive_one(&mut *gone).await;
    drop(gone);
    harness.takeover().await;
    let mut member = harness.member("group", &input).await;
    let delivery = harness.receive_one(&mut *member).await;
    let outputs = vec![record(&output, None, "late")];
    match desk.try_hand_in(held.ticket, outputs, 3) {
        Ok(()) => {
            let (place, result) = desk.next().await;
            let is_lost = result.is_ok_and(|settled| settled.is_lost());
            assert!(
                is_lost && place == 3,
                "the member that was dropped does not own it"
            );
        }
        Err((ticket, outputs)) => {
            let settled = ticket.settle(outputs).await.unwrap();
            assert!(
                settled.is_lost(),
                "the member that was dropped does not own it"
            );
        }
    }
    harness.nothing(&mut *next).await;
    release(delivery);
}

#[doc = sentence!(a_close_waits_for_what_was_handed_in)]
pub async fn a_close_waits_for_what_was_handed_in(harness: &TransportHarness) {
    let Some(mut desk) = HandInDesk::of_taking(harness).await else {
        return;
    };
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a", "b"]).await;
    for (delivery, place) in (harness.receive(&mut *member, 2).await)
        .into_iter()
        .zip(0..)
    {
        let outputs = vec![record(&output, None, &text(&delivery))];
        desk.hand_in(delivery.ticket, outputs, place).await;
    }
    harness.close(member).await;
    for _ in 0..2 {
        desk.next_settled().await;
        settle(harness.receive_one(&mut *next).await).await;
    }
    let mut again = harness.member("group", &input).await;
    harness.nothing(&mut *again).await;
}
