use std::time::Duration;

use browser_tests::{Tab, browser, browser_tests};
use kser_ops::Ops;

use crate::server::Server;
use crate::shop::Shop;
use crate::{open, show};

/// Waits until a tab is told of changes.
async fn is_live(tab: &Tab) {
    tab.until("document.getElementById('live').dataset.state === 'live'")
        .await;
}

/// Resumes the failed run, in the name of a person.
async fn resume(shop: &Shop, person: &str) {
    let runs = shop.client.runs().by(person, "try again");
    runs.resume(&"order-7421".into()).await.unwrap();
}

fn sees(person: &str) -> String {
    format!("document.body.innerText.includes('resume by {person}')")
}

browser_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_resume_is_seen_live_within_two_seconds() {
        let shop = Shop::open().await;
        let run = shop.order("order-7421", "the card is refused").await;
        run.wait().await.unwrap();
        let server = show(&shop, open()).await;
        let tab = browser().session().await.tab().await;
        tab.open(&server.url("/runs/order-7421")).await;
        is_live(&tab).await;
        let loads = tab.loads();
        let mut took = Vec::new();
        // The machine may be busy with other tests for a moment.
        for person in ["oncall", "bert", "cleo"] {
            resume(&shop, person).await;
            took.push(tab.until(&sees(person)).await);
            run.wait().await.unwrap();
        }
        println!("seen after {took:?}");
        assert!(
            took.iter().min().unwrap() < &Duration::from_secs(2),
            "{took:?}"
        );
        assert_eq!(tab.loads(), loads, "the page was not loaded again");
        assert_eq!(tab.violations(), Vec::<String>::new());
        assert_eq!(tab.hosts(), [server.address.to_string()].into());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_stream_comes_back_after_a_restart_of_the_server() {
        let shop = Shop::open().await;
        let run = shop.order("order-7421", "the card is refused").await;
        run.wait().await.unwrap();
        let server = show(&shop, open()).await;
        let address = server.address;
        let tab = browser().session().await.tab().await;
        tab.open(&server.url("/runs/order-7421")).await;
        is_live(&tab).await;
        drop(server);
        tab.until("document.getElementById('live').dataset.state === 'lost'")
            .await;
        // A change while there is no server is not missed.
        resume(&shop, "oncall").await;
        run.wait().await.unwrap();
        let router = kser_web::router(Ops::new(shop.client.clone()), open());
        let server = Server::start_at(address, router).await;
        is_live(&tab).await;
        tab.until(&sees("oncall")).await;
        resume(&shop, "bert").await;
        tab.until(&sees("bert")).await;
        drop(server);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn eight_tabs_of_a_browser_are_loaded_and_live() {
        let shop = Shop::open().await;
        let run = shop.order("order-7421", "the card is refused").await;
        run.wait().await.unwrap();
        let server = show(&shop, open()).await;
        let session = browser().session().await;
        let mut tabs = Vec::new();
        for _ in 0..8 {
            let tab = session.tab().await;
            tab.open(&server.url("/runs/order-7421")).await;
            is_live(&tab).await;
            tabs.push(tab);
        }
        resume(&shop, "oncall").await;
        for tab in &tabs {
            tab.until(&sees("oncall")).await;
        }
        // Each can go on to another page.
        for tab in &tabs {
            tab.leads_on(tab.click("text=Overview")).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pause_stops_every_request() {
        let shop = Shop::open().await;
        let run = shop.order("order-7421", "the card is refused").await;
        run.wait().await.unwrap();
        let server = show(&shop, open()).await;
        let tab = browser().session().await.tab().await;
        tab.open(&server.url("/runs/order-7421")).await;
        is_live(&tab).await;
        tab.click("#live").await;
        tab.until("document.getElementById('live').innerText === 'paused'")
            .await;
        let requests = tab.requests().len();
        resume(&shop, "oncall").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!tab.text().await.contains("resume by oncall"));
        assert_eq!(tab.requests().len(), requests, "{:?}", tab.requests());
        tab.click("#live").await;
        tab.until(&sees("oncall")).await;
    }
);
