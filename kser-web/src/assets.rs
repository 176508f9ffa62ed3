//! The three files of the pages, compiled in.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The beginning of the paths of the files.
const FOLDER: &str = "/assets/";

/// A file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "page.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/page.css"),
    },
    Asset {
        name: "page.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/page.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("../assets/icon.svg"),
    },
];

/// The number that changes with the content of the files (FNV-1a).
const BUILD: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut file = 0;
    while file < ASSETS.len() {
        let bytes = ASSETS[file].bytes;
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ byte(bytes[at])).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
};

/// Widens a byte, which `From` cannot do in a constant.
const fn byte(value: u8) -> u64 {
    u64::from_le_bytes([value, 0, 0, 0, 0, 0, 0, 0])
}

/// Says whether a path is that of a file.
pub(crate) fn is_asset(path: &str) -> bool {
    let name = path.strip_prefix(FOLDER);
    name.is_some_and(|name| find(name).is_some())
}

fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// Returns the path of a file, which changes with its content, so that browsers keep it for ever.
pub(crate) fn path(name: &str) -> String {
    format!("{FOLDER}{name}?v={BUILD:x}")
}

/// Answers with a file.
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = find(&name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let tag = format!("\"{BUILD:x}\"");
    let kept = [
        (header::ETAG, tag.clone()),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
        (header::CONTENT_TYPE, asset.kind.to_owned()),
    ];
    let has_it = headers.get(header::IF_NONE_MATCH);
    match has_it.is_some_and(|has| has.as_bytes() == tag.as_bytes()) {
        true => (StatusCode::NOT_MODIFIED, kept).into_response(),
        false => (kept, asset.bytes).into_response(),
    }
}
