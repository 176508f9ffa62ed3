//! The sentences of the contracts, and the test of each.

use std::fmt;
use std::pin::Pin;

use crate::{StoreHarness, TransportHarness};

/// A sentence of a contract, and its test.
///
/// The macros make a test of each; a program that cannot use them goes through the table itself:
///
/// ```
/// # use kser_memory::MemoryStore;
/// # use kser_testkit::{StoreHarness, rules};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// for rule in rules::STORE {
///     (rule.test)(&StoreHarness::new(MemoryStore::new())).await;
/// }
/// # }
/// ```
#[non_exhaustive]
pub struct Rule<H> {
    /// The section of the contract, as a module is called.
    pub section: &'static str,
    /// The name of the test.
    pub name: &'static str,
    /// The sentence, word for word.
    pub sentence: &'static str,
    /// Panics when the backend breaks the rule. It takes a harness that no other rule has used.
    pub test: for<'a> fn(&'a H) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl<H> fmt::Debug for Rule<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}: {:?}", self.section, self.name, self.sentence)
    }
}

/// The rules of transports. A sentence that says several things may have several.
pub const TRANSPORT: &[Rule<TransportHarness>] = crate::__transport_rules!(__table transport);

/// The rules of state stores. A sentence that says several things may have several.
pub const STORE: &[Rule<StoreHarness>] = crate::__store_rules!(__table store);

#[doc(hidden)]
#[macro_export]
macro_rules! __table {
    ($kind:ident $($section:ident::$rule:ident: $sentence:literal,)*) => {
        &[$($crate::rules::Rule {
            section: stringify!($section),
            name: stringify!($rule),
            sentence: $sentence,
            test: |harness| Box::pin($crate::$kind::$section::$rule(harness)),
        },)*]
    };
}

/// Hands the one list of rules to `__table` or to `__suite`.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_rules {
    ($then:ident $($args:tt)*) => {
        $crate::$then! { $($args)*
            delivery::delivers_to_one_member_of_each_group: "A record that was published is delivered to one member of each group, until it is settled.",
            delivery::loses_nothing_when_members_come_and_go: "A record that was published is delivered to one member of each group, until it is settled.",
            delivery::delivers_what_was_published: "It is delivered with the topic, key, headers and payload that it was published with.",
            delivery::keeps_absent_apart_from_empty: "An absent key, payload or header value stays absent.",
            delivery::delivers_what_was_published_before_the_first_group_joined: "A record that was published before any group had joined its topic is delivered to the first that does.",
            delivery::gives_a_delivery_to_one_member_at_a_time: "A delivery is not given to a second member while the first may still settle it.",
            ordering::delivers_a_key_in_order: "Records of one topic and key are delivered to a group in the order in which they were published.",
            ordering::holds_back_a_key_until_it_is_settled: "The next record of a key is delivered only after the one before it is settled, or to the same member.",
            settling::a_settled_delivery_does_not_come_back: "A settled delivery does not come back to its group.",
            settling::publishes_the_outputs_of_a_settle: "The outputs of a settle are published when it returns.",
            settling::settles_only_what_has_its_outputs_published: "A delivery whose outputs are not all published is not settled.",
            settling::settles_all_or_nothing: "Where [`Description::settling`] is [`Settling::Together`], either all outputs are published and the delivery is settled, or neither.",
            settling::publishes_outputs_before_what_comes_after_the_settle: "The outputs of a settle are published when it returns.",
            settling::orders_the_outputs_of_a_key_by_their_settles: "The outputs of one key appear in the order in which their settles were first polled.",
            settling::a_settle_of_someone_elses_delivery_publishes_nothing: "A settle of a delivery that belongs to someone else publishes nothing and says [`Error::Lost`].",
            settling::many_tasks_settle_at_once: "Many tasks may settle at once.",
            revocation::says_that_a_held_delivery_goes_to_someone_else: "When a delivery goes to someone else while it is held, [`Delivery::revoked`] says so.",
            delay::delays_a_record_until_its_time: "A record with a time is not delivered before it, and is delivered after it.",
            delay::delays_an_output_until_its_time: "A record with a time is not delivered before it, and is delivered after it.",
            delay::a_delayed_record_does_not_hold_back_its_key: "A delayed record does not hold back others of its key.",
            redelivery::a_released_delivery_comes_again: "A released delivery is delivered again.",
            redelivery::a_delivery_that_is_released_until_a_time_waits: "A delivery that is released until a time is not delivered before it.",
            redelivery::a_released_record_comes_before_the_later_ones_of_its_key: "A released record comes before those of its key that were published after it.",
            redelivery::a_released_delivery_keeps_the_number_of_its_failed_attempts: "A delivery that is released after failed attempts is delivered again with their number ([`Delivery::failed`]), to any member.",
            redelivery::what_a_dropped_member_held_is_delivered_and_counted: "What a member holds when it is dropped without a goodbye is delivered to others, and counted in [`Delivery::crash_count`].",
            redelivery::a_suspect_is_counted_only_once_it_has_begun: "Once that count is 2, a delivery is counted further only if it was begun ([`Ticket::begin`](crate::Ticket::begin)).",
            redelivery::a_dropped_ticket_counts_as_released: "A dropped ticket counts as released.",
            groups::each_group_gets_every_record: "Each group gets every record of its topics.",
            groups::members_of_a_group_share_the_records: "The members of one group share the records.",
            groups::members_get_records_of_their_own_topics: "Members of one group may subscribe to different topics, and get records of their own topics only.",
            groups::an_observer_sees_what_comes_after_it: "A subscription without a group gets everything that was published after `subscribe` returned, and settling it changes nothing for others.",
            limits::refuses_a_record_that_is_too_large: "A record that is too large is refused, and the others of the call are published.",
            limits::returns_no_more_records_than_were_asked_for: "`receive` returns at most the records that were asked for.",
            limits::returns_no_more_bytes_than_were_asked_for: "`receive` returns no further record once the bytes that were asked for are reached.",
            cancel_safety::dropping_a_receive_loses_nothing: "Dropping the future of `receive` loses no delivery.",
            closing::a_close_waits_for_what_is_held: "`close` waits until what was received is settled or released, and then leaves the group.",
            closing::after_a_close_the_others_get_the_records: "After `close` the records go to the other members.",
            closing::a_close_is_a_goodbye: "A member that closed said goodbye: nothing of its is counted as crashes.",
            closing::a_member_that_leaves_at_once_says_goodbye: "A member that leaves at once, where the backend can ([`Subscription::leaver`]), says goodbye too: what it held goes to the other members, and nothing of it is counted.",
        }
    };
}

