use browser_tests::{Theme, View, browser, browser_tests};

use crate::shop::Shop;
use crate::{open, show};

browser_tests!(
    /// Measures the first paint on a phone: a processor that is four times slower, 150 ms for an answer, 1.6 Mbit/s, nothing cached.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "measures: run it alone, with --nocapture"]
    async fn the_first_paint_on_a_phone() {
        let shop = Shop::open().await;
        shop.fill().await;
        let server = show(&shop, open().with_acts()).await;
        for (name, path) in [
            ("overview", "/"),
            ("runs", "/runs"),
            ("a chain", "/runs/order-7422"),
            ("letters", "/letters"),
            ("consumers", "/consumers"),
            ("waiting", "/waiting"),
        ] {
            let mut paints = Vec::new();
            for _ in 0..5 {
                let tab = browser().session().await.tab().await;
                tab.set_view(View::phone(Theme::Light)).await;
                tab.set_phone_profile(4).await;
                tab.open(&server.url(path)).await;
                paints.push(tab.first_paint().await.as_millis());
            }
            paints.sort_unstable();
            println!("{name}: {} ms (middle of 5: {paints:?})", paints[2]);
        }
    }
);
