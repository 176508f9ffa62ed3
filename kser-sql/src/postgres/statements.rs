//! The texts of the statements. Each is one round trip, and a transaction of its own.

use kser_core::store::TOMBSTONE_KEPT;

use super::schema::in_schema;

/// The time of the database, in milliseconds.
const NOW: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::int8";

/// The statuses of a run that has ended.
const ENDED: &str = "('SUCCESS', 'FAILED', 'CANCELLED')";

/// The parts that a group of swaps may have beside the progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) attempts: bool,
    pub(super) plans: bool,
    pub(super) outputs: bool,
    pub(super) fetches: bool,
}

impl Parts {
    const fn index(self) -> usize {
        self.attempts as usize
            + 2 * self.plans as usize
            + 4 * self.outputs as usize
            + 8 * self.fetches as usize
    }

    const fn of_index(index: usize) -> Self {
        Self {
            attempts: index & 1 > 0,
            plans: index & 2 > 0,
            outputs: index & 4 > 0,
            fetches: index & 8 > 0,
        }
    }
}

/// The statements of a store, with its schema.
#[derive(Debug)]
pub(super) struct Statements {
    swaps: Vec<String>,
    inserts: Vec<String>,
    lists: [String; 2],
    counts: [String; 2],
    pub(super) found: String,
    pub(super) relay: String,
    pub(super) purge: String,
    pub(super) remove: String,
    pub(super) old: String,
    pub(super) register: String,
    pub(super) store_id: String,
    pub(super) versions: String,
    pub(super) step: String,
    pub(super) due: String,
    pub(super) earliest_due: String,
    pub(super) outputs_due: String,
    pub(super) run: String,
    pub(super) attempts: String,
    pub(super) latest_attempts: String,
    pub(super) find: String,
    pub(super) listen_for: String,
    pub(super) oldest_snapshot: String,
    pub(super) announce: String,
    pub(super) withdraw: String,
    pub(super) consumers: String,
}

