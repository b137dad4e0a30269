//! Which images may train, and with which service accounts.
//!
//! It comes from Helm values, never from an object that a tenant can write. Without values no image may.

mod image;

pub use image::{Image, ImageError};
use modelward_crds::CustomTrainer;
use serde::Deserialize;

use crate::custom_trainer::image::AllowedImage;

/// Which images may train, and with which service accounts. JSON in the environment variable `MODELWARD_CUSTOM_TRAINERS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AllowedTrainers {
    images: Vec<AllowedImage>,
    service_accounts: Vec<String>,
}

/// What a custom trainer is run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTrainer {
    /// The image with its registry and its tag or digest, so that no node can resolve it otherwise.
    pub image: Image,
    /// Its service account, if it gets a token of one.
    pub service_account: Option<String>,
}

// === impl AllowedTrainers ===

impl AllowedTrainers {
    /// What this trainer may be run as, or a sentence that says what an administrator would have to allow.
    pub fn check(&self, trainer: &CustomTrainer) -> Result<AllowedTrainer, String> {
        let image: Image = trainer.image.parse().map_err(|error: ImageError| {
            format!("source.training.customTrainer.image is not an image: {error}")
        })?;
        if !self.images.iter().any(|allowed| allowed.allows(&image)) {
            return Err(format!(
                "image {image} may not train: an administrator has to add it to the Helm value trainer.custom.images, by its digest, \
                 or with the folder of its registry"
            ));
        }
        let account = trainer.service_account_name.as_ref();
        match account.filter(|account| !self.service_accounts.contains(account)) {
            Some(account) => Err(format!(
                "image {image} may not have the service account {account}: an administrator has to add it to the Helm value \
                 trainer.custom.serviceAccounts, or the version has to leave serviceAccountName out"
            )),
            None => Ok(AllowedTrainer {
                image,
                service_account: account.cloned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn allowed(value: &Value) -> AllowedTrainers {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn trainer(image: &str, account: Option<&str>) -> CustomTrainer {
        serde_json::from_value(json!({"image": image, "format": "LightGBM", "serviceAccountName": account}))
            .unwrap()
    }

    #[test]
    fn without_values_no_image_may_train() {
        let none = allowed(&json!({}));
        assert_eq!(none, AllowedTrainers::default());
        let refusal = none
            .check(&trainer("registry.example/ml/heart:1", None))
            .unwrap_err();
        assert_eq!(
            refusal,
            "image registry.example/ml/heart:1 may not train: an administrator has to add it to the Helm value trainer.custom.images, \
             by its digest, or with the folder of its registry"
        );
    }

    #[test]
    fn an_account_is_allowed_by_its_whole_name_and_images_without_one_need_none() {
        let list = allowed(&json!({"images": ["registry.example/ml/"], "serviceAccounts": ["trainjobs"]}));
        let image = "registry.example/ml/heart:1";
        assert_eq!(list.check(&trainer(image, None)).unwrap().service_account, None);
        let given = list.check(&trainer(image, Some("trainjobs"))).unwrap();
        assert_eq!(given.service_account.as_deref(), Some("trainjobs"));
        for account in ["default", "trainjobs2", "trainjob", "", "Trainjobs", "trainjobs "] {
            let refusal = list.check(&trainer(image, Some(account))).unwrap_err();
            assert!(refusal.contains("trainer.custom.serviceAccounts"), "{refusal}");
        }
    }

    #[test]
    fn a_value_that_is_no_image_is_refused_by_name() {
        for wrong in [
            "",
            "/",
            "//",
            "registry.example//a/",
            "*",
            "registry.example/ml/*",
            "Registry.example/a:1",
            "registry.example/a@sha256:12",
            "../a/",
        ] {
            let error = serde_json::from_value::<AllowedTrainers>(json!({"images": [wrong]})).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{wrong:?}")),
                "{wrong}: {error}"
            );
        }
        let error = serde_json::from_value::<AllowedTrainers>(json!({"image": []})).unwrap_err();
        assert!(error.to_string().contains("image"), "{error}");
    }
}
