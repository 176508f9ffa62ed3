use kser_cli::Exit;

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

/// The five lines for an operator, as they stand in the README, are commands that answer.
#[tokio::test(start_paused = true)]
async fn the_five_lines_for_an_operator_answer() {
    let readme = include_str!("../../README.md");
    let (_, lines) = readme.split_once("## Five lines for an operator").unwrap();
    let block = lines.split("```").nth(1).unwrap();
    let lines = block.lines().filter_map(|line| line.strip_prefix("kser "));
    let lines: Vec<&str> = lines
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let world = World::still().await.with_runs().await.with_letters().await;
    for line in lines {
        let answer = world.kser(line).await;
        // An act on many is a dry run, which a program without a terminal does not carry out.
        let is_act = line.contains("--cause");
        let expected = if is_act { Exit::Refused } else { Exit::Done };
        assert_eq!(
            (answer.exit, &answer.error),
            (expected, &None),
            "{line}: {answer:?}"
        );
        let text = if is_act { "This is a dry run" } else { "" };
        assert!(answer.text.contains(text), "{line}: {answer:?}");
    }
}

/// From an alert to a repaired run: each answer names the next command, as it is typed.
#[tokio::test(start_paused = true)]
async fn from_an_alert_to_a_repaired_run_each_answer_names_the_next_command() {
    let alerts = include_str!("../../../kser-observe/ops/alerts.yaml");
    let (_, rule) = alerts.split_once("alert: KserRunsFail").unwrap();
    let mut next = rule.split('`').nth(1).unwrap().to_owned();
    let world = World::new().await.with_runs().await;
    let named = |text: &str, before: &str| {
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(before));
        lines
            .map(str::to_owned)
            .next()
            .unwrap_or_else(|| panic!("no {before:?} in {text}"))
    };
    let type_in = async |line: &str| world.kser(line.strip_prefix("kser ").unwrap()).await;
    assert_eq!(next, "kser runs causes");
    let causes = type_in(&next).await.text;
    next = named(&causes, "look at one: ");
    assert!(type_in(&next).await.text.contains("is refused"));
    // The bug is mended.
    let registry = kser::Registry::new()
        .task(async |_: super::runs::Charge| ())
        .build();
    let _consumer = world.client.consumer(registry.unwrap()).spawn();
    next = named(&causes, "once it is mended: ");
    let dry = type_in(&next).await;
    let count = named(&dry.text, "This is a dry run: ");
    let count = count.strip_suffix(" does it.").unwrap();
    let done = type_in(&format!("{next} {count}")).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.text.contains("2 resumed · 2 succeeded"), "{done:?}");
}
