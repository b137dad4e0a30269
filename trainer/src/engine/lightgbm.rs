//! LightGBM's C interface.
#![expect(
    unsafe_code,
    reason = "functions of a C library; the comment of each call says what it requires and why that holds"
)]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    fmt, ptr,
    sync::{Arc, OnceLock},
};

use libloading::Library;
use modelward_model::family::tree::strip_lightgbm;

use super::{
    has_stopped_falling,
    library::{EngineError, Named},
    matrix::Matrix,
};
use crate::data::dataset::{Sample, Values};

const NAMED: Named = Named {
    library: "LightGBM",
    file: "lightgbm/lib/lib_lightgbm.so",
};

/// Numbers of the interface: 32-bit floats; a raw score, a probability.
const FLOAT32: c_int = 0;
const NORMAL: c_int = 0;
const RAW: c_int = 1;
/// The importance that the text of a model lists: the number of splits.
const SPLITS: c_int = 0;

/// Parameters of every call: one thread, no message on the standard output, and the same result on every run.
const ALWAYS: &str = "num_threads=1 verbosity=-1 deterministic=true force_row_wise=true";

type Handle = *mut c_void;

/// The functions of `LightGBM/c_api.h` that are used.
struct Api {
    last_error: unsafe extern "C" fn() -> *const c_char,
    dataset_create: unsafe extern "C" fn(
        *const c_void,
        c_int,
        i32,
        i32,
        c_int,
        *const c_char,
        Handle,
        *mut Handle,
    ) -> c_int,
    set_field: unsafe extern "C" fn(Handle, *const c_char, *const c_void, c_int, c_int) -> c_int,
    dataset_free: unsafe extern "C" fn(Handle) -> c_int,
    booster_create: unsafe extern "C" fn(Handle, *const c_char, *mut Handle) -> c_int,
    booster_free: unsafe extern "C" fn(Handle) -> c_int,
    update: unsafe extern "C" fn(Handle, *mut c_int) -> c_int,
    add_valid: unsafe extern "C" fn(Handle, Handle) -> c_int,
    evaluate: unsafe extern "C" fn(Handle, c_int, *mut c_int, *mut f64) -> c_int,
    save: unsafe extern "C" fn(Handle, c_int, c_int, c_int, i64, *mut i64, *mut c_char) -> c_int,
    predict: unsafe extern "C" fn(
        Handle,
        *const c_void,
        c_int,
        i32,
        i32,
        c_int,
        c_int,
        c_int,
        c_int,
        *const c_char,
        *mut i64,
        *mut f64,
    ) -> c_int,
}

/// The library.
pub struct LightGbm {
    api: Api,
    /// Its functions, which are valid while it stays open.
    _library: Library,
}

/// The binned values of some rows with their classes and weights. Boosters share it.
#[derive(Debug)]
pub struct Bins {
    handle: Handle,
    library: &'static LightGbm,
    max_bin: u32,
}

/// A model while it is fitted, and after.
#[derive(Debug)]
pub struct Booster {
    handle: Handle,
    library: &'static LightGbm,
}

// SAFETY: handles are objects on the heap without affinity to a thread.
unsafe impl Send for Bins {}
// SAFETY: with `feature_pre_filter=false` and the same `max_bin`, creating and training a booster only read a dataset that is complete.
unsafe impl Sync for Bins {}
// SAFETY: as for `Bins`; a booster is not shared between threads.
unsafe impl Send for Booster {}

// === impl LightGbm ===

impl LightGbm {
    /// The library, opened once per process.
    pub fn load() -> Result<&'static Self, EngineError> {
        static LOADED: OnceLock<LightGbm> = OnceLock::new();
        if let Some(loaded) = LOADED.get() {
            return Ok(loaded);
        }
        let library = NAMED.open()?;
        let api = Api::of(&library).map_err(|source| EngineError::Open {
            library: NAMED.library,
            source,
        })?;
        Ok(LOADED.get_or_init(|| Self {
            api,
            _library: library,
        }))
    }

    fn check(&self, code: c_int) -> Result<(), EngineError> {
        // SAFETY: gives a text of this thread.
        NAMED.check(code, || unsafe { (self.api.last_error)() })
    }
}

