//! Shared by the tests: seeded random numbers, and the heart disease data of the samples.

use modelward_profile::{
    Bins, Counts, FeatureBins, Judgement, Observed, Reference, Rule, ScoreBins, WindowCounts,
    bins::{BinKind, chooses_bins},
    judge,
};

/// The columns of the files, without the label in the last column.
pub const FEATURES: [&str; 13] = [
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca",
    "thal",
];
/// The columns that `manifests/samples/heart-1.yaml` declares as categorical.
const CATEGORICAL: [&str; 2] = ["sex", "cp"];

/// One patient. NaN is missing.
pub type Patient = [f32; 13];

/// `cleveland.csv` or `hungarian.csv` of the samples.
pub fn patients(file: &str) -> Vec<Patient> {
    let path = format!(
        "{}/../../manifests/samples/heart-disease/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| {
            let mut fields = line.split(',');
            std::array::from_fn(|_| match fields.next().unwrap() {
                "?" => f32::NAN,
                number => number.parse().unwrap(),
            })
        })
        .collect()
}

/// The reference of a training on these patients.
pub fn trained(trained_on: &[Patient]) -> Reference {
    let features = FEATURES.iter().enumerate().map(|(index, name)| {
        let column: Vec<f32> = trained_on.iter().map(|patient| patient[index]).collect();
        if CATEGORICAL.contains(name) {
            let mut codes: Vec<u32> = column.iter().map(|code| *code as u32).collect();
            codes.sort_unstable();
            codes.dedup();
            FeatureBins::categorical(name, codes.iter().map(u32::to_string))
        } else {
            let choosing = column.iter().enumerate().filter(|(row, _)| chooses_bins(*row));
            let choosing: Vec<f32> = choosing.map(|(_, value)| *value).collect();
            FeatureBins::chosen_by(name, &column, &choosing).unwrap()
        }
    });
    let bins = Bins::new(features.collect(), ScoreBins::from_out_of_fold(&[0.5]).unwrap()).unwrap();
    let rows: Vec<_> = trained_on
        .iter()
        .map(|patient| (observed(&bins, patient), 0.5, 1))
        .collect();
    Reference::of_rows(bins, &[false; FEATURES.len()], rows).unwrap()
}

fn observed(bins: &Bins, patient: &Patient) -> Vec<Observed> {
    bins.features
        .iter()
        .zip(patient)
        .map(|(feature, value)| match &feature.bins {
            _ if value.is_nan() => Observed::Missing,
            BinKind::Numeric { .. } => Observed::Number(*value),
            BinKind::Categorical { categories } => categories
                .iter()
                .position(|known| *known == value.to_string())
                .map_or(Observed::NewCategory, |index| Observed::Category(index as u32)),
        })
        .collect()
}

/// Counts of these patients.
pub fn heart_counts(bins: &Bins, patients: &[Patient]) -> Counts {
    let mut counts = Counts::new(bins);
    for patient in patients {
        counts.add_row(bins, observed(bins, patient), 0.5, 1).unwrap();
    }
    counts
}

/// The judgement on one window that began this many hours after the reference. Earlier windows are unknown.
pub fn judged(reference: &Reference, window: &Counts, hour: u64) -> Judgement {
    let windows = [WindowCounts {
        from: hour * 3600,
        to: (hour + 1) * 3600,
        counts: window,
    }];
    judge(reference, &windows, &Rule::default()).unwrap()
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// Counts of `rows` draws from bins with these shares.
    pub fn counts(&mut self, shares: &[f64], rows: usize) -> Vec<u64> {
        let mut ends = Vec::with_capacity(shares.len());
        let mut sum = 0.0;
        for share in shares {
            sum += share;
            ends.push(sum);
        }
        let mut counts = vec![0; shares.len()];
        for _ in 0..rows {
            let at = self.unit() * sum;
            let bin = ends.partition_point(|end| *end <= at).min(shares.len() - 1);
            counts[bin] += 1;
        }
        counts
    }
}
