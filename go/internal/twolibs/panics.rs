//! A Rust library of somebody else's, for the link test: it panics, and catches that.
#![allow(missing_docs)]

use std::panic::{catch_unwind, set_hook};

/// How many of the panics on as many threads were caught.
#[unsafe(export_name = env!("NAME"))]
pub extern "C" fn panics(times: i32) -> i32 {
    set_hook(Box::new(|_| {}));
    let caught = |n: i32| catch_unwind(|| if n >= 0 { panic!("number {n}") }).is_err();
    (0..times).map(|n| std::thread::spawn(move || caught(n))).filter_map(|t| t.join().ok()).filter(|c| *c).count() as i32
}
