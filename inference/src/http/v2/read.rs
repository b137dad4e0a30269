//! Reads requests of the Open Inference Protocol: the JSON, and where the binary tensors after it begin.

use std::{borrow::Cow, cell::Cell as Counter, fmt};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    super::{
        json::Text,
        problem::{Problem, quoted},
    },
    datatype::Element,
};
use crate::bounds::Bounds;

/// Names of the outputs and their datatypes, in the default order of an answer.
pub(super) const OUTPUTS: [(&str, &str); 3] = [
    ("probability", "FP64"),
    ("class", "INT64"),
    ("predictionId", "BYTES"),
];

/// Maximum number of characters of an id that is returned.
const MAX_ID: usize = 1024;

/// A request as it was read, without unused parts.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) id: Option<String>,
    pub(super) inputs: Option<Vec<Input<'a>>>,
    outputs: Vec<Wish>,
    binary_output: bool,
    /// Whether there were more inputs than `max_fields`.
    pub(super) too_many: bool,
}

/// A tensor as it was read.
#[derive(Debug, Default)]
pub(super) struct Input<'a> {
    pub(super) name: Option<String>,
    pub(super) shape: Option<Vec<u64>>,
    pub(super) datatype: Option<String>,
    pub(super) data: Option<Elements<'a>>,
    pub(super) binary_size: Option<usize>,
}

/// The first `max_rows` elements of `total`, flattened.
#[derive(Debug, Default)]
pub(super) struct Elements<'a> {
    pub(super) kept: Vec<Element<'a>>,
    pub(super) total: usize,
}

/// A requested output.
#[derive(Debug, Deserialize)]
struct Wish {
    name: String,
    #[serde(default)]
    parameters: Option<Parameters>,
}

/// The supported parameters. Others are ignored.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// For an output: whether it is answered in binary.
    #[serde(default, rename = "binary_data")]
    binary: Option<bool>,
    /// For the request: the default of `binary_data` for its outputs.
    #[serde(default, rename = "binary_data_output")]
    all_binary: Option<bool>,
    /// For an input: its number of bytes after the JSON.
    #[serde(default, rename = "binary_data_size")]
    size: Option<u64>,
}

/// Reads the JSON of a request within these bounds.
pub(super) fn read_request<'t>(text: &'t Text<'_>, bounds: Bounds) -> Result<Request<'t>, Problem> {
    // One element more than allowed shows whether there are too many.
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
        return Err(Problem::malformed(format!(
            "\"id\" is longer than {MAX_ID} characters; send a shorter one"
        )));
    }
    Ok(request)
}

/// The JSON and the binary tensors of a body.
pub(super) fn split(body: &[u8], json_length: Option<usize>) -> Result<(&[u8], &[u8]), Problem> {
    match json_length {
        None => Ok((body, &[])),
        Some(0) => Err(Problem::malformed(
            "a raw tensor without JSON is supported only for models with one input; send JSON",
        )),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            Problem::malformed(format!(
                "Inference-Header-Content-Length is {length}, but the body has {} bytes",
                body.len()
            ))
        }),
    }
}

/// The outputs to answer, as indexes of [`OUTPUTS`], each with whether it is binary.
pub(super) fn wishes(request: &Request<'_>) -> Result<Vec<(usize, bool)>, Problem> {
    if request.outputs.is_empty() {
        return Ok((0..OUTPUTS.len())
            .map(|place| (place, request.binary_output))
            .collect());
    }
    let mut places: Vec<(usize, bool)> = Vec::with_capacity(OUTPUTS.len());
    for wish in &request.outputs {
        let Some(place) = OUTPUTS.iter().position(|(name, _)| *name == wish.name) else {
            let known: Vec<&str> = OUTPUTS.iter().map(|(name, _)| *name).collect();
            return Err(Problem::malformed(format!(
                "unknown output {}; expected {}",
                quoted(&wish.name),
                known.join(", ")
            )));
        };
        if places.iter().any(|(other, _)| *other == place) {
            return Err(Problem::malformed(format!(
                "output {:?} is requested twice",
                wish.name
            )));
        }
        let own = wish.parameters.as_ref().and_then(|parameters| parameters.binary);
        places.push((place, own.unwrap_or(request.binary_output)));
    }
    Ok(places)
}

// === reading ===

/// `room` is the number of elements that may still be kept, for all tensors together.
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

/// Flattens an array of any depth in row-major order. The protocol allows flat and nested arrays.
struct DataSeed<'s, 'de> {
    elements: &'s mut Elements<'de>,
    keep: usize,
    room: &'s Counter<usize>,
    /// Whether this is inside an array. A bare scalar is not a tensor.
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
        self.push(Element::Integer(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(i64::try_from(value).map_or(Element::Unsigned(value), Element::Integer));
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

/// The requested outputs. If there are more than the model has, the rest is refused without reading it.
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
