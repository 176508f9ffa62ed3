//! The programs that a newcomer reads first are short.

/// Counts the lines before the tests.
fn lines_of_program(text: &str) -> usize {
    let program = text.split("#[cfg(test)]").next();
    program.map_or(0, |program| program.trim_end().lines().count())
}

#[test]
fn the_game_has_at_most_40_lines() {
    let lines = lines_of_program(include_str!("../dice.rs"));
    assert!(lines <= 40, "{lines} lines");
}

#[test]
fn the_first_program_of_the_readme_has_at_most_35_lines() {
    let readme = include_str!("../../kser/README.md");
    let program = readme.split("```rust\n").nth(1);
    let program = program.and_then(|rest| rest.split("```").next());
    let lines = lines_of_program(program.unwrap_or_default());
    assert!((1..=35).contains(&lines), "{lines} lines");
}
