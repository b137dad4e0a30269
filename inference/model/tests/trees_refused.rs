//! Hostile or unsupported files of trees are refused with a reason. Valid trees decide as written.

#![expect(clippy::unwrap_used, reason = "a model that is not read is a failed test")]

use modelward_model::{
    Feature, FeatureSchema, Row, Value,
    family::tree::{TreeError, TreeModel},
};

/// A tree with two numeric splits and a categorical one, and a tree that is a leaf.
const TEXT: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=age thal
feature_infos=[1:2] 0:1:2
tree_sizes=400 100

Tree=0
num_leaves=4
num_cat=1
split_feature=0 1 0
split_gain=1 1 1
threshold=50.5 0 inf
decision_type=10 1 8
left_child=1 -1 -3
right_child=2 -2 -4
leaf_value=0.5 -0.25 1e-3 2
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=0.125
is_linear=0
shrinkage=1


end of trees
";

fn small_schema() -> FeatureSchema {
    FeatureSchema::new(vec![
        Feature::numeric("age"),
        Feature::categorical("thal", &["3", "6", "7"]),
    ])
    .unwrap()
}

fn json_model() -> String {
    r#"{"learner":{"attributes":{},"feature_names":["age","thal"],"feature_types":["q","c"],
    "gradient_booster":{"model":{"cats":{"enc":[],"feature_segments":[],"sorted_idx":[]},
    "gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},"iteration_indptr":[0,1],"tree_info":[0],
    "trees":[{"categories":[0,2],"categories_nodes":[1],"categories_segments":[0],"categories_sizes":[2],
    "default_left":[1,0,0,0,0],"id":0,"left_children":[1,3,-1,-1,-1],"right_children":[2,4,-1,-1,-1],
    "split_conditions":[50.5,1E-45,0.5,-0.25,2E0],"split_indices":[0,1,0,0,0],"split_type":[0,1,0,0,0],
    "tree_param":{"num_deleted":"0","num_feature":"2","num_nodes":"5","size_leaf_vector":"1"}}]},"name":"gbtree"},
    "learner_model_param":{"base_score":"[5E-1]","num_class":"0","num_feature":"2","num_target":"1"},
    "objective":{"name":"binary:logistic"}},"version":[3,2,0]}"#
        .to_owned()
}

fn read_text(text: &str) -> Result<TreeModel, TreeError> {
    TreeModel::from_lightgbm(text.as_bytes(), &small_schema())
}

fn read_json(text: &str) -> Result<TreeModel, TreeError> {
    TreeModel::from_xgboost(text.as_bytes(), &small_schema())
}

/// Checks the error of each replacement.
fn check_refusals(text: &str, read: fn(&str) -> Result<TreeModel, TreeError>, cases: &[(&str, &str, &str)]) {
    read(text).unwrap();
    for (from, to, expected) in cases {
        assert!(text.contains(from), "{from} is not there");
        let error = read(&text.replacen(from, to, 1)).unwrap_err();
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        assert!(message.contains(expected), "{from} as {to}: {message}");
    }
}

#[test]
fn a_text_of_lightgbm_decides_as_written() {
    let model = read_text(TEXT).unwrap();
    assert_eq!(model.trees(), 2);
    let raw = |age, thal| model.raw(&Row::new(vec![age, thal]));
    let (low, high) = (Value::Number(50.0), Value::Number(51.0));
    assert_eq!(raw(low, Value::Category(0)), 0.625);
    assert_eq!(raw(low, Value::Category(1)), -0.125);
    assert_eq!(raw(low, Value::Category(2)), 0.625);
    assert_eq!(raw(low, Value::Unknown), -0.125);
    assert_eq!(raw(low, Value::Missing), -0.125);
    assert_eq!(raw(high, Value::Missing), 0.126);
    assert_eq!(raw(Value::Missing, Value::Category(0)), 0.625);
    assert_eq!(raw(Value::Category(0), Value::Number(0.0)), -0.125);
    assert_eq!(model.raw(&Row::new(Vec::new())), -0.125);
}

#[test]
fn a_model_of_xgboost_decides_as_written() {
    let model = read_json(&json_model()).unwrap();
    let raw = |age, thal| model.raw(&Row::new(vec![age, thal]));
    let (low, high) = (Value::Number(50.0), Value::Number(50.5));
    assert_eq!(raw(low, Value::Category(0)), 2.0);
    assert_eq!(raw(low, Value::Category(1)), -0.25);
    assert_eq!(raw(low, Value::Category(7)), -0.25);
    assert_eq!(raw(low, Value::Unknown), -0.25);
    assert_eq!(raw(low, Value::Missing), 2.0);
    assert_eq!(raw(high, Value::Missing), 0.5);
    assert_eq!(raw(Value::Missing, Value::Category(1)), -0.25);
    assert_eq!(model.raw(&Row::new(Vec::new())), 2.0);
    // If it was rounded to double precision first, it would be halfway and then become 1.
    let above_half = json_model().replace("0.5,-0.25", "1.00000005960464477539062500000000001,-0.25");
    let row = Row::new(vec![high, Value::Missing]);
    assert_eq!(
        read_json(&above_half).unwrap().raw(&row),
        f64::from(1.0_f32.next_up())
    );
}

