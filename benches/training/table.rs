//! The training table of all fits of the benchmark: 28 numeric columns like the HIGGS data, with measured columns of different shapes and
//! columns derived from them.

use std::{fs, io, path::Path};

use anyhow::ensure;
use modelward_model::{Feature, FeatureSchema};
use modelward_trainer::data::{
    dataset::{Dataset, Values},
    row_columns::RowColumns,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rand_distr::StandardNormal;

/// Number of columns that are drawn at random.
const DRAWN: usize = 21;

/// Number of all columns. The others are products and differences of drawn ones.
pub(crate) const COLUMNS: usize = 28;

/// Rows with their classes, in single precision, by column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Vec<f32>>,
    pub(crate) labels: Vec<bool>,
}

// === impl Table ===

impl Table {
    /// A table with this number of rows. Equal seeds give equal tables.
    pub(crate) fn draw(rows: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut columns: Vec<Vec<f32>> = (0..COLUMNS).map(|_| Vec::with_capacity(rows)).collect();
        let mut labels = Vec::with_capacity(rows);
        for _ in 0..rows {
            let row = draw_row(&mut random);
            let probability = 1.0 / (1.0 + (-log_odds(&row)).exp());
            labels.push(random.random::<f64>() < probability);
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value as f32);
            }
        }
        Self { columns, labels }
    }

    /// Writes `NAME.f32`, the values in the byte order of the machine, and `NAME.u8`, the classes.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        let values: Vec<u8> = self
            .columns
            .iter()
            .flatten()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        let labels: Vec<u8> = self.labels.iter().map(|label| u8::from(*label)).collect();
        fs::write(folder.join(format!("{name}.f32")), values)?;
        fs::write(folder.join(format!("{name}.u8")), labels)
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let labels = fs::read(folder.join(format!("{name}.u8")))?;
        let values = fs::read(folder.join(format!("{name}.f32")))?;
        ensure!(
            values.len() == labels.len() * COLUMNS * 4 && !labels.is_empty(),
            "{name}.f32 does not have {COLUMNS} columns of {} rows",
            labels.len()
        );
        let values: Vec<f32> = values
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_ne_bytes(*bytes))
            .collect();
        Ok(Self {
            columns: values.chunks_exact(labels.len()).map(<[f32]>::to_vec).collect(),
            labels: labels.into_iter().map(|label| label == 1).collect(),
        })
    }

    /// Writes a CSV file with a header. The class is the column `target`.
    pub(crate) fn write_csv(&self, file: &Path) -> io::Result<()> {
        let names: Vec<String> = (0..COLUMNS).map(|column| format!("x{column}")).collect();
        let mut text = names.join(",") + ",target\n";
        for (row, label) in self.labels.iter().enumerate() {
            for column in &self.columns {
                text.push_str(&column[row].to_string());
                text.push(',');
            }
            text.push_str(if *label { "1\n" } else { "0\n" });
        }
        fs::write(file, text)
    }

    /// The rows as a dataset of the trainer.
    pub(crate) fn into_dataset(self) -> anyhow::Result<Dataset> {
        let features = (0..COLUMNS).map(|column| Feature::numeric(&format!("x{column}")));
        Ok(Dataset {
            schema: FeatureSchema::new(features.collect())?,
            columns: self.columns.into_iter().map(Values::Numbers).collect(),
            labels: self.labels,
            row_columns: RowColumns::default(),
        })
    }
}

fn draw_row(random: &mut StdRng) -> [f64; COLUMNS] {
    let mut row = [0.0; COLUMNS];
    for (column, value) in row.iter_mut().enumerate().take(DRAWN) {
        let normal: f64 = random.sample(StandardNormal);
        *value = match column % 4 {
            // Skewed values, like energies, and a few levels, like tags.
            1 => (0.6 * normal).exp(),
            3 => (normal * 1.5).round().clamp(-2.0, 2.0),
            _ => normal,
        };
    }
    for column in DRAWN..COLUMNS {
        let at = column - DRAWN;
        row[column] = row[at] * row[at + 7] + 0.5 * (row[at + 14] - row[at]).abs();
    }
    row
}

/// The log-odds of class 1: sums, products and steps, so that no family can model all of it.
fn log_odds(row: &[f64; COLUMNS]) -> f64 {
    let sum: f64 = (0..6)
        .map(|column| row[column] * [0.6, -0.4, 0.5, 0.3, -0.3, 0.2][column])
        .sum();
    let products = 0.8 * row[6] * row[8] - 0.6 * row[10] * row[12];
    let steps = f64::from(row[14] > 0.7) - f64::from(row[1] > 1.4) + 0.7 * f64::from(row[16] * row[18] > 0.3);
    sum + products + steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::draw(50, 3);
        assert_ne!(table, Table::draw(50, 4));
        table.write(folder.path(), "train").unwrap();
        assert_eq!(Table::read(folder.path(), "train").unwrap(), table);
        std::fs::write(folder.path().join("train.u8"), [1; 49]).unwrap();
        let error = Table::read(folder.path(), "train").unwrap_err();
        assert_eq!(error.to_string(), "train.f32 does not have 28 columns of 49 rows");
    }

    #[test]
    fn both_classes_are_common() {
        let table = Table::draw(2000, 1);
        let ones = table.labels.iter().filter(|label| **label).count();
        assert!((600..1400).contains(&ones), "{ones}");
    }
}
