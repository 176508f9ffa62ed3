/// Hands the contract of transports to the macro that is named first: its sections, and in each the sentences with the rules of
/// `kser-testkit` that test them. A sentence without a rule leaves something free. The documentation of
/// [`Transport`](crate::Transport) and of the rules is made from it.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_contract {
    ([$($then:tt)*] $($args:tt)*) => {
        $($then)*! { $($args)*
            delivery "Delivery" {
                "A record that was published is delivered to one member of each group, until it is settled." => delivers_to_one_member_of_each_group loses_nothing_when_members_come_and_go;
                "It is delivered with the topic, key, headers and payload that it was published with." => delivers_what_was_published;
                "An absent key, payload or header value stays absent." => keeps_absent_apart_from_empty;
                "A record that was published before any group had joined its topic is delivered to the first that does." => delivers_what_was_published_before_the_first_group_joined;
                "A delivery is not given to a second member while the first may still settle it." => gives_a_delivery_to_one_member_at_a_time;
            }
            ordering "Ordering" {
                "Records of one topic and key are delivered to a group in the order in which they were published." => delivers_a_key_in_order;
                "The next record of a key is delivered only after the one before it is settled, or to the same member." => holds_back_a_key_until_it_is_settled;
                "Records without a key have no order." => ;
            }
            settling "Settling" {
                "A settled delivery does not come back to its group." => a_settled_delivery_does_not_come_back;
                "The outputs of a settle are published when it returns." => publishes_the_outputs_of_a_settle publishes_outputs_before_what_comes_after_the_settle;
                "A delivery whose outputs are not all published is not settled." => settles_only_what_has_its_outputs_published;
                "Where [`Description::settling`] is [`Settling::Together`], either all outputs are published and the delivery is settled, or neither." => settles_all_or_nothing;
                "The outputs of one key appear in the order in which their settles were first polled." => orders_the_outputs_of_a_key_by_their_settles;
                "A settle of a delivery that was given to another member publishes nothing and fails with [`Error::Lost`]." => a_settle_of_another_members_delivery_publishes_nothing;
                "Many tasks may settle at once." => many_tasks_settle_at_once;
            }
            hand_ins "Hand-ins" {
                "Where [`Description::hand_ins`] says so, a delivery to a member of a group may be handed in ([`Ticket::hand_in`](crate::Ticket::hand_in)), and is taken unless the backend has to wait before it can publish the outputs, or refuses one of them. A delivery that is not taken comes back at once, with nothing published." => takes_a_delivery_that_is_handed_in;
                "Each delivery that was handed in is reported once: as settled when its outputs are published and it is acknowledged, both durably." => reports_each_hand_in_once_it_is_settled;
                "A delivery with an output that is refused is not settled: it comes back with all of its outputs, and with the positions of those that are not published if it had been taken. The deliveries that are handed in beside it are settled." => a_hand_in_comes_back_when_an_output_is_refused;
                "The outputs of one key appear in the order in which their deliveries were handed in." => orders_the_outputs_of_a_key_by_their_hand_ins;
                "A delivery that was given to another member before it is handed in publishes nothing, and is reported as lost." => a_hand_in_of_another_members_delivery_publishes_nothing;
                "`close` waits for the results of the deliveries that were handed in." => a_close_waits_for_what_was_handed_in;
            }
            revocation "Revocation" {
                "When a held delivery goes to another member, [`Delivery::revoked`] says so." => revokes_a_held_delivery_that_goes_to_another_member;
            }
            delay "Delay" {
                "A record with a time is not delivered before it, and is delivered after it." => delays_a_record_until_its_time delays_an_output_until_its_time;
                "A delayed record does not hold back others of its key." => a_delayed_record_does_not_hold_back_its_key;
            }
            redelivery "Redelivery" {
                "A released delivery is delivered again." => a_released_delivery_comes_again;
                "A delivery that is released until a time is not delivered before it." => a_delivery_that_is_released_until_a_time_waits;
                "A released record comes before those of its key that were published after it." => a_released_record_comes_before_the_later_ones_of_its_key;
                "A delivery that is released after failed attempts is delivered again with their number ([`Delivery::failed`]), to any member." => a_released_delivery_keeps_the_number_of_its_failed_attempts;
                "The deliveries that a member holds when it is dropped without leaving its group are delivered to other members, and counted in [`Delivery::crash_count`]." => held_deliveries_of_a_dropped_member_are_delivered_and_counted;
                "Once that count is 2, a delivery is counted further only if it was begun ([`Ticket::begin`](crate::Ticket::begin))." => a_suspected_poison_message_is_counted_only_once_it_has_begun;
                "A dropped ticket counts as released." => a_dropped_ticket_counts_as_released;
            }
            groups "Groups" {
                "Each group gets every record of its topics." => each_group_gets_every_record;
                "The members of one group share the records." => members_of_a_group_share_the_records;
                "Members of one group may subscribe to different topics, and get records of their own topics only." => members_get_records_of_their_own_topics;
                "A subscription without a group gets everything that was published after `subscribe` returned, and settling it changes nothing for others." => an_observer_sees_what_comes_after_it;
                "A subscription without a group that looks back ([`Interest::since`]) first gets the records since that time that are still there; `subscribe` fails with [`Error::Unsupported`] where the backend cannot look back." => an_observer_that_looks_back_gets_what_is_still_there;
                "Once a subscription that looks back was handed all records that were there when it was made, its [`Health::lag`] is 0." => an_observer_that_looks_back_knows_when_it_has_everything;
            }
            looking "Looking" {
                "Looking takes nothing ([`Transport::inspect`](crate::Transport::inspect), where the backend has it): the records that are shown are delivered as before, and no member loses a delivery." => looking_takes_nothing;
                "A view shows each record of the topic that the group has not settled once, delivered or not, as it was published; a record that is delayed may be absent." => shows_what_is_not_settled;
                "It shows what was there when it was opened, by partition and offset, and may begin after any place." => a_view_begins_after_a_place;
                "Before the first group has joined, no record is settled for any group." => shows_all_records_before_the_first_group;
                "The progress of a group counts the offsets that it has not settled." => counts_what_is_not_settled;
                "The topics and groups that exist are listed." => lists_topics_and_groups;
            }
            limits "Limits" {
                "A record that is too large is refused, and the others of the call are published." => refuses_a_record_that_is_too_large;
                "`receive` returns at most the records that were asked for." => returns_no_more_records_than_were_asked_for;
                "`receive` returns no further record once the bytes that were asked for are reached." => returns_no_more_bytes_than_were_asked_for;
            }
            cancel_safety "Cancel safety" {
                "Dropping the future of `receive` loses no delivery." => dropping_a_receive_loses_nothing;
            }
            closing "Closing" {
                "`close` waits until all received deliveries are settled or released, and then leaves the group." => a_close_waits_for_what_is_held;
                "After `close` the records go to the other members." => after_a_close_the_others_get_the_records;
                "A member that closed has left gracefully: none of its deliveries counts a crash." => a_close_counts_no_crash;
                "A member that leaves at once, where the backend can ([`Subscription::leaver`]), leaves gracefully too: its held deliveries go to the other members, and none counts a crash." => a_member_that_leaves_at_once_counts_no_crash;
            }
        }
    };
}
