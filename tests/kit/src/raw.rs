//! Objects as the API server writes them, without a type that could drop or reject a field.

use http::Request;
use kube::Client;
use serde_json::Value;

/// Reads the object at this path.
pub async fn get(client: &Client, path: &str) -> kube::Result<Value> {
    let request = Request::get(path).body(Vec::new());
    client.request(request.map_err(kube::Error::HttpError)?).await
}

/// Replaces the object at this path, which may end with a query.
pub async fn put(client: &Client, path: &str, body: &Value) -> kube::Result<Value> {
    let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
    let request = Request::put(path)
        .header("content-type", "application/json")
        .body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

/// Deletes the object at this path, which may end with a query.
pub async fn delete(client: &Client, path: &str) -> kube::Result<Value> {
    let request = Request::delete(path).body(Vec::new());
    client.request(request.map_err(kube::Error::HttpError)?).await
}
