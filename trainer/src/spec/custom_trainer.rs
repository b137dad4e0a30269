//! What a spec may set besides a custom trainer.

use modelward_crds::{Family, TrainingSource};

/// Adds what is wrong with the image of a training, and the fields that cannot be set with it.
pub(super) fn check(training: &TrainingSource, wrong: &mut Vec<String>) {
    let Some(trainer) = &training.custom_trainer else {
        return;
    };
    if training.families != [Family::LogisticRegression] {
        wrong.push("customTrainer trains in place of the families; remove families".to_owned());
    }
    if training.hyperparameters.is_some() || training.search.is_some() {
        wrong.push(
            "customTrainer gets its hyper-parameters by args and env, and searches by itself; remove hyperparameters and search".to_owned(),
        );
    }
    if training.ensemble.is_some() {
        wrong.push("customTrainer leaves one model, and an ensemble has several; remove ensemble".to_owned());
    }
    if !training.transforms.is_empty() || training.weights.is_some() {
        wrong.push(
            "customTrainer gets the rows as they are; remove transforms and weights, and do both in the image".to_owned(),
        );
    }
    if training.features.iter().any(|feature| feature.monotone.is_some()) {
        wrong.push("monotone is a constraint that a customTrainer need not keep; remove it".to_owned());
    }
    if training.validation.held_out.is_none() || training.validation.repeats != 1 {
        wrong.push(
            "customTrainer is measured on rows that it does not get; set validation.heldOut, such as {fraction: \"0.2\"}, and \
             validation.repeats: 1"
                .to_owned(),
        );
    }
    if let Some(variable) = trainer
        .env
        .iter()
        .find(|variable| variable.name.starts_with("MODELWARD_"))
    {
        wrong.push(format!(
            "customTrainer.env sets {:?}: names that begin with MODELWARD_ are set by the operator; choose another name",
            variable.name
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use crate::spec::parse;

    #[test]
    fn an_ensemble_beside_an_image_is_refused_with_one_sentence() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join("manifests/samples/heart-custom.yaml")).unwrap();
        let version = text.rsplit("\n---\n").next().unwrap();
        let with = version.replacen(
            "      customTrainer:\n",
            "      ensemble: {use: Always}\n      customTrainer:\n",
            1,
        );
        let error = parse(&with).unwrap_err().to_string();
        assert!(
            error.contains("customTrainer leaves one model, and an ensemble has several; remove ensemble"),
            "{error}"
        );
        assert!(!error.contains("several candidates"), "{error}");
    }

    #[test]
    fn the_samples_are_valid_and_name_the_images_of_the_examples() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (sample, folder) in [
            ("heart-custom.yaml", "examples/custom-trainer"),
            ("heart-trainjob.yaml", "examples/custom-trainer/trainjob"),
        ] {
            let text = fs::read_to_string(root.join("manifests/samples").join(sample)).unwrap();
            // Other objects are before the version.
            let version = text.rsplit("\n---\n").next().unwrap();
            let spec = parse(version).unwrap_or_else(|error| panic!("{sample}: {error}"));
            let trainer = spec.training.custom_trainer.unwrap();
            let image = fs::read_to_string(root.join(folder).join("Dockerfile")).unwrap();
            assert!(
                image.contains(&format!("docker build -t {} {folder}", trainer.image)),
                "{sample}"
            );
        }
    }
}
