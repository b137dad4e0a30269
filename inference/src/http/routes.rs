//! The paths of the server, and the middleware of every request and answer.

use std::{borrow::Cow, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    feedback::take_feedback,
    health::{health, health_of_probes, healthz, metrics_of_probes, prometheus, readyz},
    predict::predict_rows,
    problem::Problem,
    v2,
};
use crate::{
    app::App,
    metrics::{RequestLabels, RouteLabel},
};

/// The digest of the routes file that this process serves from. Every answer has it.
const ROUTES_DIGEST_HEADER: HeaderName = HeaderName::from_static("modelward-routes-digest");

/// The whole server as a service.
pub fn router(app: Arc<App>) -> Router {
    paths().finish(app, "; there are ")
}

/// Only probes and metrics, for the port that does not depend on the load of predictions.
pub fn probe_router(app: Arc<App>) -> Router {
    probe_paths().finish(app, " on the probe port; it has ")
}

fn paths() -> Paths {
    Paths::default()
        .at_slash("/predict", post(predict_rows))
        .at_slash("/v2", get(v2::server_metadata))
        .at_slash("/v2/health/live", get(v2::server_live))
        .at_slash("/v2/health/ready", get(v2::server_ready))
        .at_slash("/v2/models/{model}", get(v2::model_metadata))
        .at("/v2/models/{model}/ready", get(v2::model_ready))
        .at("/v2/models/{model}/infer", post(v2::model_infer))
        .at("/v2/models/{model}/versions/{version}", get(v2::version_metadata))
        .at(
            "/v2/models/{model}/versions/{version}/ready",
            get(v2::version_ready),
        )
        .at(
            "/v2/models/{model}/versions/{version}/infer",
            post(v2::version_infer),
        )
        .at_slash("/feedback", post(take_feedback))
        .at("/healthz", get(healthz))
        .at("/readyz", get(readyz))
        .at("/health", get(health))
        .at("/metrics", get(prometheus))
}

fn probe_paths() -> Paths {
    Paths::default()
        .at("/healthz", get(healthz))
        .at("/readyz", get(readyz))
        .at("/health", get(health_of_probes))
        .at("/metrics", get(metrics_of_probes))
}

/// The paths of a port. Metrics, the answer to unknown paths and the documentation are derived from them.
#[derive(Default)]
struct Paths {
    router: Router<Arc<App>>,
    /// The pattern of each path with the label of its requests.
    labels: Vec<(Cow<'static, str>, &'static str)>,
}

/// The middleware of every request.
struct Observer {
    app: Arc<App>,
    labels: Vec<(Cow<'static, str>, &'static str)>,
}

// === impl Paths ===

impl Paths {
    /// Adds a path.
    fn at(mut self, path: &'static str, methods: MethodRouter<Arc<App>>) -> Self {
        self.router = self.router.route(path, methods);
        self.labels.push((path.into(), path));
        self
    }

    /// Adds a path that may also end with a slash.
    fn at_slash(mut self, path: &'static str, methods: MethodRouter<Arc<App>>) -> Self {
        let slashed = format!("{path}/");
        self.router = self.router.route(&slashed, methods.clone());
        self.labels.push((slashed.into(), path));
        self.at(path, methods)
    }

    /// The distinct first parts of all paths: `/predict`, `/v2`, ….
    fn first_parts(&self) -> Vec<&'static str> {
        let mut parts: Vec<&'static str> = Vec::new();
        for (_, path) in &self.labels {
            let end = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
            let part = &path[..end];
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts
    }

    /// The service. In the answer to an unknown path, `but` is the text between that path and the list of known paths.
    fn finish(self, app: Arc<App>, but: &str) -> Router {
        let there_are: Arc<str> = format!("{but}{}", list(&self.first_parts())).into();
        let observer = Arc::new(Observer {
            app: Arc::clone(&app),
            labels: self.labels,
        });
        self.router
            .fallback(move |uri: Uri| {
                let there_are = Arc::clone(&there_are);
                async move { unknown_path(&uri, &there_are) }
            })
            .method_not_allowed_fallback(wrong_method)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(observer, observe))
            .with_state(app)
    }
}

/// Words as a list: `a, b and c`.
fn list(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        words => words.concat(),
    }
}

// === what is left ===

fn unknown_path(uri: &Uri, there_are: &str) -> Problem {
    let path: String = uri.path().chars().take(120).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("no such path {path:?}{there_are}"))
}

async fn wrong_method(request: Request) -> Problem {
    let method = request.method().as_str().chars().take(20).collect::<String>();
    let path: String = request.uri().path().chars().take(120).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed for {path:?}; see the header Allow"),
    )
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that tower-http requires"
)]
fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(
        panic = text,
        "a request made this program panic; this is a bug in it"
    );
    Problem::internal().into_response()
}

