use axum::Router;
use axum::response::Html;
use axum::routing::get;
use browser_tests::{Tab, browser, browser_tests};
use kser::run::Status;

use crate::looks::check;
use crate::server::Server;
use crate::shop::Shop;
use crate::{open, show};

async fn status(shop: &Shop, id: &str) -> Status {
    shop.client.runs().status(&id.into()).await.unwrap().status
}

/// Opens a tab, with or without scripts.
async fn tab(scripts: bool) -> Tab {
    let tab = browser().session().await.tab().await;
    tab.set_scripts(scripts).await;
    tab
}

browser_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_is_resumed_by_its_button_with_and_without_scripts() {
        for scripts in [true, false] {
            let shop = Shop::open().await;
            let run = shop.order("order-7421", "the card is refused").await;
            run.wait().await.unwrap();
            let server = show(&shop, open().with_acts()).await;
            let tab = tab(scripts).await;
            tab.open(&server.url("/")).await;
            tab.leads_on(tab.click("[data-need=runs_failed] a")).await;
            tab.open(&server.url("/runs?status=failed")).await;
            tab.leads_on(tab.click("text=order-7421")).await;
            tab.leads_on(tab.click("[data-act=resume]")).await;
            assert!(tab.text().await.contains("done steps do not run again"));
            shop.set_bank(true);
            tab.fill("[name=reason]", "the bank <b>has</b> opened")
                .await;
            tab.leads_on(tab.click("form.act button")).await;
            let text = tab.text().await;
            assert!(
                text.contains("resume by oncall: the bank <b>has</b> opened"),
                "{text}"
            );
            run.wait().await.unwrap();
            if !scripts {
                tab.reload().await;
            }
            tab.until_text("the run has succeeded").await;
            assert_eq!(tab.violations(), Vec::<String>::new());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn letters_are_replayed_by_cause_with_and_without_scripts() {
        for scripts in [true, false] {
            let shop = Shop::open().await;
            let runs = ["order-1", "order-2", "order-3"];
            for id in runs {
                shop.order(id, "the card is refused")
                    .await
                    .wait()
                    .await
                    .unwrap();
            }
            let server = show(&shop, open().with_acts()).await;
            let tab = tab(scripts).await;
            tab.open(&server.url("/letters")).await;
            while !tab.text().await.contains("All 3 letters are read") {
                tab.reload().await;
            }
            tab.leads_on(tab.click("[data-act=replay]")).await;
            tab.picture(&format!("plan-{scripts}")).await;
            tab.fill("[name=reason]", "the bank has opened").await;
            tab.fill("[name=expect]", "4").await;
            tab.leads_on(tab.click("form.act button")).await;
            assert!(tab.text().await.contains("the act would take 3"));
            assert_eq!(status(&shop, "order-2").await, Status::Failed);
            tab.leads_on(tab.click("text=Look again")).await;
            shop.set_bank(true);
            tab.fill("[name=reason]", "the bank has opened").await;
            tab.fill("[name=expect]", "3").await;
            tab.leads_on(tab.click("form.act button")).await;
            tab.until("document.getElementById('job')?.dataset.state === 'ended'")
                .await;
            tab.picture(&format!("job-{scripts}")).await;
            for id in runs {
                assert_eq!(status(&shop, id).await, Status::Success);
            }
            assert_eq!(tab.hosts(), [server.address.to_string()].into());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_of_another_site_cannot_act() {
        let shop = Shop::open().await;
        let run = shop.order("order-7421", "the card is refused").await;
        run.wait().await.unwrap();
        let server = show(&shop, open().with_acts()).await;
        let form = format!(
            "<form method=post action={}><input name=reason value=x><button>win a prize</button></form>",
            server.url("/runs/order-7421/resume")
        );
        let other =
            Server::start(Router::new().route("/", get(move || async move { Html(form) }))).await;
        let tab = tab(true).await;
        // Another port is of the same site for cookies; another name is not.
        for host in ["127.0.0.1", "localhost"] {
            tab.open(&format!("http://{host}:{}/", other.address.port()))
                .await;
            tab.leads_on(tab.click("text=win a prize")).await;
            assert_eq!(
                tab.url().await,
                server.url("/runs/order-7421/resume"),
                "it was sent"
            );
            assert_eq!(
                status(&shop, "order-7421").await,
                Status::Failed,
                "from {host}"
            );
        }
        let read = "fetch('{}').then(it => it.text()).then(() => 'read', () => 'refused')";
        tab.open(&other.url("/")).await;
        assert_eq!(
            tab.eval(&read.replace("{}", &server.url("/runs"))).await,
            "refused"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_pages_of_acts_are_seen_in_both_widths_and_both_themes() {
        let shop = Shop::open().await;
        shop.fill().await;
        let server = show(&shop, open().with_acts()).await;
        let mut faults = Vec::new();
        for (name, path) in [
            ("act-run", "/runs/order-7421"),
            ("act-resume", "/runs/order-7421/resume"),
            ("act-skip", "/runs/order-7421/skip"),
            ("act-fork", "/runs/order-7421/fork"),
            ("act-refused", "/runs/order-1001/resume"),
            ("act-report", "/runs/order-9/report"),
            ("act-runs", "/runs?status=failed"),
            ("act-letters", "/letters"),
            ("act-causes", "/causes"),
            ("act-plan", "/plan/letters/replay?topic=shop"),
        ] {
            let tab = tab(true).await;
            tab.open(&server.url(path)).await;
            check(&tab, &server, name, &mut faults).await;
        }
        assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
    }
);
