//! The Open Inference Protocol's inference over REST, with its binary tensor extension.
//!
//! Each feature is one input tensor by its name, of shape `[rows]` or `[rows, 1]`; an input that is not there is
//! missing in every row. The outputs are [`OUTPUTS`], one value a row.

use std::{borrow::Cow, cell::Cell as Counter, fmt, sync::Arc};

use http::StatusCode;
use modelward_model::{Cell, FeatureKind, Row};
use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    counting::{Answered, Origin},
    json::{Bounds, Text},
    metrics::Metrics,
    problem::Problem,
    serving::{Call, LoadedRoute, RowErrors, Serving, Warnings},
};

/// Names of the outputs, in the order in which they are answered where no other is asked for, and their datatypes.
pub const OUTPUTS: [(&str, &str); 3] = [
    ("probability", "FP64"),
    ("class", "INT64"),
    ("predictionId", "BYTES"),
];

/// Says how many bytes of a body are JSON, in requests and answers with binary tensors.
pub const JSON_LENGTH_HEADER: &str = "inference-header-content-length";

/// An answer describes this many warnings; the metrics count them all.
const MAX_WARNINGS: usize = 20;

/// Characters of an id that is given back.
const MAX_ID: usize = 1024;

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// JSON, and binary tensors behind it.
    pub body: Vec<u8>,
    /// Bytes of JSON, where there are binary tensors.
    pub json_length: Option<usize>,
    /// The version that answered.
    pub route: Arc<LoadedRoute>,
}

/// A request as it was read; what no part of it uses was skipped.
#[derive(Debug, Default)]
struct Request<'a> {
    id: Option<String>,
    inputs: Option<Vec<Input<'a>>>,
    outputs: Vec<Wish>,
    binary_output: bool,
    /// More inputs than `max_fields` were there.
    too_many: bool,
}

#[derive(Debug, Default)]
struct Input<'a> {
    name: Option<String>,
    shape: Option<Vec<u64>>,
    datatype: Option<String>,
    data: Option<Elements<'a>>,
    binary_size: Option<usize>,
}

/// Flat elements, the first `max_rows` of `total`.
#[derive(Debug, Default)]
struct Elements<'a> {
    kept: Vec<Element<'a>>,
    total: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Element<'a> {
    Missing,
    Number(f64),
    Bool(bool),
    Text(Cow<'a, str>),
}

/// An output that is asked for.
#[derive(Debug, Deserialize)]
struct Wish {
    name: String,
    #[serde(default)]
    parameters: Option<Parameters>,
}