#[test]
fn a_text_of_lightgbm_that_cannot_be_scored_is_refused_with_where_and_what() {
    check_refusals(
        TEXT,
        read_text,
        &[
            ("tree\n", "forest\n", "line 1: expected \"tree\""),
            ("v4", "v3", "version: \"v3\" is not supported"),
            ("num_class=1", "num_class=3", "num_class: \"3\""),
            (
                "num_tree_per_iteration=1\n",
                "",
                "num_tree_per_iteration: nothing",
            ),
            (
                "max_feature_idx=1",
                "max_feature_idx=2",
                "the model has 3 features, but the schema has 2",
            ),
            (
                "max_feature_idx=1",
                "max_feature_idx=18446744073709551615",
                "max_feature_idx: ",
            ),
            ("binary sigmoid:1", "regression", "objective: \"regression\""),
            ("binary sigmoid:1", "binary sigmoid:0", "objective: "),
            ("binary sigmoid:1", "binary sigmoid:nan", "objective: "),
            ("label_index=0", "average_output", "average_output: "),
            (
                "age thal",
                "thal age",
                "feature_names: they are not in the order of the schema",
            ),
            (
                "tree_sizes=400 100",
                "tree_sizes=400",
                "tree_sizes: there are 2 trees",
            ),
            (
                "version=v4",
                "version=v4\nversion=v4",
                "line 3: the field is there twice",
            ),
            ("Tree=1", "Tree=2", "line 28: expected Tree=1"),
            ("end of trees\n", "", "the file ends before \"end of trees\""),
            ("shrinkage=1", "shrinkage", "line 25: expected key=value"),
            (
                "num_leaves=4",
                "num_leaves=2147483648",
                "tree 0: num_leaves is 2147483648",
            ),
            ("num_leaves=4", "num_leaves=0", "tree 0: num_leaves is 0"),
            ("num_leaves=4", "num_leaves=-1", "num_leaves has \"-1\""),
            (
                "num_leaves=4",
                "num_leaves=500000",
                "leaf_value has 4 numbers, expected 500000",
            ),
            ("num_leaves=4\n", "", "tree 0: it has no num_leaves"),
            (
                "num_cat=1",
                "num_cat=18446744073709551615",
                "cat_boundaries has 2 numbers",
            ),
            (
                "num_cat=1",
                "num_cat=0",
                "tree 0, node 1: it has a set of categories 0 that is not there",
            ),
            ("is_linear=0", "is_linear=1", "linear trees are not supported"),
            (
                "split_feature=0 1 0",
                "split_feature=0 1 2",
                "node 2: it splits by feature 2, but the schema has 2",
            ),
            (
                "split_feature=0 1 0",
                "split_feature=0 0 0",
                "feature \"age\" is numeric",
            ),
            (
                "threshold=50.5",
                "threshold=nan",
                "node 0: its threshold is not a number",
            ),
            ("threshold=50.5 0", "threshold=50.5 -1", "a set of categories -1"),
            ("threshold=50.5 0", "threshold=50.5 1e300", "that is not there"),
            (
                "decision_type=10",
                "decision_type=14",
                "node 0: decision_type 14 is unknown",
            ),
            (
                "decision_type=10",
                "decision_type=256",
                "decision_type has \"256\"",
            ),
            (
                "left_child=1",
                "left_child=0",
                "node 0: its child 0 has another parent or is the root",
            ),
            (
                "left_child=1 -1",
                "left_child=1 -2",
                "node 1: its child 4 has another parent",
            ),
            (
                "left_child=1 -1",
                "left_child=1 -9223372036854775808",
                "that is not there",
            ),
            (
                "left_child=1 -1",
                "left_child=1 -5",
                "has a child 7 that is not there",
            ),
            ("leaf_value=0.5", "leaf_value=inf", "leaf value inf is not finite"),
            ("leaf_value=0.5", "leaf_value=1e101", "leaf value 1e101"),
            (
                "cat_boundaries=0 1",
                "cat_boundaries=1 0",
                "cat_threshold has 1 numbers, expected 0",
            ),
            (
                "cat_boundaries=0 1",
                "cat_boundaries=2 1",
                "cat_boundaries are not in order",
            ),
            (
                "cat_threshold=5",
                "cat_threshold=8",
                "node 1: it has category 3, the feature has 3",
            ),
        ],
    );
    assert!(read_text("").is_err());
    let none = TEXT
        .split("Tree=0")
        .next()
        .unwrap()
        .replace("tree_sizes=400 100\n", "")
        + "end of trees\n";
    assert_eq!(read_text(&none).unwrap_err().to_string(), "it has no trees");
}

