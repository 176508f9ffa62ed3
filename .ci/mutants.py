"""Breaks the rules of sequencing and of envelopes on purpose, one change at a time: the tests must notice each. Run by hand.

Says of each change whether it was caught, or whether the tests hung, and fails unless all were noticed. Stop it with ^C: the
sources are put back.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / 'kser-core/src/sequencing'
TEST = ['cargo', 'test', '-q', '-p', 'kser-core', '--test', 'sequencing']

# (what goes wrong, in which file, what is there, what is put in its place)
MUTANTS = [
    ('a step is skipped', 'apply/draft.rs', 'self.progress.position += 1;', 'self.progress.position += 2;'),
    ('a stale failure is accepted', 'apply/draft.rs', 'if self.progress.attempts != attempt {', 'if false {'),
    ('a stale success is accepted', 'apply/draft.rs', 'if self.progress.started && self.progress.attempts == attempt {', 'if self.progress.started {'),
    ('what was given back succeeds', 'apply/draft.rs', 'if self.progress.started && self.progress.attempts == attempt {', 'if self.progress.attempts == attempt {'),
    ('a live lease is taken', 'apply/draft.rs', 'if lease.until > self.now && !superseded', 'if false'),
    ('a lease never ends', 'apply/draft.rs', 'if lease.until > self.now && !superseded', 'if !superseded'),
    ('a later life waits for its own lease', 'apply/draft.rs', '&& !superseded', ''),
    ('the result is not forwarded', 'apply/draft.rs', 'self.progress.outcome = outcome;', 'let _ = outcome;'),
    ('the forwarded result is not merged', 'apply/draft.rs', 'let accepted = outcome.accepted(&self.progress.outcome, &step.uuid);', 'let accepted = outcome.clone().with_uuid(step.uuid.clone());'),
    ('a cancelled run begins', 'apply.rs', 'Status::Cancelled | Status::Success => {\n                return Err(Rejected::Finished(self.progress.status));\n            }\n            Status::Pending', 'Status::Cancelled | Status::Success | Status::Pending'),
    ('a failure goes on', 'apply/draft.rs', 'None => self.fail(outcome),', 'None => self.done(outcome),'),
    ('a failure is always tried again', 'apply/draft.rs', 'None => self.fail(outcome),', 'None => self.send(),'),
    ('a retry does not wait', 'apply/draft.rs', 'self.progress.not_before = Some(at).filter(|at| *at > self.now);', 'let _ = at;'),
    ('a wait is not respected', 'apply.rs', '.filter(|until| *until > self.now) {', '.filter(|_| false) {'),
    ('a failure after a cancel ends as FAILED', 'apply/draft.rs', 'if self.progress.status == Status::Cancelled {', 'if false {'),
    ('a cancelled run goes on', 'apply/draft.rs', 'if self.progress.status != Status::Cancelled {', 'if true {'),
    ('a cancel lets go of the attempt', 'apply.rs', '        self.progress.not_before = None;\n        self.set_status(Status::Cancelled);', '        self.clear_attempt();\n        self.set_status(Status::Cancelled);'),
    ('a cancelled wait for a person holds repairs', 'apply.rs', 'if self.external().is_some() {', 'if false {'),
    ('a lost publication is not repaired by a sweep', 'apply.rs', 'self.changed = true;\n                self.send();', 'self.changed = true;'),
    ('a lost publication is not repaired by redelivery', 'apply/draft.rs', 'external => self.publish_again(),', 'external => {}'),
    ('a lost end is not told again', 'apply/draft.rs', 'Status::Success => self.repeat_end(),\n            _ => {}', '_ => {}'),
    ('a lost retry is not published again', 'apply/draft.rs', 'Status::Pending | Status::Running => self.publish(),', 'Status::Pending | Status::Running => {}'),
    ('a duplicate publishes for ever', 'apply/draft.rs', 'if position + 1 == self.progress.position && seen', 'if seen'),
    ('a copy asks for the effects of its original', 'apply/draft.rs', '&& seen == self.progress.started_by_version {', '{'),
    ('a copy has the version of its original', 'apply/draft.rs', 'self.changed = true;\n        self.publish();', 'self.publish();'),
    ('a report that comes again is not known', 'apply.rs', 'self.progress.started_by_version = seen;\n        match outcome', 'match outcome'),
    ('what runs is published by a duplicate', 'apply/draft.rs', 'Status::Running if !self.progress.started || external', 'Status::Running if true || external'),
    ('what is given back counts', 'apply.rs', 'self.progress.uncounted = self.progress.uncounted.saturating_add(1);', ''),
    ('what was lost counts', 'apply/draft.rs', 'self.progress.uncounted = self.progress.uncounted.saturating_add(1);', ''),
    ('a lost attempt is no suspect', 'apply/draft.rs', 'self.progress.crash_count = self.progress.crash_count.saturating_add(1);', ''),
    ('suspects run beside others', 'apply.rs', 'if crash_count == MAX_CRASHES - 1 && !alone {', 'if false {'),
    ('suspects never run', 'apply.rs', 'if crash_count == MAX_CRASHES - 1 && !alone {', 'if crash_count == MAX_CRASHES - 1 {'),
    ('killers are never given up', 'apply.rs', 'if crash_count >= MAX_CRASHES {', 'if false {'),
    ('killers are given up too early', 'apply.rs', 'if crash_count >= MAX_CRASHES {', 'if crash_count >= MAX_CRASHES - 1 {'),
    ('a repair under a lease', 'apply/draft.rs', '        if self.progress.started {\n            self.must_be_free(None)?;\n        }\n        self.clear_attempt();', '        self.clear_attempt();'),
    ('attempts restart at a repair', 'apply/draft.rs', 'self.progress.uncounted = self.progress.attempts;', 'self.progress.attempts = 0;\n        self.progress.uncounted = 0;'),
    ('a repair grants no new attempts', 'apply/draft.rs', 'self.progress.uncounted = self.progress.attempts;', ''),
    ('a repair leaves a suspect', 'apply/draft.rs', 'self.progress.crash_count = 0;\n        self.progress.first_failed', 'self.progress.first_failed'),
    ('a repair keeps the failure', 'apply/draft.rs', 'self.progress.failure = None;', ''),
    ('counts are handed on to the next step', 'apply/draft.rs', 'self.clear_counts();', ''),
    ('a skip does not revive', 'apply.rs', 'self.set_status(Status::Running);\n', ''),
    ('a skip forwards a failure', 'apply.rs', 'if !outcome.is_success() {\n            return Err(Rejected::NotASuccess);\n        }\n', ''),
    ('a done step is retried', 'apply.rs', '    fn retried(&mut self, step: &StepKey) -> Result<(), Rejected> {\n        if self.locate(step)? == StepPosition::Completed {\n            return Err(Rejected::AlreadyDone);\n        }\n', '    fn retried(&mut self, step: &StepKey) -> Result<(), Rejected> {\n        self.locate(step)?;\n'),
    ('a success is resumed', 'apply.rs', 'Status::Success => return Err(Rejected::Finished(Status::Success)),\n', 'Status::Success => {}\n'),
    ('a shifted plan is run', 'apply/draft.rs', 'Some(current) if current.key != *step => Err(Rejected::UnknownStep),\n', ''),
    ('a step ahead begins', 'apply/draft.rs', 'return Err(Rejected::Ahead { position });', 'return Ok(StepPosition::Current);'),
    ('a second dead letter', 'apply/draft.rs', 'if seen == self.progress.started_by_version {', 'if true {'),
    ('a lost dead letter stays lost', 'apply/draft.rs', 'if seen == self.progress.started_by_version {', 'if false {'),
    ('the dead letter is forgotten', 'apply/draft.rs', 'self.progress.failure = Some(outcome);\n        self.effects.push(Effect::DeadLetter);', 'self.progress.failure = Some(outcome);'),
    ('sweeps do not back off', 'apply/draft.rs', '1 << progress.sweeps_since_change.min(5)', '1'),
    ('sweeps back off for ever', 'apply/draft.rs', 'progress.sweeps_since_change.min(5)', 'progress.sweeps_since_change.min(20)'),
    ('sweeps are patient with what moves', 'apply/draft.rs', 'if !swept {', 'if false {'),
    ('two sweepers both win', 'apply.rs', 'if !due || self.progress', 'if self.progress'),
    ('a lease is swept before it ends', 'apply/draft.rs', '(Some(lease), 0) => Some(lease.until),', '(Some(_), 0) => Some(self.now + REPUBLISH_AFTER / 4),'),
    ('a wait is swept before it ends', 'apply/draft.rs', 'progress.not_before.unwrap_or(self.now).max(self.now)', 'self.now'),
    ('versions stand still', 'apply/draft.rs', 'self.progress.version = self.progress.version.saturating_add(1);', ''),
    ('statuses are not told', 'apply/draft.rs', 'self.effects.push(Effect::StatusChanged { from, to });\n        }\n    }', '}\n    }'),
    ('reports end steps of our own', 'apply.rs', 'return Err(Rejected::NotExternal);', 'self.succeeded(step, &outcome);\n            return Ok(());'),
    ('an external step is not begun when it is sent', 'apply/draft.rs', 'if let Some(external) = self.external() {', 'if let Some(external) = self.external().filter(|_| false) {'),
    ('silence is a crash', 'apply.rs', 'match external.filter(|_| self.progress.started) {', 'match external.filter(|_| false) {'),
    ('silence is a dead letter', 'apply.rs', 'self.effects.retain(|effect| *effect != Effect::DeadLetter);', ''),
    ('an external step is sent without end', 'apply.rs', 'let again = self.progress.counted_attempts() < external.attempts;\n                self.failed(silent', 'let again = true;\n                self.failed(silent'),
    ('an external step is sent once', 'apply.rs', 'let again = self.progress.counted_attempts() < external.attempts;\n                self.failed(outcome', 'let again = false;\n                self.failed(outcome'),
    ('an empty operation is a success', 'apply.rs', 'if steps == 0 {', 'if false {'),
    ('a build is done by a step', 'apply.rs', '        if step.position == 0 {\n            return Err(Rejected::NotBuilt);\n        }\n        self.succeeded', '        self.succeeded'),
    ('a renewal is not written', 'apply.rs', 'lease.until = until;', 'let _ = (lease, until);'),
    ('a second launch publishes what runs', 'apply.rs', '(0, Status::Pending) if !self.progress.started', '(0, Status::Pending)'),
    ('a second launch publishes nothing', 'apply.rs', '(0, Status::Pending) if !self.progress.started => self.publish_again(),', ''),
    ('a second launch does not publish the first step', 'apply.rs', '(1, Status::Running) => self.repeat_effects(),', ''),
    ('a lease is given up', 'apply.rs', '                if self.progress.started {\n                    self.must_be_free(None)?;\n                }\n                self.progress.started_by_version', '                self.progress.started_by_version'),
    ('carried: the second step is lost', 'carried.rs', "let rest = scanner.take(b',').then(|| {", "let rest = scanner.take(b',').then_some(()).filter(|()| false).map(|()| {"),
    ('carried: a given uuid is lost', 'carried.rs', 'if key.uuid != run.step(key.position) {', 'if false {'),
    ('carried: a key is lost', 'carried.rs', '"key" => record_key = Some(id(value, place, "key")?.into_owned()),', ''),
    ('carried: a limit is lost', 'carried.rs', '"limit_ms" => limit = Some(number::<u64>(value, place, "limit_ms")?),', ''),
    ('carried: attempts are lost', 'carried.rs', 'if external.attempts != 1 {', 'if false {'),
    ('carried: one more attempt', 'carried.rs', 'if external.attempts != 1 {', 'if external.attempts > 2 {'),
    ('plan: equal ids are no error', 'plan.rs', 'return Err(Error::InvalidStep {\n                position,\n                reason: format!("another', 'let _ = (Error::InvalidStep {\n                position,\n                reason: format!("another'),
]

ENVELOPES = ROOT / 'kser-encryption/src'
TEST_ENVELOPES = ['cargo', 'test', '-q', '-p', 'kser-encryption', '--lib', '--test', 'envelopes']
MUTANTS_OF_ENVELOPES = [
    ('envelope: another topic', 'sealed.rs', 'if self.topic != found.as_str() {', 'if false {'),
    ('envelope: another key', 'sealed.rs', 'ring.find(self.key)', 'ring.keys().first()'),
    ('envelope: one nonce', 'sealed.rs', 'rand::fill(&mut nonce);', ''),
    ('envelope: one nonce in version 1', 'secretbox.rs', 'rand::fill(&mut nonce);', ''),
    ('envelope: no tag in version 1', 'secretbox.rs', 'if mac.finalize() == tag {', 'if { let _ = mac.finalize() == tag; true } {'),
    ('envelope: any size', 'sealed.rs', 'if size > LARGEST_EXPANDED {', 'if false {'),
    ('envelope: unknown fields', 'sealed.rs', '!known.contains(&name)', 'false'),
    ('envelope: a cut one is plain', 'envelope.rs', 'if BEGINNINGS.iter()', 'if false && BEGINNINGS.iter()'),
    ('envelope: plain messages are read', 'envelope.rs', 'Reading::Require => Err(OpenError::Plain),', 'Reading::Require => Ok(Opened { plain: payload.clone(), key: None }),'),
    ('envelope: a newer version is no hope', 'error.rs', 'Self::MissingKey { .. } | Self::NoKeyOpens | Self::NewerVersion { .. }', 'Self::MissingKey { .. } | Self::NoKeyOpens'),
    ('envelope: a key from half of the nonce alone', 'xaes.rs', 'half[4..].copy_from_slice(first);', 'half[4..].copy_from_slice(last);'),
    ('envelope: compressed though longer', 'sealed.rs', '(data_len(text.len()) + ZIP.len() < data_len(plain.len())).then_some(text)', 'Some(text)'),
]


def main(wanted):
    bad = try_all(wanted, SOURCES, TEST, MUTANTS)
    return bad + try_all(wanted, ENVELOPES, TEST_ENVELOPES, MUTANTS_OF_ENVELOPES)


def try_all(wanted, sources, test, mutants):
    files = {name: (sources / name).read_text() for name in {mutant[1] for mutant in mutants}}
    bad = 0
    try:
        for what, name, old, new in mutants:
            if wanted and wanted not in what:
                continue
            text = files[name]
            if old not in text:
                verdict = 'MISSING'
            else:
                (sources / name).write_text(text.replace(old, new, 1))
                verdict = judge(test)
                (sources / name).write_text(text)
            bad += verdict not in ('caught', 'hangs')
            print(f'{verdict:9} {what}', flush=True)
    finally:
        for name, text in files.items():
            (sources / name).write_text(text)
    return bad


def judge(test):
    # What a mutant fails with is nothing to remember.
    env = dict(os.environ, PROPTEST_DISABLE_FAILURE_PERSISTENCE='true', RUST_BACKTRACE='0')
    try:
        ran = subprocess.run(test, capture_output=True, text=True, cwd=ROOT, env=env, timeout=900)
    except subprocess.TimeoutExpired:
        return 'hangs'
    if 'could not compile' in ran.stderr:
        return 'NO BUILD'
    return 'caught' if ran.returncode else 'SURVIVED'


if __name__ == '__main__':
    sys.exit(main(' '.join(sys.argv[1:])) != 0)
