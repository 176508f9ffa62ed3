"""Breaks the rules of sequencing on purpose, one line at a time: the tests must notice each. Run by hand."""
import pathlib
import subprocess

root = pathlib.Path(__file__).resolve().parent.parent
files = [root / 'kser-core/src/sequencing' / name for name in ('apply.rs', 'draft.rs')]
originals = {file: file.read_text() for file in files}
muts=[
("a step is skipped","self.progress.position += 1;","self.progress.position += 2;"),
("a stale attempt is accepted","        if self.progress.attempts != attempt {\n            return Err(Rejected::Fenced);","        if false {\n            return Err(Rejected::Fenced);"),
("a live lease is taken","if lease.until > self.now && !superseded","if lease.until > self.now && superseded"),
("the result is not forwarded","        self.progress.outcome = outcome;\n        self.progress.position","        self.progress.position"),
("a cancelled run begins","            Status::Cancelled | Status::Success => {\n                return Err(Rejected::Finished(self.progress.status));\n            }\n            Status::Pending | Status::Running => {}","            _ => {}"),
("a failure goes on","            None => self.fail(outcome),","            None => self.done(outcome),"),
("a lost publication is not repaired","                self.changed = true;\n                self.publish();","                self.changed = true;"),
("a duplicate publishes for ever","        if position + 1 != self.progress.position {\n            return;\n        }\n",""),
("what is given back counts","        self.progress.uncounted += 1;\n        Ok(())","        Ok(())"),
("a repair under a lease","    fn repair(&mut self) -> Result<(), Rejected> {\n        if self.progress.started {\n            self.must_be_free(None)?;\n        }\n","    fn repair(&mut self) -> Result<(), Rejected> {\n"),
("suspects run beside others","        if unreported + 1 == MAX_UNREPORTED && !alone {","        if false {"),
("killers are never given up","        if unreported >= MAX_UNREPORTED {","        if false {"),
("attempts restart at a repair","        self.progress.uncounted = self.progress.attempts;","        self.progress.attempts = 0;"),
("a second dead letter","        if seen == self.progress.begun_by {","        if true {"),
("sweeps do not back off","PATIENCE * (1 << progress.nudges.min(5))","PATIENCE * 0"),
("ended twice","        if !self.progress.started {\n            // Told","        if false {\n            // Told"),
("versions stand still","        self.progress.version += 1;",""),
("external reports on own steps","            return Err(Rejected::NotExternal);","            self.conclude(step, outcome, None);\n            return Ok(());"),
]
try:
  for name,a,b in muts:
    file = next((file for file in files if a in originals[file]), None)
    if file is None: print("MISSING", name); continue
    file.write_text(originals[file].replace(a, b, 1))
    r=subprocess.run("timeout 120 cargo test -q -p kser-core --test sequencing 2>&1 | tail -3",shell=True,capture_output=True,text=True,cwd=root)
    file.write_text(originals[file])
    out=r.stdout
    print(("caught  " if "FAILED" in out or "failed" in out else "SURVIVED" if 'test result: ok' in out or 'ok.' in out else "??")+" "+name, '' if 'fail' in out.lower() else out[-200:])
finally:
  for file, text in originals.items(): file.write_text(text)
