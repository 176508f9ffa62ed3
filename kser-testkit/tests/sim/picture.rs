//! The picture of a failing run, as a page.

use std::fs;
use std::path::{Path, PathBuf};

use kser::{Entrypoint, Step, TaskError};
use kser_testkit::{Effects, Failure, Faults, Sim, World};
use serde::{Deserialize, Serialize};

use crate::error_reports::run;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Checkout")]
struct Checkout {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Ship")]
struct Ship {}

async fn checkout(_: Checkout) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(Charge {}), Step::new(Ship {})])
}

/// Charges without a key, so that an attempt after a fault charges again.
async fn charge(bank: Effects, _: Charge) -> Result<(), TaskError> {
    bank.call("charge").await
}

/// A checkout that charges twice after a fault.
fn twice_charged() -> Sim<()> {
    Sim::new(|world| {
        let bank = world.effects("bank");
        let consumers = world.consumers(2).operation(checkout);
        consumers.task_with(bank, charge).task(|_: Ship| async {});
        world.launch(Checkout {});
    })
}

fn page(sim: Sim<()>) -> String {
    let failure: Result<_, Box<Failure>> = sim.try_check(|_| {});
    failure.unwrap_err().page()
}

/// Counts the rows of a page that show an event of a run: `f` for the failing, `g` for the good one.
fn rows(page: &str, run: char) -> usize {
    let id = format!("\" id={run}");
    let cells = page.split(&id).skip(1);
    cells
        .filter(|cell| cell.starts_with(|char: char| char.is_ascii_digit()))
        .count()
}

/// Returns the row in which the first fault is marked.
fn fault(page: &str) -> &str {
    let (_, row) = page.split_once("id=fault1>").unwrap();
    row.split_once("</tr>").unwrap().0
}

#[test]
fn a_page_has_the_lanes_the_fault_and_the_good_run_beside_it() {
    let page = page(twice_charged().faults(Faults::any_single()));
    for lane in ["client1", "c1", "c2", "broker", "store", "bank"] {
        let name = format!("<span title=\"{lane}\">{lane}</span>");
        assert_eq!(page.matches(&name).count(), 2, "{lane}: one for each run");
    }
    assert_eq!(page.matches("id=fault").count(), 1, "one fault");
    let fault = fault(&page);
    assert!(
        fault.contains("<use href=#z"),
        "a sign in the lane: {fault}"
    );
    assert!(fault.contains("fault: unknown "), "{fault}");
    assert!(page.contains("<strong>invariant EffectOnce violated</strong>"));
    assert!(page.contains("The call has its effect, and fails: its caller cannot know."));
    assert!(page.contains(
        "KSER_TESTKIT_REPLAY=&#39;v1 | unknown Checkout#1/1.Charge/bank.charge/1 | &#39; cargo test"
    ));
    assert_eq!(rows(&page, 'f'), 30, "all events of the failing run");
    assert_eq!(rows(&page, 'g'), 24, "all events of the good run");
}

#[test]
fn a_message_is_followed_by_its_button_and_from_event_to_event() {
    let page = page(twice_charged().faults(Faults::any_single()));
    let (_, button) = page.split_once("name=follow id=m1>").unwrap();
    assert!(button.starts_with("1.Charge</label>"), "{button}");
    assert!(page.contains(":root:has(#m1:checked) .e:not(.m1){opacity:"));
    // From the publication to the end, each event leads to the next.
    let mut journey = Vec::new();
    let mut at = page.find("publishes <label for=m1 ");
    while let Some(begin) = at {
        let cell = &page[begin..];
        let cell = cell.split_once("</td>").unwrap().0;
        journey.push(cell.split_once(' ').unwrap().0.to_owned());
        let next = cell
            .split_once(" behind\">")
            .and_then(|(link, _)| link.rsplit_once("href=#"));
        at = next.map(|(_, id)| {
            let id = id.split_once(' ').unwrap().0;
            let cell = page.find(&format!(" id={id}>")).unwrap();
            cell + page[cell..].find("</b> ").unwrap() + "</b> ".len()
        });
    }
    assert_eq!(
        journey[..3],
        ["publishes", "receives", "writes"],
        "{journey:?}"
    );
    assert_eq!(journey.last().unwrap(), "commits", "{journey:?}");
    assert!(journey.len() > 8, "{journey:?}");
}

#[test]
fn a_page_needs_no_other_file_and_no_script() {
    let page = page(twice_charged().faults(Faults::any_single()));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\""));
    for loads in [
        "<script", "<link", "<img", "<iframe", "<object", "src=", "@import", "url(", "http:",
        "https:", " on",
    ] {
        let found = page
            .match_indices(loads)
            .find(|(at, _)| !is_text(&page, *at));
        assert!(found.is_none(), "{loads} in {found:?}");
    }
}