/// The parameters that mean something here; others are skipped.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// Of an output: whether it is answered as bytes.
    #[serde(default, rename = "binary_data")]
    binary: Option<bool>,
    /// Of the request: the same for every output that does not say.
    #[serde(default, rename = "binary_data_output")]
    all_binary: Option<bool>,
    /// Of an input: its bytes behind the JSON.
    #[serde(default, rename = "binary_data_size")]
    size: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Datatype {
    Bool,
    /// Bytes of it, and whether it has a sign.
    Integer(usize, bool),
    Fp32,
    Fp64,
    Bytes,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    parameters: Map<String, Value>,
    outputs: Vec<Output<'a>>,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<OutputData<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum OutputData<'a> {
    Probability(&'a [f64]),
    Class(&'a [u8]),
    Ids(&'a [String]),
}

/// The scored rows.
struct Scored {
    probabilities: Vec<f64>,
    classes: Vec<u8>,
    rows: Vec<Row>,
    ids: Vec<String>,
    warnings: Warnings,
    described: Vec<String>,
}

/// Answers a body by the version asked for, or by the one that the call falls to.
///
/// `json_length` is the value of [`JSON_LENGTH_HEADER`].
pub fn infer(
    serving: &Serving,
    metrics: &Metrics,
    call: Call,
    origin: &Origin,
    version: Option<&str>,
    json_length: Option<usize>,
    body: &[u8],
) -> Result<Answer, Problem> {
    let route = match version {
        Some(name) => serving
            .version(name)
            .ok_or_else(|| unknown_version(serving, name))?,
        None => serving
            .pick(call)
            .ok_or_else(|| bad("no version takes this request"))?,
    };
    let (json, tail) = split(body, json_length)?;
    let text = Text::new(json)?;
    let mut request = read_request(&text, route)?;
    let wishes = wishes(&request)?;
    let columns = columns(route, &mut request, tail)?;
    let seal = |class, probability| route.prediction_id(&serving.signer, call, class, probability);
    let scored = score(route, &seal, &columns, &|errors| {
        route.count_type_errors(metrics, call, origin, errors);
    })?;
    origin.check(scored.rows.len()).map_err(bad)?;
    route.count_answered(metrics, call, origin, scored.answered());
    scored.count(route, metrics);
    metrics.batch_rows.observe(scored.classes.len() as f64);
    let (body, json_length) = write(serving, route, &request, &wishes, &scored)?;
    Ok(Answer {
        body,
        json_length,
        route: Arc::clone(route),
    })
}

/// Scores a body by a version whose answers are not returned; only counts remain.
pub fn shadow(route: &LoadedRoute, metrics: &Metrics, json_length: Option<usize>, body: &[u8]) {
    let scored = || {
        let (json, tail) = split(body, json_length)?;
        let text = Text::new(json)?;
        let mut request = read_request(&text, route)?;
        let columns = columns(route, &mut request, tail)?;
        score(route, &|_, _| String::new(), &columns, &|_| {})
    };
    // What this version cannot read is no error of the client, whom another version answered.
    if let Ok(scored) = scored() {
        scored.count(route, metrics);
    }
}

fn read_request<'t>(text: &'t Text<'_>, route: &LoadedRoute) -> Result<Request<'t>, Problem> {
    let bounds = route.bounds;
    // One more than allowed distinguishes "full" from "more".
    let room = Counter::new(bounds.max_values + 1);
    let request = text.parse(RequestSeed { bounds, room: &room })?;
    if room.get() == 0 {
        return Err(Problem::too_large(format!(
            "the tensors have more than {} elements; send fewer rows in one request",
            bounds.max_values
        )));
    }
    if let Some(id) = &request.id
        && id.chars().count() > MAX_ID
    {
        return Err(bad(format!(
            "\"id\" is longer than {MAX_ID} characters; send a shorter one"
        )));
    }
    Ok(request)
}

/// 404 for a version that does not answer.
pub fn unknown_version(serving: &Serving, name: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    let known: Vec<&str> = serving
        .live
        .iter()
        .map(|route| route.route.version.as_str())
        .collect();
    let message = format!(
        "model {:?} has no version {name:?} that answers; it has {}",
        serving.model,
        known.join(", ")
    );
    Problem::new(StatusCode::NOT_FOUND, message)
}

fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, message)
}

/// A name that a client sent, quoted and cut.
fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}

/// The JSON and the binary tensors of a body.
fn split(body: &[u8], json_length: Option<usize>) -> Result<(&[u8], &[u8]), Problem> {
    match json_length {
        None => Ok((body, &[])),
        Some(0) => Err(bad(
            "a raw tensor without JSON is only for models of one input; send JSON",
        )),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            bad(format!(
                "Inference-Header-Content-Length is {length}, the body has {} bytes",
                body.len()
            ))
        }),
    }
}

/// The outputs to answer, as places in [`OUTPUTS`], each with whether it is binary.
fn wishes(request: &Request<'_>) -> Result<Vec<(usize, bool)>, Problem> {
    if request.outputs.is_empty() {
        return Ok((0..OUTPUTS.len())
            .map(|place| (place, request.binary_output))
            .collect());
    }
    let mut places: Vec<(usize, bool)> = Vec::with_capacity(OUTPUTS.len());
    for wish in &request.outputs {
        let Some(place) = OUTPUTS.iter().position(|(name, _)| *name == wish.name) else {
            let known: Vec<&str> = OUTPUTS.iter().map(|(name, _)| *name).collect();
            return Err(bad(format!(
                "unknown output {}; expected {}",
                quoted(&wish.name),
                known.join(", ")
            )));
        };
        if places.iter().any(|(other, _)| *other == place) {
            return Err(bad(format!("output {:?} is asked for twice", wish.name)));
        }
        let own = wish.parameters.as_ref().and_then(|parameters| parameters.binary);
        places.push((place, own.unwrap_or(request.binary_output)));
    }
    Ok(places)
}

/// The values of each feature, in the schema's order; the second part is the number of rows.
type Columns<'a> = (Vec<Option<Vec<Element<'a>>>>, usize);

