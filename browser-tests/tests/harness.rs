//! The checks of the browser find the faults of pages that are wrong on purpose.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use browser_tests::{Theme, View, browser, browser_tests};

/// Serves pages on a free port. Returns their address.
async fn serve() -> String {
    let page = |body: &'static str| get(move || async move { Html(body) });
    let policy = || async {
        let policy = [(
            "content-security-policy",
            "default-src 'none'; script-src 'self'",
        )];
        (
            policy,
            Html("<script>document.title = 'ran'</script><img src=http://elsewhere.invalid/x.png>"),
        )
            .into_response()
    };
    let router = Router::new()
        .route("/", page("<title>first</title><meta name=viewport content=width=device-width><a href=/form>to the form</a>"))
        .route("/form", page("<form method=post action=/done><label>Name <input name=name></label><button>Send</button></form>"))
        .route("/done", post(|body: String| async move { Html(format!("<p>got {body}</p><script>document.body.append('and a script')</script>")) }))
        .route("/policy", get(policy))
        .route("/wrong", page("<input name=a><button></button><a href=/>x</a><p style='color:#999;background:#fff'>pale</p><p style='color:#666;background:#fff'>dark enough</p><div style='width:2000px' id=a>wide</div><i id=a></i>"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

browser_tests!(
    #[tokio::test]
    async fn a_person_clicks_and_types_with_and_without_scripts() {
        let root = serve().await;
        let session = browser().session().await;
        for scripts in [true, false] {
            let tab = session.tab().await;
            tab.set_scripts(scripts).await;
            tab.open(&root).await;
            assert_eq!(tab.title().await, "first");
            tab.leads_on(tab.click("text=to the form")).await;
            tab.fill("[name=name]", "Ann <3").await;
            tab.leads_on(tab.click("text=Send")).await;
            let text = tab.text().await;
            assert!(text.contains("got name=Ann+%3C3"), "{text}");
            assert_eq!(text.contains("and a script"), scripts, "{text}");
            let requests = tab.requests();
            assert!(
                requests.iter().any(|request| request.method == "POST"),
                "{requests:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_violated_policy_and_another_host_are_seen() {
        let root = serve().await;
        let session = browser().session().await;
        let tab = session.tab().await;
        tab.open(&format!("{root}/policy")).await;
        tab.until("document.readyState === 'complete'").await;
        let violations = tab.violations();
        assert!(
            violations.iter().any(|it| it.contains("script-src")),
            "{violations:?}"
        );
        assert_ne!(tab.title().await, "ran");
        let open = session.tab().await;
        open.open("data:text/html,<img src=http://elsewhere.invalid/x.png>")
            .await;
        assert_eq!(open.hosts(), ["elsewhere.invalid".to_owned()].into());
        tab.open(&root).await;
        let host = root.strip_prefix("http://").unwrap();
        assert!(tab.hosts().contains(host), "{:?}", tab.hosts());
    }

    #[tokio::test]
    async fn labels_contrast_width_and_ids_are_checked() {
        let root = serve().await;
        let session = browser().session().await;
        let tab = session.tab().await;
        tab.open(&format!("{root}/wrong")).await;
        let nameless = tab.nameless().await;
        assert_eq!(nameless.len(), 2, "the field and the button: {nameless:?}");
        let pale = tab.low_contrasts().await;
        assert!(pale.len() == 1 && pale[0].contains("pale"), "{pale:?}");
        assert!(tab.overflow().await > 500);
        assert_eq!(tab.repeated_ids().await, ["a"]);
        tab.open(&format!("{root}/form")).await;
        assert_eq!(tab.nameless().await, Vec::<String>::new());
        assert_eq!(tab.overflow().await, 0);
    }

    #[tokio::test]
    async fn pictures_and_paints_are_taken() {
        let root = serve().await;
        let session = browser().session().await;
        let tab = session.tab().await;
        tab.open(&root).await;
        let fast = tab.first_paint().await;
        tab.set_view(View::phone(Theme::Dark)).await;
        assert_eq!(tab.eval("innerWidth").await, 390);
        assert_eq!(
            tab.eval("matchMedia('(prefers-color-scheme: dark)').matches")
                .await,
            true
        );
        let picture = std::fs::read(tab.picture("harness").await).unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
        tab.set_phone_profile(4).await;
        tab.open(&root).await;
        let slow = tab.first_paint().await;
        assert!(
            slow > Duration::from_millis(150) && slow > fast,
            "{fast:?}, and on a phone {slow:?}"
        );
    }

    #[tokio::test]
    async fn sessions_share_no_cookies() {
        let root = serve().await;
        let [mine, yours] = [browser().session().await, browser().session().await];
        let tab = mine.tab().await;
        tab.open(&root).await;
        tab.eval("document.cookie = 'a=1'").await;
        let second = mine.tab().await;
        second.open(&root).await;
        assert_eq!(second.eval("document.cookie").await, "a=1");
        let other = yours.tab().await;
        other.open(&root).await;
        assert_eq!(other.eval("document.cookie").await, "");
    }
);
