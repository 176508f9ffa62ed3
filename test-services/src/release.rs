/// A release of Apache Kafka that brokers are started of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Release {
    /// 4.4.0, the default of every cluster.
    #[default]
    V4_4_0,
    /// 4.3.1, for the tests that a suite lists by name.
    V4_3_1,
}

impl Release {
    /// Returns the version as Maven names it.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V4_4_0 => "4.4.0",
            Self::V4_3_1 => "4.3.1",
        }
    }
}
