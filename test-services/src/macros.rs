/// Declares tests that need a Kafka, any one: [`kafka`](crate::kafka) gives its address.
///
/// Where there is none (no Java or Maven, and `KSER_TEST_KAFKA` not set) they count as ignored. In parentheses, rustfmt
/// formats them:
///
/// ```
/// test_services::kafka_tests!(
///     #[test]
///     fn a_topic_can_be_made() {
///         let address = test_services::kafka();
///         // ...
///     }
///
///     #[test]
///     fn a_topic_can_be_deleted() {}
/// );
/// ```
#[expect(clippy::test_attr_in_doctest, reason = "the example is one of tests")]
#[cfg(kafka)]
#[macro_export]
macro_rules! kafka_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need a Kafka: here there is none, so they are ignored.
#[cfg(not(kafka))]
#[macro_export]
macro_rules! kafka_tests {
    ($($test:item)*) => { $(#[ignore = "needs Kafka, hence Java and Maven"] $test)* };
}

/// Declares tests that need brokers of their own, a [`Cluster`](crate::Cluster), as
/// [`kafka_tests!`](crate::kafka_tests) does.
///
/// Where none can be started (no Java or Maven) they count as ignored: a running Kafka does not help them.
#[cfg(cluster)]
#[macro_export]
macro_rules! cluster_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need brokers of their own: none can be started here, so they are ignored.
#[cfg(not(cluster))]
#[macro_export]
macro_rules! cluster_tests {
    ($($test:item)*) => { $(#[ignore = "starts Kafka, hence needs Java and Maven"] $test)* };
}