fn columns<'a>(
    route: &LoadedRoute,
    request: &mut Request<'a>,
    tail: &'a [u8],
) -> Result<Columns<'a>, Problem> {
    let schema = route.bundle.schema();
    let inputs = request
        .inputs
        .take()
        .ok_or_else(|| bad("the request has no \"inputs\""))?;
    if request.too_many {
        return Err(bad(format!(
            "too many inputs; the model takes {}",
            schema.features.len()
        )));
    }
    let mut columns: Vec<Option<Vec<Element<'a>>>> = vec![None; schema.features.len()];
    let mut rows = None;
    let mut tail = tail;
    for input in inputs {
        let name = input
            .name
            .as_deref()
            .ok_or_else(|| bad("an input has no \"name\""))?;
        let shown = quoted(name);
        let Some(&place) = route.positions.get(name) else {
            return Err(bad(format!(
                "unknown input {shown}; the model takes {}",
                schema.list_names()
            )));
        };
        let datatype = input
            .datatype
            .as_deref()
            .ok_or_else(|| bad(format!("input {shown} has no \"datatype\"")))?;
        let datatype = Datatype::read(datatype).map_err(|why| bad(format!("input {shown}: {why}")))?;
        let shape = input
            .shape
            .as_deref()
            .ok_or_else(|| bad(format!("input {shown} has no \"shape\"")))?;
        let (&[count] | &[count, 1]) = shape else {
            let found: Vec<_> = shape.iter().take(8).collect();
            return Err(bad(format!(
                "input {shown} has shape {found:?}, expected [rows] or [rows, 1]"
            )));
        };
        if count > route.bounds.max_rows as u64 {
            let limit = route.bounds.max_rows;
            return Err(Problem::too_large(format!(
                "input {shown} has {count} rows; send at most {limit} in one request"
            )));
        }
        let count = count as usize;
        if *rows.get_or_insert(count) != count {
            return Err(bad(format!(
                "input {shown} has {count} rows, an input before it has another number"
            )));
        }
        let elements = match (input.data, input.binary_size) {
            (Some(data), None) => {
                if data.total != count {
                    return Err(bad(format!(
                        "input {shown} has {} elements, its shape {count}",
                        data.total
                    )));
                }
                data.kept
            }
            (None, Some(size)) => {
                let Some((bytes, rest)) = tail.split_at_checked(size) else {
                    let left = tail.len();
                    return Err(bad(format!(
                        "input {shown} has a binary_data_size of {size}, {left} bytes are left behind the JSON"
                    )));
                };
                tail = rest;
                datatype
                    .read_binary(bytes, count)
                    .map_err(|why| bad(format!("input {shown}: {why}")))?
            }
            (None, None) => return Err(bad(format!("input {shown} has no \"data\""))),
            (Some(_), Some(_)) => {
                return Err(bad(format!(
                    "input {shown} has both \"data\" and a binary_data_size"
                )));
            }
        };
        datatype
            .check(&elements)
            .map_err(|why| bad(format!("input {shown}: {why}")))?;
        match columns.get_mut(place) {
            Some(column @ None) => *column = Some(elements),
            _ => return Err(bad(format!("input {shown} is there twice"))),
        }
    }
    if !tail.is_empty() {
        return Err(bad(format!(
            "{} bytes behind the JSON belong to no input",
            tail.len()
        )));
    }
    match rows {
        None => Err(bad("\"inputs\" is empty; send one tensor a feature")),
        Some(0) => Err(bad("the inputs have no rows; send at least one")),
        Some(rows) => Ok((columns, rows)),
    }
}

fn score(
    route: &LoadedRoute,
    seal: &dyn Fn(u8, f64) -> String,
    (columns, rows): &Columns<'_>,
    refused: &dyn Fn(&RowErrors),
) -> Result<Scored, Problem> {
    let schema = route.bundle.schema();
    let mut scored = Scored {
        probabilities: Vec::with_capacity(*rows),
        classes: Vec::with_capacity(*rows),
        rows: Vec::with_capacity(*rows),
        ids: Vec::with_capacity(*rows),
        warnings: Warnings::new(MAX_WARNINGS),
        described: Vec::new(),
    };
    let mut errors = RowErrors::default();
    let mut cells = Vec::with_capacity(columns.len());
    for row in 0..*rows {
        cells.clear();
        cells.extend(schema.features.iter().zip(columns).map(|(feature, column)| {
            let element = column
                .as_ref()
                .and_then(|column| column.get(row))
                .unwrap_or(&Element::Missing);
            element.cell(&feature.kind)
        }));
        match schema.read_cells(&cells) {
            Err(found) => errors.extend(Some(row), schema, &found),
            Ok(_) if errors.total > 0 => {}
            Ok((values, found)) => {
                let (notices, _) = scored.warnings.add(route, &found);
                let described = notices
                    .into_iter()
                    .map(|notice| format!("row {row}: {}", notice.message));
                scored.described.extend(described);
                let (class, probability) = route.score(&values);
                scored.ids.push(seal(class, probability));
                scored.classes.push(class);
                scored.probabilities.push(probability);
                scored.rows.push(values);
            }
        }
    }
    if errors.total > 0 {
        refused(&errors);
        return Err(Problem::rows(
            StatusCode::BAD_REQUEST,
            errors.details,
            errors.total,
        ));
    }
    Ok(scored)
}

