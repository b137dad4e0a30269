//! The tensors of a request as columns of the model's features.
//!
//! Each feature is an input tensor with its name and shape `[rows]` or `[rows, 1]`. If an input is absent, the feature
//! is missing in every row.

use super::{
    super::problem::{Problem, quoted},
    datatype::{Datatype, Element},
    read::{Input, Request},
};
use crate::{
    score::{RowAnswer, Scoring},
    serving::LoadedRoute,
};

/// The values of each feature, in the schema's order.
pub(super) struct Columns<'a> {
    columns: Vec<Option<Vec<Element<'a>>>>,
    rows: usize,
}

// === impl Columns ===

impl<'a> Columns<'a> {
    /// Takes the inputs out of a request. `tail` is the bytes after its JSON.
    pub(super) fn read(
        route: &LoadedRoute,
        request: &mut Request<'a>,
        mut tail: &'a [u8],
    ) -> Result<Self, Problem> {
        let schema = route.bundle.schema();
        let inputs = request
            .inputs
            .take()
            .ok_or_else(|| Problem::malformed("the request has no \"inputs\""))?;
        if request.too_many {
            return Err(Problem::malformed(format!(
                "too many inputs; the model takes {}",
                schema.features.len()
            )));
        }
        let mut columns: Vec<Option<Vec<Element<'a>>>> = vec![None; schema.features.len()];
        let mut rows = None;
        for input in inputs {
            let name = input
                .name
                .as_deref()
                .ok_or_else(|| Problem::malformed("an input has no \"name\""))?;
            let shown = quoted(name);
            let place = route.positions.get(name).copied();
            let Some(place) = place.or_else(|| schema.position(name)) else {
                return Err(Problem::malformed(format!(
                    "unknown input {shown}; the model takes {}",
                    schema.list_names()
                )));
            };
            let elements = read_elements(input, &shown, route.bounds.max_rows, &mut rows, &mut tail)?;
            match columns.get_mut(place) {
                Some(column @ None) => *column = Some(elements),
                _ => return Err(Problem::malformed(format!("input {shown} is there twice"))),
            }
        }
        if !tail.is_empty() {
            return Err(Problem::malformed(format!(
                "{} bytes after the JSON do not belong to any input",
                tail.len()
            )));
        }
        match rows {
            None => Err(Problem::malformed(
                "\"inputs\" is empty; send one tensor for each feature",
            )),
            Some(0) => Err(Problem::malformed("the inputs have no rows; send at least one")),
            Some(rows) => Ok(Self { columns, rows }),
        }
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Scores the rows and passes the answer for each to `sink`, with its index.
    pub(super) fn score(&self, scoring: &mut Scoring<'_>, mut sink: impl FnMut(usize, RowAnswer)) {
        let schema = scoring.route().bundle.schema();
        let mut cells = Vec::with_capacity(self.columns.len());
        scoring.reserve(self.rows);
        for row in 0..self.rows {
            cells.clear();
            cells.extend(
                schema
                    .features
                    .iter()
                    .zip(&self.columns)
                    .map(|(feature, column)| {
                        let element = column
                            .as_ref()
                            .and_then(|column| column.get(row))
                            .unwrap_or(&Element::Missing);
                        element.cell(&feature.kind)
                    }),
            );
            if let Some(answer) = scoring.push(row, schema.read_cells(&cells)) {
                sink(row, answer);
            }
        }
    }
}

/// The elements of one input, as many as the inputs before it have. Binary ones are taken from the front of `tail`.
fn read_elements<'a>(
    input: Input<'a>,
    shown: &str,
    max_rows: usize,
    rows: &mut Option<usize>,
    tail: &mut &'a [u8],
) -> Result<Vec<Element<'a>>, Problem> {
    let datatype = input
        .datatype
        .as_deref()
        .ok_or_else(|| Problem::malformed(format!("input {shown} has no \"datatype\"")))?;
    let invalid = |why: String| Problem::malformed(format!("input {shown}: {why}"));
    let datatype = Datatype::read(datatype).map_err(invalid)?;
    let count = count_rows(input.shape.as_deref(), shown, max_rows)?;
    if *rows.get_or_insert(count) != count {
        return Err(Problem::malformed(format!(
            "input {shown} has {count} rows, an earlier input has another number of rows"
        )));
    }
    let mut elements = match (input.data, input.binary_size) {
        (Some(data), None) => {
            if data.total != count {
                return Err(Problem::malformed(format!(
                    "input {shown} has {} {}, but its shape is [{count}]",
                    data.total,
                    if data.total == 1 { "value" } else { "values" }
                )));
            }
            data.kept
        }
        (None, Some(size)) => {
            let Some((bytes, rest)) = tail.split_at_checked(size) else {
                let left = tail.len();
                return Err(Problem::malformed(format!(
                    "input {shown} has a binary_data_size of {size}, but {left} bytes are left after the JSON"
                )));
            };
            *tail = rest;
            datatype.read_binary(bytes, count).map_err(invalid)?
        }
        (None, None) => {
            return Err(Problem::malformed(format!("input {shown} has no \"data\"")));
        }
        (Some(_), Some(_)) => {
            return Err(Problem::malformed(format!(
                "input {shown} has both \"data\" and a binary_data_size"
            )));
        }
    };
    datatype.check(&mut elements).map_err(invalid)?;
    Ok(elements)
}

/// The number of rows of a shape.
fn count_rows(shape: Option<&[u64]>, shown: &str, max_rows: usize) -> Result<usize, Problem> {
    let shape = shape.ok_or_else(|| Problem::malformed(format!("input {shown} has no \"shape\"")))?;
    let (&[count] | &[count, 1]) = shape else {
        let found: Vec<_> = shape.iter().take(8).collect();
        return Err(Problem::malformed(format!(
            "input {shown} has shape {found:?}, expected [rows] or [rows, 1]"
        )));
    };
    if count > max_rows as u64 {
        return Err(Problem::too_large(format!(
            "input {shown} has {count} rows; send at most {max_rows} in one request"
        )));
    }
    Ok(count as usize)
}
