use std::fmt;

/// The longest text of an event; the rest is cut, and counted.
const LONGEST: usize = 600;

/// A text that is shown in a page, with everything escaped that HTML gives a meaning, or that changes how other text is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<'t> {
    text: &'t str,
    most: usize,
    /// Lines may be broken behind the signs of paths: slashes, colons and low lines.
    breaks: bool,
}

impl<'t> Escaped<'t> {
    /// Shows all of a text.
    pub(super) const fn all(text: &'t str) -> Self {
        Self {
            text,
            most: usize::MAX,
            breaks: false,
        }
    }

    /// Shows the beginning of a text, and says how much of it is left out.
    pub(super) const fn short(text: &'t str) -> Self {
        Self {
            text,
            most: LONGEST,
            breaks: false,
        }
    }

    /// Shows the beginning of a text as [`short`](Self::short) does, in a place where an element may stand: lines may be broken
    /// behind the signs of paths.
    pub(super) const fn path(text: &'t str) -> Self {
        Self {
            text,
            most: LONGEST,
            breaks: true,
        }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.text.chars();
        for char in chars.by_ref().take(self.most) {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' => f.write_str("\n")?,
                '/' | '_' | ':' if self.breaks => write!(f, "{char}<wbr>")?,
                char if is_hidden(char) => write!(f, "{}", char.escape_unicode())?,
                char => write!(f, "{char}")?,
            }
        }
        match chars.count() {
            0 => Ok(()),
            left => write!(f, " … ({left} characters more)"),
        }
    }
}

/// Says whether a character is not seen itself: control characters, and those that turn the direction of the text around them.
fn is_hidden(char: char) -> bool {
    let turns = matches!(char, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    char.is_control() || turns || char == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, shown) in [
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;"),
            ("a\u{1b}]0;b\u{7}", "a\\u{1b}]0;b\\u{7}"),
            ("\u{202e}exe.txt", "\\u{202e}exe.txt"),
            ("one\ntwo", "one\ntwo"),
        ] {
            assert_eq!(Escaped::all(text).to_string(), shown);
        }
        assert_eq!(Escaped::path("a/<b>").to_string(), "a/<wbr>&lt;b&gt;");
        let long = "<".repeat(LONGEST + 3);
        let shown = Escaped::short(&long).to_string();
        assert_eq!(shown, "&lt;".repeat(LONGEST) + " … (3 characters more)");
    }
}
