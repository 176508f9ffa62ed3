use std::sync::Arc;

use serde_json::json;

use crate::browser::text;
use crate::line::Line;
use crate::tab::Tab;

/// Tabs that share their cookies and their connections, as those of one person do. It ends with the last of its tabs.
#[derive(Debug, Clone)]
pub struct Session(Arc<Context>);

/// A context of the browser, which is disposed of when it is dropped.
#[derive(Debug)]
struct Context {
    line: Line,
    id: String,
}

impl Session {
    pub(crate) fn new(line: Line, id: String) -> Self {
        Self(Arc::new(Context { line, id }))
    }

    /// Opens an empty tab.
    pub async fn tab(&self) -> Tab {
        let Context { line, id } = &*self.0;
        let target = json!({ "url": "about:blank", "browserContextId": id });
        let target = line
            .call(None, "Target.createTarget", target)
            .await
            .unwrap();
        let target = text(&target, "targetId");
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = line
            .call(None, "Target.attachToTarget", attach)
            .await
            .unwrap();
        let line = line.clone();
        Tab::open_on(self.clone(), line, target, text(&attached, "sessionId")).await
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let id = json!({ "browserContextId": self.id });
        self.line.tell(None, "Target.disposeBrowserContext", &id);
    }
}
