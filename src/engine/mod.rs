//! The engine: `step(now, event) -> actions`, and nothing else.