impl Statements {
    pub(super) fn new(schema: &str) -> Self {
        let text = |sql: &str| in_schema(&sql.replace("{now}", NOW), schema);
        Self {
            swaps: (0..16).map(|parts| text(&swap(Parts::of_index(parts)))).collect(),
            lists: [false, true].map(|by_name| text(&list(by_name))),
            counts: [false, true].map(|by_name| text(&count(by_name))),
            inserts: (0..16).map(|parts| text(&insert(Parts::of_index(parts)))).collect(),
            found: text(
                // A join with the step that is wanted would be made by the number of the run alone, and read its whole plan.
                "SELECT s.id, r.version, r.stamp, r.progress, {now},
                     (SELECT t.step FROM kser.steps t WHERE t.run = r.number AND t.position = s.wanted), r.position,
                     (SELECT h.step FROM kser.steps h WHERE h.run = r.number AND h.position = r.position),
                     (SELECT n.step FROM kser.steps n WHERE n.run = r.number AND n.position = r.position + 1),
                     d.name, d.digest, d.status, d.purged, r.outcomes
                 FROM unnest($1::bytea[], $2::int8[]) AS s(id, wanted) LEFT JOIN kser.runs r ON r.id = s.id
                 LEFT JOIN kser.tombstones d ON d.id = s.id AND r.id IS NULL",
            ),
            relay: text(
                "DELETE FROM kser.outputs o USING unnest($1::bytea[], $2::int8[], $3::int8[]) AS s(id, version, place)
                 JOIN kser.runs r ON r.id = s.id WHERE o.run = r.number AND o.version = s.version AND o.place = s.place",
            ),
            purge: text(&purge(
                "id = $1 AND status IN ('SUCCESS', 'FAILED', 'CANCELLED')",
                ", (SELECT pg_notify($2, '') FROM kser.listeners WHERE process <> $3 AND runs_until > {now} LIMIT 1)",
                8,
            )),
            remove: text(&purge(
                "(id, version) IN (SELECT * FROM unnest($1::bytea[], $2::int8[]))
                     AND NOT EXISTS (SELECT FROM kser.outputs o WHERE o.run = r.number)",
                "",
                200,
            )),
            // The columns of a program that does not know them tell nothing.
            old: text(
                "WITH clock AS MATERIALIZED (SELECT {now} - $2::int8 AS at)
                 SELECT id, version, progress, created, number, at FROM clock, LATERAL (
                     SELECT id, version, progress, created, number FROM kser.runs WHERE status = $1 AND created < at
                     AND (created, number) > ($3::int8, $4::int8) AND (noted IS DISTINCT FROM version OR updated < at)
                     ORDER BY created, number LIMIT 100
                 ) r ORDER BY created, number",
            ),
            register: text(
                "INSERT INTO kser.instances AS i VALUES ($1, {now})
                 ON CONFLICT (name) DO UPDATE SET incarnation = greatest(i.incarnation + 1, excluded.incarnation)
                 RETURNING incarnation, {now}",
            ),
            store_id: text("SELECT value, {now} FROM kser.meta WHERE name = 'store_id'"),
            versions: text(
                &format!(
                "SELECT s.id, r.version, coalesce(r.status IN {ENDED}, true)
                 FROM unnest($1::bytea[]) AS s(id) LEFT JOIN kser.runs r ON r.id = s.id"
            ),
            ),
            step: text(
                "SELECT t.step FROM kser.runs r JOIN kser.steps t ON t.run = r.number WHERE r.id = $1 AND t.position = $2",
            ),
            // A row is in a slot of its due time, and slots are in the order of time.
            due: text(
                "WITH clock AS MATERIALIZED (SELECT {now} AS now),
                 due AS MATERIALIZED (
                     SELECT number FROM kser.runs WHERE topic = $1 AND due_slot IS NOT NULL
                     AND due_slot <= ((SELECT now FROM clock) - $2::int8) >> 14 AND look_at <= (SELECT now FROM clock) - $2::int8
                     ORDER BY due_slot, look_at, number LIMIT $3 FOR UPDATE SKIP LOCKED
                 ), claimed AS (
                     UPDATE kser.runs r SET look_at = (SELECT now FROM clock) + $4::int8 FROM due
                     WHERE r.number = due.number AND $4::int8 > 0
                 )
                 SELECT d.id, d.name, d.message, d.created, d.progress, d.outcomes, d.position,
                     (SELECT h.step FROM kser.steps h WHERE h.run = d.number AND h.position = d.position),
                     (SELECT n.step FROM kser.steps n WHERE n.run = d.number AND n.position = d.position + 1), now
                 FROM clock LEFT JOIN (
                     SELECT r.*, l.message FROM due JOIN kser.runs r ON r.number = due.number JOIN kser.launches l ON l.run = r.number
                 ) d ON true
                 ORDER BY d.look_at, d.number",
            ),
            earliest_due: text(
                "WITH RECURSIVE topics (topic) AS (
                     SELECT min(topic) FROM kser.runs WHERE due_slot IS NOT NULL
                     UNION ALL
                     SELECT (SELECT min(topic) FROM kser.runs WHERE due_slot IS NOT NULL AND topic > topics.topic)
                     FROM topics WHERE topic IS NOT NULL
                 )
                 SELECT {now}, least((
                     SELECT min((
                         SELECT min(r.look_at) FROM kser.runs r WHERE r.topic = topics.topic AND r.due_slot = (
                             SELECT min(f.due_slot) FROM kser.runs f WHERE f.topic = topics.topic AND f.due_slot IS NOT NULL
                         )
                     )) FROM topics
                 ), (SELECT min(due) FROM kser.outputs))",
            ),
            outputs_due: text(
                "WITH clock AS MATERIALIZED (SELECT {now} AS now),
                 due AS MATERIALIZED (
                     SELECT number FROM kser.outputs WHERE due <= (SELECT now FROM clock) ORDER BY due, number LIMIT $1
                     FOR UPDATE SKIP LOCKED
                 ), claimed AS (
                     UPDATE kser.outputs o SET due = (SELECT now FROM clock) + $2::int8 FROM due
                     WHERE o.number = due.number AND $2::int8 > 0
                 )
                 SELECT now, r.id, o.version, o.place, o.topic, o.record_key, o.headers, o.payload, o.not_before
                 FROM clock, due JOIN kser.outputs o ON o.number = due.number JOIN kser.runs r ON r.number = o.run
                 ORDER BY o.due, o.number",
            ),
            run: text(&format!("{INFO} WHERE id = $1")),
            attempts: text(&format!("{ATTEMPTS} AND version > $2 ORDER BY version LIMIT $3")),
            latest_attempts: text(&format!("{ATTEMPTS} ORDER BY version DESC LIMIT $2")),
            find: text("SELECT id FROM kser.runs WHERE id >= $1 ORDER BY id LIMIT $2"),
            listen_for: text(
                "INSERT INTO kser.listeners AS l VALUES ($1, {now} + $2, {now} + $3)
                 ON CONFLICT (process) DO UPDATE SET runs_until = excluded.runs_until, due_until = excluded.due_until",
            ),
            // Consumers that announce themselves at once do not wait for each other.
            announce: text(
                "WITH clock AS MATERIALIZED (SELECT {now} AS now),
                 old AS MATERIALIZED (
                     SELECT id FROM kser.consumers WHERE written < (SELECT now FROM clock) - $3::int8 AND id <> $1 FOR UPDATE SKIP LOCKED
                 ), forgotten AS (DELETE FROM kser.consumers c USING old WHERE c.id = old.id)
                 INSERT INTO kser.consumers SELECT $1, now, $2 FROM clock
                 ON CONFLICT (id) DO UPDATE SET written = excluded.written, announcement = excluded.announcement",
            ),
            withdraw: text("DELETE FROM kser.consumers WHERE id = $1"),
            consumers: text(
                "WITH clock AS MATERIALIZED (SELECT {now} AS now)
                 SELECT id, announcement, now - written FROM kser.consumers, clock WHERE written >= now - $1::int8 ORDER BY id",
            ),
            // A transaction keeps old rows while it has a snapshot or a number. One that vacuums does not.
            oldest_snapshot: "SELECT floor(extract(epoch FROM max(clock_timestamp() - xact_start)) * 1000)::int8 FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                     AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)".to_owned(),
        }
    }

    /// Returns the statement for swaps with these parts.
    pub(super) fn swap(&self, parts: Parts) -> &str {
        &self.swaps[parts.index()]
    }

    /// Returns the statement for inserts with these parts.
    pub(super) fn insert(&self, parts: Parts) -> &str {
        &self.inserts[parts.index()]
    }

    /// Returns the statement that lists runs, of one operation or of any.
    pub(super) fn list(&self, by_name: bool) -> &str {
        &self.lists[usize::from(by_name)]
    }

    /// Returns the statement that counts runs, of one operation or of any.
    pub(super) fn count(&self, by_name: bool) -> &str {
        &self.counts[usize::from(by_name)]
    }

    /// The statements that a connection prepares at its start: those of an operation without outputs.
    pub(super) fn usual(&self) -> Vec<String> {
        let parts = |attempts, plans, fetches| Parts {
            attempts,
            plans,
            outputs: false,
            fetches,
        };
        let swaps = [
            parts(false, false, false),
            parts(true, false, false),
            parts(false, false, true),
            parts(true, true, false),
        ];
        let mut usual: Vec<String> = swaps
            .iter()
            .map(|parts| self.swap(*parts).to_owned())
            .collect();
        usual.push(self.insert(Parts::default()).to_owned());
        usual
    }
}