impl fmt::Debug for LightGbm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LightGbm").finish_non_exhaustive()
    }
}

impl Api {
    fn of(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are those of c_api.h of release 4.7.
        unsafe {
            Ok(Self {
                last_error: *library.get(b"LGBM_GetLastError\0")?,
                dataset_create: *library.get(b"LGBM_DatasetCreateFromMat\0")?,
                set_field: *library.get(b"LGBM_DatasetSetField\0")?,
                dataset_free: *library.get(b"LGBM_DatasetFree\0")?,
                booster_create: *library.get(b"LGBM_BoosterCreate\0")?,
                booster_free: *library.get(b"LGBM_BoosterFree\0")?,
                update: *library.get(b"LGBM_BoosterUpdateOneIter\0")?,
                add_valid: *library.get(b"LGBM_BoosterAddValidData\0")?,
                evaluate: *library.get(b"LGBM_BoosterGetEval\0")?,
                save: *library.get(b"LGBM_BoosterSaveModelToString\0")?,
                predict: *library.get(b"LGBM_BoosterPredictForMat\0")?,
            })
        }
    }
}

// === impl Bins ===

impl Bins {
    /// Bins of these rows, at most `max_bin` per number.
    pub fn new(sample: Sample<'_>, max_bin: u32) -> Result<Self, EngineError> {
        Self::make(sample, max_bin, None)
    }

    /// These rows in the bins of others, to be evaluated during a fit on those.
    pub fn of_reference(sample: Sample<'_>, reference: &Self) -> Result<Self, EngineError> {
        Self::make(sample, reference.max_bin, Some(reference))
    }

    fn make(sample: Sample<'_>, max_bin: u32, reference: Option<&Self>) -> Result<Self, EngineError> {
        let library = LightGbm::load()?;
        let matrix = Matrix::gather(sample);
        let categories = sample.data.columns.iter().enumerate();
        let categories = categories.filter(|(_, column)| matches!(column, Values::Categories(_)));
        let categories: Vec<String> = categories.map(|(index, _)| index.to_string()).collect();
        // Trials that share the bins may need leaves of fewer rows than the first one.
        let parameters = CString::new(format!(
            "{ALWAYS} max_bin={max_bin} feature_pre_filter=false categorical_feature={}",
            categories.join(",")
        ))?;
        let (rows, columns) = shape_of(&matrix)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the matrix has this many rows and columns, one column after the other, and outlives the call, which copies it.
        library.check(unsafe {
            (library.api.dataset_create)(
                matrix.values().as_ptr().cast(),
                FLOAT32,
                rows,
                columns,
                0,
                parameters.as_ptr(),
                reference.map_or(ptr::null_mut(), |reference| reference.handle),
                &raw mut handle,
            )
        })?;
        let bins = Self {
            handle,
            library,
            max_bin,
        };
        let labels: Vec<f32> = sample
            .rows
            .iter()
            .map(|row| f32::from(u8::from(sample.data.labels[*row])))
            .collect();
        bins.set_field(c"label", &labels)?;
        if let Some(weights) = sample.weights {
            bins.set_field(c"weight", weights)?;
        }
        Ok(bins)
    }

    fn set_field(&self, field: &std::ffi::CStr, values: &[f32]) -> Result<(), EngineError> {
        let count = c_int::try_from(values.len()).map_err(|_| too_large(values.len(), "rows"))?;
        // SAFETY: this many 32-bit floats, which are copied.
        self.library.check(unsafe {
            (self.library.api.set_field)(
                self.handle,
                field.as_ptr(),
                values.as_ptr().cast(),
                count,
                FLOAT32,
            )
        })
    }
}

impl Drop for Bins {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own; a booster's bins outlive it (`Booster::new`).
        unsafe { (self.library.api.dataset_free)(self.handle) };
    }
}