/// Counts and times every request, and sends clients away while the process drains.
async fn observe(State(observer): State<Arc<Observer>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let app = &observer.app;
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = matched.map_or("unmatched", |path| observer.label(path));
    let in_flight = InFlight::new(app);
    let mut response = next.run(request).await;
    drop(in_flight);
    let code = response.status().as_u16();
    app.metrics
        .requests
        .get_or_create(&RequestLabels { route, code })
        .inc();
    app.metrics
        .duration
        .get_or_create(&RouteLabel { route })
        .observe(started.elapsed().as_secs_f64());
    if let Some(digest) = &app.routes_digest {
        response
            .headers_mut()
            .insert(ROUTES_DIGEST_HEADER, digest.clone());
    }
    if app.is_draining() {
        // The connection is closed after this answer, so the client opens the next one elsewhere. Closing an idle
        // connection instead could race with a request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

// === impl Observer ===

impl Observer {
    fn label(&self, path: &str) -> &'static str {
        let known = self.labels.iter().find(|(pattern, _)| pattern == path);
        known.map_or("unmatched", |(_, label)| label)
    }
}

/// Counts the request down even if the client disconnects before the answer.
struct InFlight<'a>(&'a App);

impl<'a> InFlight<'a> {
    fn new(app: &'a App) -> Self {
        app.metrics.in_flight.inc();
        Self(app)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use axum::body::Body;
    use clap::Parser as _;
    use modelward_wire::{Digest, Route, RouteMode, Routes};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{args::Args, prediction_id::Signer};

    /// A server without its bundle. The paths are the same before and after the bundle is loaded.
    fn app() -> Arc<App> {
        let route = Route {
            version: "heart-1".into(),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: "0.5".parse().unwrap(),
            mode: RouteMode::Live,
        };
        let routes = Routes {
            format: 1,
            model: "heart".into(),
            routes: vec![route],
            window_seconds: 3600,
        };
        let args = [
            "modelward-inference",
            "--namespace",
            "hospital",
            "--ledger-url",
            "http://127.0.0.1:9",
        ];
        let limits = Args::parse_from(args).limits();
        Arc::new(App::new("hospital".into(), routes, Signer::new(&[7; 32]), limits))
    }

    async fn status(router: &Router, method: &str, pattern: &str) -> StatusCode {
        let path = pattern
            .replace("{model}", "heart")
            .replace("{version}", "heart-1");
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from("{}")).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    }

    fn documentation() -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/serving.md");
        std::fs::read_to_string(file).unwrap()
    }

    #[tokio::test]
    async fn each_path_is_answered_and_counted_under_its_label() {
        for (paths, router) in [
            (paths as fn() -> Paths, router as fn(_) -> _),
            (probe_paths, probe_router),
        ] {
            for (pattern, label) in paths().labels {
                let app = app();
                let router = router(Arc::clone(&app));
                assert_ne!(status(&router, "GET", &pattern).await, 404, "{pattern}");
                let text = app.metrics.encode().unwrap();
                let counted = format!("requests_total{{route=\"{label}\",");
                assert_eq!(text.matches(&counted).count(), 1, "{pattern}\n{text}");
                assert_eq!(text.matches("requests_total{").count(), 1, "{text}");
            }
        }
    }

    #[tokio::test]
    async fn the_documentation_has_each_path_with_its_method() {
        let text = documentation();
        let table = text.split("\n| path | purpose |\n").nth(1).unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|')).skip(1);
        let documented: BTreeSet<(&str, &str)> = rows
            .map(|row| row.split('`').nth(1).unwrap().split_once(' ').unwrap())
            .collect();
        let router = router(app());
        for (method, path) in &documented {
            let status = status(&router, method, path).await;
            assert!(!matches!(status.as_u16(), 404 | 405), "{method} {path}: {status}");
        }
        let documented: BTreeSet<&str> = documented.into_iter().map(|(_, path)| path).collect();
        let known: BTreeSet<&str> = paths().labels.iter().map(|(_, label)| *label).collect();
        assert_eq!(documented, known);
        let probes: Vec<String> = probe_paths()
            .labels
            .iter()
            .map(|(_, path)| format!("`{path}`"))
            .collect();
        let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
        let sentence = format!("The probe port serves only {}", list(&probes));
        assert!(text.contains(&sentence), "{sentence}");
    }

    #[tokio::test]
    async fn an_unknown_path_is_answered_with_those_that_there_are() {
        let there_are = "no such path \"/x\"; there are ";
        let of_probes = "no such path \"/x\" on the probe port; it has ";
        for (router, beginning, paths) in [
            (router(app()), there_are, paths()),
            (probe_router(app()), of_probes, probe_paths()),
        ] {
            let parts = paths.first_parts();
            assert!(parts.contains(&"/healthz"), "{parts:?}");
            let sentence = format!("{beginning}{}", list(&parts));
            let request = Request::builder().uri("/x").body(Body::empty()).unwrap();
            let body = router.oneshot(request).await.unwrap().into_body();
            let body = axum::body::to_bytes(body, 1 << 10).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"], sentence);
        }
    }

    #[test]
    fn the_first_parts_of_paths_are_listed_once_each() {
        let paths = Paths::default()
            .at("/a/b", get(healthz))
            .at_slash("/c", get(healthz))
            .at("/a/{d}", get(healthz))
            .at("/e", get(healthz));
        assert_eq!(list(&paths.first_parts()), "/a, /c and /e");
        assert_eq!(list(&["/a"]), "/a");
    }
}
