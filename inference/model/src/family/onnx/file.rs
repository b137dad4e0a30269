//! Reads the messages of an ONNX file: graph, nodes, attributes, tensors. Field numbers are those of `onnx.proto`.

use super::{
    error::OnnxError,
    wire::{Message, Wire},
};

/// Maximum number of nodes of a graph. An exporter of scikit-learn writes about ten.
const MAX_NODES: usize = 1000;

/// Maximum number of inputs, outputs and attributes of a node.
const MAX_ENDS: usize = 1 << 14;

/// Types of elements, with the numbers of `TensorProto.DataType`.
pub(super) mod element {
    pub(in super::super) const FLOAT: i64 = 1;
    pub(in super::super) const INT32: i64 = 6;
    pub(in super::super) const INT64: i64 = 7;
    pub(in super::super) const DOUBLE: i64 = 11;
}

/// The domain of operators for classical models.
pub(super) const ML: &str = "ai.onnx.ml";

/// The used parts of a file.
pub(super) struct File<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) inputs: Vec<Input<'a>>,
    pub(super) outputs: Vec<&'a str>,
    pub(super) constants: Vec<(&'a str, Tensor<'a>)>,
}

/// An input of the graph: a table with this number of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) element: i64,
    pub(super) width: usize,
}

/// A node with the full name of its operator.
pub(super) struct Node<'a> {
    pub(super) operator: &'a str,
    pub(super) domain: &'a str,
    pub(super) name: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<(&'a str, Message<'a>)>,
}

/// Constant numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor<'a>(Message<'a>);

// === impl File ===

impl<'a> File<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let model = Message::new(bytes, "the model");
        let (mut graph, mut opsets) = (None, 0);
        for field in model.fields() {
            match field? {
                (7, value) => graph = Some(Message::new(model.bytes_of(value)?, "the graph")),
                (8, _) => opsets += 1,
                (20, _) => return Err(OnnxError::file("it has training_info, which is not supported")),
                (25, _) => {
                    let what = "it defines functions, which are not supported; export the model itself";
                    return Err(OnnxError::file(what));
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| OnnxError::file("it has no graph: it is not a model in ONNX"))?;
        if opsets == 0 {
            return Err(OnnxError::file("it does not state its operator sets"));
        }
        Self::read_graph(graph)
    }

    fn read_graph(graph: Message<'a>) -> Result<Self, OnnxError> {
        let mut file = Self {
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            constants: Vec::new(),
        };
        let mut inputs = Vec::new();
        for field in graph.fields() {
            let (number, value) = field?;
            let message = |part| Ok::<_, OnnxError>(Message::new(graph.bytes_of(value)?, part));
            let places = [
                file.nodes.len(),
                inputs.len(),
                file.outputs.len(),
                file.constants.len(),
            ];
            if places[0] > MAX_NODES || places[1..].iter().any(|count| *count > MAX_ENDS) {
                let what =
                    format!("its graph has more than {MAX_NODES} nodes, or more than {MAX_ENDS} inputs");
                return Err(OnnxError::file(what));
            }
            match number {
                1 => file.nodes.push(Node::read(message("a node")?)?),
                5 => {
                    let tensor = message("an initializer")?;
                    file.constants
                        .push((tensor.text(8)?.unwrap_or_default(), Tensor(tensor)));
                }
                11 => inputs.push(message("an input")?),
                12 => file
                    .outputs
                    .push(message("an output")?.text(1)?.unwrap_or_default()),
                15 => return Err(OnnxError::file("sparse initializers are not supported")),
                _ => {}
            }
        }
        for input in inputs {
            let name = input.text(1)?.unwrap_or_default();
            // Before version 4 of the format, constants were also inputs.
            if !file.constants.iter().any(|(constant, _)| *constant == name) {
                file.inputs.push(Input::read(name, input)?);
            }
        }
        Ok(file)
    }
}

// === impl Input ===

impl<'a> Input<'a> {
    fn read(name: &'a str, input: Message<'a>) -> Result<Self, OnnxError> {
        let fail = |what: &str| OnnxError::file(format!("input {name:?} {what}"));
        let tensor = match input.message(2, "the type of an input")? {
            Some(of) => of.message(1, "the type of a tensor")?,
            None => None,
        };
        let tensor = tensor.ok_or_else(|| fail("is not a tensor"))?;
        let element = tensor.integer(1)?.unwrap_or_default();
        if ![element::FLOAT, element::DOUBLE, element::INT32, element::INT64].contains(&element) {
            return Err(fail(
                "is not numeric: encode strings before the model, and export it with X.astype(numpy.float32)",
            ));
        }
        let mut dimensions = Vec::new();
        if let Some(shape) = tensor.message(2, "a shape")? {
            for field in shape.fields() {
                if let (1, value) = field? {
                    let dimension = Message::new(shape.bytes_of(value)?, "a dimension");
                    dimensions.push(dimension.integer(1)?);
                    if dimensions.len() > 2 {
                        break;
                    }
                }
            }
        }
        let width = match dimensions.as_slice() {
            [_, Some(width)] => usize::try_from(*width)
                .ok()
                .filter(|width| (1..=MAX_ENDS).contains(width)),
            _ => None,
        };
        let width = width.ok_or_else(|| fail("is not a table with a stated number of columns"))?;
        Ok(Self { name, element, width })
    }
}

