use std::sync::{Arc, Mutex};

use axum::Router;
use browser_tests::{browser, browser_tests};
use kser_ops::Ops;
use kser_web::{Gate, WebOptions};

use crate::server::Server;
use crate::shop::Shop;
use crate::{open, show};

browser_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_lets_one_browser_in() {
        let shop = Shop::open().await;
        let told = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&told);
        let gate = Gate::one_time("oncall", move |token| {
            token.clone_into(&mut to.lock().unwrap())
        });
        let server = show(&shop, WebOptions::new(gate.unwrap())).await;
        let token = told.lock().unwrap().clone();
        let first = browser().session().await;
        let tab = first.tab().await;
        tab.open(&server.url(&format!("/runs?token={token}"))).await;
        tab.until_text("Runs").await;
        assert_eq!(
            tab.url().await,
            server.url("/runs"),
            "the token leaves the address"
        );
        tab.reload().await;
        tab.until("document.querySelector('nav') !== null").await;
        assert_eq!(tab.eval("document.cookie").await, "", "no script reads it");
        let second = browser().session().await;
        let other = second.tab().await;
        for path in [format!("/runs?token={token}"), "/runs".to_owned()] {
            other.open(&server.url(&path)).await;
            assert_eq!(
                other.eval("document.querySelector('nav')").await,
                serde_json::Value::Null
            );
        }
        assert_ne!(*told.lock().unwrap(), token, "another token is announced");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_links_hold_under_a_path_prefix() {
        let shop = Shop::open().await;
        shop.fill().await;
        let pages = kser_web::router(
            Ops::new(shop.client.clone()),
            open().with_prefix("/ops/kser").unwrap(),
        );
        let router = Router::new().nest("/ops/kser", pages);
        let server = Server::start(router).await;
        let session = browser().session().await;
        let tab = session.tab().await;
        let root = server.url("/ops/kser");
        let (mut known, mut next) = (vec![root.clone()], 0);
        while let Some(url) = known.get(next).cloned().filter(|_| next < 60) {
            next += 1;
            tab.open(&url).await;
            let found = tab
                .eval("[...document.links].map(it => it.href.split('#')[0])")
                .await;
            let found = found
                .as_array()
                .unwrap()
                .iter()
                .map(|link| link.as_str().unwrap().to_owned());
            let found: Vec<String> = found.collect();
            assert!(!found.is_empty(), "{url} has no links");
            for link in found {
                assert!(link.starts_with(&root), "{url} leads to {link}");
                if !known.contains(&link) {
                    known.push(link);
                }
            }
        }
        assert!(next > 20, "{known:?}");
        assert_eq!(tab.violations(), Vec::<String>::new());
        assert_eq!(tab.hosts(), [server.address.to_string()].into());
    }
);
