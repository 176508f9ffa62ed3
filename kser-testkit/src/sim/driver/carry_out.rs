use tokio::time::Instant;

use super::super::state::{Action, FollowUp, Verdict};
use super::Driver;

/// At most so many consumers take part.
const MOST_CONSUMERS: usize = 6;

impl Driver {
    /// Carries out the chosen action, with the fault of its site, if there is one.
    pub(super) fn carry_out(&mut self, action: Action) {
        if !matches!(action, Action::Let { .. } | Action::Give { .. }) {
            self.place.shared.with(|state| state.sites.part());
        }
        let (number, life, spot) = match action {
            Action::Start(number) => return self.start(number),
            Action::Ask(number) => return self.ask(number),
            Action::Look { parked, life } => {
                self.last = life;
                let shared = &self.place.shared;
                return shared.with(|state| state.decide(parked, Verdict::Look));
            }
            Action::Let { parked, life } => (parked, life, None),
            Action::Give { parked, life, spot } => (parked, life, Some(spot)),
        };
        self.last = life;
        let then = self
            .place
            .shared
            .change(|state, now| state.let_through(number, life, spot, now));
        match then {
            FollowUp::Nothing => {}
            FollowUp::Crash => self.crash(life),
            FollowUp::CrashAll => self.crash_all(),
            FollowUp::Stop => self.stop(life),
            FollowUp::Join => self.join(),
        }
    }

    fn crash_all(&mut self) {
        let lives: Vec<usize> = self
            .processes
            .iter()
            .map(|process| process.port.life)
            .collect();
        for life in lives {
            if !self
                .place
                .shared
                .with(|state| state.lives[life].consumer.is_none())
            {
                self.crash(life);
            }
        }
    }

    fn stop(&self, life: usize) {
        let process = self
            .processes
            .iter()
            .find(|process| process.port.life == life);
        if let Some(process) = process {
            process.request_stop();
        }
    }

    fn join(&mut self) {
        if let Some(spec) = self
            .consumers
            .first()
            .filter(|_| self.consumers.len() < MOST_CONSUMERS)
        {
            self.consumers.push(spec.clone());
            self.lives.push((0, Some(Instant::now())));
        }
    }
}
