use crate::cause::Source;

/// An error of [`Raw`](crate::Raw) and [`Object`](crate::Object). `?` turns it into the variant of
/// [`Error`](crate::Error) that has the same name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A value has no JSON form, or not that of an object. Change the value.
    #[error("cannot write the value as JSON")]
    Encode {
        /// The error of the encoder, which names the field.
        source: Source,
    },
    /// Text is not JSON, or not a value of the type that was asked for.
    #[error("cannot read the JSON value")]
    Decode {
        /// The reason, with the place in the text.
        source: Source,
    },
}

impl JsonError {
    pub(crate) fn encode(source: impl Into<Source>) -> Self {
        Self::Encode {
            source: source.into(),
        }
    }

    pub(crate) fn decode(source: impl Into<Source>) -> Self {
        Self::Decode {
            source: source.into(),
        }
    }
}