// === impl Node ===

impl<'a> Node<'a> {
    fn read(node: Message<'a>) -> Result<Self, OnnxError> {
        let mut read = Self {
            operator: node.text(4)?.unwrap_or_default(),
            domain: node.text(7)?.unwrap_or_default(),
            name: node.text(3)?.unwrap_or_default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
        };
        for field in node.fields() {
            match field? {
                (1, value) => read.inputs.push(node.text_of(value)?),
                (2, value) => read.outputs.push(node.text_of(value)?),
                (5, value) => {
                    let attribute = Message::new(node.bytes_of(value)?, "an attribute");
                    let name = attribute.text(1)?.unwrap_or_default();
                    read.attributes.push((name, attribute));
                }
                _ => {}
            }
            let most = read
                .inputs
                .len()
                .max(read.outputs.len())
                .max(read.attributes.len());
            if most > MAX_ENDS {
                return Err(read.fail(format!(
                    "it has more than {MAX_ENDS} inputs, outputs or attributes"
                )));
            }
        }
        Ok(read)
    }

    /// Its operator with the domain: `ai.onnx.ml.Scaler`, `Concat`.
    pub(super) fn full_name(&self) -> String {
        match self.domain {
            "" | "ai.onnx" => self.operator.to_owned(),
            domain => format!("{domain}.{}", self.operator),
        }
    }

    pub(super) fn fail(&self, what: impl Into<String>) -> OnnxError {
        OnnxError::Node {
            name: self.name.to_owned(),
            operator: self.full_name(),
            what: what.into(),
        }
    }

    fn attribute(&self, name: &str) -> Option<Message<'a>> {
        let mut found = self.attributes.iter().filter(|(of, _)| *of == name);
        found.next().map(|(_, attribute)| *attribute)
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, OnnxError> {
        self.attribute(name)
            .map_or(Ok(Vec::new()), |attribute| attribute.integers(8))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, OnnxError> {
        self.attribute(name)
            .map_or(Ok(None), |attribute| attribute.integer(3))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, OnnxError> {
        self.attribute(name)
            .map_or(Ok(None), |attribute| attribute.text(4))
    }

    /// The single-precision number of an attribute.
    pub(super) fn single(&self, name: &str) -> Result<Option<f64>, OnnxError> {
        let Some(attribute) = self.attribute(name) else {
            return Ok(None);
        };
        match attribute.last(2)? {
            None => Ok(None),
            Some(Wire::Fixed32(bits)) => Ok(Some(f64::from(f32::from_bits(bits)))),
            Some(_) => Err(attribute.fail(0, "a number is of another type")),
        }
    }

    /// The single-precision numbers of an attribute, or those of the attribute `name_as_tensor`.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>, OnnxError> {
        if let Some(attribute) = self.attribute(&format!("{name}_as_tensor")) {
            let tensor = attribute.message(5, "a tensor")?;
            let tensor = tensor.ok_or_else(|| self.fail(format!("{name}_as_tensor is not a tensor")))?;
            return Tensor(tensor).numbers();
        }
        self.attribute(name)
            .map_or(Ok(Vec::new()), |attribute| attribute.singles(7))
    }

    /// The strings of an attribute, each converted by `read`.
    pub(super) fn texts<T>(
        &self,
        name: &str,
        read: impl Fn(&'a str) -> Result<T, OnnxError>,
    ) -> Result<Vec<T>, OnnxError> {
        let Some(attribute) = self.attribute(name) else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for field in attribute.fields() {
            if let (9, value) = field? {
                list.push(read(attribute.text_of(value)?)?);
            }
        }
        Ok(list)
    }
}

// === impl Tensor ===

impl Tensor<'_> {
    /// Its numbers, in order.
    pub(super) fn numbers(self) -> Result<Vec<f64>, OnnxError> {
        let tensor = self.checked()?;
        match (tensor.integer(2)?.unwrap_or_default(), tensor.last(9)?) {
            (element::FLOAT, Some(raw)) => tensor.singles_of(tensor.bytes_of(raw)?),
            (element::FLOAT, None) => tensor.singles(4),
            (element::DOUBLE, Some(raw)) => tensor.doubles_of(tensor.bytes_of(raw)?),
            (element::DOUBLE, None) => tensor.doubles(10),
            _ => Err(OnnxError::file("a constant does not hold floats or doubles")),
        }
    }

    /// Its 64-bit integers, in order.
    pub(super) fn integers(self) -> Result<Vec<i64>, OnnxError> {
        let tensor = self.checked()?;
        match (tensor.integer(2)?.unwrap_or_default(), tensor.last(9)?) {
            (element::INT64, Some(raw)) => tensor.integers_of(tensor.bytes_of(raw)?),
            (element::INT64, None) => tensor.integers(7),
            _ => Err(OnnxError::file("a constant does not hold integers of 64 bits")),
        }
    }

    /// Refuses external data, because its files were not sent.
    fn checked(&self) -> Result<Message<'_>, OnnxError> {
        if self.0.last(13)?.is_some() || self.0.integer(14)?.unwrap_or_default() != 0 {
            return Err(OnnxError::file(
                "a constant is in another file (external data), which is not supported: save the model as one file",
            ));
        }
        Ok(self.0)
    }
}
