//! libprimacy: the C library.
