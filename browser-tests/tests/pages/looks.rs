use browser_tests::{Tab, View, browser, browser_tests};

use crate::server::Server;
use crate::shop::Shop;
use crate::{open, show};

/// The pages, each with a name for its pictures.
const PAGES: [(&str, &str); 14] = [
    ("overview", "/"),
    ("runs", "/runs"),
    ("runs-failed", "/runs?status=failed&since=1h"),
    ("runs-none", "/runs?op=nothing.Here"),
    ("run-failed", "/runs/order-7421"),
    ("run-payloads", "/runs/order-7421?show=2"),
    ("run-repaired", "/runs/order-7422"),
    ("run-external", "/runs/order-9"),
    ("run-works", "/runs/dress-10"),
    ("causes", "/causes"),
    ("letters", "/letters"),
    ("letter-list", "/letters/list"),
    ("consumers", "/consumers"),
    ("waiting", "/waiting"),
];

/// Lists the faults of a page in a window: texts that are hard to read, and parts that are outside. Leaves a picture.
async fn check_view(tab: &Tab, view: View, name: &str, faults: &mut Vec<String>) {
    tab.set_view(view).await;
    let place = format!("{name}-{}", view.name());
    let pale = tab.low_contrasts().await.into_iter();
    faults.extend(pale.map(|text| format!("{place}: {text}")));
    let wider = tab.overflow().await;
    faults.extend((wider > 0).then(|| format!("{place}: {wider} pixels too wide")));
    tab.picture(&place).await;
}

/// Lists the faults of a page: elements without a name, requests to elsewhere, violations of its policy, and those of each window.
pub(crate) async fn check(tab: &Tab, server: &Server, name: &str, faults: &mut Vec<String>) {
    for view in View::all() {
        check_view(tab, view, name, faults).await;
    }
    let elsewhere = tab.hosts().into_iter();
    let elsewhere = elsewhere.filter(|host| *host != server.address.to_string());
    for (what, found) in [
        ("no name", tab.nameless().await),
        ("id twice", tab.repeated_ids().await),
        ("logged", tab.violations()),
        ("request to", elsewhere.collect()),
    ] {
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("{name}: {what}: {fault}")),
        );
    }
}

browser_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn every_page_is_seen_in_both_widths_and_both_themes() {
        let shop = Shop::open().await;
        shop.fill().await;
        let server = show(&shop, open()).await;
        let session = browser().session().await;
        let mut faults = Vec::new();
        for (name, path) in PAGES {
            let tab = session.tab().await;
            tab.open(&server.url(path)).await;
            tab.until("document.querySelector('main h1') !== null")
                .await;
            check(&tab, &server, name, &mut faults).await;
        }
        assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hostile_text_is_text_in_the_browser() {
        let shop = Shop::open().await;
        shop.fill().await;
        let server = show(&shop, open()).await;
        let session = browser().session().await;
        let tab = session.tab().await;
        for path in ["/", "/runs", "/causes", "/letters", "/letters/list"] {
            tab.open(&server.url(path)).await;
        }
        tab.open(&server.url("/runs?status=failed")).await;
        tab.leads_on(tab.click("a[href*=\"7424\"]")).await;
        let text = tab.text().await;
        assert!(
            text.contains("<script>document.title='ran'</script>"),
            "{text}"
        );
        assert_ne!(tab.title().await, "ran");
        assert_eq!(tab.violations(), Vec::<String>::new());
        assert_eq!(tab.hosts(), [server.address.to_string()].into());
    }
);