/// The attempts at the steps of the run `$1`.
const ATTEMPTS: &str =
    "SELECT position, entrypoint, attempt, started, ended, worker, status, outcome, intervention, version
     FROM kser.attempts WHERE run = (SELECT number FROM kser.runs WHERE id = $1)";

const INFO: &str = "SELECT id, name, message, created, progress, outcomes FROM kser.runs JOIN kser.launches ON run = number";

/// Removes runs with all of their rows, but for their tombstones, and as many of the tombstones that are old.
fn purge(which: &str, notify: &str, forgotten: u32) -> String {
    let kept = TOMBSTONE_KEPT.as_millis();
    format!(
        "WITH gone AS (
             DELETE FROM kser.runs r WHERE {which} RETURNING r.number, r.id, r.name, r.digest, r.status
         ), buried AS (
             INSERT INTO kser.tombstones (id, name, digest, status, purged)
             SELECT id, name, digest, status, {{now}} FROM gone
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, digest = excluded.digest,
                 status = excluded.status, purged = excluded.purged
         ), forgotten AS (
             DELETE FROM kser.tombstones WHERE id IN (
                 SELECT id FROM kser.tombstones WHERE purged < (SELECT {{now}}) - {kept} AND id NOT IN (SELECT id FROM gone)
                 ORDER BY purged LIMIT {forgotten}
             )
         ), launches AS (DELETE FROM kser.launches d USING gone WHERE d.run = gone.number),
         steps AS (DELETE FROM kser.steps d USING gone WHERE d.run = gone.number),
         attempts AS (DELETE FROM kser.attempts d USING gone WHERE d.run = gone.number),
         outputs AS (DELETE FROM kser.outputs d USING gone WHERE d.run = gone.number)
         SELECT number{notify} FROM gone"
    )
}

