//! Writes answers of the Open Inference Protocol.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{super::problem::Problem, read::OUTPUTS};
use crate::{
    score::{Finished, ScoredRow},
    serving::LoadedRoute,
};

/// The content of an answer.
pub(super) struct Outcome<'a> {
    /// Name of the model.
    pub(super) model: &'a str,
    /// The version that answers.
    pub(super) route: &'a LoadedRoute,
    /// The client's id of the request.
    pub(super) id: Option<&'a str>,
    /// The rows.
    pub(super) finished: Finished,
    /// The id of each row.
    pub(super) ids: Vec<String>,
    /// Warnings as sentences.
    pub(super) described: Vec<String>,
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

/// The elements of an output.
#[derive(Debug)]
enum OutputData<'a> {
    Probability(&'a [ScoredRow]),
    Class(&'a [ScoredRow]),
    Ids(&'a [String]),
}

// === impl Outcome ===

impl Outcome<'_> {
    /// The bytes of the answer, and how many of them are JSON if binary tensors follow. `wishes` are indexes of
    /// [`OUTPUTS`], each with whether it is binary.
    pub(super) fn write(&self, wishes: &[(usize, bool)]) -> Result<(Vec<u8>, Option<usize>), Problem> {
        let mut tail = Vec::new();
        let mut outputs = Vec::with_capacity(wishes.len());
        for &(place, binary) in wishes {
            if let Some(&(name, datatype)) = OUTPUTS.get(place) {
                outputs.push(self.output(name, datatype, binary.then_some(&mut tail)));
            }
        }
        let rows = self.finished.rows.len();
        let response = Response {
            model_name: self.model,
            model_version: &self.route.route.version,
            id: self.id,
            parameters: self.parameters(),
            outputs,
        };
        // Probability, class and id of a row are 100 bytes as text. Growing would hold the answer twice.
        let mut body = Vec::with_capacity(4096 + rows * 100 + tail.len());
        serde_json::to_writer(&mut body, &response)
            .map_err(|error| Problem::malformed(format!("the answer cannot be written: {error}")))?;
        if !wishes.iter().any(|(_, binary)| *binary) {
            return Ok((body, None));
        }
        let json_length = body.len();
        body.append(&mut tail);
        Ok((body, Some(json_length)))
    }

    /// An output. If there is a `tail`, its elements go there.
    fn output(&self, name: &'static str, datatype: &'static str, tail: Option<&mut Vec<u8>>) -> Output<'_> {
        let rows = &self.finished.rows;
        let data = match name {
            "probability" => OutputData::Probability(rows),
            "class" => OutputData::Class(rows),
            _ => OutputData::Ids(&self.ids),
        };
        let (parameters, data) = match tail {
            None => (None, Some(data)),
            Some(tail) => {
                let before = tail.len();
                data.write_binary(tail);
                let size = Value::from(tail.len() - before);
                let parameters = Map::from_iter([("binary_data_size".to_owned(), size)]);
                (Some(parameters), None)
            }
        };
        Output {
            name,
            datatype,
            shape: [rows.len()],
            parameters,
            data,
        }
    }

    fn parameters(&self) -> Map<String, Value> {
        let mut parameters = Map::from_iter([("threshold".to_owned(), Value::from(self.route.threshold))]);
        if !self.described.is_empty() {
            let more = match self.finished.omitted {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            parameters.insert(
                "warnings".to_owned(),
                Value::from(format!("{}{more}", self.described.join("; "))),
            );
        }
        parameters
    }
}

// === impl OutputData ===

impl OutputData<'_> {
    /// The elements, little-endian and without padding. Strings have their lengths before them.
    fn write_binary(&self, tail: &mut Vec<u8>) {
        match self {
            Self::Probability(rows) => tail.extend(rows.iter().flat_map(|row| row.probability.to_le_bytes())),
            Self::Class(rows) => tail.extend(rows.iter().flat_map(|row| i64::from(row.class).to_le_bytes())),
            Self::Ids(ids) => {
                for id in *ids {
                    tail.extend((id.len() as u32).to_le_bytes());
                    tail.extend(id.as_bytes());
                }
            }
        }
    }
}

impl Serialize for OutputData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Probability(rows) => serializer.collect_seq(rows.iter().map(|row| row.probability)),
            Self::Class(rows) => serializer.collect_seq(rows.iter().map(|row| row.class)),
            Self::Ids(ids) => serializer.collect_seq(ids.iter()),
        }
    }
}