/// Hands the one list of rules to `__table` or to `__suite`.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_rules {
    ($then:ident $($args:tt)*) => {
        $crate::$then! { $($args)*
            inserting::a_run_is_inserted_once: "A run is inserted once: a second insert of its id changes nothing, and says whether the content is the same.",
            inserting::ids_are_told_apart_by_every_byte: "A text that differs in one byte is another id.",
            inserting::of_many_inserts_one_is_new: "Of many that insert one id at once, one is told that it is new.",
            inserting::a_run_may_come_with_its_plan: "A run may be inserted with its plan or without.",
            inserting::outputs_come_with_a_new_run: "Outputs that come with a run are kept exactly if the run is new.",
            swapping::a_swap_writes_if_the_version_is_the_expected_one: "A swap writes if the stored version is the expected one, and says so.",
            swapping::a_swap_that_expects_another_stamp_does_not_write: "A swap that expects another stamp than the stored one does not write.",
            swapping::of_many_swaps_one_writes: "Of many that expect the same version, one writes.",
            swapping::a_swap_that_does_not_write_changes_nothing: "A swap that does not write changes nothing, and answers with the progress that is stored.",
            swapping::a_swap_that_is_repeated_has_written_once: "A swap that is repeated with its stamp answers that it has written, and writes nothing a second time.",
            swapping::what_goes_with_a_swap_is_written_with_it: "What goes with a swap (the plan, an attempt, outputs) is written exactly if the progress is.",
            swapping::what_was_written_is_read: "What a swap has written is there for the next read of anybody.",
            swapping::a_swap_answers_with_the_step_that_was_asked_for: "A swap answers with the step of the plan that was asked for, also one that it wrote.",
            plans::a_step_is_read_by_its_position: "A step is read by its position.",
            plans::a_plan_comes_back_as_it_was_written: "A plan comes back as it was written.",
            plans::a_step_of_a_long_plan_costs_the_same: "Reading a step costs the same in a plan of any length.",
            time::the_time_never_goes_back: "The store's time never goes back.",
            time::every_answer_tells_the_time: "Every answer that a decision depends on tells the time of the store.",
            due::a_run_is_due_at_its_time: "A run is due when its `check_at` is not after the store's time.",
            due::a_run_is_due_later_with_a_wait: "With a wait it is due that much later.",
            due::a_run_is_due_for_its_topic_alone: "It is due for the topic that was written last with it, and for no other.",
            due::the_earliest_is_first_and_the_limit_holds: "The earliest comes first, and never more than the limit.",
            due::a_run_that_needs_no_look_is_never_due: "A run without `check_at` is never due.",
            outputs::an_output_is_due_once_its_writer_had_its_time: "An output is not due before [`OUTPUT_PATIENCE`] has passed since it was written, and is due from then on until it is relayed.",
            outputs::a_relayed_output_never_comes_back: "A relayed output never comes back.",
            outputs::relaying_twice_changes_nothing: "Relaying twice changes nothing.",
            waking::wakes_when_the_run_changes: "[`changed`](Self::changed) returns when the run's version is no longer the given one, or the run is purged.",
            waking::returns_at_once_when_it_has_changed: "It returns at once when that is so already, or there is no such run.",
            waking::wakes_when_something_is_due: "[`await_due`](Self::await_due) returns when a run or an output is due, also one that was written later.",
            history::attempts_come_in_order_byte_for_byte: "The attempts of a run are told in the order in which they were written, with their outcomes byte for byte.",
            history::a_list_pages_through_the_latest_first: "A list has the runs that fit its filter, the latest launched first, and pages through all of them once.",
            purging::a_purged_run_is_gone: "A purged run is gone with its plan, attempts and outputs.",
            purging::only_a_run_that_has_ended_is_purged: "Only a run that has ended can be purged.",
            instances::each_life_of_an_instance_is_larger: "Registering an instance answers an incarnation that is larger than every one before it.",
            cancel_safety::a_dropped_write_is_whole_or_absent: "Dropping the future of a write leaves the write done or not done, never half done.",
        }
    };
}
