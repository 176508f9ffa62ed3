//! Each flaw of a transport, and a rule that it breaks.

use kser_testkit::TransportHarness;
use kser_testkit::rules::TRANSPORT;

use crate::transport::{BrokenTransport, Flaw};

const TABLE: &[(Flaw, &str)] = &[
    (Flaw::LosesRecords, "delivers_to_one_member_of_each_group"),
    (
        Flaw::NoticesNoDeath,
        "loses_nothing_when_members_come_and_go",
    ),
    (Flaw::TruncatesPayloads, "delivers_what_was_published"),
    (Flaw::SortsHeaders, "delivers_what_was_published"),
    (Flaw::DropsAbsentHeaders, "keeps_absent_apart_from_empty"),
    (
        Flaw::StartsAtTheEnd,
        "delivers_what_was_published_before_the_first_group_joined",
    ),
    (
        Flaw::DeliversToAllMembers,
        "gives_a_delivery_to_one_member_at_a_time",
    ),
    (Flaw::ReversesBatches, "delivers_a_key_in_order"),
    (Flaw::IgnoresKeys, "holds_back_a_key_until_it_is_settled"),
    (
        Flaw::SettlesNothing,
        "a_settled_delivery_does_not_come_back",
    ),
    (
        Flaw::SettlesWithoutOutputs,
        "publishes_the_outputs_of_a_settle",
    ),
    (
        Flaw::PublishesOutputsLater,
        "publishes_outputs_before_what_comes_after_the_settle",
    ),
    (
        Flaw::SettlesWhatIsRefused,
        "settles_only_what_has_its_outputs_published",
    ),
    (Flaw::PublishesBeforeItSettles, "settles_all_or_nothing"),
    (
        Flaw::OrdersByCompletion,
        "orders_the_outputs_of_a_key_by_their_settles",
    ),
    (
        Flaw::SettlesForOthers,
        "a_settle_of_another_members_delivery_publishes_nothing",
    ),
    (Flaw::SettlesOneAtATime, "many_tasks_settle_at_once"),
    (Flaw::SettlesOnce, "many_tasks_settle_at_once"),
    (Flaw::TakesNoHandIns, "takes_a_delivery_that_is_handed_in"),
    (
        Flaw::ReportsBeforeItPublishes,
        "reports_each_hand_in_once_it_is_settled",
    ),
    (
        Flaw::ReportsNoHandIn,
        "reports_each_hand_in_once_it_is_settled",
    ),
    (
        Flaw::HandsInWhatIsRefused,
        "a_hand_in_comes_back_when_an_output_is_refused",
    ),
    (
        Flaw::HandsInOutOfOrder,
        "orders_the_outputs_of_a_key_by_their_hand_ins",
    ),
    (
        Flaw::HandsInForOthers,
        "a_hand_in_of_another_members_delivery_publishes_nothing",
    ),
    (
        Flaw::CloseForgetsHandIns,
        "a_close_waits_for_what_was_handed_in",
    ),
    (
        Flaw::NeverRevokes,
        "revokes_a_held_delivery_that_goes_to_another_member",
    ),
    (Flaw::ForgetsDelays, "delays_a_record_until_its_time"),
    (Flaw::OutputsForgetDelays, "delays_an_output_until_its_time"),
    (
        Flaw::DelaysWholeKeys,
        "a_delayed_record_does_not_hold_back_its_key",
    ),
    (Flaw::ReleasesForGood, "a_released_delivery_comes_again"),
    (Flaw::ReleasesForGood, "a_dropped_ticket_counts_as_released"),
    (
        Flaw::IgnoresReleaseTimes,
        "a_delivery_that_is_released_until_a_time_waits",
    ),
    (
        Flaw::ReleasesToTheEnd,
        "a_released_record_comes_before_the_later_ones_of_its_key",
    ),
    (
        Flaw::ForgetsFailures,
        "a_released_delivery_keeps_the_number_of_its_failed_attempts",
    ),
    (
        Flaw::CountsNoCrashes,
        "held_deliveries_of_a_dropped_member_are_delivered_and_counted",
    ),
    (
        Flaw::BeginsEverything,
        "a_suspected_poison_message_is_counted_only_once_it_has_begun",
    ),
    (Flaw::GroupsShareRecords, "each_group_gets_every_record"),
    (Flaw::PublishesTwice, "members_of_a_group_share_the_records"),
    (
        Flaw::MembersGetAllTopics,
        "members_get_records_of_their_own_topics",
    ),
    (
        Flaw::ObserversAreAGroup,
        "an_observer_sees_what_comes_after_it",
    ),
    (
        Flaw::ObserversStartAtTheEnd,
        "an_observer_sees_what_comes_after_it",
    ),
    (
        Flaw::ObserversForgetThePast,
        "an_observer_that_looks_back_gets_what_is_still_there",
    ),
    (
        Flaw::ObserversNeverCatchUp,
        "an_observer_that_looks_back_knows_when_it_has_everything",
    ),
    (Flaw::TakesAnySize, "refuses_a_record_that_is_too_large"),
    (
        Flaw::IgnoresRecords,
        "returns_no_more_records_than_were_asked_for",
    ),
    (
        Flaw::IgnoresBytes,
        "returns_no_more_bytes_than_were_asked_for",
    ),
    (Flaw::LosesWhenCancelled, "dropping_a_receive_loses_nothing"),
    (Flaw::CloseDoesNotWait, "a_close_waits_for_what_is_held"),
    (
        Flaw::CloseGoesOnReceiving,
        "after_a_close_the_others_get_the_records",
    ),
    (Flaw::CloseIsNoGoodbye, "a_close_counts_no_crash"),
    (
        Flaw::NeverLeaves,
        "a_member_that_leaves_at_once_counts_no_crash",
    ),
    (Flaw::LooksByJoining, "looking_takes_nothing"),
    (Flaw::ShowsNoHeaders, "shows_what_is_not_settled"),
    (Flaw::ViewsStartOver, "a_view_begins_after_a_place"),
    (
        Flaw::ShowsJoinedGroupsOnly,
        "shows_all_records_before_the_first_group",
    ),
    (Flaw::CountsTheLog, "counts_what_is_not_settled"),
    (Flaw::ListsNoGroups, "lists_topics_and_groups"),
];

#[test]
fn each_broken_transport_is_caught_and_no_rule_is_left_out() {
    crate::check(TRANSPORT, TABLE, Flaw::None, |flaw| {
        let transport = BrokenTransport::new(flaw);
        let clock = transport.0.inner.clock();
        TransportHarness::new(transport).with_clock(clock)
    });
}
