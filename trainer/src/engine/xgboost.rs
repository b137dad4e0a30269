//! XGBoost's C interface.
#![expect(
    unsafe_code,
    reason = "functions of a C library; the comment of each call says what it requires and why that holds"
)]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    fmt, ptr, slice,
    sync::OnceLock,
};

use libloading::Library;

use super::{
    library::{EngineError, Named},
    matrix::Matrix,
};
use crate::data::dataset::{Sample, Values};

/// The release that models are fitted with. Another one would fit other models.
pub const RELEASE: (c_int, c_int) = (3, 2);

const NAMED: Named = Named {
    library: "XGBoost",
    file: "xgboost/lib/libxgboost.so",
};

/// The name of the rows that are evaluated, in the library's answer. A pointer to a constant cannot cause a data race.
static EVALUATED: Name = Name(c"tested".as_ptr());

#[repr(transparent)]
struct Name(*const c_char);

/// Rows that are handed over at once: only a buffer of 4 bytes per value is copied.
const BATCH: usize = 1 << 16;

/// What is predicted: the value of the objective, the margin before it.
const VALUE: c_int = 0;
const MARGIN: c_int = 1;

type Handle = *mut c_void;

/// The functions of `xgboost/c_api.h` that are used. `u64` is `bst_ulong`.
struct Api {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int),
    last_error: unsafe extern "C" fn() -> *const c_char,
    set_global: unsafe extern "C" fn(*const c_char) -> c_int,
    proxy_create: unsafe extern "C" fn(*mut Handle) -> c_int,
    proxy_set_dense: unsafe extern "C" fn(Handle, *const c_char) -> c_int,
    set_info: unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int,
    set_feature_info: unsafe extern "C" fn(Handle, *const c_char, *const *const c_char, u64) -> c_int,
    bins_create: unsafe extern "C" fn(
        *mut c_void,
        Handle,
        *mut c_void,
        unsafe extern "C" fn(*mut c_void),
        unsafe extern "C" fn(*mut c_void) -> c_int,
        *const c_char,
        *mut Handle,
    ) -> c_int,
    matrix_free: unsafe extern "C" fn(Handle) -> c_int,
    booster_create: unsafe extern "C" fn(*const Handle, u64, *mut Handle) -> c_int,
    booster_free: unsafe extern "C" fn(Handle) -> c_int,
    set_parameter: unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int,
    update: unsafe extern "C" fn(Handle, c_int, Handle) -> c_int,
    evaluate: unsafe extern "C" fn(
        Handle,
        c_int,
        *const Handle,
        *const *const c_char,
        u64,
        *mut *const c_char,
    ) -> c_int,
    slice: unsafe extern "C" fn(Handle, c_int, c_int, c_int, *mut Handle) -> c_int,
    save: unsafe extern "C" fn(Handle, *const c_char, *mut u64, *mut *const c_char) -> c_int,
    predict: unsafe extern "C" fn(
        Handle,
        *const c_char,
        *const c_char,
        Handle,
        *mut *const u64,
        *mut u64,
        *mut *const f32,
    ) -> c_int,
}

/// The library.
pub struct XGBoost {
    api: Api,
    /// Its functions, which are valid while it stays open.
    _library: Library,
}

/// The binned values of some rows with their classes and weights: what XGBoost calls a `QuantileDMatrix`. Boosters share it.
#[derive(Debug)]
pub struct Bins {
    matrix: Owned,
    max_bin: u32,
}

/// A model while it is fitted, and after.
#[derive(Debug)]
pub struct Booster {
    handle: Handle,
    library: &'static XGBoost,
    rounds: c_int,
}

/// A handle of a matrix, which is freed on drop.
#[derive(Debug)]
struct Owned {
    handle: Handle,
    library: &'static XGBoost,
}

/// The rows that the library asks for, batch by batch.
struct Batches<'a> {
    library: &'static XGBoost,
    proxy: &'a Owned,
    sample: Sample<'a>,
    kinds: Vec<*const c_char>,
    next: usize,
    // What the library reads until it asks for the next batch.
    matrix: Matrix,
    labels: Vec<f32>,
    failure: Option<EngineError>,
}

