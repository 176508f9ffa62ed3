use super::world::World;

/// The commands of the README, with their output.
fn examples() -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut is_console = false;
    for line in include_str!("../../README.md").lines() {
        match (line, line.strip_prefix("$ kser ")) {
            ("```console", _) => is_console = true,
            ("```", _) => is_console = false,
            (_, Some(command)) if is_console => {
                examples.push((command.to_owned(), String::new()));
            }
            _ if is_console => {
                let (_, output) = examples.last_mut().expect("a command is first");
                output.push_str(line);
                output.push('\n');
            }
            _ => {}
        }
    }
    examples
}

#[tokio::test(start_paused = true)]
async fn the_examples_of_the_readme_are_what_the_program_prints() {
    let examples = examples();
    assert!(!examples.is_empty());
    for (command, output) in examples {
        let world = World::new().await.with_letters().await;
        assert_eq!(world.wide(&command, 120).await, output, "{command}");
    }
}
