//! Distributions of a table's columns, and sampling from them.

use modelward_profile::{
    Bins, Counts, FeatureBins, Observed, Reference, ScoreBins,
    bins::{BinKind, chooses_bins},
    counts::FeatureCount,
};
use rand::{Rng, RngExt};
use rand_distr::{Binomial, Distribution, StandardNormal};

/// The distribution of one column.
#[derive(Clone, Debug)]
pub enum Law {
    /// A normal distribution with this mean and standard deviation.
    Normal { mean: f64, deviation: f64 },
    /// Integers from 0 with these shares.
    Numbers(Vec<f64>),
    /// Words with these shares.
    Words(Vec<f64>),
}

/// A column: its distribution, and how often it is missing.
#[derive(Clone, Debug)]
pub struct Column {
    pub law: Law,
    pub missing: f64,
    /// Whether the user declared its categories.
    pub declared: bool,
}

// === impl Column ===

impl Column {
    pub fn of(law: Law) -> Self {
        Self {
            law,
            missing: 0.0,
            declared: false,
        }
    }

    pub fn normal() -> Self {
        Self::shifted(0.0)
    }

    pub fn shifted(mean: f64) -> Self {
        Self::of(Law::Normal { mean, deviation: 1.0 })
    }

    pub fn missing(self, missing: f64) -> Self {
        Self { missing, ..self }
    }

    pub fn declared(self) -> Self {
        Self {
            declared: true,
            ..self
        }
    }

    /// One value: a number, or the index of a word; NaN is missing.
    pub fn draw(&self, random: &mut impl Rng) -> f32 {
        if self.missing > 0.0 && random.random::<f64>() < self.missing {
            return f32::NAN;
        }
        match &self.law {
            Law::Normal { mean, deviation } => {
                let z: f64 = StandardNormal.sample(random);
                (mean + deviation * z) as f32
            }
            Law::Numbers(shares) | Law::Words(shares) => {
                let mut at = random.random::<f64>();
                let index = shares.iter().position(|share| {
                    at -= share;
                    at < 0.0
                });
                index.unwrap_or(shares.len() - 1) as f32
            }
        }
    }

    fn bins(&self, name: &str, values: &[f32]) -> FeatureBins {
        match &self.law {
            Law::Words(shares) => {
                let mut words: Vec<u32> = if self.declared {
                    (0..shares.len() as u32).collect()
                } else {
                    values
                        .iter()
                        .filter(|value| !value.is_nan())
                        .map(|value| *value as u32)
                        .collect()
                };
                words.sort_unstable();
                words.dedup();
                FeatureBins::categorical(name, words.iter().map(u32::to_string))
            }
            Law::Normal { .. } | Law::Numbers(_) => {
                let choosing = values.iter().enumerate().filter(|(row, _)| chooses_bins(*row));
                let choosing: Vec<f32> = choosing.map(|(_, value)| *value).collect();
                FeatureBins::chosen_by(name, values, &choosing).expect("finite numbers")
            }
        }
    }

    /// The share of each slot of these bins.
    fn shares(&self, bins: &FeatureBins) -> Vec<f64> {
        let below = |value: f64, or_equal: bool| match &self.law {
            Law::Normal { mean, deviation } => {
                0.5 * libm::erfc(-(value - mean) / deviation / std::f64::consts::SQRT_2)
            }
            Law::Numbers(shares) | Law::Words(shares) => shares
                .iter()
                .enumerate()
                .filter(|(index, _)| (*index as f64) < value || or_equal && *index as f64 == value)
                .map(|(_, share)| share)
                .sum(),
        };
        match (&bins.bins, &self.law) {
            (BinKind::Categorical { categories }, Law::Words(shares)) => {
                let known = categories.iter().map(|word| {
                    let index: usize = word.parse().expect("words are indexes");
                    shares.get(index).copied().unwrap_or(0.0)
                });
                let mut slots: Vec<f64> = known.collect();
                slots.push((1.0 - slots.iter().sum::<f64>()).max(0.0));
                slots
            }
            (
                BinKind::Numeric {
                    range: Some((min, max)),
                    cuts,
                },
                _,
            ) => {
                let mut ends = vec![below(f64::from(min.get()), false)];
                ends.extend(cuts.iter().map(|cut| below(f64::from(cut.get()), false)));
                ends.push(below(f64::from(max.get()), true));
                let mut slots = vec![ends[0]];
                slots.extend(ends.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)));
                slots.push(1.0 - ends[ends.len() - 1]);
                slots
            }
            _ => vec![0.0; bins.slots()],
        }
    }
}

/// Shares that decrease like 1/rank^power.
pub fn zipf(levels: usize, power: f64) -> Vec<f64> {
    normalized((1..=levels).map(|rank| (rank as f64).powf(-power)).collect())
}

/// Equal shares.
pub fn even(levels: usize) -> Vec<f64> {
    vec![1.0 / levels as f64; levels]
}

/// Shares in proportion to Gamma(shape) variables.
pub fn gamma(levels: usize, shape: f64, random: &mut impl Rng) -> Vec<f64> {
    let law = rand_distr::Gamma::new(shape, 1.0).expect("a shape above 0");
    normalized((0..levels).map(|_| law.sample(random)).collect())
}

fn normalized(mut shares: Vec<f64>) -> Vec<f64> {
    let sum: f64 = shares.iter().sum();
    for share in &mut shares {
        *share /= sum;
    }
    shares
}

