//! Which images may train, with which variables and service accounts.
//!
//! It comes from Helm values, never from an object that a tenant can write. Without values no image may.

mod image;

pub use image::{Image, ImageError};
use modelward_crds::CustomTrainer;
use serde::Deserialize;

use crate::custom_trainer::image::AllowedImage;

/// Which images may train, with which variables and service accounts. JSON in the environment variable `MODELWARD_CUSTOM_TRAINERS`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AllowedTrainers {
    images: Vec<AllowedImage>,
    /// Names of environment variables that a version may set.
    variables: Vec<String>,
    service_accounts: Vec<AllowedAccount>,
}

/// A service account, and the images that may have its token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AllowedAccount {
    name: String,
    images: Vec<AllowedImage>,
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
        if !allow(&self.images, &image) {
            return Err(format!(
                "image {image} may not train: an administrator has to add it to the Helm value trainer.custom.images, by its digest, \
                 or with the folder of its registry"
            ));
        }
        let mut variables = trainer.env.iter().map(|variable| &variable.name);
        if let Some(name) = variables.find(|name| !self.variables.contains(name)) {
            return Err(format!(
                "image {image} may not have the variable {name}: an administrator has to add it to the Helm value \
                 trainer.custom.variables, or the version has to leave it out"
            ));
        }
        let account = trainer.service_account_name.as_ref();
        match account.filter(|account| !self.allows_account(account, &image)) {
            Some(account) => Err(format!(
                "image {image} may not have the service account {account}: an administrator has to add the image to this account in the \
                 Helm value trainer.custom.serviceAccounts, or the version has to leave serviceAccountName out"
            )),
            None => Ok(AllowedTrainer {
                image,
                service_account: account.cloned(),
            }),
        }
    }

    fn allows_account(&self, account: &str, image: &Image) -> bool {
        let mut accounts = self.service_accounts.iter();
        accounts.any(|allowed| allowed.name == account && allow(&allowed.images, image))
    }
}

fn allow(images: &[AllowedImage], image: &Image) -> bool {
    images.iter().any(|allowed| allowed.allows(image))
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
    fn a_variable_is_allowed_by_its_name_and_none_is_by_default() {
        let with = |name: &str| {
            let mut trainer = trainer("registry.example/ml/heart:1", None);
            trainer.env = serde_json::from_value(json!([{"name": name, "value": "x"}])).unwrap();
            trainer
        };
        let list = allowed(&json!({"images": ["registry.example/ml/"], "variables": ["WANDB_MODE"]}));
        list.check(&with("WANDB_MODE")).unwrap();
        for name in [
            "LD_PRELOAD",
            "KUBERNETES_SERVICE_HOST",
            "wandb_mode",
            "WANDB_MODE_",
        ] {
            let refusal = list.check(&with(name)).unwrap_err();
            assert!(
                refusal.contains(&format!("the variable {name}: "))
                    && refusal.contains("trainer.custom.variables"),
                "{refusal}"
            );
        }
        assert!(
            allowed(&json!({"images": ["registry.example/ml/"]}))
                .check(&with("WANDB_MODE"))
                .is_err()
        );
    }

    #[test]
    fn an_account_is_for_the_images_that_are_listed_with_it() {
        let list = allowed(&json!({"images": ["registry.example/ml/"], "serviceAccounts": [
            {"name": "trainjobs", "images": ["registry.example/ml/launcher:1"]}]}));
        list.check(&trainer("registry.example/ml/launcher:1", Some("trainjobs")))
            .unwrap();
        for image in ["registry.example/ml/heart:1", "registry.example/ml/launcher:2"] {
            let refusal = list.check(&trainer(image, Some("trainjobs"))).unwrap_err();
            assert!(refusal.contains("trainer.custom.serviceAccounts"), "{refusal}");
            list.check(&trainer(image, None)).unwrap();
        }
    }

    #[test]
    fn an_account_is_allowed_by_its_whole_name_and_images_without_one_need_none() {
        let list = allowed(&json!({"images": ["registry.example/ml/"], "serviceAccounts": [
            {"name": "trainjobs", "images": ["registry.example/ml/"]}]}));
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
