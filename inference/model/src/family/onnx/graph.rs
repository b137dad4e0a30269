//! Follows a table through the nodes of a graph, from the inputs to the probabilities.

use std::collections::HashMap;

use super::{
    classifier::{Classifier, read_labels},
    columns::{Budget, Column, Step, take_steps},
    error::OnnxError,
    file::{File, Input, ML, Node, Tensor, element},
};

/// What a name in the graph refers to.
enum Found<'a> {
    Columns(Vec<Column>),
    Constant(Tensor<'a>),
    /// The class. It is not used, because the threshold decides the class here.
    Label,
    /// The probabilities of the classifier.
    Probabilities,
}

/// The result of following a graph.
pub(super) struct Followed {
    pub(super) classifier: Classifier,
    /// For each feature its name, if it is a separate input, and whether a row must have it.
    pub(super) features: Vec<(Option<String>, bool)>,
}

/// The supported operators.
#[derive(Clone, Copy)]
enum Operator {
    Identity,
    Cast,
    Concat,
    Compute(Arithmetic),
    Scaler,
    Imputer,
    FeatureVectorizer,
    ArrayFeatureExtractor,
    Normalizer,
    ZipMap,
    Trees,
    Linear,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

struct Follower<'a> {
    names: HashMap<&'a str, Found<'a>>,
    classifier: Option<Classifier>,
    budget: Budget,
}

pub(super) fn follow(file: &File<'_>) -> Result<Followed, OnnxError> {
    let mut follower = Follower {
        names: HashMap::new(),
        classifier: None,
        budget: Budget::default(),
    };
    let mut features = follower.add_inputs(&file.inputs)?;
    for (name, tensor) in &file.constants {
        follower.names.insert(name, Found::Constant(*tensor));
    }
    for node in &file.nodes {
        follower.follow_node(node)?;
    }
    let classifier = follower.classifier.take();
    let gives = |name: &&str| matches!(follower.names.get(*name), Some(Found::Probabilities));
    let Some(classifier) = classifier.filter(|_| file.outputs.iter().any(gives)) else {
        let what = "it gives no probabilities of a classifier: only binary classifiers are supported";
        return Err(OnnxError::file(what));
    };
    for feature in classifier.needed() {
        features[feature].1 = true;
    }
    Ok(Followed { classifier, features })
}

// === impl Operator ===

impl Operator {
    /// The operator of a node with this domain and name.
    fn of(node: &Node<'_>) -> Option<Self> {
        Some(match (node.domain, node.operator) {
            ("" | "ai.onnx", "Identity") => Self::Identity,
            ("" | "ai.onnx", "Cast") => Self::Cast,
            ("" | "ai.onnx", "Concat") => Self::Concat,
            ("" | "ai.onnx", "Add") => Self::Compute(Arithmetic::Add),
            ("" | "ai.onnx", "Sub") => Self::Compute(Arithmetic::Subtract),
            ("" | "ai.onnx", "Mul") => Self::Compute(Arithmetic::Multiply),
            ("" | "ai.onnx", "Div") => Self::Compute(Arithmetic::Divide),
            (ML, "Scaler") => Self::Scaler,
            (ML, "Imputer") => Self::Imputer,
            (ML, "FeatureVectorizer") => Self::FeatureVectorizer,
            (ML, "ArrayFeatureExtractor") => Self::ArrayFeatureExtractor,
            (ML, "Normalizer") => Self::Normalizer,
            (ML, "ZipMap") => Self::ZipMap,
            (ML, "TreeEnsembleClassifier") => Self::Trees,
            (ML, "LinearClassifier") => Self::Linear,
            _ => return None,
        })
    }
}

// === impl Follower ===

