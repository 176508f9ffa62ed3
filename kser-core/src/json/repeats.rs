use super::scan::plain;
use super::text::Text;

/// Returns JSON text without the members that a later member of the same object and the same name replaces, at any depth.
/// `None` when there are none.
///
/// Most types of serde refuse two equal names; in Python the last counts. The caller has scanned the text, so that it is one
/// valid value. The function reads it once and without recursion.
pub(super) fn without_repeats(json: &str) -> Option<String> {
    let mut replaced = replaced(json);
    replaced.sort_unstable();
    let mut out = String::with_capacity(json.len());
    let mut from = 0;
    for (start, end) in replaced {
        // A replaced member may have replaced members in it.
        if start >= from {
            out.push_str(&json[from..start]);
            from = end;
        }
    }
    (from > 0).then(|| out + &json[from..])
}

/// A list or an object that is open.
enum Open {
    List,
    Object(Names),
}

/// The names of an object so far, each with the byte at which its member begins.
#[derive(Default)]
struct Names {
    members: Vec<(Text, usize)>,
    /// A colon has come since the latest comma: a string is a value.
    has_name: bool,
}

impl Names {
    /// Notes from where to where the replaced members go: up to where the next member begins.
    fn replaced(self, replaced: &mut Vec<(usize, usize)>) {
        let begins: Vec<usize> = self.members.iter().map(|(_, at)| *at).collect();
        let mut members: Vec<(Text, usize)> = self
            .members
            .into_iter()
            .enumerate()
            .map(|(place, (name, _))| (name, place))
            .collect();
        members.sort_unstable();
        for pair in members.windows(2) {
            if let [(earlier, place), (later, _)] = pair
                && earlier == later
            {
                replaced.push((begins[*place], begins[place + 1]));
            }
        }
    }
}

fn replaced(json: &str) -> Vec<(usize, usize)> {
    let (mut open, mut replaced): (Vec<Open>, _) = (Vec::new(), Vec::new());
    let (bytes, mut at) = (json.as_bytes(), 0);
    while let Some(byte) = bytes.get(at) {
        let mut next = at + 1;
        match byte {
            b'"' => {
                next = behind_string(bytes, at);
                if let Some(Open::Object(names)) = open.last_mut()
                    && !names.has_name
                {
                    names.has_name = true;
                    names.members.push((Text::of_token(&json[at..next]), at));
                }
            }
            b'{' => open.push(Open::Object(Names::default())),
            b'[' => open.push(Open::List),
            b',' => {
                if let Some(Open::Object(names)) = open.last_mut() {
                    names.has_name = false;
                }
            }
            b'}' | b']' => {
                if let Some(Open::Object(names)) = open.pop() {
                    names.replaced(&mut replaced);
                }
            }
            _ => {}
        }
        at = next;
    }
    replaced
}

/// Returns the place behind the string that begins at `at`.
fn behind_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at += plain(&bytes[at..]);
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            _ => return at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_of_equal_names_is_left() {
        let check = |json: &str, expected: Option<&str>| {
            assert_eq!(without_repeats(json).as_deref(), expected, "{json}");
        };
        check(r#"{"a":1,"b":{"a":2},"c":[{"a":3},"a","a"]}"#, None);
        check(
            r#"{"a":null, "b":2 , "a":"x"}"#,
            Some(r#"{"b":2 , "a":"x"}"#),
        );
        check(r#"{"a":1,"a":2,"a":3}"#, Some(r#"{"a":3}"#));
        check(r#"{"a":{"b":1,"b":2},"\u0061":3}"#, Some(r#"{"\u0061":3}"#));
        check(
            r#"[{"x":[{"b":"}","b":"\"]"}]}]"#,
            Some(r#"[{"x":[{"b":"\"]"}]}]"#),
        );
    }
}
