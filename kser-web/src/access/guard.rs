use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::gate::bearer;
use super::tokens::Tokens;
use super::{Access, Visitor, origin};
use crate::answer::{self, Web};
use crate::api;
use crate::assets;
use crate::html::Markup;
use crate::html::refusal;
use crate::params::Params;

/// Lets a request through that names this server, comes from its pages or a person, and has rights. Each answer gets the headers that
/// keep a browser from doing more than it should.
pub(crate) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let is_api = parts.uri.path().starts_with(api::PATH);
    let mut response = match check(&web, &parts) {
        Ok(visitor) => {
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(refusal) if is_api => api::answers::refused(refusal.status()),
        Err(refusal) => *refusal,
    };
    secure(&mut response);
    response
}

/// The answer to a request that is not let through.
type Refusal = Box<Response>;

fn refuse(status: StatusCode, page: Markup) -> Refusal {
    Box::new(answer::html(status, page))
}

fn check(web: &Web, request: &Parts) -> Result<Visitor, Refusal> {
    let links = web.options.links();
    let host = origin::host(request);
    let is_named = host.as_deref().is_some_and(|host| web.options.names(host));
    if !is_named {
        let page = refusal::unknown_host(links, host.as_deref());
        return Err(refuse(StatusCode::MISDIRECTED_REQUEST, page));
    }
    let looks = matches!(request.method, Method::GET | Method::HEAD);
    let is_program = bearer(request).is_some() && !request.headers.contains_key("sec-fetch-site");
    if !(origin::is_own(request) || is_program) {
        return Err(refuse(StatusCode::FORBIDDEN, refusal::other_site(links)));
    }
    let (actor, may_act) = match web.options.gate().access(request) {
        Access::Read(actor) => (actor, false),
        Access::Act(actor) => (actor, web.options.has_acts()),
        // The files are the same for all, and the page that refuses looks like the others.
        Access::None if assets::is_asset(request.uri.path()) && looks => (String::new(), false),
        Access::None => return Err(knock(web, request)),
    };
    // Without acts there is no route that writes: the router says so.
    if !looks && !may_act && web.options.has_acts() {
        return Err(refuse(StatusCode::FORBIDDEN, refusal::read_only(links)));
    }
    Ok(Visitor { actor, may_act })
}

/// Answers a request without rights: exchanges its token for a cookie, or says how to come in.
fn knock(web: &Web, request: &Parts) -> Refusal {
    let links = web.options.links();
    let Some(tokens) = web.options.gate().tokens() else {
        return refuse(StatusCode::FORBIDDEN, refusal::no_rights(links));
    };
    match exchange(web, tokens, request) {
        Ok(Some(entered)) => entered,
        Ok(None) => refuse(StatusCode::UNAUTHORIZED, refusal::no_token(links)),
        Err(error) => {
            tracing::error!(target: "kser", %error, "letting a browser in failed");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, refusal::no_token(links))
        }
    }
}

fn exchange(
    web: &Web,
    tokens: &Tokens,
    request: &Parts,
) -> Result<Option<Refusal>, super::AccessError> {
    let params = Params::of(request.uri.query());
    let secret = match params
        .get("token")
        .filter(|_| request.method == Method::GET)
    {
        Some(token) => tokens.enter(token)?,
        None => None,
    };
    let Some(secret) = secret else {
        tokens.knock()?;
        return Ok(None);
    };
    let (name, root) = (tokens.cookie(), web.options.links().root());
    let cookie = format!("{name}={secret}; HttpOnly; SameSite=Strict; Path={root}");
    // A path of two slashes would lead to another server.
    let path = match request.uri.path() {
        path if path.starts_with("//") => "/",
        path => path,
    };
    let place = params.without("token").after(&web.options.links().to(path));
    // The token leaves the address and the history of the browser.
    let headers = [(header::LOCATION, place), (header::SET_COOKIE, cookie)];
    Ok(Some(Box::new(
        (StatusCode::SEE_OTHER, headers).into_response(),
    )))
}

/// Adds the headers of security. Nothing is loaded from elsewhere, no script stands in a page, and no page is shown in a frame.
fn secure(response: &mut Response) {
    const HEADERS: [(&str, &str); 7] = [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        // With `no-referrer` a browser sends no origin with a form.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let none = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(none);
}