fn shape_of(matrix: &Matrix) -> Result<(i32, i32), EngineError> {
    let columns = matrix.values().len() / matrix.rows().max(1);
    let rows = i32::try_from(matrix.rows()).map_err(|_| too_large(matrix.rows(), "rows"))?;
    let columns = i32::try_from(columns).map_err(|_| too_large(columns, "columns"))?;
    Ok((rows, columns))
}

fn too_large(count: usize, what: &str) -> EngineError {
    EngineError::TooLarge {
        library: NAMED.library,
        what: format!("{count} {what}, at most {}", i32::MAX),
    }
}

/// Rounds without a split after which a fit ends. One such round says nothing about the next if rows, features or thresholds are drawn.
const EMPTY_ROUNDS: usize = 50;

/// A model while it grows, with the rows that it learns from. A round without a split leaves no tree, but for the very first one: the library
/// keeps its tree, a constant, in front of all others.
#[derive(Debug)]
pub struct Growing {
    // The first field is dropped first: the rows outlive the booster.
    booster: Booster,
    _rows: Arc<Bins>,
    _tested: Option<Arc<Bins>>,
    /// Trees with a split.
    trees: u32,
    has_constant: bool,
    empty: usize,
}

// === impl Growing ===

impl Growing {
    /// A model without trees, with these parameters under the library's own names. With `tested`, `metric` is set to `binary_logloss`.
    pub fn new(
        rows: Arc<Bins>,
        tested: Option<Arc<Bins>>,
        parameters: &[(&str, String)],
    ) -> Result<Self, EngineError> {
        let booster = Booster::new(&rows, parameters)?;
        if let Some(tested) = &tested {
            let library = rows.library;
            // SAFETY: both handles are open, and the rows live as long as the booster can grow.
            library.check(unsafe { (library.api.add_valid)(booster.handle, tested.handle) })?;
        }
        Ok(Self {
            booster,
            _rows: rows,
            _tested: tested,
            trees: 0,
            has_constant: false,
            empty: 0,
        })
    }

    /// Adds trees until there are this many, or none splits any more.
    pub fn grow(&mut self, trees: u32) -> Result<(), EngineError> {
        while self.trees < trees && self.add_tree()? {}
        Ok(())
    }

    /// Adds at most this many trees, and returns the log loss of the other rows after each; it ends if that has not fallen for `patience`
    /// of them.
    pub fn grow_watched(&mut self, trees: u32, patience: usize) -> Result<Vec<f64>, EngineError> {
        let mut curve = Vec::new();
        while self.trees < trees && !has_stopped_falling(&curve, patience) && self.add_tree()? {
            curve.push(self.booster.evaluate()?);
        }
        if curve.is_empty() {
            // The model is only the share of class 1.
            curve.push(self.booster.evaluate()?);
        }
        Ok(curve)
    }

    /// Whether a tree was added; without one, none of the following rounds finds a split.
    fn add_tree(&mut self) -> Result<bool, EngineError> {
        while self.empty < EMPTY_ROUNDS {
            if self.booster.boost()? {
                self.trees += 1;
                self.empty = 0;
                return Ok(true);
            }
            self.has_constant |= self.trees == 0;
            self.empty += 1;
        }
        Ok(false)
    }

    /// The probability of class 1 by the first trees.
    pub fn predictions(&self, matrix: &Matrix, trees: u32) -> Result<Vec<f64>, EngineError> {
        self.booster.predictions(matrix, Some(self.rounds_of(trees)))
    }

    /// How many rounds of the library the first trees with a split are.
    pub fn rounds_of(&self, trees: u32) -> u32 {
        trees.saturating_add(u32::from(self.has_constant))
    }

    /// The model, which does not grow any more.
    pub fn into_booster(self) -> Booster {
        self.booster
    }
}

// === impl Booster ===

impl Booster {
    /// The metric of the rows that are evaluated during the fit.
    fn evaluate(&self) -> Result<f64, EngineError> {
        let (mut count, mut value) = (0, f64::NAN);
        // SAFETY: there is one metric; writes one number.
        self.library
            .check(unsafe { (self.library.api.evaluate)(self.handle, 1, &raw mut count, &raw mut value) })?;
        Ok(value)
    }

