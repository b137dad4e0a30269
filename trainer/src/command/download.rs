//! `download`: the files of a public dataset, each with the digest that it must have.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use modelward_model::sha256;
use modelward_wire::Digest;

use crate::{
    command::{arguments::DownloadArgs, public_dataset::PublicFile},
    data::{
        cache,
        source::{self, Fetch},
    },
};

/// How a file came to be in its folder.
enum Outcome {
    Downloaded(usize),
    AlreadyThere,
}

pub(super) async fn download_dataset(args: &DownloadArgs) -> anyhow::Result<ExitCode> {
    let fetch = Fetch::anywhere();
    let base = args.from.as_deref().unwrap_or_else(|| args.dataset.base());
    for file in args.dataset.files() {
        let line = match fetch_file(file, base, &args.to, &fetch).await? {
            Outcome::Downloaded(bytes) => format!("{}: {bytes} bytes, sha256 {}", file.name, file.sha256),
            Outcome::AlreadyThere => format!("{}: already there, sha256 {}", file.name, file.sha256),
        };
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch_file(file: &PublicFile, base: &str, folder: &Path, fetch: &Fetch) -> anyhow::Result<Outcome> {
    let expected: Digest = format!("sha256:{}", file.sha256).parse()?;
    let path = folder.join(file.name);
    if source::read_file(&path).is_ok_and(|bytes| sha256(&bytes) == expected) {
        return Ok(Outcome::AlreadyThere);
    }
    let uri = format!("{}/{}", base.trim_end_matches('/'), file.name);
    let bytes = source::download(&uri, Some(expected), fetch).await?;
    let found = sha256(&bytes);
    if found != expected {
        bail!(
            "{} has {found}, and {} must have {expected}; the server has another file: name another server with --from",
            source::shown(&uri),
            file.name
        );
    }
    cache::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Outcome::Downloaded(bytes.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, extract, routing::get};

    use super::*;
    use crate::command::public_dataset::PublicDataset;

    const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples/heart-disease");

    /// Serves the samples under UCI's names, or always the same text.
    async fn serve(text: Option<&'static str>) -> String {
        let answer = move |extract::Path(name): extract::Path<String>| async move {
            let name = name.replace("processed.", "").replace(".data", ".csv");
            text.map_or_else(
                || std::fs::read(format!("{SAMPLES}/{name}")).unwrap(),
                |text| text.as_bytes().to_vec(),
            )
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/heart/{name}", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}/heart/")
    }

    #[tokio::test]
    async fn the_files_are_downloaded_and_proved_and_those_that_are_there_are_not_asked_for_again() {
        let temp = tempfile::tempdir().unwrap();
        let to = temp.path().join("data");
        let args = |from: String| DownloadArgs {
            dataset: PublicDataset::HeartDisease,
            to: to.clone(),
            from: Some(from),
        };
        download_dataset(&args(serve(None).await)).await.unwrap();
        for file in PublicDataset::HeartDisease.files() {
            let bytes = std::fs::read(to.join(file.name)).unwrap();
            assert_eq!(sha256(&bytes).to_string(), format!("sha256:{}", file.sha256));
        }
        download_dataset(&args("http://127.0.0.1:1".into()))
            .await
            .unwrap();
        std::fs::write(to.join("processed.hungarian.data"), "half of").unwrap();
        download_dataset(&args(serve(None).await)).await.unwrap();
        assert_eq!(
            std::fs::read_dir(&to).unwrap().count(),
            2,
            "no part is left behind"
        );
    }

    #[tokio::test]
    async fn another_file_is_refused_with_both_digests_and_not_written() {
        let temp = tempfile::tempdir().unwrap();
        let base = serve(Some("<html>moved</html>")).await;
        let fetch = Fetch {
            pause: Duration::from_millis(1),
            ..Fetch::anywhere()
        };
        let file = &PublicDataset::HeartDisease.files()[0];
        let error = fetch_file(file, &base, temp.path(), &fetch).await.err().unwrap();
        let text = error.to_string();
        assert!(text.contains(file.sha256), "{text}");
        assert!(
            text.contains(&sha256(b"<html>moved</html>").to_string()),
            "{text}"
        );
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
