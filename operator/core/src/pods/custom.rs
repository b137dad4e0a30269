//! The containers of a training by a custom trainer.

use k8s_openapi::api::core::v1::Pod;

/// The init container that writes the files that an image trains on.
pub const PREPARE: &str = "prepare";
/// The init container of an image that trains. What it writes is untrusted text.
pub const CUSTOM_TRAINER: &str = "custom-trainer";
/// Longest message of such an image, in characters.
const MESSAGE: usize = 400;

/// The image that a node ran in a Pod's container for an image that trains, with its digest, if it ended well.
pub fn custom_image(pod: &Pod) -> Option<&str> {
    let mut statuses = pod
        .status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten());
    let own = statuses.find(|found| found.name == CUSTOM_TRAINER)?;
    let ended = own.state.as_ref()?.terminated.as_ref()?;
    Some(own.image_id.as_str()).filter(|image| ended.exit_code == 0 && !image.is_empty())
}

/// What an image writes as its termination message: the field `message` of an object in JSON, otherwise the text, quoted and cut.
pub(super) fn message(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    let object = serde_json::from_str::<serde_json::Value>(words).ok();
    let message = object.as_ref().and_then(|object| object.get("message")?.as_str());
    let text = message.unwrap_or(words);
    let mut shown: String = text.chars().take(MESSAGE).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
