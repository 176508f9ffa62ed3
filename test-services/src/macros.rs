/// Declares tests that need a shared Kafka, whose address [`kafka`](crate::kafka) returns.
///
/// Without Kafka (no Java or Maven, and `KSER_TEST_KAFKA` not set) the tests count as ignored. With parentheses, rustfmt
/// formats them. The macro takes tests only, or one call of a macro that declares tests and takes attributes for them as its
/// last arguments: `kafka_tests!(kser_testkit::transport_suite!(real, harness()));`.
#[cfg(kafka)]
#[macro_export]
macro_rules! kafka_tests {
    ($($tests:tt)*) => { $crate::__tests!(false "" $($tests)*); };
}

/// Declares tests that need a Kafka. They are ignored, since there is none here.
#[cfg(not(kafka))]
#[macro_export]
macro_rules! kafka_tests {
    ($($tests:tt)*) => { $crate::__tests!(true "needs Kafka, hence Java and Maven" $($tests)*); };
}

/// Declares tests that need brokers of their own, a [`Cluster`](crate::Cluster), as
/// [`kafka_tests!`](crate::kafka_tests) does.
///
/// If no broker can be started (no Java or Maven) they count as ignored, even with a running Kafka.
#[cfg(cluster)]
#[macro_export]
macro_rules! cluster_tests {
    ($($tests:tt)*) => { $crate::__tests!(false "" $($tests)*); };
}

/// Declares tests that need brokers of their own. They are ignored, since no broker can be started here.
#[cfg(not(cluster))]
#[macro_export]
macro_rules! cluster_tests {
    ($($tests:tt)*) => { $crate::__tests!(true "starts Kafka, hence needs Java and Maven" $($tests)*); };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($ignored:literal $why:literal $($suite:ident)::+!($($argument:tt)*)) => {
        $($suite)::+!($($argument)*, #[cfg_attr($ignored, ignore = $why)]);
    };
    ($ignored:literal $why:literal $($test:item)*) => {
        $(#[cfg_attr($ignored, ignore = $why)] $test)*
    };
}

/// Declares tests that need a Kafka and the Python package kser, as [`kafka_tests!`](crate::kafka_tests) does.
/// [`python`](crate::python) returns the interpreter.
///
/// If one of the two is missing they count as ignored.
#[cfg(all(kafka, python))]
#[macro_export]
macro_rules! python_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need a Kafka and the Python package kser. They are ignored, since one of the two is missing here.
#[cfg(not(all(kafka, python)))]
#[macro_export]
macro_rules! python_tests {
    ($($test:item)*) => { $(#[ignore = "needs Python 3, and Kafka, hence Java and Maven"] $test)* };
}

/// Declares tests that need [`Postgres`](crate::Postgres), as [`kafka_tests!`](crate::kafka_tests) does.
///
/// If it is not installed they count as ignored.
#[cfg(postgres)]
#[macro_export]
macro_rules! postgres_tests {
    ($($tests:tt)*) => { $crate::__tests!(false "" $($tests)*); };
}

/// Declares tests that need PostgreSQL. They are ignored, since it is not installed here.
#[cfg(not(postgres))]
#[macro_export]
macro_rules! postgres_tests {
    ($($tests:tt)*) => { $crate::__tests!(true "needs PostgreSQL" $($tests)*); };
}