/// The answer's bytes, and how many of them are JSON where binary tensors follow.
fn write(
    serving: &Serving,
    route: &LoadedRoute,
    request: &Request<'_>,
    wishes: &[(usize, bool)],
    scored: &Scored,
) -> Result<(Vec<u8>, Option<usize>), Problem> {
    let mut tail = Vec::new();
    let mut outputs = Vec::with_capacity(wishes.len());
    for &(place, binary) in wishes {
        let Some(&(name, datatype)) = OUTPUTS.get(place) else {
            continue;
        };
        let before = tail.len();
        let data = match name {
            "probability" => {
                if binary {
                    tail.extend(scored.probabilities.iter().flat_map(|value| value.to_le_bytes()));
                }
                OutputData::Probability(&scored.probabilities)
            }
            "class" => {
                if binary {
                    tail.extend(
                        scored
                            .classes
                            .iter()
                            .flat_map(|class| i64::from(*class).to_le_bytes()),
                    );
                }
                OutputData::Class(&scored.classes)
            }
            _ => {
                if binary {
                    for id in &scored.ids {
                        tail.extend((id.len() as u32).to_le_bytes());
                        tail.extend(id.as_bytes());
                    }
                }
                OutputData::Ids(&scored.ids)
            }
        };
        let (parameters, data) = if binary {
            let size = Value::from(tail.len() - before);
            (
                Some(Map::from_iter([("binary_data_size".to_owned(), size)])),
                None,
            )
        } else {
            (None, Some(data))
        };
        outputs.push(Output {
            name,
            datatype,
            shape: [scored.classes.len()],
            parameters,
            data,
        });
    }
    let mut parameters = Map::from_iter([("threshold".to_owned(), Value::from(route.threshold))]);
    if !scored.described.is_empty() {
        let more = match scored.warnings.omitted() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        parameters.insert(
            "warnings".to_owned(),
            Value::from(format!("{}{more}", scored.described.join("; "))),
        );
    }
    let response = Response {
        model_name: &serving.model,
        model_version: &route.route.version,
        id: request.id.as_deref(),
        parameters,
        outputs,
    };
    // Probability, class and id of a row are 100 bytes as text; growing would hold the answer twice.
    let mut body = Vec::with_capacity(4096 + scored.classes.len() * 100 + tail.len());
    serde_json::to_writer(&mut body, &response)
        .map_err(|error| bad(format!("the answer cannot be written: {error}")))?;
    if !wishes.iter().any(|(_, binary)| *binary) {
        return Ok((body, None));
    }
    let json_length = body.len();
    body.append(&mut tail);
    Ok((body, Some(json_length)))
}

// === impl Scored ===

impl Scored {
    fn answered(&self) -> impl ExactSizeIterator<Item = Answered<'_>> {
        let answers = self.probabilities.iter().zip(&self.classes);
        self.rows
            .iter()
            .zip(answers)
            .map(|(row, (score, class))| Answered {
                row,
                score: *score,
                class: *class,
            })
    }

    fn count(&self, route: &LoadedRoute, metrics: &Metrics) {
        let ones = self.classes.iter().map(|class| u64::from(*class)).sum::<u64>();
        route.count(metrics, [self.classes.len() as u64 - ones, ones], &self.warnings);
    }
}

// === impl Element ===

impl Element<'_> {
    fn cell(&self, kind: &FeatureKind) -> Cell<'_> {
        match (self, kind) {
            (Self::Missing, _) => Cell::Missing,
            (Self::Number(number), _) => Cell::Number(*number),
            // BOOL is a number of the protocol; in the flat JSON of /predict it is a wrong type.
            (Self::Bool(value), FeatureKind::Numeric { .. }) => Cell::Number(f64::from(u8::from(*value))),
            (Self::Bool(value), FeatureKind::Categorical { .. }) => Cell::Bool(*value),
            (Self::Text(text), _) => Cell::Text(text),
        }
    }
}