    fn new(bins: &Bins, parameters: &[(&str, String)]) -> Result<Self, EngineError> {
        let library = bins.library;
        let mut text = ALWAYS.to_owned();
        for (name, value) in parameters {
            text.extend([" ", name, "=", value]);
        }
        let text = CString::new(text)?;
        let mut handle = ptr::null_mut();
        // SAFETY: the dataset is complete. It lives as long as the booster grows (`Growing`); predictions and the text do not touch it.
        library
            .check(unsafe { (library.api.booster_create)(bins.handle, text.as_ptr(), &raw mut handle) })?;
        Ok(Self { handle, library })
    }

    /// Adds the tree of one more round; `false` if no split improves the model.
    fn boost(&mut self) -> Result<bool, EngineError> {
        let mut ended = 0;
        // SAFETY: the handle is open and `Growing` holds the bins that it was made with; writes a number.
        self.library
            .check(unsafe { (self.library.api.update)(self.handle, &raw mut ended) })?;
        Ok(ended == 0)
    }

    /// The model in LightGBM's text, without the block of parameters: it names threads and folders, which are not part of a model.
    pub fn to_text(&self, rounds: Option<u32>) -> Result<Vec<u8>, EngineError> {
        let mut buffer = vec![0_u8; 1 << 16];
        let length = loop {
            let capacity = i64::try_from(buffer.len()).unwrap_or(i64::MAX);
            let mut needed = 0;
            // SAFETY: writes at most as many bytes as stated, and their number.
            self.library.check(unsafe {
                (self.library.api.save)(
                    self.handle,
                    0,
                    all_or(rounds),
                    SPLITS,
                    capacity,
                    &raw mut needed,
                    buffer.as_mut_ptr().cast(),
                )
            })?;
            if needed <= capacity {
                break usize::try_from(needed).unwrap_or(0);
            }
            buffer.resize(usize::try_from(needed).unwrap_or(buffer.len() * 2), 0);
        };
        // The last byte is the zero that ends a C text.
        buffer.truncate(length.saturating_sub(1));
        Ok(strip_lightgbm(&buffer).to_vec())
    }

    /// The raw score of each row: the sum of the leaves before any function of it. Of this many rounds, or of all.
    pub fn raw_scores(&self, matrix: &Matrix, rounds: Option<u32>) -> Result<Vec<f64>, EngineError> {
        self.predict(matrix, RAW, rounds)
    }

    /// What the library answers for each row: the probability of class 1, by the objective.
    pub fn predictions(&self, matrix: &Matrix, rounds: Option<u32>) -> Result<Vec<f64>, EngineError> {
        self.predict(matrix, NORMAL, rounds)
    }

    fn predict(&self, matrix: &Matrix, kind: c_int, rounds: Option<u32>) -> Result<Vec<f64>, EngineError> {
        if matrix.rows() == 0 {
            return Ok(Vec::new());
        }
        let (rows, columns) = shape_of(matrix)?;
        let parameters = CString::new("num_threads=1 verbosity=-1")?;
        let mut answers = vec![0.0; matrix.rows()];
        let mut found = 0;
        // SAFETY: the matrix has this many rows and columns, one column after the other; writes a number per row.
        self.library.check(unsafe {
            (self.library.api.predict)(
                self.handle,
                matrix.values().as_ptr().cast(),
                FLOAT32,
                rows,
                columns,
                0,
                kind,
                0,
                all_or(rounds),
                parameters.as_ptr(),
                &raw mut found,
                answers.as_mut_ptr(),
            )
        })?;
        if usize::try_from(found) != Ok(answers.len()) {
            return Err(EngineError::Shape {
                library: NAMED.library,
                found: found.unsigned_abs(),
                expected: answers.len() as u64,
            });
        }
        Ok(answers)
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own.
        unsafe { (self.library.api.booster_free)(self.handle) };
    }
}