/// Lists runs, the latest launched first. `$1` is the statuses, `$2` and `$3` the place before which the runs were launched, `$4` the
/// time since which, `$5` the most rows, `$6` the operation.
///
/// Each status is looked up on its own, the latest first, so that no more rows are read than one page for each.
fn list(by_name: bool) -> String {
    let named = named(by_name);
    format!(
        "SELECT r.id, r.name, r.status, r.position, r.steps, r.updated, r.created, r.number, r.written
         FROM unnest($1::text[]) AS s(status), LATERAL (
             SELECT id, name, f.status, position, steps, updated, created, number,
                 CASE WHEN noted IS NOT DISTINCT FROM version THEN NULL ELSE progress END AS written
             FROM kser.runs f WHERE {named} f.status = s.status
             AND (created, number) < ($2::int8, $3::int8) AND created >= $4 ORDER BY created DESC, number DESC LIMIT $5
         ) r ORDER BY r.created DESC, r.number DESC LIMIT $5"
    )
}

/// Counts runs, but no more than `$5`. The values are those of a list.
fn count(by_name: bool) -> String {
    let named = named(by_name);
    format!(
        "SELECT count(*) FROM (
             SELECT 1 FROM unnest($1::text[]) AS s(status), LATERAL (
                 SELECT 1 FROM kser.runs f WHERE {named} f.status = s.status
                 AND (created, number) < ($2::int8, $3::int8) AND created >= $4 LIMIT $5
             ) r LIMIT $5
         ) c"
    )
}

const fn named(by_name: bool) -> &'static str {
    match by_name {
        true => "name = $6 AND",
        false => "",
    }
}

/// Swaps, in the order of their ids. It answers with a row for each that has written.
///
/// The values of plans and outputs are in arrays for the whole group; each swap has the place of its first one and their number.
fn swap(parts: Parts) -> String {
    // $1 to $9 are the first columns, $10 to $12 the notification.
    let mut next = 13;
    let mut array = |kind: &str| {
        let text = format!("${next}::{kind}[]");
        next += 1;
        text
    };
    let (mut sources, mut columns, mut carried) = (
        format!(", {}", array("bytea")),
        ", outcomes".to_owned(),
        String::new(),
    );
    let mut add = |source: String, name: &str| {
        sources.push_str(&format!(", {source}"));
        columns.push_str(&format!(", {name}"));
        carried.push_str(&format!(", s.{name}"));
    };
    for name in ["position", "step_count", "updated"] {
        add(array("int8"), name);
    }
    let mut along = String::new();
    if parts.fetches {
        add(array("int8"), "wanted");
    }
    if parts.attempts {
        for (name, kind) in ATTEMPT {
            add(array(kind), name);
        }
        along.push_str(
            ", attempted AS (
                 INSERT INTO kser.attempts (run, version, position, entrypoint, attempt, started, ended, worker, status, outcome,
                     intervention)
                 SELECT number, version, a_position, a_entrypoint, a_attempt, a_started, a_ended, a_worker, a_status, a_outcome,
                     a_intervention
                 FROM written WHERE a_position IS NOT NULL
             )",
        );
    }
    if parts.plans {
        add(array("int8"), "plan_first");
        add(array("int8"), "plan_count");
        let steps = array("bytea");
        along.push_str(&format!(
            ", cut AS (
                 DELETE FROM kser.steps t USING written w WHERE t.run = w.number AND t.position > w.plan_count
             ), planned AS (
                 INSERT INTO kser.steps (run, position, step)
                 SELECT number, i - plan_first + 1, ({steps})[i] FROM written, generate_series(plan_first, plan_first + plan_count - 1) AS i
                 ON CONFLICT (run, position) DO UPDATE SET step = excluded.step
             )"
        ));
    }
    if parts.outputs {
        add(array("int8"), "output_first");
        add(array("int8"), "output_count");
        add(array("int8"), "output_due");
        let values: Vec<String> = OUTPUT
            .iter()
            .map(|kind| format!("({})[i]", array(kind)))
            .collect();
        along.push_str(&kept("written", "version", &values));
    }
    let fetched = match parts.fetches {
        true => "(SELECT t.step FROM kser.steps t WHERE t.run = number AND t.position = wanted)",
        false => "NULL::bytea",
    };
    format!(
        "WITH written AS (
             UPDATE kser.runs r SET status = s.status, version = s.version, stamp = s.stamp, look_at = s.look_at,
                 progress = s.progress, topic = coalesce(s.topic, r.topic), position = s.position,
                 steps = s.step_count, updated = s.updated, noted = s.version,
                 outcomes = coalesce(s.outcomes, r.outcomes, r.progress)
             FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::bytea[],
                 $9::text[]{sources})
                 AS s(id, old_version, old_stamp, status, version, stamp, look_at, progress, topic{columns})
             WHERE r.id = s.id AND r.version = s.old_version AND r.stamp = s.old_stamp
             RETURNING r.id, r.number, r.version{carried}
         ){along}
         SELECT id, {{now}}, {fetched},
             (SELECT pg_notify($10, '') FROM kser.listeners WHERE $11 AND process <> $12 AND runs_until > {{now}} LIMIT 1)
         FROM written"
    )
}

