/// Hands the contract of state stores to the macro that is named first: its sections, and in each the sentences with the rules of
/// `kser-testkit` that test them. A sentence without a rule leaves something free. The documentation of
/// [`StateStore`](crate::StateStore) and of the rules is made from it.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_contract {
    ([$($then:tt)*] $($args:tt)*) => {
        $($then)*! { $($args)*
            inserting "Inserting" {
                "A run is inserted once: a second insert of its id changes nothing, and says whether the content is the same." => a_run_is_inserted_once;
                "A text that differs in one byte is another id." => ids_are_told_apart_by_every_byte;
                "An id has up to [`LONGEST_ID`] bytes; an insert of a longer one is [`Error::TooLarge`](crate::Error::TooLarge)." => a_longer_id_is_refused;
                "Of many that insert one id at once, one is told that it is new." => of_many_inserts_one_is_new;
                "A run may be inserted with its plan or without." => a_run_may_come_with_its_plan;
                "Outputs that come with a run are kept exactly if the run is new." => outputs_come_with_a_new_run;
            }
            swapping "Swapping" {
                "A swap writes if the stored version is the expected one, and says so." => a_swap_writes_if_the_version_is_the_expected_one;
                "A swap that expects another stamp than the stored one does not write." => a_swap_that_expects_another_stamp_does_not_write;
                "Of many that expect the same version, one writes." => of_many_swaps_one_writes;
                "A swap that does not write changes nothing, and answers with the state that is stored." => a_swap_that_does_not_write_changes_nothing;
                "A swap that is repeated with its stamp answers that it has written, and writes nothing a second time." => a_swap_that_is_repeated_has_written_once;
                "The plan, the attempt and the outputs of a swap are written exactly if its progress is." => plan_attempt_and_outputs_of_a_swap_are_written_with_it;
                "A swap that keeps the outcomes leaves those of the run as they are, whatever its progress has." => a_swap_may_keep_the_outcomes;
                "The next read of any process returns the progress that a swap has written." => the_next_read_returns_a_swap;
                "A swap answers with the step of the plan that was asked for, also one that it wrote." => a_swap_answers_with_the_step_that_was_asked_for;
            }
            plans "Plans" {
                "A step is read by its position." => a_step_is_read_by_its_position;
                "A plan comes back as it was written." => a_plan_comes_back_as_it_was_written;
                "Reading a step costs the same in a plan of any length." => a_step_of_a_long_plan_costs_the_same;
                "A read, a swap that does not write and a repeated insert answer with the step at the position of the progress and with the step after it." => the_state_of_a_run_has_the_steps_near_it;
            }
            time "Time" {
                "The store's time never goes back." => the_time_never_goes_back;
                "Every answer that a decision depends on tells the time of the store." => every_answer_tells_the_time;
            }
            due "Due" {
                "A run is due when its `check_at` is not after the store's time." => a_run_is_due_at_its_time;
                "With a wait it is due that much later." => a_run_is_due_later_with_a_wait;
                "It is due for the topic that was written last with it, and for no other." => a_run_is_due_for_its_topic_alone;
                "The earliest comes first, and never more than the limit." => the_earliest_is_first_and_the_limit_holds;
                "A run without `check_at` is never due." => a_run_that_needs_no_look_is_never_due;
                "A run that is due is told with its description and the steps near its progress." => a_run_that_is_due_is_told_whole;
                "A run that was claimed is not due for any caller before the claim is over; a claim of no time changes nothing." => a_claimed_run_is_not_due;
                "A swap ends the claim of its run." => a_swap_ends_a_claim;
            }
            outputs "Outputs" {
                "An output is not due before [`OUTPUT_PATIENCE`] has passed since it was written, and is due from then on until it is relayed." => an_output_is_due_once_its_writer_had_its_time;
                "A write may say that its outputs are due earlier or later." => outputs_are_due_when_their_write_says;
                "An output that was claimed is not due for any caller before the claim is over." => a_claimed_output_is_not_due;
                "A relayed output never comes back." => a_relayed_output_never_comes_back;
                "Relaying twice changes nothing." => relaying_twice_changes_nothing;
            }
            waking "Waking" {
                "[`changed`](Self::changed) returns when the run's version is no longer the given one, or the run is purged." => wakes_when_the_run_changes;
                "It returns at once when that is so already, or there is no such run." => returns_at_once_when_it_has_changed;
                "[`await_end`](Self::await_end) returns the progress of the run when it has ended, and none when it is purged; within a moment when that is so already, or there is no such run." => wakes_when_the_run_ends;
                "[`await_due`](Self::await_due) returns when a run or an output is due, also one that was written later." => wakes_when_something_is_due;
                "Each of them may return for no reason." => ;
            }
            history "History" {
                "The attempts of a run are told in the order in which they were written, with their outcomes byte for byte, and with the actor and the reason of a verb." => attempts_come_in_order_byte_for_byte;
                "They come in pages: each has the attempts that follow its cursor, no more than its limit." => attempts_come_in_pages;
                "The last of them are told without those before, in the same order." => the_latest_attempts_are_told_alone;
            }
            browsing "Browsing" {
                "Runs are found by the beginning of their ids, in the order of their bytes, no more than the limit." => runs_are_found_by_the_beginning_of_their_ids;
                "A list has the runs that fit its filter, the latest launched first." => a_list_has_the_runs_that_fit_the_latest_first;
                "It tells the status, the position and the time of the last write of a run." => a_list_tells_the_last_write;
                "A page has no more runs than its limit, and a cursor exactly if the list goes on." => a_page_has_a_cursor_if_the_list_goes_on;
                "The pages lead through each run once that is there all the time, while others are inserted and purged." => the_pages_lead_through_each_run_once;
                "A cursor leads on after the run was purged at which its page ended." => a_cursor_outlives_the_run_at_its_place;
                "A cursor of another filter, or of another run, is [`Error::Invalid`](crate::Error::Invalid)." => a_cursor_of_another_list_is_refused;
                "A count has the runs that fit the filter, and is no larger than asked for." => a_count_stops_where_it_is_asked;
            }
            purging "Purging" {
                "A purged run is gone with its plan, attempts and outputs." => a_purged_run_is_gone;
                "For [`TOMBSTONE_KEPT`] at least a read, and a swap, answer that the run was purged, and how it had ended." => a_purged_run_leaves_a_tombstone;
                "An insert begins a new run of the id, unless it asks that a purged run stays so." => a_purged_run_stays_purged_if_the_insert_asks_for_it;
                "Only a run that has ended can be purged." => only_a_run_that_has_ended_is_purged;
            }
            instances "Instances" {
                "Registering an instance answers an incarnation that is larger than every one before it." => each_life_of_an_instance_is_larger;
            }
            presence "Presence" {
                "Where the store keeps announcements ([`presence`](Self::presence)), the latest one of each consumer is listed, byte for byte, and once." => the_latest_announcement_of_each_consumer_is_listed;
                "It is listed with the time since it was written, by the clock of the store, and only while that is no longer than asked for." => an_announcement_is_listed_with_its_age;
                "A consumer that withdraws is not listed, and may announce itself again. A consumer that is not there may withdraw." => a_consumer_that_withdraws_is_not_listed;
                "Listing changes nothing, and many consumers may announce themselves at once." => many_consumers_announce_themselves_at_once;
            }
            cancel_safety "Cancel safety" {
                "Dropping the future of a write leaves the write done or not done, never half done." => a_dropped_write_is_whole_or_absent;
            }
        }
    };
}

/// Writes a contract as Markdown: a heading for each section, and its sentences below.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_text {
    ($($section:ident $title:literal { $($sentence:literal => $($rule:ident)* ;)* })*) => {
        concat!($("# ", $title, "\n\n", $($sentence, " ",)* "\n\n",)*)
    };
}
