/// A release of Apache Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Release {
    /// 4.4.0, the default of every cluster.
    #[default]
    V4_4_0,
    /// 4.3.1, for a few tests of a suite.
    V4_3_1,
}

impl Release {
    /// Returns the version in Maven's form.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V4_4_0 => "4.4.0",
            Self::V4_3_1 => "4.3.1",
        }
    }
}
