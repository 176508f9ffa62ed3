use kser_core::IdSource;
use uuid::Uuid;

/// Random UUIDs (version 4, as the Python library makes them).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing")]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn next_id(&self) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "these are the ids of programs that are not simulated"
        )]
        Uuid::new_v4().to_string()
    }
}