/// Inserts, in the order of their ids. It answers with a row for each but those that stay purged, that of the stored run if it is not new: a statement that
/// does nothing on a conflict would return no row for one that another transaction has just inserted.
fn insert(parts: Parts) -> String {
    // $1 to $10 are the first columns.
    let mut next = 11;
    let mut array = |kind: &str| {
        let text = format!("${next}::{kind}[]");
        next += 1;
        text
    };
    let (position, stays) = (array("int8"), array("bool"));
    let (steps, updated, outcomes) = (array("int8"), array("int8"), array("bytea"));
    let mut along = String::new();
    if parts.plans {
        let (first, count, steps) = (array("int8"), array("int8"), array("bytea"));
        along.push_str(&format!(
            ", planned AS (
                 INSERT INTO kser.steps (run, position, step)
                 SELECT number, i - ({first})[at] + 1, ({steps})[i]
                 FROM here, generate_series(({first})[at], ({first})[at] + ({count})[at] - 1) AS i
             )"
        ));
    }
    if parts.outputs {
        let (first, count, due) = (array("int8"), array("int8"), array("int8"));
        let source = format!(
            "(SELECT number, version, ({first})[at] AS output_first, ({count})[at] AS output_count,
                 ({due})[at] AS output_due FROM here)"
        );
        let values: Vec<String> = OUTPUT
            .iter()
            .map(|kind| format!("({})[i]", array(kind)))
            .collect();
        along.push_str(&kept(&format!("{source} AS s"), "version", &values));
    }
    format!(
        "WITH found AS (
             INSERT INTO kser.runs AS r (id, name, topic, digest, created, status, version, stamp, look_at, progress, position,
                 steps, updated, noted, outcomes)
             SELECT s.id, s.name, s.topic, s.digest, {{now}}, s.status, s.version, s.stamp, s.look_at, s.progress, s.position,
                 s.step_count, s.updated, s.version, s.outcomes
             FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int8[], $9::bytea[],
                 {position}, {stays}, {steps}, {updated}, {outcomes})
                 AS s(id, name, topic, digest, status, version, stamp, look_at, progress, position, stays, step_count, updated,
                     outcomes)
             WHERE NOT (s.stays AND EXISTS (SELECT 1 FROM kser.tombstones t WHERE t.id = s.id))
             ON CONFLICT (id) DO UPDATE SET digest = r.digest
             RETURNING r.number, r.id, r.name, r.digest, r.version, r.stamp, r.xmax = 0 AS is_new
         ), here AS MATERIALIZED (
             SELECT number, version, array_position($1::bytea[], id) AS at FROM found WHERE is_new
         ), launched AS (
             INSERT INTO kser.launches (run, message) SELECT number, ($10::bytea[])[at] FROM here
         ), revived AS (
             DELETE FROM kser.tombstones WHERE id IN (SELECT ($1::bytea[])[at] FROM here)
         ){along}
         SELECT id, {{now}}, is_new, name, digest, version, stamp FROM found"
    )
}

/// The columns of an attempt.
const ATTEMPT: [(&str, &str); 9] = [
    ("a_position", "int8"),
    ("a_entrypoint", "bytea"),
    ("a_attempt", "int8"),
    ("a_started", "int8"),
    ("a_ended", "int8"),
    ("a_worker", "bytea"),
    ("a_status", "text"),
    ("a_outcome", "bytea"),
    ("a_intervention", "bytea"),
];

/// The types of the columns of an output: topic, key, headers, payload, time.
const OUTPUT: [&str; 5] = ["text", "bytea", "bytea", "bytea", "int8"];

/// Keeps the outputs of rows that say where theirs begin and how many there are.
fn kept(rows: &str, version: &str, values: &[String]) -> String {
    let values = values.join(", ");
    format!(
        ", kept AS (
             INSERT INTO kser.outputs (run, version, place, due, topic, record_key, headers, payload, not_before)
             SELECT number, {version}, i - output_first, {{now}} + output_due, {values}
             FROM {rows}, generate_series(output_first, output_first + output_count - 1) AS i
         )"
    )
}
