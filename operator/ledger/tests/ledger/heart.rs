//! The counts of the heart disease data of the samples.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "the data are the repository's own: what is wrong with them fails the test"
)]

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use modelward_profile::{
    Bins, ChosenBy, Counts, CountsBatch, Envelope, FeatureBins, Incarnation, Observed, Reference, ScoreBins,
    TotalKey, bins::BinKind, route_digest, totals::ENVELOPE_FORMAT,
};
use modelward_wire::{Digest, Route, RouteMode};

/// The columns of the files, without the label in the last column.
const FEATURES: [&str; 13] = [
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca",
    "thal",
];
/// The columns that `manifests/samples/heart-1.yaml` declares as categorical.
const CATEGORICAL: [&str; 2] = ["sex", "cp"];

/// One patient. NaN is missing.
pub type Patient = [f32; 13];

/// Length of the windows of all tests.
pub const WINDOW: i64 = 60;

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

/// The bins of a training on these patients.
pub fn bins(trained_on: &[Patient]) -> Bins {
    let features = FEATURES.iter().enumerate().map(|(index, name)| {
        let column: Vec<f32> = trained_on.iter().map(|patient| patient[index]).collect();
        if CATEGORICAL.contains(name) {
            let mut codes: Vec<u32> = column.iter().map(|code| *code as u32).collect();
            codes.sort_unstable();
            codes.dedup();
            FeatureBins::categorical(name, codes.iter().map(u32::to_string))
        } else {
            FeatureBins::numeric(name, &column).unwrap()
        }
    });
    Bins::new(
        features.collect(),
        ScoreBins::from_out_of_fold(&[0.2, 0.5, 0.8]).unwrap(),
    )
    .unwrap()
}

/// Counts of these patients, with a score that depends on them.
pub fn counts(bins: &Bins, patients: &[Patient]) -> Counts {
    let mut counts = Counts::new(bins);
    for patient in patients {
        let row: Vec<Observed> = bins
            .features
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
            .collect();
        let score = f64::from(patient[0]) / 100.0;
        counts.add_row(bins, row, score, u8::from(score >= 0.5)).unwrap();
    }
    counts
}

/// The reference of a model that was trained on patients of Cleveland.
pub fn reference() -> Reference {
    let cleveland = patients("cleveland.csv");
    let bins = bins(&cleveland);
    let counts = counts(&bins, &cleveland);
    Reference {
        bins,
        counts,
        chosen_by: ChosenBy::All,
        phases: None,
    }
}

/// A route of this bundle.
pub fn route(bundle: Digest) -> Route {
    Route {
        version: "heart-1".into(),
        digest: bundle,
        weight: 100,
        threshold: "0.5".parse().unwrap(),
        mode: RouteMode::Live,
    }
}

/// The start of the window this many windows ago, relative to the start of the tests, because a test may run across the end of a
/// minute.
pub fn window(ago: i64) -> i64 {
    static NOW: LazyLock<i64> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_secs() as i64
    });
    *NOW - NOW.rem_euclid(WINDOW) - ago * WINDOW
}

pub fn envelope(
    route: &Route,
    incarnation: u128,
    window_start: i64,
    sequence: u64,
    counts: Counts,
) -> Envelope {
    Envelope {
        format: ENVELOPE_FORMAT,
        key: TotalKey {
            route: route_digest(route),
            window_start,
            incarnation: Incarnation(incarnation),
        },
        sequence,
        closed: false,
        counts,
    }
}

pub fn batch(route: &Route, envelopes: Vec<Envelope>) -> CountsBatch {
    CountsBatch {
        format: ENVELOPE_FORMAT,
        window_seconds: WINDOW as u32,
        routes: vec![route.clone()],
        envelopes,
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
