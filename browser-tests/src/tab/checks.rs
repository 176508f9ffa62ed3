use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Tab;
use super::input::Input;

/// Compares the colour of each text with that of its ground, by the rules of WCAG 2.2, level AA.
const CONTRAST: &str = include_str!("contrast.js");

/// The roles of elements that a person acts on.
const ACTED_ON: [&str; 14] = [
    "button",
    "checkbox",
    "combobox",
    "link",
    "listbox",
    "menuitem",
    "option",
    "radio",
    "searchbox",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
];

/// The checks of a page, and the input of a person.
impl Tab {
    /// Clicks on the element of a selector, or on the button or link of the words in `text=WORDS`, once it is seen.
    ///
    /// # Panics
    ///
    /// When it is not seen.
    pub async fn click(&self, selector: &str) {
        Input::new(self).click(selector).await;
    }

    /// Types a text into a field, in place of the text that it has.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.click(selector).await;
        self.eval(&format!(
            "document.querySelector({}).select()",
            json!(selector)
        ))
        .await;
        Input::new(self).write(text).await;
    }

    /// Presses a key, such as `Enter`, `Tab` or `j`.
    pub async fn press(&self, key: &str) {
        Input::new(self).press(key).await;
    }

    /// Lists the texts whose contrast is too low.
    pub async fn low_contrasts(&self) -> Vec<String> {
        let found = self.eval(&format!("({CONTRAST})()")).await;
        assert!(found["count"].as_u64() > Some(0), "the page has no text");
        texts(&found["faults"])
    }

    /// Lists the elements that a person acts on and that have no name for a screen reader, as the browser computes it.
    pub async fn nameless(&self) -> Vec<String> {
        self.call("Accessibility.enable", json!({})).await;
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().into_iter().flatten();
        let shown = nodes.filter(|node| node["ignored"] != true);
        let acted_on = shown.filter(|node| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            ACTED_ON.contains(&role)
        });
        let nameless = acted_on.filter(|node| {
            let name = node["name"]["value"].as_str().unwrap_or_default();
            name.trim().is_empty()
        });
        nameless
            .map(|node| format!("{} {}", node["role"]["value"], node["properties"]))
            .collect()
    }

    /// Says how many pixels the page is wider than its window.
    pub async fn overflow(&self) -> i64 {
        let wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.eval(wider).await.as_i64().unwrap_or_default()
    }

    /// Lists the ids that more than one element has.
    pub async fn repeated_ids(&self) -> Vec<String> {
        let ids = "[...document.querySelectorAll('[id]')].map(it => it.id).filter((id, at, all) => all.indexOf(id) !== at)";
        texts(&self.eval(ids).await)
    }

    /// Lists the violations of the content security policy, and the errors and exceptions of scripts.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let bad = ["violation", "exception", "error"];
        let logged = self.logged().into_iter();
        let logged = logged.filter(|line| bad.contains(&line.kind.as_str()));
        logged
            .map(|line| format!("{}: {}", line.kind, line.text))
            .collect()
    }

    /// Lists the hosts, with their ports, that requests have gone to.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<String> {
        let requests = self.requests().into_iter();
        let requests = requests.filter(|request| !request.url.starts_with("data:"));
        let host = |url: &str| {
            let (_, rest) = url.split_once("://")?;
            Some(rest.split(['/', '?', '#']).next()?.to_owned())
        };
        requests
            .map(|request| host(&request.url).unwrap_or(request.url))
            .collect()
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}
