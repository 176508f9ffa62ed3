use serde_json::json;

use crate::browser::text;
use crate::line::Line;
use crate::tab::Tab;

/// Tabs that share their cookies and their connections, as those of one person do. They are closed when the session is dropped.
#[derive(Debug)]
pub struct Session {
    line: Line,
    id: String,
}

impl Session {
    pub(crate) const fn new(line: Line, id: String) -> Self {
        Self { line, id }
    }

    /// Opens an empty tab.
    pub async fn tab(&self) -> Tab {
        let target = json!({ "url": "about:blank", "browserContextId": self.id });
        let target = self
            .line
            .call(None, "Target.createTarget", target)
            .await
            .unwrap();
        let target = text(&target, "targetId");
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = self
            .line
            .call(None, "Target.attachToTarget", attach)
            .await
            .unwrap();
        Tab::open_on(self.line.clone(), target, text(&attached, "sessionId")).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let id = json!({ "browserContextId": self.id });
        self.line.tell(None, "Target.disposeBrowserContext", &id);
    }
}
