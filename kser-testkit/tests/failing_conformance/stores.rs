//! Each slip of a store, and a rule that it breaks.

use kser_testkit::StoreHarness;
use kser_testkit::rules::STORE;

use crate::store::{Slip, Sloppy};

const TABLE: &[(Slip, &str)] = &[
    (Slip::SaysNewTwice, "a_run_is_inserted_once"),
    (Slip::FoldsCase, "ids_are_told_apart_by_every_byte"),
    (Slip::TakesAnyId, "a_longer_id_is_refused"),
    (Slip::SaysNewTwice, "of_many_inserts_one_is_new"),
    (Slip::InsertsNoPlan, "a_run_may_come_with_its_plan"),
    (
        Slip::WritesNothing,
        "a_swap_writes_if_the_version_is_the_expected_one",
    ),
    (Slip::ComparesNoVersion, "of_many_swaps_one_writes"),
    (
        Slip::ConflictsTellNothing,
        "a_swap_that_does_not_write_changes_nothing",
    ),
    (
        Slip::WritesTheRestAnyway,
        "plan_attempt_and_outputs_of_a_swap_are_written_with_it",
    ),
    (
        Slip::ComparesNoStamp,
        "a_swap_that_expects_another_stamp_does_not_write",
    ),
    (
        Slip::WritesTwice,
        "a_swap_that_is_repeated_has_written_once",
    ),
    (Slip::InsertsNoOutputs, "outputs_come_with_a_new_run"),
    (Slip::DueWithoutWait, "a_run_is_due_later_with_a_wait"),
    (Slip::DueForOneTopic, "a_run_is_due_for_its_topic_alone"),
    (Slip::WritesAllOutcomes, "a_swap_may_keep_the_outcomes"),
    (Slip::ReadsStale, "the_next_read_returns_a_swap"),
    (
        Slip::FetchesTheFirst,
        "a_swap_answers_with_the_step_that_was_asked_for",
    ),
    (Slip::CountsFromZero, "a_step_is_read_by_its_position"),
    (Slip::ForgetsKeys, "a_plan_comes_back_as_it_was_written"),
    (Slip::SearchesPlans, "a_step_of_a_long_plan_costs_the_same"),
    (
        Slip::TellsNoNeighbour,
        "the_state_of_a_run_has_the_steps_near_it",
    ),
    (Slip::TimeGoesBack, "the_time_never_goes_back"),
    (Slip::InsertsWithoutTime, "every_answer_tells_the_time"),
    (Slip::AllAreDue, "a_run_is_due_at_its_time"),
    (
        Slip::DueTheLatestFirst,
        "the_earliest_is_first_and_the_limit_holds",
    ),
    (
        Slip::IgnoresLimits,
        "the_earliest_is_first_and_the_limit_holds",
    ),
    (Slip::AllAreDue, "a_run_that_needs_no_look_is_never_due"),
    (Slip::TellsNoNeighbour, "a_run_that_is_due_is_told_whole"),
    (Slip::ClaimsNothing, "a_claimed_run_is_not_due"),
    (Slip::ClaimsForEver, "a_swap_ends_a_claim"),
    (Slip::ClaimsNothing, "a_claimed_output_is_not_due"),
    (
        Slip::ForgetsOutputs,
        "an_output_is_due_once_its_writer_had_its_time",
    ),
    (
        Slip::DropsAbsentHeaders,
        "an_output_is_due_once_its_writer_had_its_time",
    ),
    (
        Slip::DueAlwaysAfterTheSame,
        "outputs_are_due_when_their_write_says",
    ),
    (Slip::KeepsRelayed, "a_relayed_output_never_comes_back"),
    (Slip::RelaysAnotherInstead, "relaying_twice_changes_nothing"),
    (Slip::NeverWakes, "wakes_when_the_run_changes"),
    (Slip::NeverWakes, "returns_at_once_when_it_has_changed"),
    (Slip::NeverWakes, "wakes_when_the_run_ends"),
    (Slip::SleepsForAnHour, "wakes_when_something_is_due"),
    (
        Slip::ForgetsAttempts,
        "attempts_come_in_order_byte_for_byte",
    ),
    (Slip::ForgetsActors, "attempts_come_in_order_byte_for_byte"),
    (Slip::ForgetsCursors, "attempts_come_in_pages"),
    (Slip::TellsTheFirst, "the_latest_attempts_are_told_alone"),
    (
        Slip::FindsWithoutLimit,
        "runs_are_found_by_the_beginning_of_their_ids",
    ),
    (
        Slip::FindsAnyCase,
        "runs_are_found_by_the_beginning_of_their_ids",
    ),
    (
        Slip::ListsTheOldestFirst,
        "a_list_has_the_runs_that_fit_the_latest_first",
    ),
    (
        Slip::IgnoresTimes,
        "a_list_has_the_runs_that_fit_the_latest_first",
    ),
    (Slip::ListsAsLaunched, "a_list_tells_the_last_write"),
    (
        Slip::PagesForEver,
        "a_page_has_a_cursor_if_the_list_goes_on",
    ),
    (Slip::PagesByOffset, "the_pages_lead_through_each_run_once"),
    (Slip::LosesPlaces, "a_cursor_outlives_the_run_at_its_place"),
    (Slip::TakesAnyCursor, "a_cursor_of_another_list_is_refused"),
    (Slip::CountsAll, "a_count_stops_where_it_is_asked"),
    (Slip::CountsThePage, "a_count_stops_where_it_is_asked"),
    (Slip::PurgesNothing, "a_purged_run_is_gone"),
    (Slip::LeavesNoTombstone, "a_purged_run_leaves_a_tombstone"),
    (
        Slip::RevivesAlways,
        "a_purged_run_stays_purged_if_the_insert_asks_for_it",
    ),
    (Slip::PurgesTheLiving, "only_a_run_that_has_ended_is_purged"),
    (Slip::ForgetsLives, "each_life_of_an_instance_is_larger"),
    (
        Slip::KeepsTheFirstAnnouncement,
        "the_latest_announcement_of_each_consumer_is_listed",
    ),
    (
        Slip::ListsAllAnnouncements,
        "an_announcement_is_listed_with_its_age",
    ),
    (
        Slip::IgnoresWithdrawals,
        "a_consumer_that_withdraws_is_not_listed",
    ),
    (
        Slip::ListingForgets,
        "many_consumers_announce_themselves_at_once",
    ),
    (Slip::WritesInTwo, "a_dropped_write_is_whole_or_absent"),
];

#[test]
fn each_broken_store_is_caught_and_no_rule_is_left_out() {
    crate::check(STORE, TABLE, Slip::None, |slip| {
        StoreHarness::new(Sloppy::new(slip))
    });
}
