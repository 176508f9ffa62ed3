//! Where a request comes from: the pages of other sites must neither read nor act, whatever cookies their requests carry.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

/// Returns the host of a request without its port, in lower case.
pub(crate) fn host(request: &Parts) -> Option<String> {
    let host = authority(request)?;
    // An IPv6 address has its colons in brackets.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    Some(name.to_ascii_lowercase())
}

/// Returns the host and the port of a request. Two of them are none.
fn authority(request: &Parts) -> Option<&str> {
    let mut hosts = request.headers.get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => request.uri.authority().map(|it| it.as_str()),
        _ => None,
    }
}

/// Says whether a request may be answered by its origin: a page of this server has made it, or a person by an address or a link, which
/// may look.
pub(crate) fn is_own(request: &Parts) -> bool {
    let looks = matches!(request.method, Method::GET | Method::HEAD);
    match (text(&request.headers, "sec-fetch-site"), looks) {
        (Some("same-origin"), _) | (Some("none"), true) => true,
        // A link on another page may be followed; a picture or a script on it may not be had.
        (Some(_), true) => text(&request.headers, "sec-fetch-mode") == Some("navigate"),
        (Some(_), false) => false,
        (None, true) => true,
        (None, false) => has_own_origin(request),
    }
}

/// Says whether the origin of a request is this server, for browsers without `Sec-Fetch-Site`. The schemes may differ: a proxy may end
/// TLS.
fn has_own_origin(request: &Parts) -> bool {
    let origin = text(&request.headers, "origin");
    let place = origin.and_then(|origin| origin.split_once("://"));
    place.is_some_and(|(_, place)| Some(place) == authority(request))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_is_read_without_its_port() {
        let check = |value: &str, expected: &str| {
            let found = host(&request("GET", &[("host", value)]));
            assert_eq!(found.as_deref(), Some(expected));
        };
        check("127.0.0.1:8790", "127.0.0.1");
        check("LocalHost", "localhost");
        check("[::1]:8790", "[::1]");
        check("[::1]", "[::1]");
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(host(&request("GET", &two)), None);
        assert_eq!(host(&request("GET", &[])), None);
    }

    #[test]
    fn only_pages_of_the_server_act() {
        let acts = |headers: &[(&str, &str)]| {
            let host = [("host", "localhost:8790")];
            is_own(&request("POST", &[&host[..], headers].concat()))
        };
        assert!(acts(&[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "none", "other"] {
            let navigates = ("sec-fetch-mode", "navigate");
            assert!(!acts(&[("sec-fetch-site", site), navigates]), "{site}");
        }
        assert!(!acts(&[]), "without a word about the origin");
        assert!(acts(&[("origin", "http://localhost:8790")]));
        assert!(!acts(&[("origin", "http://localhost:9999")]));
        assert!(!acts(&[("origin", "null")]));
        let both = [
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://localhost:8790"),
        ];
        assert!(!acts(&both));
    }

    #[test]
    fn other_pages_lead_here_and_read_nothing() {
        let looks = |site: &str, mode: &str| {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            is_own(&request("GET", &headers))
        };
        assert!(looks("none", "navigate") && looks("same-origin", "cors"));
        assert!(looks("cross-site", "navigate"));
        assert!(!looks("cross-site", "no-cors") && !looks("same-site", "cors"));
        assert!(is_own(&request("GET", &[])), "a program");
    }
}
