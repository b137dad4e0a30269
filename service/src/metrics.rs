//! Metrics that are declared once: one line declares the field, its registration and its documentation.

use std::fmt;

pub use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::info::Info,
    registry::{Metric, Registry, Unit},
};

/// The content type that Prometheus requires for the output of [`Exposition::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gauge for a fraction or for seconds.
pub type FloatGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// A metric, as it is registered and documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDoc {
    /// The prefix of its name, before an underscore; empty if the name is whole.
    pub prefix: &'static str,
    /// Its name without prefix, unit and suffix.
    pub name: &'static str,
    /// Its unit, as in the name.
    pub unit: Option<&'static str>,
    /// The kind of metric.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// The labels with a fixed set of values.
    pub values: &'static [(&'static str, &'static [&'static str])],
    /// The help text, one sentence.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only increases.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
    /// Always 1; the information is in the labels.
    Info,
}

/// The labels of a metric.
pub trait Labels {
    /// Their names.
    const NAMES: &'static [&'static str];
}

/// The registered metrics of a program.
#[derive(Debug)]
pub struct Exposition {
    whole: Registry,
    prefixed: Registry,
}

// === impl MetricDoc ===

impl MetricDoc {
    /// The name as scraped, without the suffixes of a histogram's series.
    pub fn full_name(&self) -> String {
        let prefix = if self.prefix.is_empty() { "" } else { "_" };
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{prefix}{}{unit}{suffix}", self.prefix, self.name)
    }

    /// The release that runs.
    pub const fn build(prefix: &'static str, help: &'static str) -> Self {
        Self {
            prefix,
            name: "build",
            unit: None,
            kind: Kind::Info,
            labels: &["version"],
            values: &[],
            help,
        }
    }

    /// When the process started.
    pub const fn start_time(prefix: &'static str) -> Self {
        Self {
            prefix,
            name: "start_time",
            unit: Some("seconds"),
            kind: Kind::Gauge,
            labels: &[],
            values: &[],
            help: "When the process started, since 1970",
        }
    }
}

// === impl Exposition ===

impl Exposition {
    /// Without metrics. Names start with `prefix`, unless a metric's name is whole.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            whole: Registry::default(),
            prefixed: Registry::with_prefix(prefix),
        }
    }

    /// Adds a metric.
    pub fn register(&mut self, doc: &MetricDoc, metric: impl Metric) {
        let registry = if doc.prefix.is_empty() {
            &mut self.whole
        } else {
            &mut self.prefixed
        };
        match doc.unit.map(|unit| Unit::Other(unit.to_owned())) {
            None => registry.register(doc.name, doc.help, metric),
            Some(unit) => registry.register_with_unit(doc.name, doc.help, unit, metric),
        }
    }

    /// Adds the metrics of every program: its release and its start time.
    pub fn register_process(&mut self, build: &MetricDoc, version: &'static str, start: &MetricDoc) {
        self.register(build, Info::new([("version", version)]));
        let started = FloatGauge::default();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        started.set(now.map_or(0.0, |now| now.as_secs_f64()));
        self.register(start, started);
    }

    /// All metrics as `OpenMetrics` text, of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8 << 10);
        encode_registry(&mut text, &self.whole)?;
        encode_registry(&mut text, &self.prefixed)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// A name without the raw identifier prefix.