// === impl Datatype ===

impl Datatype {
    fn read(name: &str) -> Result<Self, String> {
        Ok(match name {
            "BOOL" => Self::Bool,
            "INT8" => Self::Integer(1, true),
            "INT16" => Self::Integer(2, true),
            "INT32" => Self::Integer(4, true),
            "INT64" => Self::Integer(8, true),
            "UINT8" => Self::Integer(1, false),
            "UINT16" => Self::Integer(2, false),
            "UINT32" => Self::Integer(4, false),
            "UINT64" => Self::Integer(8, false),
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            "FP16" | "BF16" => return Err(format!("datatype {name} is not taken; send FP32")),
            other => {
                return Err(format!(
                    "unknown datatype {}; expected BOOL, INT8 to INT64, UINT8 to UINT64, FP32, FP64 or BYTES",
                    quoted(other)
                ));
            }
        })
    }

    /// Checks that each element is of this type; a missing one is of every type.
    fn check(self, elements: &[Element<'_>]) -> Result<(), String> {
        for (index, element) in elements.iter().enumerate() {
            let found = match (self, element) {
                (_, Element::Missing)
                | (Self::Bool, Element::Bool(_))
                | (Self::Fp32 | Self::Fp64, Element::Number(_))
                // Numbers of categories are words in another spelling.
                | (Self::Bytes, Element::Text(_) | Element::Number(_)) => continue,
                (Self::Bool, Element::Number(number)) if *number == 0.0 || *number == 1.0 => continue,
                (Self::Integer(bytes, signed), Element::Number(number)) => {
                    let bits = i32::try_from(8 * bytes - usize::from(signed)).unwrap_or(63);
                    let end = 2_f64.powi(bits);
                    let start = if signed { -end } else { 0.0 };
                    // The end itself is let through for 64 bits: the largest integer is rounded up to it.
                    let below = *number < end || (bytes == 8 && *number == end);
                    if number.fract() == 0.0 && *number >= start && below {
                        continue;
                    }
                    number.to_string()
                }
                (_, Element::Number(number)) => number.to_string(),
                (_, Element::Bool(value)) => value.to_string(),
                (_, Element::Text(text)) => format!("the text {}", quoted(text)),
            };
            return Err(format!("element {index} is {found}, expected {self}"));
        }
        Ok(())
    }

    /// Reads `count` elements, little-endian and without padding.
    fn read_binary(self, bytes: &[u8], count: usize) -> Result<Vec<Element<'_>>, String> {
        let width = match self {
            Self::Bytes => return read_texts(bytes, count),
            Self::Bool => 1,
            Self::Integer(width, _) => width,
            Self::Fp32 => 4,
            Self::Fp64 => 8,
        };
        if bytes.len() != count * width {
            return Err(format!(
                "{count} elements of {self} are {} bytes, found {}",
                count * width,
                bytes.len()
            ));
        }
        let element = |chunk: &[u8]| {
            let bits = chunk
                .iter()
                .rev()
                .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            match self {
                Self::Bool => match bits {
                    0 => Element::Bool(false),
                    1 => Element::Bool(true),
                    other => Element::Number(other as f64),
                },
                Self::Integer(width, true) => {
                    let shift = 64 - 8 * width;
                    Element::Number(((bits << shift).cast_signed() >> shift) as f64)
                }
                Self::Integer(_, false) => Element::Number(bits as f64),
                Self::Fp32 => Element::Number(f64::from(f32::from_bits(bits as u32))),
                Self::Fp64 | Self::Bytes => Element::Number(f64::from_bits(bits)),
            }
        };
        Ok(bytes.chunks_exact(width).map(element).collect())
    }
}

fn read_texts(mut bytes: &[u8], count: usize) -> Result<Vec<Element<'_>>, String> {
    let mut texts = Vec::with_capacity(count.min(bytes.len() / 4));
    for index in 0..count {
        let cut = || format!("element {index} of BYTES is cut off");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let (text, rest) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| format!("element {index} of BYTES is not UTF-8"))?;
        texts.push(Element::Text(Cow::Borrowed(text)));
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(texts)
    } else {
        Err(format!("{} bytes are behind the last element", bytes.len()))
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("BOOL"),
            Self::Integer(bytes, true) => write!(f, "INT{}", 8 * bytes),
            Self::Integer(bytes, false) => write!(f, "UINT{}", 8 * bytes),
            Self::Fp32 => f.write_str("FP32"),
            Self::Fp64 => f.write_str("FP64"),
            Self::Bytes => f.write_str("BYTES"),
        }
    }
}

