/// Declares tests that need a Kafka, any one: [`kafka`](crate::kafka) gives its address.
///
/// Where there is none (no Java or Maven, and `KSER_TEST_KAFKA` not set) they count as ignored. In parentheses, rustfmt
/// formats them. Nothing but tests belongs inside, or one call of a macro that declares tests and takes attributes for
/// them as its last arguments: `kafka_tests!(kser_testkit::transport_suite!(real, harness()));`.
#[cfg(kafka)]
#[macro_export]
macro_rules! kafka_tests {
    ($($tests:tt)*) => { $crate::__tests!(false "" $($tests)*); };
}

/// Declares tests that need a Kafka: here there is none, so they are ignored.
#[cfg(not(kafka))]
#[macro_export]
macro_rules! kafka_tests {
    ($($tests:tt)*) => { $crate::__tests!(true "needs Kafka, hence Java and Maven" $($tests)*); };
}

/// Declares tests that need brokers of their own, a [`Cluster`](crate::Cluster), as
/// [`kafka_tests!`](crate::kafka_tests) does.
///
/// Where none can be started (no Java or Maven) they count as ignored: a running Kafka does not help them.
#[cfg(cluster)]
#[macro_export]
macro_rules! cluster_tests {
    ($($tests:tt)*) => { $crate::__tests!(false "" $($tests)*); };
}

/// Declares tests that need brokers of their own: none can be started here, so they are ignored.
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

/// Declares tests that need a Kafka and the Python package kser, for which [`python`](crate::python) gives an interpreter, as
/// [`kafka_tests!`](crate::kafka_tests) does.
///
/// Where one of the two is missing they count as ignored.
#[cfg(all(kafka, python))]
#[macro_export]
macro_rules! python_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need a Kafka and the Python package kser: one of the two is missing here, so they are ignored.
#[cfg(not(all(kafka, python)))]
#[macro_export]
macro_rules! python_tests {
    ($($test:item)*) => { $(#[ignore = "needs Python 3, and Kafka, hence Java and Maven"] $test)* };
}

/// Declares tests that need a Kafka, and a Java compiler, for which [`java`](crate::java()) gives programs, as
/// [`kafka_tests!`](crate::kafka_tests) does.
///
/// Where one of the two is missing they count as ignored.
#[cfg(all(cluster, javac))]
#[macro_export]
macro_rules! java_tests {
    ($($test:item)*) => { $($test)* };
}

/// Declares tests that need a Kafka and a Java compiler: one of the two is missing here, so they are ignored.
#[cfg(not(all(cluster, javac)))]
#[macro_export]
macro_rules! java_tests {
    ($($test:item)*) => { $(#[ignore = "needs a Java compiler, and Kafka, hence Maven"] $test)* };
}