#[test]
fn a_model_of_xgboost_that_cannot_be_scored_is_refused_with_where_and_what() {
    check_refusals(
        &json_model(),
        read_json,
        &[
            (
                "binary:logistic",
                "multi:softprob",
                "objective: \"multi:softprob\" is not supported",
            ),
            ("\"gbtree\"", "\"dart\"", "booster \"dart\" is not supported"),
            ("\"gbtree\"", "\"gblinear\"", "\"gblinear\" is not supported"),
            ("\"num_class\":\"0\"", "\"num_class\":\"3\"", "num_class: "),
            ("\"num_target\":\"1\"", "\"num_target\":\"2\"", "num_target: "),
            (
                "\"num_feature\":\"2\",\"num_target",
                "\"num_feature\":\"3\",\"num_target",
                "the model has 3 features",
            ),
            (
                "\"num_feature\":\"2\",\"num_target",
                "\"num_feature\":\"-1\",\"num_target",
                "num_feature: \"-1\"",
            ),
            ("[\"age\",\"thal\"]", "[\"thal\",\"age\"]", "not in the order"),
            ("[5E-1]", "[5E-1,5E-1]", "base_score: "),
            ("[5E-1]", "1.5", "base_score: "),
            ("[5E-1]", "nan", "base_score: "),
            ("\"tree_info\":[0]", "\"tree_info\":[1]", "tree_info: "),
            (
                "\"tree_info\":[0]",
                "\"tree_info\":[0],\"weight_drop\":[0.5]",
                "weight_drop: ",
            ),
            ("\"enc\":[]", "\"enc\":[{}]", "cats: "),
            (
                "\"num_nodes\":\"5\"",
                "\"num_nodes\":\"2147483648\"",
                "tree 0: num_nodes is \"2147483648\"",
            ),
            (
                "\"size_leaf_vector\":\"1\"",
                "\"size_leaf_vector\":\"3\"",
                "leaves with more than one number",
            ),
            (
                "\"left_children\":[1",
                "\"left_children\":[0",
                "are not side by side",
            ),
            (
                "[1,3,-1,-1,-1],\"right_children\":[2,4",
                "[1,0,-1,-1,-1],\"right_children\":[2,1",
                "node 1: its child 0",
            ),
            (
                "[1,3,-1,-1,-1],\"right_children\":[2,4",
                "[1,4,-1,-1,-1],\"right_children\":[2,5",
                "node 1: it has a child 5",
            ),
            (
                "\"left_children\":[1",
                "\"left_children\":[-7",
                "node 0: it has a child -7",
            ),
            (
                "\"left_children\":[1",
                "\"left_children\":[2147483647",
                "are not side by side",
            ),
            (
                "\"split_indices\":[0",
                "\"split_indices\":[-1",
                "node 0: it splits by feature -1",
            ),
            (
                "\"split_indices\":[0",
                "\"split_indices\":[2",
                "node 0: it splits by feature 2",
            ),
            (
                "\"split_indices\":[0,1",
                "\"split_indices\":[0,0",
                "node 1: it splits by categories, but feature \"age\"",
            ),
            (
                "\"split_conditions\":[50.5",
                "\"split_conditions\":[1e999",
                "does not parse",
            ),
            ("0.5,-0.25", "1e31,-0.25", "node 2: leaf value"),
            ("0.5,-0.25", "1e300,-0.25", "number out of range"),
            ("0.5,-0.25", "-0.25", "split_conditions has 4 entries, expected 5"),
            (
                "\"split_type\":[0",
                "\"split_type\":[1",
                "node 0: split_type and categories_nodes contradict",
            ),
            ("\"split_type\":[0", "\"split_type\":[2", "does not parse"),
            (
                "\"categories\":[0,2]",
                "\"categories\":[0,3]",
                "node 1: it has category 3, the feature has 3",
            ),
            (
                "\"categories\":[0,2]",
                "\"categories\":[0,-1]",
                "node 1: it has category -1",
            ),
            (
                "\"categories_sizes\":[2]",
                "\"categories_sizes\":[9223372036854775807]",
                "categories_segments are not",
            ),
            (
                "\"categories_segments\":[0]",
                "\"categories_segments\":[9223372036854775807]",
                "categories_segments are not",
            ),
            (
                "\"categories_nodes\":[1]",
                "\"categories_nodes\":[1,1]",
                "differ in length",
            ),
            (
                "\"categories_nodes\":[1],\"categories_segments\":[0],\"categories_sizes\":[2]",
                "\"categories_nodes\":[1,2],\"categories_segments\":[0,0],\"categories_sizes\":[2,2]",
                "categories_segments are not",
            ),
            ("\"trees\":[", "\"other\":[", "it has no trees"),
        ],
    );
}
