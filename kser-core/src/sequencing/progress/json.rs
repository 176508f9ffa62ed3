use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Progress;
use crate::{Fields, Raw};

/// The fields that this version of kser knows.
const NAMES: [&str; 21] = [
    "status",
    "position",
    "steps",
    "started",
    "attempts",
    "uncounted",
    "unreported",
    "begun_by",
    "lease",
    "not_before",
    "outcome",
    "failure",
    "version",
    "stamp",
    "life",
    "check_at",
    "nudges",
    "updated",
    "step_events",
    "status_hook",
    "first_failed",
];

/// The fields that a later version has added are written as they came: a member of this version is not to erase them.
impl Serialize for Progress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.others.is_empty() {
            return Self::serialize(self, serializer);
        }
        let mut known = Vec::new();
        Self::serialize(self, &mut serde_json::Serializer::new(&mut known))
            .map_err(serde::ser::Error::custom)?;
        let known = String::from_utf8(known).map_err(serde::ser::Error::custom)?;
        let mut fields = Fields::of_scanned(&known);
        fields.extend(self.others.clone());
        Raw::of_scanned(&fields.to_json()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Progress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        let read = Self::deserialize(&mut serde_json::Deserializer::from_str(raw.as_str()));
        let mut progress = read.map_err(serde::de::Error::custom)?;
        for (name, value) in Fields::of_scanned(raw.as_str()).iter() {
            if !NAMES.contains(&name) {
                progress.others.set(name, value.clone());
            }
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencing::{Event, StepWindow, apply};
    use crate::{Status, Timestamp};

    fn launched() -> Progress {
        Progress::launched(Timestamp::from_millis(7)).with_stamp(9)
    }

    #[test]
    fn every_field_is_known() {
        let written = serde_json::to_string(&launched()).unwrap();
        let names = Fields::of_scanned(&written);
        let names: Vec<_> = names.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, NAMES);
        assert_eq!(
            serde_json::from_str::<Progress>(&written).unwrap(),
            launched()
        );
    }

    #[test]
    fn what_a_later_version_added_stays_through_a_change() {
        let written = serde_json::to_string(&launched()).unwrap();
        let later = r#""owner":{"name":"zo\u00eb"},"n":123456789012345678901234567890"#;
        let written = format!("{},{later}}}", written.strip_suffix('}').unwrap());
        let progress: Progress = serde_json::from_str(&written).unwrap();
        let window = StepWindow::default();
        let after = apply(
            &progress,
            window,
            Event::Cancelled,
            Timestamp::from_millis(8),
        )
        .unwrap();
        assert_eq!(after.progress.status(), Status::Cancelled);
        let again = serde_json::to_string(&after.progress).unwrap();
        assert!(again.contains(later), "{again}");
        assert_eq!(
            serde_json::from_str::<Progress>(&again).unwrap(),
            after.progress
        );
    }

    #[test]
    fn a_row_of_an_earlier_version_is_read() {
        let written = serde_json::to_string(&Progress::launched(Timestamp::from_millis(7)));
        let written = written.unwrap();
        let earlier = written
            .replace(",\"stamp\":0", "")
            .replace(",\"first_failed\":null", "");
        assert!(earlier.len() < written.len() - 20);
        let read: Progress = serde_json::from_str(&earlier).unwrap();
        assert_eq!(read, Progress::launched(Timestamp::from_millis(7)));
    }
}
