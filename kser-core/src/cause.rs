/// The cause of an error, of any type.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Returns the text of an error followed by those of its causes, as `error: cause: cause`.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