/// The number of rounds as the library takes it; -1 for all.
fn all_or(rounds: Option<u32>) -> c_int {
    rounds
        .and_then(|rounds| c_int::try_from(rounds).ok())
        .unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{data, share_of_equal_classes};

    fn fit(bins: &Arc<Bins>, parameters: &[(&str, String)], trees: u32) -> Result<Booster, EngineError> {
        let mut growing = Growing::new(Arc::clone(bins), None, parameters)?;
        growing.grow(trees)?;
        Ok(growing.into_booster())
    }

    #[test]
    fn a_model_is_fitted_and_answers_with_probabilities() {
        let data = data(500);
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        let bins = Arc::new(Bins::new(sample, 255).unwrap());
        let booster = fit(&bins, &[("objective", "binary".to_owned())], 20).unwrap();
        drop(bins);
        let matrix = Matrix::gather(sample);
        let answers: Vec<f32> = booster
            .predictions(&matrix, None)
            .unwrap()
            .iter()
            .map(|p| *p as f32)
            .collect();
        assert!(share_of_equal_classes(&data, &answers) > 0.9);
        let raw = booster.raw_scores(&matrix, None).unwrap();
        assert!(
            answers
                .iter()
                .zip(&raw)
                .all(|(p, raw)| (*p > 0.5) == (*raw > 0.0))
        );
        let text = String::from_utf8(booster.to_text(None).unwrap()).unwrap();
        assert!(
            text.starts_with("tree\nversion=v4\n") && text.contains("Tree=19"),
            "{text}"
        );
        assert!(text.contains("num_cat="), "{text}");
        assert!(!text.contains("num_threads"), "{text}");
    }

    #[test]
    fn a_model_that_finds_no_split_ends_early() {
        let data = data(8);
        let sample = Sample::of(&data, &[0, 1, 2, 3, 4, 5, 6, 7]);
        let bins = Arc::new(Bins::new(sample, 255).unwrap());
        let booster = fit(&bins, &[("objective", "binary".to_owned())], 20).unwrap();
        let answers = booster.predictions(&Matrix::gather(sample), None).unwrap();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    }

    #[test]
    fn boosters_of_several_threads_share_bins_and_are_equal() {
        let data = data(2000);
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        let bins = Arc::new(Bins::new(sample, 255).unwrap());
        let text = || {
            let booster = fit(&bins, &[("objective", "binary".to_owned())], 10).unwrap();
            booster.to_text(None).unwrap()
        };
        let models: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(text)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_model_that_stopped_and_goes_on_is_the_one_that_did_not_stop() {
        let data = data(2000);
        let rows: Vec<usize> = (0..1500).collect();
        let others: Vec<usize> = (1500..data.len()).collect();
        let bins = Arc::new(Bins::new(Sample::of(&data, &rows), 255).unwrap());
        let tested = Arc::new(Bins::of_reference(Sample::of(&data, &others), &bins).unwrap());
        let parameters = [
            ("objective", "binary".to_owned()),
            ("metric", "binary_logloss".to_owned()),
            ("bagging_fraction", "0.7".to_owned()),
            ("bagging_freq", "1".to_owned()),
            ("feature_fraction", "0.7".to_owned()),
        ];
        let mut stopped = Growing::new(Arc::clone(&bins), Some(tested), &parameters).unwrap();
        assert_eq!(stopped.grow_watched(9, 30).unwrap().len(), 9);
        stopped.grow(20).unwrap();
        let stopped = stopped.into_booster().to_text(None).unwrap();
        assert_eq!(
            stopped,
            fit(&bins, &parameters, 20).unwrap().to_text(None).unwrap()
        );
    }

    #[test]
    fn a_parameter_that_the_library_refuses_is_an_error_in_its_words() {
        let data = data(50);
        let sample = Sample::of(&data, &[0, 1, 2, 3]);
        let bins = Arc::new(Bins::new(sample, 255).unwrap());
        let error = fit(&bins, &[("num_leaves", "-3".to_owned())], 1)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("LightGBM: ") && error.contains("num_leaves"),
            "{error}"
        );
    }
}