/// Says whether a place of a page is in its text, and not in a tag or a rule of style.
fn is_text(page: &str, at: usize) -> bool {
    let (before, _) = page.split_at(at);
    let in_tag = before.rfind('<') > before.rfind('>');
    let in_style = before.rfind("<style>") > before.rfind("</style>");
    !in_tag && !in_style
}

const HOSTILE: &str = "</td><script>alert('x')</script>\"&\u{1b}[31m\u{202e}gpj.exe";

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("evil.</style><b>Name")]
struct Evil {}

#[test]
fn hostile_text_is_shown_as_text() {
    let sim = Sim::new(|world: &mut World| {
        let service = world.effects(HOSTILE);
        let call = |service: Effects, _: Evil| async move {
            let _ = service.call(HOSTILE).await;
            Err::<(), _>(TaskError::permanent(HOSTILE, HOSTILE))
        };
        world.consumers(1).task_with(service, call);
        world.launch_steps("evil.<i>Run", vec![Step::new(Evil {})]);
    });
    let failure = sim.try_check(|_| panic!("{HOSTILE}"));
    let page = failure.unwrap_err().page();
    for raw in [
        "<script",
        "</td><s",
        "alert('x')",
        "\u{1b}",
        "\u{202e}",
        "<b>Name",
        "<i>Run",
        "</style><b",
    ] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    let shown = "&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;\\u{1b}[31m\\u{202e}gpj.exe";
    assert!(page.contains(shown));
    assert!(
        page.matches("alert(&#39;x&#39;)").count() >= 6,
        "in the head, the lanes and the rows"
    );
    assert!(page.contains("&lt;b&gt;Name") && page.contains("&lt;i&gt;Run"));
    assert!(!page.contains("good run, without faults"), "there is none");
}

#[test]
fn the_page_of_a_very_long_run_says_how_much_it_leaves_out() {
    let sim = Sim::new(|world: &mut World| {
        world.consumers(1).task(|_: Ship| async {});
        for _ in 0..150 {
            world.launch_steps("shop.Job", vec![Step::new(Ship {})]);
        }
    });
    let plan = "v1 | crash after Job#75/1.Ship/receive/1 |";
    let failure = sim
        .replay(plan)
        .try_check(|run| assert!(!run.trace().has("crashes"), "never"));
    let failure = failure.unwrap_err();
    let page = failure.page();
    assert!(
        page.contains("<span title=\"clients\">"),
        "they share a lane"
    );
    let shown = rows(&page, 'f');
    assert!(failure.trace().len() > 1500 && shown < 1200, "{shown}");
    assert!(page.contains(" rows are left out of this page"));
    assert!(fault(&page).contains("crash after"));
    assert!(page.contains("messages more have no button"));
    assert!(page.len() < 4_000_000, "{}", page.len());
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn a_checkout_that_charges_twice() {
    twice_charged().faults(Faults::any_single()).check(|_| {});
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn a_run_by_hand() {
    let mut run = twice_charged().by_hand();
    run.run_until("publishes Checkout#1/build");
    run.crash("c1");
    run.run_until("it never comes");
}

#[test]
fn a_failing_run_that_is_led_by_hand_is_shown_too() {
    let page = fs::read_to_string(written("a_run_by_hand")).unwrap();
    assert!(page.contains("<p><b>c1</b> crashes</p>"));
    assert!(!page.contains("good run, without faults"));
}

#[test]
fn the_failure_names_its_page() {
    let file = written("a_checkout_that_charges_twice");
    assert!(file.starts_with(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()));
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("EffectOnce violated") && page.ends_with("</html>\n"));
}

/// Runs a test that fails. Returns the path of the file that its output names.
fn written(test: &str) -> PathBuf {
    // No package, in which the run would be kept.
    let (ended, said) = run(
        &format!("picture::{test}"),
        &[("CARGO_MANIFEST_DIR", env!("CARGO_TARGET_TMPDIR"))],
    );
    assert!(!ended.status.success(), "{said}");
    let mut lines = said.lines();
    let file = lines.find_map(|line| line.strip_prefix("to look at it: "));
    let file = PathBuf::from(file.unwrap_or_else(|| panic!("it names no file:\n{said}")));
    let name = format!("kser/sim-picture-{test}.html");
    assert!(file.is_absolute() && file.ends_with(name), "{file:?}");
    file
}