impl<'a> Follower<'a> {
    fn add_inputs(&mut self, inputs: &[Input<'a>]) -> Result<Vec<(Option<String>, bool)>, OnnxError> {
        let mut features = Vec::new();
        for input in inputs {
            let columns = (0..input.width)
                .map(|at| Column::new(features.len() + at))
                .collect();
            // An integer cannot be missing.
            let needed = [element::INT32, element::INT64].contains(&input.element);
            // If a model has one input with one column, the name of the input, such as "X", is not that of a feature.
            let name = (input.width == 1 && inputs.len() > 1).then(|| input.name.to_owned());
            features.extend((0..input.width).map(|_| (name.clone(), needed)));
            if features.len() > 1 << 16 {
                return Err(OnnxError::file("it has more than 65536 features"));
            }
            self.names.insert(input.name, Found::Columns(columns));
        }
        Ok(features)
    }

    fn follow_node(&mut self, node: &Node<'a>) -> Result<(), OnnxError> {
        let operator = Operator::of(node).ok_or_else(|| OnnxError::Operator(node.full_name()))?;
        let found = match operator {
            Operator::Identity => vec![self.pass(node)?],
            Operator::Cast => vec![self.cast(node)?],
            Operator::Concat => {
                if ![Some(1), Some(-1)].contains(&node.integer("axis")?) {
                    return Err(node.fail("it joins rows, not columns"));
                }
                vec![Found::Columns(self.join(node)?)]
            }
            Operator::FeatureVectorizer => vec![Found::Columns(self.join(node)?)],
            Operator::Compute(how) => vec![Found::Columns(self.compute(node, how)?)],
            Operator::Scaler => vec![Found::Columns(self.scale(node)?)],
            Operator::Imputer => vec![Found::Columns(self.impute(node)?)],
            Operator::ArrayFeatureExtractor => vec![Found::Columns(self.extract(node)?)],
            Operator::Normalizer => vec![self.normalise(node)?],
            Operator::ZipMap => vec![self.zip(node)?],
            Operator::Trees => self.classify(node, Classifier::read_trees)?,
            Operator::Linear => self.classify(node, Classifier::read_linear)?,
        };
        for (name, found) in node.outputs.iter().zip(found) {
            self.names.insert(name, found);
        }
        Ok(())
    }

    fn classify(
        &mut self,
        node: &Node<'a>,
        read: fn(&Node<'_>, &[Column]) -> Result<Classifier, OnnxError>,
    ) -> Result<Vec<Found<'a>>, OnnxError> {
        let columns = self.columns(node, 0)?;
        if self.classifier.is_some() {
            let what = "it is the second classifier of the graph; ensembles of models are not supported";
            return Err(node.fail(what));
        }
        self.classifier = Some(read(node, &columns)?);
        Ok(vec![Found::Label, Found::Probabilities])
    }

    fn scale(&mut self, node: &Node<'a>) -> Result<Vec<Column>, OnnxError> {
        let (offset, scale) = (node.numbers("offset")?, node.numbers("scale")?);
        let columns = self.columns(node, 0)?;
        take_steps(node, columns, &[&offset, &scale], |numbers| Step::Scale {
            offset: numbers[0],
            scale: numbers[1],
        })
    }

    fn find(&self, node: &Node<'a>, input: usize) -> Result<&Found<'a>, OnnxError> {
        let name = node.inputs.get(input).copied().unwrap_or_default();
        self.names
            .get(name)
            .ok_or_else(|| node.fail(format!("its input {name:?} is missing")))
    }

    fn columns(&mut self, node: &Node<'a>, input: usize) -> Result<Vec<Column>, OnnxError> {
        let Found::Columns(columns) = self.find(node, input)? else {
            return Err(node.fail("its input is not a table of features"));
        };
        let columns = columns.clone();
        self.budget.spend(node, columns.len())?;
        Ok(columns)
    }

    /// The unchanged input.
    fn pass(&mut self, node: &Node<'a>) -> Result<Found<'a>, OnnxError> {
        Ok(match self.find(node, 0)? {
            Found::Label => Found::Label,
            Found::Probabilities => Found::Probabilities,
            Found::Constant(tensor) => Found::Constant(*tensor),
            Found::Columns(_) => Found::Columns(self.columns(node, 0)?),
        })
    }

    fn cast(&mut self, node: &Node<'a>) -> Result<Found<'a>, OnnxError> {
        let to = node.integer("to")?.unwrap_or_default();
        match self.pass(node)? {
            Found::Columns(columns) if to == element::FLOAT => {
                Ok(Found::Columns(take_steps(node, columns, &[], |_| Step::Narrow)?))
            }
            Found::Columns(columns) if to == element::DOUBLE => Ok(Found::Columns(columns)),
            Found::Columns(_) => Err(node.fail("it casts features to another type than float or double")),
            Found::Probabilities if ![element::FLOAT, element::DOUBLE].contains(&to) => {
                Err(node.fail("it casts probabilities to another type than float or double"))
            }
            found => Ok(found),
        }
    }

    /// Concatenates tables by column.
    fn join(&mut self, node: &Node<'a>) -> Result<Vec<Column>, OnnxError> {
        let mut all = Vec::new();
        for input in 0..node.inputs.len() {
            all.extend(self.columns(node, input)?);
        }
        Ok(all)
    }

    /// Computes with a table and a constant, in either order.
    fn compute(&mut self, node: &Node<'a>, how: Arithmetic) -> Result<Vec<Column>, OnnxError> {
        let is_table = |found: &Found<'_>| matches!(found, Found::Columns(_));
        let first = is_table(self.find(node, 0)?);
        let (table, constant) = if first { (0, 1) } else { (1, 0) };
        let Found::Constant(numbers) = self.find(node, constant)? else {
            return Err(node.fail("it computes with two tables; one must be constant"));
        };
        let numbers = numbers.numbers()?;
        let columns = self.columns(node, table)?;
        if how == Arithmetic::Divide && !first {
            return Err(node.fail("it divides by features"));
        }
        take_steps(node, columns, &[&numbers], |numbers| match how {
            Arithmetic::Add => Step::Add(numbers[0]),
            Arithmetic::Subtract if first => Step::Add(-numbers[0]),
            Arithmetic::Subtract => Step::SubtractFrom(numbers[0]),
            Arithmetic::Multiply => Step::Multiply(numbers[0]),
            Arithmetic::Divide => Step::Divide(numbers[0]),
        })
    }

    fn impute(&mut self, node: &Node<'a>) -> Result<Vec<Column>, OnnxError> {
        let fill = node.numbers("imputed_value_floats")?;
        if fill.is_empty() {
            return Err(node.fail("it has no imputed_value_floats; export the model with float inputs"));
        }
        let replaced = node.single("replaced_value_float")?.unwrap_or(0.0);
        let columns = self.columns(node, 0)?;
        take_steps(node, columns, &[&fill], |numbers| {
            if replaced.is_nan() {
                Step::Fill(numbers[0])
            } else {
                Step::Replace(replaced, numbers[0])
            }
        })
    }

    fn extract(&mut self, node: &Node<'a>) -> Result<Vec<Column>, OnnxError> {
        let Found::Constant(places) = self.find(node, 1)? else {
            return Err(node.fail("its columns are not constant"));
        };
        let places = places.integers()?;
        let columns = self.columns(node, 0)?;
        self.budget.spend(node, places.len())?;
        let column = |place: i64| {
            let column = usize::try_from(place).ok().and_then(|place| columns.get(place));
            let column =
                column.ok_or_else(|| node.fail(format!("it selects column {place} of {}", columns.len())));
            column.cloned()
        };
        places.into_iter().map(column).collect()
    }

    /// Older exporters divide the probabilities of a classifier by their sum.
    fn normalise(&mut self, node: &Node<'a>) -> Result<Found<'a>, OnnxError> {
        let is_sum = node.text("norm")?.unwrap_or("MAX") == "L1";
        match (self.pass(node)?, &mut self.classifier) {
            (Found::Probabilities, Some(classifier)) if is_sum => {
                classifier.is_normalised = true;
                Ok(Found::Probabilities)
            }
            _ => Err(node.fail("it normalises rows; only L1 after a classifier is supported")),
        }
    }

    fn zip(&mut self, node: &Node<'a>) -> Result<Found<'a>, OnnxError> {
        let labels = read_labels(node, "classlabels_int64s")?;
        match (self.pass(node)?, &self.classifier) {
            (Found::Probabilities, Some(classifier)) if classifier.labels == labels => {
                Ok(Found::Probabilities)
            }
            (Found::Probabilities, _) => Err(node.fail("it has other classes than the classifier")),
            _ => Err(node.fail("its input is not the probabilities of a classifier")),
        }
    }
}
