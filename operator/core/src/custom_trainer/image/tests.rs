use super::*;

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";
const OTHER: &str = "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn allows(rule: &str, image: &str) -> bool {
    let rule: AllowedImage = rule.parse().unwrap();
    image.parse().is_ok_and(|image| rule.allows(&image))
}

#[test]
fn what_a_reference_leaves_out_is_filled_in() {
    for (short, full) in [
        ("heart", "docker.io/library/heart:latest"),
        ("ml/heart:1.2", "docker.io/ml/heart:1.2"),
        ("docker.io/heart", "docker.io/library/heart:latest"),
        ("index.docker.io/library/heart", "docker.io/library/heart:latest"),
        ("localhost/heart:e2e", "localhost/heart:e2e"),
        (
            "registry.example:5000/ml/heart",
            "registry.example:5000/ml/heart:latest",
        ),
        ("10.0.0.1:5000/a__b/c-d.e:V_1", "10.0.0.1:5000/a__b/c-d.e:V_1"),
    ] {
        assert_eq!(short.parse::<Image>().unwrap().to_string(), full);
    }
    let pinned = format!("registry.example/ml/heart:1@{DIGEST}");
    let read: Image = pinned.parse().unwrap();
    assert_eq!(
        read.to_string(),
        format!("registry.example/ml/heart@{DIGEST}"),
        "the tag beside a digest is not asked for"
    );
}

#[test]
fn what_is_no_reference_is_refused() {
    for text in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "a/../b",
        "a/./b",
        "..",
        "a/-b",
        "a/b-",
        "a/b..c",
        "a/b___c",
        "a:",
        "a:b:c",
        "a:-1",
        "a@",
        "a@sha256:",
        "a@sha512:00",
        "a@@b",
        "A/b",
        "Registry.example/b",
        "registry.example/B",
        "registry_x.example/b",
        "registry.example:/b",
        "registry.example:0/b",
        "registry.example:1:2/b",
        "http://registry.example/b",
        "a b",
        "a\n",
        "a/b\u{0}",
        "é/b",
        "[::1]:5000/b",
        "user@host/b",
        "registry.example",
        "registry.example/",
    ] {
        // The first part of a name without a slash is a repository.
        if text == "registry.example" {
            assert_eq!(
                text.parse::<Image>().unwrap().to_string(),
                "docker.io/library/registry.example:latest"
            );
            continue;
        }
        assert!(text.parse::<Image>().is_err(), "{text:?}");
    }
}

#[test]
fn a_digest_allows_that_digest_of_that_repository_alone() {
    let rule = format!("registry.example/ml/heart@{DIGEST}");
    assert!(allows(&rule, &rule));
    assert!(
        allows(&rule, &format!("registry.example/ml/heart:any@{DIGEST}")),
        "the registry is asked for the digest"
    );
    for image in [
        format!("registry.example/ml/heart@{OTHER}"),
        "registry.example/ml/heart:1".to_owned(),
        "registry.example/ml/heart".to_owned(),
        format!("registry.example/ml/heart2@{DIGEST}"),
        format!("registry.example/ml/heart/x@{DIGEST}"),
        format!("evil.example/ml/heart@{DIGEST}"),
        format!("ml/heart@{DIGEST}"),
        format!("registry.example:443/ml/heart@{DIGEST}"),
        format!("registry.example/ml/HEART@{DIGEST}"),
    ] {
        assert!(!allows(&rule, &image), "{image}");
    }
}

#[test]
fn any_digest_of_a_repository_is_no_tag_and_no_other_repository() {
    let rule = "registry.example/ml/heart@sha256:";
    assert!(allows(rule, &format!("registry.example/ml/heart@{DIGEST}")));
    assert!(allows(rule, &format!("registry.example/ml/heart:1@{OTHER}")));
    for image in [
        "registry.example/ml/heart:1",
        "registry.example/ml/heart",
        "registry.example/ml/heart@sha256:",
    ] {
        assert!(!allows(rule, image), "{image}");
    }
    assert!(!allows(rule, &format!("registry.example/ml/heart-evil@{DIGEST}")));
    assert!(!allows(rule, &format!("registry.example/ml@{DIGEST}")));
}

#[test]
fn a_folder_allows_whole_parts_below_it() {
    let rule = "registry.example/ml/";
    for image in [
        "registry.example/ml/heart",
        "registry.example/ml/heart:1",
        "registry.example/ml/deep/er:1",
    ] {
        assert!(allows(rule, image), "{image}");
    }
    for image in [
        "registry.example/ml",
        "registry.example/ml:1",
        "registry.example/mlevil/heart",
        "registry.example/ml-evil/heart",
        "registry.example/ml/../evil",
        "registry.example/ml/./x",
        "registry.example/ml//x",
        "registry.example.evil.example/ml/heart",
        "evil.example/registry.example/ml/heart",
        "registry.example@evil.example/ml/heart",
        "registry.example:5000/ml/heart",
        "ml/heart",
        "registry.example/ML/heart",
    ] {
        assert!(!allows(rule, image), "{image}");
    }
}

#[test]
fn a_folder_of_one_part_is_a_registry_if_it_can_be_one() {
    assert!(allows("registry.example/", "registry.example/any/thing:1"));
    assert!(!allows("registry.example/", "registry.example.org/any/thing:1"));
    assert!(allows("localhost:5000/", "localhost:5000/x"));
    assert!(!allows("localhost/", "localhost:5000/x"));
    assert!(allows("ml/", "docker.io/ml/heart"));
    assert!(!allows("ml/", "heart"));
    assert!(!allows("ml/", "registry.example/ml/heart"));
    assert!(allows("docker.io/", "heart"));
    assert!(allows("index.docker.io/library/", "heart"));
    assert!(!allows("library/", "library.example/heart"));
}

#[test]
fn a_tag_is_compared_whole_and_a_digest_beside_it_is_another_image() {
    assert!(allows(
        "registry.example/ml/heart:1",
        "registry.example/ml/heart:1"
    ));
    assert!(allows("heart", "docker.io/library/heart:latest"));
    for image in [
        "registry.example/ml/heart:10",
        "registry.example/ml/heart",
        "registry.example/ml/heart:latest",
    ] {
        assert!(!allows("registry.example/ml/heart:1", image), "{image}");
    }
    assert!(!allows(
        "registry.example/ml/heart:1",
        &format!("registry.example/ml/heart:1@{OTHER}")
    ));
}
