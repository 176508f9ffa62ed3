use std::fmt;

use kser_core::Error;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The action of a client that failed, with the last error that the client reported about its brokers.
#[derive(Debug)]
pub(crate) struct ClientFailure {
    what: String,
    broker_error: Option<String>,
    source: KafkaError,
}

impl fmt::Display for ClientFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.broker_error {
            Some(broker_error) => write!(f, " ({broker_error})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ClientFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Converts an error of a client. `what` is the action that failed, `broker_error` the last error about its brokers.
pub(crate) fn failed(
    what: impl Into<String>,
    broker_error: Option<String>,
    source: KafkaError,
) -> Error {
    if let KafkaError::ClientConfig(_, reason, key, _) = &source {
        return Error::Invalid {
            what: format!("the Kafka setting {key:?}"),
            reason: reason.clone(),
        };
    }
    // Settings that are checked only when the client is created, such as the path of a file.
    if let KafkaError::ClientCreation(reason) = &source {
        return Error::Invalid {
            what: "the Kafka settings".to_owned(),
            reason: reason.clone(),
        };
    }
    Error::Backend {
        backend: "kafka",
        temporary: code(&source).is_none_or(is_temporary),
        source: Box::new(ClientFailure {
            what: what.into(),
            broker_error,
            source,
        }),
    }
}

/// Says whether a request failed without an answer.
pub(crate) fn is_silence(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut)
    )
}

/// Converts the error of a thread that cannot be started.
pub(crate) fn no_thread(source: std::io::Error) -> Error {
    Error::Backend {
        backend: "kafka",
        temporary: true,
        source: source.into(),
    }
}

/// Converts the error of a record that was not published. `size` is in bytes.
pub(crate) fn not_published(error: KafkaError, topic: &str, size: usize) -> Error {
    match code(&error) {
        Some(code) if is_missing(code) => Error::MissingTopic {
            topic: topic.to_owned(),
        },
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            Error::TooLargeForTopic {
                topic: topic.to_owned(),
                size,
                limit: None,
            }
        }
        // The client may tell the same of all records of the batch.
        Some(RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp) => {
            Error::RefusedByTopic {
                topic: topic.to_owned(),
                source: Box::new(error),
            }
        }
        _ => failed(format!("publishing to {topic}"), None, error),
    }
}

/// Returns the code of an error, if it has one.
pub(crate) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Returns the code of the client's error that is a cause of this one, if there is one.
pub(crate) fn client_code(error: &Error) -> Option<RDKafkaErrorCode> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<KafkaError>() {
            return code(error);
        }
        source = cause.source();
    }
    None
}

/// Returns the client's description of an error, as it appears in the client's log.
pub(crate) fn description(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let described = text
        .split_once(" (")
        .map(|(_, text)| text.trim_end_matches(')'));
    described.unwrap_or(&text).to_owned()
}

/// Says whether the topic, or the partition, does not exist.
pub(crate) const fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// Says whether a retry may succeed. Rights and settings do not change by themselves.
const fn is_temporary(code: RDKafkaErrorCode) -> bool {
    !matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::InvalidArgument
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::UnsupportedAssignor
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::PolicyViolation
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_that_of_the_log() {
        let found = description(RDKafkaErrorCode::OffsetMetadataTooLarge);
        assert_eq!(found, "Broker: Offset metadata string too large");
    }

    #[test]
    fn what_stays_so_is_no_passing_failure() {
        for source in [
            KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed),
            KafkaError::AdminOp(RDKafkaErrorCode::PolicyViolation),
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId),
            KafkaError::MessageConsumption(RDKafkaErrorCode::InvalidSessionTimeout),
            // Members that ask for eager and for cooperative assignments never share a group.
            KafkaError::MessageConsumption(RDKafkaErrorCode::InconsistentGroupProtocol),
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::UnsupportedAssignor),
        ] {
            let error = failed("trying", None, source.clone());
            assert!(!error.is_temporary(), "{source}");
        }
        for source in [
            KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut),
            KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure),
            KafkaError::Canceled,
        ] {
            let error = failed("trying", None, source.clone());
            assert!(error.is_temporary(), "{source}");
        }
    }
}