// === reading ===

/// `room` counts down the elements that may still be kept, of all tensors together.
struct RequestSeed<'r> {
    bounds: Bounds,
    room: &'r Counter<usize>,
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"inputs\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut request = Request::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "id" => request.id = map.next_value()?,
                "parameters" => {
                    let parameters: Parameters = map.next_value::<Option<_>>()?.unwrap_or_default();
                    request.binary_output = parameters.all_binary.unwrap_or(false);
                }
                "inputs" => {
                    if request.inputs.is_some() {
                        return Err(de::Error::duplicate_field("inputs"));
                    }
                    let (inputs, too_many) = map.next_value_seed(InputsSeed {
                        bounds: self.bounds,
                        room: self.room,
                    })?;
                    request.inputs = Some(inputs);
                    request.too_many = too_many;
                }
                "outputs" => request.outputs = map.next_value_seed(WishesSeed)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(request)
    }
}

struct InputsSeed<'r> {
    bounds: Bounds,
    room: &'r Counter<usize>,
}

impl<'de> DeserializeSeed<'de> for InputsSeed<'_> {
    type Value = (Vec<Input<'de>>, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_> {
    type Value = (Vec<Input<'de>>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of input tensors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut inputs = Vec::new();
        while inputs.len() < self.bounds.max_fields {
            match seq.next_element_seed(InputSeed {
                bounds: self.bounds,
                room: self.room,
            })? {
                Some(input) => inputs.push(input),
                None => return Ok((inputs, false)),
            }
        }
        let mut too_many = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            too_many = true;
        }
        Ok((inputs, too_many))
    }
}

struct InputSeed<'r> {
    bounds: Bounds,
    room: &'r Counter<usize>,
}

impl<'de> DeserializeSeed<'de> for InputSeed<'_> {
    type Value = Input<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InputSeed<'_> {
    type Value = Input<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input tensor with \"name\", \"shape\", \"datatype\" and \"data\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut input = Input::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "name" => input.name = Some(map.next_value()?),
                "datatype" => input.datatype = Some(map.next_value()?),
                "shape" => input.shape = Some(map.next_value()?),
                "parameters" => {
                    let parameters: Parameters = map.next_value::<Option<_>>()?.unwrap_or_default();
                    input.binary_size = parameters
                        .size
                        .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
                }
                "data" => {
                    let mut elements = Elements::default();
                    let keep = self.bounds.max_rows;
                    map.next_value_seed(DataSeed {
                        elements: &mut elements,
                        keep,
                        room: self.room,
                        nested: false,
                    })?;
                    input.data = Some(elements);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(input)
    }
}

/// Flattens an array of any depth, row-major, as the protocol allows both.
struct DataSeed<'s, 'de> {
    elements: &'s mut Elements<'de>,
    keep: usize,
    room: &'s Counter<usize>,
    /// Whether this is inside an array: a bare scalar is no tensor.
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.nested {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_seq(self)
        }
    }
}

impl<'de> DataSeed<'_, 'de> {
    fn push(self, element: Element<'de>) {
        self.elements.total += 1;
        if self.elements.kept.len() < self.keep && self.room.get() > 0 {
            self.room.set(self.room.get() - 1);
            self.elements.kept.push(element);
        }
    }
}

impl<'de> Visitor<'de> for DataSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.nested {
            "a number, text, boolean or null"
        } else {
            "an array of elements"
        })
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Element::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(Element::Number(value as f64));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(Element::Number(value as f64));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(Element::Number(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        self.push(Element::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.push(Element::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Element::Missing);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self {
            elements, keep, room, ..
        } = self;
        while seq
            .next_element_seed(DataSeed {
                elements: &mut *elements,
                keep,
                room,
                nested: true,
            })?
            .is_some()
        {}
        Ok(())
    }
}

/// Outputs that are asked for: more than there are is refused before it is read.
struct WishesSeed;

impl<'de> DeserializeSeed<'de> for WishesSeed {
    type Value = Vec<Wish>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for WishesSeed {
    type Value = Vec<Wish>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of outputs")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut wishes = Vec::new();
        while let Some(wish) = seq.next_element()? {
            if wishes.len() == OUTPUTS.len() {
                return Err(de::Error::custom(format_args!(
                    "more outputs than the model's {}",
                    OUTPUTS.len()
                )));
            }
            wishes.push(wish);
        }
        Ok(wishes)
    }
}
