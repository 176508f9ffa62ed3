use serde_json::json;

use super::Tab;

/// Returns the middle of the element of a selector, after it has been scrolled into view; `null` when it is not seen, or when another
/// element lies over it.
const MIDDLE: &str = include_str!("middle.js");

/// The input of a person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'t>(&'t Tab);

impl<'t> Input<'t> {
    pub(crate) const fn new(tab: &'t Tab) -> Self {
        Self(tab)
    }

    /// Clicks on an element.
    pub(crate) async fn click(self, selector: &str) {
        let Self(tab) = self;
        let seek = format!("({MIDDLE})({})", json!(selector));
        tab.until_named(&format!("{seek} !== null"), &format!("{selector} is seen"))
            .await;
        let middle = tab.eval(&seek).await;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": middle["x"], "y": middle["y"], "button": "left", "clickCount": 1,
            });
            tab.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types a text, where the focus is.
    pub(crate) async fn write(self, text: &str) {
        self.0
            .call("Input.insertText", json!({ "text": text }))
            .await;
    }

    /// Presses a key, such as `Enter`, `Tab` or `j`.
    pub(crate) async fn press(self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            " " => (32, " "),
            key => (0, key),
        };
        let down =
            json!({ "type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.0.call("Input.dispatchKeyEvent", down).await;
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.0.call("Input.dispatchKeyEvent", up).await;
    }
}
