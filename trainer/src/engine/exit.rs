//! The end of a process in which the libraries still compute.
#![expect(unsafe_code, reason = "a function of the C library")]

use std::ffi::c_int;

unsafe extern "C" {
    fn _exit(status: c_int) -> !;
}

/// Ends the process at once, with this exit code.
///
/// `std::process::exit` runs the destructors of the C++ libraries while their threads may still fit. The process can then crash and lose its
/// exit code.
pub fn end_process(code: i32) -> ! {
    // SAFETY: it takes any number, and nothing of the program runs after it.
    unsafe { _exit(code) }
}