#[doc(hidden)]
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Declares the metrics of a program, one per line, and their labels.
///
/// ```
/// modelward_service::metrics! {
///     /// What a kitchen measures.
///     pub struct Metrics in "kitchen", build "The kitchen that runs" {
///         pub dishes: Counter<DishLabels> {dish: ["soup", "rice"]} zero = "dishes", "Dishes served, by dish";
///         pub wait: Histogram[[1.0, 10.0]] = "wait" seconds, "Time from an order to its dish";
///         pub guests: Gauge = whole "guests", "Guests of all kitchens";
///     }
///     /// Labels of dishes.
///     pub labels DishLabels {
///         /// Its name.
///         dish: &'static str,
///     }
/// }
/// let metrics = Metrics::new();
/// metrics.dishes.get_or_create(&DishLabels { dish: "soup" }).inc();
/// let text = metrics.encode().unwrap();
/// assert!(text.contains("kitchen_dishes_total{dish=\"soup\"} 1\n"));
/// assert!(text.contains("kitchen_dishes_total{dish=\"rice\"} 0\n"));
/// assert_eq!(Metrics::TABLE[4].full_name(), "guests");
/// ```
///
/// A line is `pub field: Kind<Labels>[buckets] {label: [values]} zero = whole "name" unit, "help";`. Only kind, name and help are
/// required. `Kind` is `Counter`, `Gauge`, `FloatGauge` or `Histogram`; only a `Histogram` has `[buckets]`. Values of labels are
/// for the documentation. `zero` creates a series for each value of the single label at the start, because `rate` does not see the
/// first event of a series that did not exist before. A `whole` name has no prefix.
#[macro_export]
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis struct $metrics:ident in $prefix:literal, build $build:literal {
            $($field_vis:vis $field:ident: $kind:ident $(<$of:ident>)? $([$buckets:expr])? $({$($label:ident: $values:expr),+})? $($zero:ident)?
                = $($whole:ident)? $name:literal $($unit:ident)?, $help:literal;)+
        }
        $($(#[$labels_meta:meta])* $labels_vis:vis labels $labels:ident {
            $($(#[$key_meta:meta])* $key:ident: $value:ty),+ $(,)?
        })*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $metrics {
            exposition: ::std::sync::Arc<$crate::metrics::Exposition>,
            $(#[doc = concat!($help, ".")] $field_vis $field: $crate::metrics!(@type $kind $($of)?)),+
        }

        impl $metrics {
            /// All metrics, in the order of the exposition.
            pub const TABLE: &'static [$crate::metrics::MetricDoc] = &[
                $crate::metrics::MetricDoc::build($prefix, $build),
                $crate::metrics::MetricDoc::start_time($prefix),
                $($crate::metrics::MetricDoc {
                    prefix: $crate::metrics!(@prefix $prefix $($whole)?),
                    name: $name,
                    unit: $crate::metrics!(@unit $($unit)?),
                    kind: $crate::metrics!(@kind $kind),
                    labels: $crate::metrics!(@labels $($of)?),
                    values: &[$($((stringify!($label), &$values)),+)?],
                    help: $help,
                }),+
            ];

            /// Registers all metrics, with the value zero.
            $vis fn new() -> Self {
                let mut exposition = $crate::metrics::Exposition::new($prefix);
                let mut docs = Self::TABLE.iter();
                if let (Some(build), Some(start)) = (docs.next(), docs.next()) {
                    exposition.register_process(build, env!("CARGO_PKG_VERSION"), start);
                }
                $(let $field: $crate::metrics!(@type $kind $($of)?) = $crate::metrics!(@init $kind $($of)?; $($buckets)?);
                $crate::metrics!(@zero [$($zero)?] $field [$($of)?] [$($($label $values),+)?]);
                if let Some(doc) = docs.next() {
                    exposition.register(doc, $field.clone());
                })+
                Self {
                    exposition: ::std::sync::Arc::new(exposition),
                    $($field),+
                }
            }

            /// All metrics as OpenMetrics text.
            $vis fn encode(&self) -> ::std::result::Result<String, ::std::fmt::Error> {
                self.exposition.encode()
            }
        }

        $($(#[$labels_meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        $labels_vis struct $labels {
            $($(#[$key_meta])* $labels_vis $key: $value),+
        }

        impl $crate::metrics::Labels for $labels {
            const NAMES: &'static [&'static str] = &[$($crate::metrics::plain(stringify!($key))),+];
        }

        impl $crate::prometheus_client::encoding::EncodeLabelSet for $labels {
            fn encode(
                &self,
                encoder: &mut $crate::prometheus_client::encoding::LabelSetEncoder<'_>,
            ) -> ::std::result::Result<(), ::std::fmt::Error> {
                use $crate::prometheus_client::encoding::{EncodeLabelKey, EncodeLabelValue};
                $({
                    let mut label = encoder.encode_label();
                    let mut key = label.encode_label_key()?;
                    EncodeLabelKey::encode(&$crate::metrics::plain(stringify!($key)), &mut key)?;
                    let mut value = key.encode_label_value()?;
                    EncodeLabelValue::encode(&self.$key, &mut value)?;
                    value.finish()?;
                })+
                Ok(())
            }
        })*
    };
    (@type $kind:ident) => { $crate::metrics::$kind };
    (@type Histogram $of:ident) => {
        $crate::metrics::Family<$of, $crate::metrics::Histogram, fn() -> $crate::metrics::Histogram>
    };
    (@type $kind:ident $of:ident) => { $crate::metrics::Family<$of, $crate::metrics::$kind> };
    (@init Histogram; $buckets:expr) => { $crate::metrics::Histogram::new($buckets) };
    (@init Histogram $of:ident; $buckets:expr) => {
        $crate::metrics::Family::new_with_constructor(|| $crate::metrics::Histogram::new($buckets))
    };
    (@init $kind:ident $($of:ident)?;) => { ::std::default::Default::default() };
    (@zero [] $($rest:tt)*) => {};
    (@zero [zero] $field:ident [$of:ident] [$label:ident $values:expr]) => {
        for $label in $values {
            drop($field.get_or_create(&$of { $label }));
        }
    };
    (@prefix $prefix:literal) => { $prefix };
    (@prefix $prefix:literal whole) => { "" };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(stringify!($unit)) };
    (@kind FloatGauge) => { $crate::metrics::Kind::Gauge };
    (@kind $kind:ident) => { $crate::metrics::Kind::$kind };
    (@labels) => { &[] };
    (@labels $of:ident) => { <$of as $crate::metrics::Labels>::NAMES };
}
