//! The end of a process in which the libraries still compute.
#![expect(unsafe_code, reason = "a function of the C library")]

use std::ffi::c_int;

unsafe extern "C" {
    fn _exit(status: c_int) -> !;
}

/// Ends the process at once, with this exit code.
///
/// `std::process::exit` runs the destructors of the C++ libraries, whose threads may be in the middle of a fit: the process then ends by a
/// signal now and then, and not with its exit code.
pub fn end_process(code: i32) -> ! {
    // SAFETY: it takes any number, and nothing of the program runs after it.
    unsafe { _exit(code) }
}