/// A reference with this number of rows of these columns, as training creates it.
pub fn train(columns: &[Column], rows: usize, random: &mut impl Rng) -> Reference {
    let drawn: Vec<Vec<f32>> = columns
        .iter()
        .map(|column| (0..rows).map(|_| column.draw(random)).collect())
        .collect();
    reference_of(columns, &drawn, random)
}

/// The reference of these values, which are given by column.
pub fn reference_of(columns: &[Column], drawn: &[Vec<f32>], random: &mut impl Rng) -> Reference {
    let rows = drawn.first().map_or(0, Vec::len);
    let scores: Vec<f64> = (0..rows).map(|_| random.random::<f64>()).collect();
    let features: Vec<FeatureBins> = columns
        .iter()
        .zip(drawn)
        .enumerate()
        .map(|(index, (column, values))| column.bins(&format!("x{index}"), values))
        .collect();
    let words: Vec<Vec<u32>> = features.iter().map(word_index).collect();
    let bins = Bins::new(
        features,
        ScoreBins::from_out_of_fold(&scores).expect("probabilities"),
    )
    .expect("bins");
    let declared: Vec<bool> = columns.iter().map(|column| column.declared).collect();
    let table = (0..rows).map(|row| {
        let values: Vec<Observed> = drawn
            .iter()
            .zip(&words)
            .map(|(values, words)| observe(values[row], words))
            .collect();
        (values, scores[row], u8::from(scores[row] >= 0.5))
    });
    Reference::of_rows(bins, &declared, table).expect("rows that fit their bins")
}

/// Counts of these values, which are given by column.
pub fn count(bins: &Bins, drawn: &[Vec<f32>], random: &mut impl Rng) -> Counts {
    let words: Vec<Vec<u32>> = bins.features.iter().map(word_index).collect();
    let mut counts = Counts::new(bins);
    for row in 0..drawn.first().map_or(0, Vec::len) {
        let values: Vec<Observed> = drawn
            .iter()
            .zip(&words)
            .map(|(values, words)| observe(values[row], words))
            .collect();
        let score = random.random::<f64>();
        counts
            .add_row(bins, values, score, u8::from(score >= 0.5))
            .expect("a row that fits");
    }
    counts
}

fn word_index(bins: &FeatureBins) -> Vec<u32> {
    match &bins.bins {
        BinKind::Categorical { categories } => categories
            .iter()
            .map(|word| word.parse().expect("words are indexes"))
            .collect(),
        BinKind::Numeric { .. } => Vec::new(),
    }
}

fn observe(value: f32, words: &[u32]) -> Observed {
    if value.is_nan() {
        return Observed::Missing;
    }
    if words.is_empty() {
        return Observed::Number(value);
    }
    match words.binary_search(&(value as u32)) {
        Ok(index) => Observed::Category(index as u32),
        Err(_) => Observed::NewCategory,
    }
}

/// Draws windows of a table with independent columns directly as counts, so their size does not matter.
pub struct Traffic {
    empty: Counts,
    shares: Vec<Vec<f64>>,
    missing: Vec<f64>,
    scores: Vec<f64>,
}

// === impl Traffic ===

impl Traffic {
    pub fn of(columns: &[Column], bins: &Bins) -> Self {
        let mut ends: Vec<f64> = bins.score.cuts.iter().map(|cut| cut.get()).collect();
        ends.insert(0, 0.0);
        ends.push(1.0);
        Self {
            empty: Counts::new(bins),
            shares: columns
                .iter()
                .zip(&bins.features)
                .map(|(column, bins)| column.shares(bins))
                .collect(),
            missing: columns.iter().map(|column| column.missing).collect(),
            scores: ends.windows(2).map(|pair| pair[1] - pair[0]).collect(),
        }
    }

    /// A window with this number of rows.
    pub fn window(&self, rows: u64, random: &mut impl Rng) -> Counts {
        let mut counts = self.empty.clone();
        counts.features.rows = rows;
        for ((count, shares), missing) in counts
            .features
            .features
            .iter_mut()
            .zip(&self.shares)
            .zip(&self.missing)
        {
            let missing = binomial(rows, *missing, random);
            *count = FeatureCount {
                values: multinomial(rows - missing, shares, random),
                missing,
                type_errors: 0,
            };
        }
        counts.score.rows = rows;
        counts.score.classes[0].values = multinomial(rows, &self.scores, random);
        counts
    }
}

fn binomial(of: u64, share: f64, random: &mut impl Rng) -> u64 {
    if share <= 0.0 || of == 0 {
        return 0;
    }
    if share >= 1.0 {
        return of;
    }
    Binomial::new(of, share).expect("a probability").sample(random)
}

fn multinomial(of: u64, shares: &[f64], random: &mut impl Rng) -> Vec<u64> {
    let (mut left, mut share_left) = (of, shares.iter().sum::<f64>());
    let mut counts = Vec::with_capacity(shares.len());
    for (index, share) in shares.iter().enumerate() {
        let drawn = if index + 1 == shares.len() || share_left <= 0.0 {
            left
        } else {
            binomial(left, (share / share_left).clamp(0.0, 1.0), random)
        };
        counts.push(drawn);
        left -= drawn;
        share_left -= share;
    }
    counts
}
