//! A second Rust static library in one program, with its own copy of Rust's runtime: tests/c/two.c links both.

/// 1 if a panic of its own was caught.
#[unsafe(no_mangle)]
pub extern "C" fn second_catches_its_panic() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    i32::from(std::panic::catch_unwind(|| panic!("the second library's")).is_err())
}