// SAFETY: the text is a constant.
unsafe impl Sync for Name {}
// SAFETY: handles are objects on the heap without affinity to a thread. What their functions return is read before the next call.
unsafe impl Send for Owned {}
// SAFETY: after its construction nothing writes to a `QuantileDMatrix`: training reads its bins (`GetGradientIndex` checks the
// parameters and returns a shared pointer to constant pages) and its labels.
unsafe impl Sync for Owned {}
// SAFETY: as for `Owned`; a booster is not shared between threads.
unsafe impl Send for Booster {}

// === impl XGBoost ===

impl XGBoost {
    /// The library, opened once per process.
    pub fn load() -> Result<&'static Self, EngineError> {
        static LOADED: OnceLock<XGBoost> = OnceLock::new();
        if let Some(loaded) = LOADED.get() {
            return Ok(loaded);
        }
        let library = Self::open()?;
        library.check_release()?;
        Ok(LOADED.get_or_init(|| library))
    }

    fn open() -> Result<Self, EngineError> {
        let library = NAMED.open()?;
        let api = Api::of(&library).map_err(|source| EngineError::Open {
            library: NAMED.library,
            source,
        })?;
        Ok(Self {
            api,
            _library: library,
        })
    }

    fn check_release(&self) -> Result<(), EngineError> {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: writes the three numbers.
        unsafe { (self.api.version)(&raw mut major, &raw mut minor, &raw mut patch) };
        if (major, minor) == RELEASE {
            return Ok(());
        }
        Err(EngineError::Release {
            library: NAMED.library,
            found: format!("{major}.{minor}.{patch}"),
            expected: format!("{}.{}", RELEASE.0, RELEASE.1),
        })
    }

    fn check(&self, code: c_int) -> Result<(), EngineError> {
        // SAFETY: gives a text of this thread.
        NAMED.check(code, || unsafe { (self.api.last_error)() })
    }

    /// Turns off messages on the standard output. The setting is per thread.
    fn silence(&self) -> Result<(), EngineError> {
        // SAFETY: reads a text that ends with a zero.
        self.check(unsafe { (self.api.set_global)(c"{\"verbosity\": 0}".as_ptr()) })
    }
}

impl fmt::Debug for XGBoost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XGBoost").finish_non_exhaustive()
    }
}

