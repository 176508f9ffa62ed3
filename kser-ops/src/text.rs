/// Escapes the control characters of a text, and those that turn its direction, so that it is harmless in a terminal and stays one
/// line. It is cut after `longest` characters, with a mark.
///
/// ```
/// assert_eq!(kser_ops::clean("a\u{1b}[2Jb", 100), "a\\u{1b}[2Jb");
/// ```
#[must_use]
pub fn clean(text: &str, longest: usize) -> String {
    kser_core::log::clean(text, longest).into_owned()
}
