use std::path::{Path, PathBuf};

use browser_tests::{Theme, View, browser, browser_tests};

use crate::shop::Shop;
use crate::{open, show};

/// The most bytes of the picture.
const LARGEST: usize = 100_000;

/// Returns a file of the repository.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

#[test]
fn the_picture_of_the_readme_is_small() {
    let picture = std::fs::read(file("kser-web/chain.png")).unwrap();
    assert!(
        picture.starts_with(b"\x89PNG") && picture.len() < LARGEST,
        "{} bytes",
        picture.len()
    );
    for (readme, name) in [
        ("README.md", "kser-web/chain.png"),
        ("kser-web/README.md", "chain.png"),
    ] {
        let text = std::fs::read_to_string(file(readme)).unwrap();
        assert!(text.contains(&format!("<img src=\"{name}\"")), "{readme}");
    }
}

browser_tests!(
    /// Makes the picture of the README, and writes it there if `KSER_PICTURE` is set.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_chain_of_a_repaired_run_is_the_picture_of_the_readme() {
        let shop = Shop::open().await;
        shop.fill().await;
        let server = show(&shop, open()).await;
        let tab = browser().session().await.tab().await;
        let mut view = View::desk(Theme::Light);
        (view.width, view.height) = (1060, 746);
        tab.set_view(view).await;
        tab.open(&server.url("/runs/order-7422")).await;
        tab.until_text("resume by oncall").await;
        let made = browser_tests::pictures().join("chain.png");
        tab.picture_of_view(&made).await;
        let small = browser_tests::shrink(&std::fs::read(&made).unwrap());
        assert!(small.len() < LARGEST, "{} bytes", small.len());
        if std::env::var_os("KSER_PICTURE").is_some() {
            std::fs::write(file("kser-web/chain.png"), small).unwrap();
        }
    }
);