impl Api {
    fn of(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are those of c_api.h of this release.
        unsafe {
            Ok(Self {
                version: *library.get(b"XGBoostVersion\0")?,
                last_error: *library.get(b"XGBGetLastError\0")?,
                set_global: *library.get(b"XGBSetGlobalConfig\0")?,
                proxy_create: *library.get(b"XGProxyDMatrixCreate\0")?,
                proxy_set_dense: *library.get(b"XGProxyDMatrixSetDataDense\0")?,
                set_info: *library.get(b"XGDMatrixSetInfoFromInterface\0")?,
                set_feature_info: *library.get(b"XGDMatrixSetStrFeatureInfo\0")?,
                bins_create: *library.get(b"XGQuantileDMatrixCreateFromCallback\0")?,
                matrix_free: *library.get(b"XGDMatrixFree\0")?,
                booster_create: *library.get(b"XGBoosterCreate\0")?,
                booster_free: *library.get(b"XGBoosterFree\0")?,
                set_parameter: *library.get(b"XGBoosterSetParam\0")?,
                update: *library.get(b"XGBoosterUpdateOneIter\0")?,
                evaluate: *library.get(b"XGBoosterEvalOneIter\0")?,
                slice: *library.get(b"XGBoosterSlice\0")?,
                save: *library.get(b"XGBoosterSaveModelToBuffer\0")?,
                predict: *library.get(b"XGBoosterPredictFromDense\0")?,
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
        let library = XGBoost::load()?;
        library.silence()?;
        let mut proxy = ptr::null_mut();
        // SAFETY: writes a new handle.
        library.check(unsafe { (library.api.proxy_create)(&raw mut proxy) })?;
        let proxy = Owned {
            handle: proxy,
            library,
        };
        let mut batches = Batches::new(library, &proxy, sample);
        let config = CString::new(format!(
            "{{\"missing\": NaN, \"nthread\": 1, \"max_bin\": {max_bin}}}"
        ))?;
        let mut handle = ptr::null_mut();
        // SAFETY: the callbacks get the pointer to `batches`, which outlives the call and is touched by nothing else during it.
        let code = unsafe {
            (library.api.bins_create)(
                (&raw mut batches).cast(),
                proxy.handle,
                reference.map_or(ptr::null_mut(), |reference| reference.matrix.handle),
                begin_again,
                give_next,
                config.as_ptr(),
                &raw mut handle,
            )
        };
        match batches.failure.take() {
            Some(failure) => Err(failure),
            None => library.check(code),
        }?;
        Ok(Self {
            matrix: Owned { handle, library },
            max_bin,
        })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own. Boosters that were made with it keep what they need of it.
        unsafe { (self.library.api.matrix_free)(self.handle) };
    }
}

// === impl Batches ===

impl<'a> Batches<'a> {
    fn new(library: &'static XGBoost, proxy: &'a Owned, sample: Sample<'a>) -> Self {
        let kind = |column: &Values| match column {
            Values::Numbers(_) => c"float".as_ptr(),
            Values::Categories(_) => c"c".as_ptr(),
        };
        Self {
            library,
            proxy,
            sample,
            kinds: sample.data.columns.iter().map(kind).collect(),
            next: 0,
            matrix: Matrix::default(),
            labels: Vec::new(),
            failure: None,
        }
    }

    /// Hands the next rows to the proxy; `false` if none are left.
    fn give(&mut self) -> Result<bool, EngineError> {
        let rows = self.sample.rows;
        if self.next >= rows.len() {
            return Ok(false);
        }
        let range = self.next..(self.next + BATCH).min(rows.len());
        self.next = range.end;
        self.matrix.fill(self.sample, &rows[range.clone()]);
        self.labels.clear();
        let labels = rows[range.clone()]
            .iter()
            .map(|row| self.sample.data.labels[*row]);
        self.labels.extend(labels.map(|label| f32::from(u8::from(label))));
        let (api, proxy) = (&self.library.api, self.proxy.handle);
        let interface = dense_interface(&self.matrix)?;
        // SAFETY: the interface points to the matrix, which stays as it is until the library asks for the next batch.
        self.library
            .check(unsafe { (api.proxy_set_dense)(proxy, interface.as_ptr()) })?;
        self.set_info(c"label", &self.labels)?;
        if let Some(weights) = self.sample.weights {
            self.set_info(c"weight", &weights[range])?;
        }
        // SAFETY: as many texts as stated; they are constants.
        self.library.check(unsafe {
            (api.set_feature_info)(
                proxy,
                c"feature_type".as_ptr(),
                self.kinds.as_ptr(),
                self.kinds.len() as u64,
            )
        })?;
        Ok(true)
    }

    fn set_info(&self, field: &std::ffi::CStr, values: &[f32]) -> Result<(), EngineError> {
        let interface = CString::new(format!(
            "{{\"data\": [{}, true], \"shape\": [{}], \"typestr\": \"<f4\", \"version\": 3}}",
            values.as_ptr().addr(),
            values.len()
        ))?;
        // SAFETY: the values are copied during the call.
        self.library.check(unsafe {
            (self.library.api.set_info)(self.proxy.handle, field.as_ptr(), interface.as_ptr())
        })
    }
}

unsafe extern "C" fn begin_again(batches: *mut c_void) {
    // SAFETY: the pointer that `Bins::new` gave, whose object nothing else touches during the call.
    let batches = unsafe { &mut *batches.cast::<Batches<'_>>() };
    batches.next = 0;
}

/// 1 if a batch was given, 0 at the end. After a failure it ends too, and the failure is kept.
unsafe extern "C" fn give_next(batches: *mut c_void) -> c_int {
    // SAFETY: as in `begin_again`.
    let batches = unsafe { &mut *batches.cast::<Batches<'_>>() };
    match batches.give() {
        Ok(given) => c_int::from(given),
        Err(failure) => {
            batches.failure = Some(failure);
            0
        }
    }
}

/// The matrix in the array interface of NumPy, column after column.
fn dense_interface(matrix: &Matrix) -> Result<CString, EngineError> {
    let rows = matrix.rows();
    let columns = matrix.values().len() / rows.max(1);
    Ok(CString::new(format!(
        "{{\"data\": [{}, true], \"shape\": [{rows}, {columns}], \"strides\": [4, {}], \"typestr\": \"<f4\", \"version\": 3}}",
        matrix.values().as_ptr().addr(),
        rows * 4
    ))?)
}

// === impl Booster ===

impl Booster {
    /// A model without trees, with these parameters under the library's own names.
    pub fn new(bins: &Bins, parameters: &[(&str, String)]) -> Result<Self, EngineError> {
        let library = bins.matrix.library;
        library.silence()?;
        let mut handle = ptr::null_mut();
        // SAFETY: one matrix, as stated; writes a new handle.
        library.check(unsafe {
            (library.api.booster_create)(&raw const bins.matrix.handle, 1, &raw mut handle)
        })?;
        let booster = Self {
            handle,
            library,
            rounds: 0,
        };
        booster.set("nthread", "1")?;
        booster.set("max_bin", &bins.max_bin.to_string())?;
        for (name, value) in parameters {
            booster.set(name, value)?;
        }
        Ok(booster)
    }

    fn set(&self, name: &str, value: &str) -> Result<(), EngineError> {
        let (name, value) = (CString::new(name)?, CString::new(value)?);
        // SAFETY: both are copied.
        self.library
            .check(unsafe { (self.library.api.set_parameter)(self.handle, name.as_ptr(), value.as_ptr()) })
    }

    /// Adds the trees of one more round.
    pub fn boost(&mut self, bins: &Bins) -> Result<(), EngineError> {
        // SAFETY: both handles are open.
        self.library
            .check(unsafe { (self.library.api.update)(self.handle, self.rounds, bins.matrix.handle) })?;
        self.rounds += 1;
        Ok(())
    }

    /// The rounds so far.
    pub fn rounds(&self) -> u32 {
        self.rounds.unsigned_abs()
    }

    /// The log loss of these rows after the rounds so far; the parameters have `eval_metric` set to `logloss`.
    pub fn log_loss(&self, bins: &Bins) -> Result<f64, EngineError> {
        let mut text = ptr::null();
        // SAFETY: one matrix and one name, as stated. The text lives until the next call for this booster.
        let text = unsafe {
            self.library.check((self.library.api.evaluate)(
                self.handle,
                self.rounds,
                &raw const bins.matrix.handle,
                (&raw const EVALUATED).cast(),
                1,
                &raw mut text,
            ))?;
            std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()
        };
        // "[7]\ttested-logloss:0.31"
        let value = text
            .rsplit_once(':')
            .and_then(|(_, value)| value.trim().parse().ok());
        value.ok_or(EngineError::Call {
            library: NAMED.library,
            message: format!("no metric in {text:?}"),
        })
    }

    /// The model of only the first rounds.
    pub fn truncated(&self, rounds: u32) -> Result<Self, EngineError> {
        let rounds = c_int::try_from(rounds).unwrap_or(c_int::MAX).min(self.rounds);
        let mut handle = ptr::null_mut();
        // SAFETY: writes a new handle.
        self.library
            .check(unsafe { (self.library.api.slice)(self.handle, 0, rounds, 1, &raw mut handle) })?;
        let truncated = Self {
            handle,
            library: self.library,
            rounds,
        };
        truncated.set("nthread", "1")?;
        Ok(truncated)
    }

    /// The model in XGBoost's JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, EngineError> {
        let (mut length, mut bytes) = (0, ptr::null());
        // SAFETY: writes a pointer to this many bytes, which live until the next call for this booster.
        let saved = unsafe {
            self.library.check((self.library.api.save)(
                self.handle,
                c"{\"format\": \"json\"}".as_ptr(),
                &raw mut length,
                &raw mut bytes,
            ))?;
            copy(bytes.cast::<u8>(), length)
        };
        Ok(saved)
    }

    /// The margin of each row: the sum of the leaves before any function of it.
    pub fn margins(&self, matrix: &Matrix) -> Result<Vec<f32>, EngineError> {
        self.predict(matrix, MARGIN, self.rounds())
    }

    /// What the library answers for each row after the first rounds: the probability of class 1, by the objective.
    pub fn predictions(&self, matrix: &Matrix, rounds: u32) -> Result<Vec<f32>, EngineError> {
        self.predict(matrix, VALUE, rounds)
    }

    fn predict(&self, matrix: &Matrix, kind: c_int, rounds: u32) -> Result<Vec<f32>, EngineError> {
        if matrix.rows() == 0 {
            return Ok(Vec::new());
        }
        self.library.silence()?;
        let interface = dense_interface(matrix)?;
        let config = CString::new(format!(
            "{{\"type\": {kind}, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": {rounds}, \"strict_shape\": false, \
             \"missing\": NaN, \"cache_id\": 0}}"
        ))?;
        let (mut shape, mut dimensions, mut result) = (ptr::null(), 0, ptr::null());
        // SAFETY: the interface points to the matrix, which outlives the call. The result lives until the next call of this thread.
        let answers = unsafe {
            self.library.check((self.library.api.predict)(
                self.handle,
                interface.as_ptr(),
                config.as_ptr(),
                ptr::null_mut(),
                &raw mut shape,
                &raw mut dimensions,
                &raw mut result,
            ))?;
            let found = copy(shape, dimensions).iter().product::<u64>();
            if found != matrix.rows() as u64 {
                return Err(EngineError::Shape {
                    library: NAMED.library,
                    found,
                    expected: matrix.rows() as u64,
                });
            }
            copy(result, found)
        };
        Ok(answers)
    }
}

impl Drop for Booster {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's own.
        unsafe { (self.library.api.booster_free)(self.handle) };
    }
}

/// A copy of what a library returned.
///
/// # Safety
/// `from` points to `count` values, or `count` is 0.
unsafe fn copy<T: Copy>(from: *const T, count: u64) -> Vec<T> {
    if count == 0 || from.is_null() {
        return Vec::new();
    }
    // SAFETY: guaranteed by the caller.
    unsafe { slice::from_raw_parts(from, count as usize) }.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{data, share_of_equal_classes};

    #[test]
    fn a_model_is_fitted_and_answers_with_probabilities() {
        let data = data(500);
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        let bins = Bins::new(sample, 64).unwrap();
        let parameters = [
            ("objective", "binary:logistic".to_owned()),
            ("max_depth", "3".to_owned()),
        ];
        let mut booster = Booster::new(&bins, &parameters).unwrap();
        for _ in 0..20 {
            booster.boost(&bins).unwrap();
        }
        let matrix = Matrix::gather(sample);
        let answers = booster.predictions(&matrix, 20).unwrap();
        assert!(share_of_equal_classes(&data, &answers) > 0.9);
        let margins = booster.margins(&matrix).unwrap();
        assert!(
            answers
                .iter()
                .zip(&margins)
                .all(|(p, margin)| (*p > 0.5) == (*margin > 0.0))
        );
        let json: serde_json::Value = serde_json::from_slice(&booster.to_json().unwrap()).unwrap();
        assert_eq!(
            json["learner"]["gradient_booster"]["model"]["trees"]
                .as_array()
                .unwrap()
                .len(),
            20
        );
    }

    #[test]
    fn boosters_of_several_threads_share_bins_and_are_equal() {
        let data = data(2000);
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        let bins = Bins::new(sample, 256).unwrap();
        let fit = || {
            let mut booster = Booster::new(&bins, &[("objective", "binary:logistic".to_owned())]).unwrap();
            for _ in 0..10 {
                booster.boost(&bins).unwrap();
            }
            booster.to_json().unwrap()
        };
        let models: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(fit)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(models.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn the_first_rounds_predict_as_the_model_that_has_these_alone() {
        let data = data(2000);
        let rows: Vec<usize> = (0..data.len()).collect();
        let sample = Sample::of(&data, &rows);
        let (bins, matrix) = (Bins::new(sample, 256).unwrap(), Matrix::gather(sample));
        let mut booster = Booster::new(&bins, &[("objective", "binary:logistic".to_owned())]).unwrap();
        for _ in 0..20 {
            booster.boost(&bins).unwrap();
        }
        let truncated = booster.truncated(5).unwrap();
        assert_eq!(
            booster.predictions(&matrix, 5).unwrap(),
            truncated.predictions(&matrix, 5).unwrap()
        );
        assert_ne!(
            booster.predictions(&matrix, 5).unwrap(),
            booster.predictions(&matrix, 20).unwrap()
        );
    }

    #[test]
    fn a_parameter_that_the_library_refuses_is_an_error_in_its_words() {
        let data = data(50);
        let sample = Sample::of(&data, &[0, 1, 2, 3]);
        let bins = Bins::new(sample, 16).unwrap();
        let mut booster = Booster::new(&bins, &[("max_depth", "deep".to_owned())]).unwrap();
        let error = booster.boost(&bins).unwrap_err().to_string();
        assert!(
            error.starts_with("XGBoost: ") && error.contains("max_depth"),
            "{error}"
        );
    }
}
